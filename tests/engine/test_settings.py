"""Settings from a command line: every field of a config, by name, with helpful refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import RunConfig, make_config, to_toml
from engine.errors import ConfigError
from engine.settings import parse_settings, setting_types


@pytest.mark.parametrize(
    ("text", "table", "value"),
    [
        ("training.snr_gamma=5", "training", {"snr_gamma": 5}),
        (" training.snr_gamma = 5.0 ", "training", {"snr_gamma": 5.0}),
        ("training.lr=1e-4", "training", {"lr": 1e-4}),
        ("training.compile=true", "training", {"compile": True}),
        ("training.loss=huber", "training", {"loss": "huber"}),
        ('training.loss="huber"', "training", {"loss": "huber"}),
        ("training.loss='huber'", "training", {"loss": "huber"}),
        ("model.block_out_channels=[16, 32]", "model", {"block_out_channels": [16, 32]}),
        ("preview.prompt=0.6 dress + 0.4 coat", "preview", {"prompt": "0.6 dress + 0.4 coat"}),
        ("preview.prompt=7", "preview", {"prompt": "7"}),
        ("preview.prompt=", "preview", {"prompt": ""}),
        ("preview.prompt=a=b", "preview", {"prompt": "a=b"}),
    ],
)
def test_a_setting_is_a_key_and_a_value(text, table, value) -> None:
    assert parse_settings([text]) == {table: value}


def test_several_settings_go_together_and_the_last_of_a_key_wins() -> None:
    given = ["training.lr=1", "model.dropout=0.1", "training.lr=0.5", "training.steps=3"]
    assert parse_settings(given) == {
        "training": {"lr": 0.5, "steps": 3},
        "model": {"dropout": 0.1},
    }


def as_settings(config: RunConfig) -> list[str]:
    """Every line of config.toml as a setting."""
    texts, table = [], ""
    for line in to_toml(config).splitlines():
        if line.startswith("["):
            table = line.strip("[]") + "."
        elif " = " in line:
            texts.append(table + line.partition(" # ")[0])
    return texts


OWN = ("preset ", "seed ", "data.dataset ")


def test_every_field_of_a_config_can_be_set() -> None:
    config = make_config(
        dataset_size=100,
        data={"batch_size": 7},
        model={"class_conditional": True, "attention_levels": [], "block_out_channels": [8]},
        training={"loss": "huber", "steps": 5},
        preview={"prompt": "0.6 dress + 0.4 coat", "guidance_scale": 2.0},
    )
    texts = [text for text in as_settings(config) if not text.startswith(OWN)]
    assert len(texts) == len(dict(setting_types())) - len(OWN)
    assert make_config(dataset_size=100, **parse_settings(texts)) == config


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("training.snr_gama=5", ["'training.snr_gama'", "training.snr_gamma?"]),
        ("snr_gamma=5", ["'snr_gamma'", "training.snr_gamma?"]),
        ("model.lr=5", ["'model.lr'", "training.lr"]),
        ("guidance_scale=2", ["sampling.guidance_scale or preview.guidance_scale"]),
        ("TRAINING.LR=5", ["'TRAINING.LR'"]),
        ("xyzzy=1", ["'xyzzy'", "`ddpm-tui config`"]),
        ("training=1", ["'training'"]),
        ("training.lr.lr=1", ["'training.lr.lr'", "training.lr"]),
        ("=1", ["''"]),
        ("training.lr", ["'training.lr' is no setting", "KEY=VALUE"]),
        ("", ["KEY=VALUE"]),
        ("training.lr=fast", ["training.lr", "'fast'"]),
        ("training.lr=", ["training.lr", "''"]),
        ("training.compile=True", ["training.compile", "'True'"]),
        ("training.lr=1\nsteps = 3", ["training.lr"]),
        ('training.loss="huber', ["training.loss", "TOML"]),
        ("model.block_out_channels=[16,", ["model.block_out_channels", "TOML"]),
        ("seed=3", ["--seed"]),
        ("preset=article", ["--preset"]),
        ("data.dataset=mnist", ["--dataset"]),
    ],
)
def test_a_mistake_gets_a_sentence(text, mentions) -> None:
    with pytest.raises(ConfigError) as error:
        parse_settings([text])
    assert error.value.exit_code == 2
    for mention in mentions:
        assert mention in str(error.value)
    assert "\n" not in str(error.value)


def test_a_value_of_the_wrong_kind_is_refused_by_its_name() -> None:
    for text, mention in (("training.lr=[1]", "training.lr"), ("training.loss=3", "training.loss")):
        with pytest.raises(ConfigError, match=mention):
            make_config(dataset_size=100, **parse_settings([text]))


@given(st.sampled_from(sorted(dict(setting_types()))), st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_value_is_a_setting_or_a_config_error(key: str, value: str) -> None:
    try:
        tables: dict[str, Any] = parse_settings([f"{key}={value}"])
        make_config(dataset_size=100, **tables)
    except ConfigError as error:
        assert "Traceback" not in str(error)
