"""What a run is: presets, bounds, and config.toml there and back."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import (
    PRESET_HELP,
    PRESETS,
    RunConfig,
    Section,
    from_toml,
    make_config,
    to_toml,
    validate,
)
from engine.errors import ConfigError
from engine.models import build_model
from engine.schedule import NoiseSchedule


def refused(error: pytest.ExceptionInfo[ConfigError], *mentions: str) -> None:
    """One line, with everything in it that a person needs to find the mistake."""
    text = str(error.value)
    assert "\n" not in text
    for mention in mentions:
        assert mention in text
    assert error.value.exit_code == 2


def fields(section: Section, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Section):
            yield from fields(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_a_valid_config_and_is_explained(preset) -> None:
    config = make_config(preset, dataset_size=60_000)
    assert config.preset == preset
    assert PRESET_HELP[preset]
    build_model(config, (1, 28, 28), 10)


def test_the_article_preset_is_the_articles_recipe() -> None:
    config = make_config("article", dataset_size=60_000)
    training = config.training
    assert training.steps == 9375, "20 epochs of 60,000 in batches of 128"
    assert config.data.batch_size == 128
    assert (training.optimizer, training.lr) == ("adam", 1e-3)
    assert (training.lr_warmup_steps, training.lr_schedule) == (0, "constant")
    assert (training.max_grad_norm, training.ema_decay, training.precision) == (0, 0, "fp32")
    assert config.model.name == "article"
    assert config.diffusion.beta_schedule == "linear"
    assert (config.diffusion.beta_start, config.diffusion.beta_end) == (10**-4, 0.02)
    assert config.diffusion.num_train_timesteps == config.sampling.num_inference_steps == 1000
    assert (config.sampling.sampler, config.sampling.variance_type) == ("ddpm", "fixed_large")
    assert not config.sampling.clip_sample


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({"dataset_size": 10_000}, 1563),
        ({"dataset_size": 60_000, "epochs": 1}, 469),
        ({"dataset_size": 60_000, "epochs": 3, "data": {"batch_size": 100}}, 1800),
        ({"dataset_size": 60_000, "training": {"steps": 12}}, 12),
        ({"dataset_size": 60_000, "training": {"steps": 12}, "epochs": 1}, 469),
    ],
)
def test_epochs_are_turned_into_steps(given, steps) -> None:
    assert make_config("article", **given).training.steps == steps


def test_what_is_asked_for_wins_over_the_preset() -> None:
    config = make_config(
        "article", dataset_size=60_000, seed=7, training={"lr": 5e-4}, sampling={"num": 3}
    )
    assert (config.seed, config.training.lr, config.sampling.num) == (7, 5e-4, 3)
    assert config.training.optimizer == "adam", "the rest of the table is the preset's"
    assert config.sampling.variance_type == "fixed_large"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("total", [2000, 1000, 50, 15, 2])
def test_fewer_timesteps_than_network_calls_means_all_timesteps(preset, total) -> None:
    usual = make_config(preset, dataset_size=100)
    config = make_config(preset, dataset_size=100, diffusion={"num_train_timesteps": total})
    for ours, plain in ((config.sampling, usual.sampling), (config.preview, usual.preview)):
        assert ours.num_inference_steps == min(total, plain.num_inference_steps)
        assert ours.sampler == plain.sampler


def test_the_default_draws_with_few_network_calls_and_the_article_with_all() -> None:
    default, article = (make_config(preset, dataset_size=100) for preset in ("default", "article"))
    assert (default.sampling.sampler, default.sampling.num_inference_steps) == ("dpmpp_2m", 12)
    assert (article.sampling.sampler, article.sampling.num_inference_steps) == ("ddpm", 1000)


def test_the_articles_network_needs_no_word_about_classes_and_patches() -> None:
    model = make_config(dataset_size=100, model={"name": "article"}).model
    assert (model.class_conditional, model.patch_size) == (False, 1)
    with pytest.raises(ConfigError) as error:
        make_config(dataset_size=100, model={"name": "article", "class_conditional": True})
    refused(error, "neither classes nor patches")


def test_network_calls_that_were_asked_for_are_not_changed() -> None:
    given = {"diffusion": {"num_train_timesteps": 50}, "sampling": {"num_inference_steps": 20}}
    assert make_config(dataset_size=100, **given).sampling.num_inference_steps == 20
    given["sampling"] = {"num_inference_steps": 51}
    with pytest.raises(ConfigError) as error:
        make_config(dataset_size=100, **given)
    refused(error, "sampling.num_inference_steps (51)", "diffusion.num_train_timesteps (50)")


def test_a_transformer_works_on_patches_unless_told_otherwise() -> None:
    given = {"name": "dit"}
    assert make_config(dataset_size=100, model=given).model.patch_size == 2
    assert make_config(dataset_size=100, model={**given, "patch_size": 4}).model.patch_size == 4


@pytest.mark.parametrize("preset", PRESETS)
def test_toml_there_and_back(preset) -> None:
    config = make_config(preset, dataset_size=60_000, seed=2**63 - 1)
    assert from_toml(to_toml(config)) == config


def test_toml_holds_every_default_and_says_what_it_means() -> None:
    text = to_toml(RunConfig())
    plain = tomllib.loads(text)
    for key, value in fields(RunConfig()):
        found: Any = plain
        for part in key.split("."):
            found = found[part]
        assert found == (list(value) if isinstance(value, tuple) else value), key
    assert "lr = 0.001 # peak learning rate" in text
    settings = [line for line in text.splitlines() if " = " in line]
    assert all(" # " in line for line in settings)


configs = st.fixed_dictionaries(
    {},
    optional={
        "preset": st.text(max_size=20),
        "seed": st.integers(0, 2**63 - 1),
        "data": st.fixed_dictionaries({"batch_size": st.integers(1, 65_536)}),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "lr": st.floats(0, 1, exclude_min=True),
                "max_grad_norm": st.floats(0, allow_nan=False),
                "ema_decay": st.floats(0, 1, exclude_max=True),
                "steps": st.integers(1, 10**8),
            },
        ),
        "model": st.fixed_dictionaries(
            {
                "block_out_channels": st.lists(
                    st.sampled_from([8, 16, 64]), min_size=1, max_size=8
                ),
                "attention_levels": st.sampled_from([[], [0]]),
            }
        ),
        "sampling": st.fixed_dictionaries({"clip_sample": st.booleans()}),
    },
)


@given(configs)
@settings(max_examples=50, deadline=None)
def test_any_config_survives_toml(values) -> None:
    config = validate(values)
    assert from_toml(to_toml(config)) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 2**63),
        ("data.dataset", "imagenet"),
        ("data.batch_size", 0),
        ("data.batch_size", 65_537),
        ("data.batch_size", 2.5),
        ("diffusion.num_train_timesteps", 1),
        ("diffusion.num_train_timesteps", 10_001),
        ("diffusion.beta_schedule", "karras"),
        ("diffusion.beta_start", 0.0),
        ("diffusion.beta_end", 1.0),
        ("model.name", "vit"),
        ("model.block_out_channels", []),
        ("model.block_out_channels", "wide"),
        ("model.layers_per_block", 0),
        ("model.dropout", 1.0),
        ("training.steps", 0),
        ("training.optimizer", "sgd"),
        ("training.lr", 0.0),
        ("training.lr", float("nan")),
        ("training.lr", "fast"),
        ("training.lr_warmup_steps", -1),
        ("training.max_grad_norm", -1.0),
        ("training.ema_decay", 1.0),
        ("training.precision", "fp8"),
        ("training.keep_checkpoints", 0),
        ("sampling.num", 0),
        ("sampling.sampler", "euler"),
        ("sampling.num_inference_steps", 0),
        ("sampling.eta", 1.5),
        ("preview.timestep_spacing", "karras"),
        ("preview.clip_sample", "perhaps"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(key, value) -> None:
    *tables, last = key.split(".")
    values: dict[str, Any] = {last: value}
    for table in reversed(tables):
        values = {table: values}
    with pytest.raises(ConfigError) as error:
        validate(values)
    refused(error, key, repr(value))


@pytest.mark.parametrize(
    ("table", "given", "mentions"),
    [
        ("model", {"block_out_channels": [8, 12]}, ["model", "[12]", "norm_num_groups (8)"]),
        ("model", {"attention_levels": [3]}, ["model", "attention_levels"]),
        ("model", {"attention_levels": [-1]}, ["model", "attention_levels"]),
        # 128 channels make twelve heads of ten channels, and eight are left over.
        ("model", {"attention_head_dim": 10}, ["model", "attention_head_dim (10)", "[128]"]),
        ("diffusion", {"beta_start": 0.5}, ["diffusion", "beta_start (0.5)", "beta_end (0.02)"]),
        ("diffusion", {"beta_end": 0.5}, ["diffusion", "beta_end (0.5)", "1000 timesteps"]),
        (
            "diffusion",
            {"rescale_betas_zero_snr": True},
            ["diffusion", "rescale_betas_zero_snr", "epsilon", "use v_prediction or sample"],
        ),
        ("preview", {"num_inference_steps": 1001}, ["preview.num_inference_steps (1001)"]),
        ("preview", {"num": 257}, ["preview.num (257)", "256"]),
        (
            "model",
            {"block_out_channels": [15, 30], "norm_num_groups": 5},
            ["model", "block_out_channels[0] (15)", "even"],
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused(table, given, mentions) -> None:
    with pytest.raises(ConfigError) as error:
        validate({table: given})
    refused(error, *mentions)


ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde", "heun"])
def test_every_sampler_may_start_from_pure_noise(sampler, prediction_type) -> None:
    diffusion = {**ZERO_SNR, "prediction_type": prediction_type}
    validate({"diffusion": diffusion, "sampling": {"sampler": sampler}})


def test_min_snr_weighting_of_pure_noise_is_refused() -> None:
    """Its weight is 0: what trailing timesteps ask first would never have been trained."""
    with pytest.raises(ConfigError) as error:
        validate({"diffusion": ZERO_SNR, "training": {"snr_gamma": 5.0}})
    refused(error, "training.snr_gamma", "diffusion.rescale_betas_zero_snr", "leave one of them")
    validate({"diffusion": ZERO_SNR})
    validate({"training": {"snr_gamma": 5.0}})


@pytest.mark.parametrize("table", ["sampling", "preview"])
def test_more_steps_than_timesteps_are_refused(table) -> None:
    values = {
        "diffusion": {"num_train_timesteps": 50},
        "sampling": {"num_inference_steps": 50},
        "preview": {"num_inference_steps": 50},
    }
    validate(values)
    values[table] = {"num_inference_steps": 51}
    with pytest.raises(ConfigError) as error:
        validate(values)
    refused(
        error, f"{table}.num_inference_steps (51)", "more than diffusion.num_train_timesteps (50)"
    )


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("name", ["linear", "sigmoid", "squaredcos_cap_v2"])
@pytest.mark.parametrize("total", [2, 50, 200, 1000, 10_000])
@pytest.mark.parametrize("beta_start", [1e-6, 1e-4, 0.2])
@pytest.mark.parametrize("beta_end", [1e-4, 0.02, 0.2, 0.3, 0.5, 0.9, 0.999])
def test_a_schedule_that_a_config_allows_can_be_computed_with(
    beta_end, beta_start, total, name, rescale
) -> None:
    """Each step between the ends in float32, none of them 0 / 0."""
    if beta_start > beta_end:
        return
    values = {
        "num_train_timesteps": total,
        "beta_schedule": name,
        "beta_start": beta_start,
        "beta_end": beta_end,
    }
    if rescale:
        values |= ZERO_SNR
    try:
        config = make_config(dataset_size=100, diffusion=values).diffusion
    except ConfigError as error:
        assert f"beta_end ({beta_end:g}) is too large for {total} timesteps" in str(error)
        assert total * beta_end > 150
        kept = NoiseSchedule.create(name, total, beta_start, beta_end).alphas_cumprod[-1].sqrt()
        assert kept < 1e-34, "refused without need"
        return
    schedule = NoiseSchedule.of(config)
    before_last = schedule.alphas_cumprod[:-1].sqrt().float()
    assert (before_last >= torch.finfo(torch.float32).tiny).all()
    assert ((schedule.betas > 0) & (schedule.betas <= 1)).all()


@pytest.mark.parametrize("head_dim", [1, 8, 10, 12, 16, 20, 32, 48, 100])
@pytest.mark.parametrize("widths", [(16, 32), (24, 40), (8, 96)])
def test_a_network_that_a_config_describes_works(widths, head_dim) -> None:
    try:
        config = validate(
            {
                "model": {
                    "block_out_channels": widths,
                    "attention_levels": [1],
                    "attention_head_dim": head_dim,
                }
            }
        )
    except ConfigError as error:
        assert "attention_head_dim" in str(error)
        assert widths[1] % (widths[1] // head_dim) != 0
    else:
        x = torch.zeros(1, 1, 4, 4)
        assert build_model(config, (1, 4, 4), 10)(x, torch.tensor([3])).shape == x.shape


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("[training]\nlerning_rate = 0.1", ["training.lerning_rate", "my.toml", "0.1"]),
        ("sede = 1", ["sede", "my.toml"]),
        ("[trainning]\nlr = 0.1", ["trainning", "my.toml"]),
        ("training = 3", ["training", "my.toml"]),
        ("seed = ", ["my.toml", "not valid TOML"]),
        ("seed = 1\nseed = 2", ["my.toml", "not valid TOML", "seed"]),
        ("[training", ["my.toml", "not valid TOML"]),
    ],
)
def test_a_typo_in_the_file_is_refused_by_name(text, mentions) -> None:
    with pytest.raises(ConfigError) as error:
        from_toml(text, "my.toml")
    refused(error, *mentions)


TOML = to_toml(RunConfig())


@given(st.integers(0, len(TOML)), st.integers(0, 30), st.text(max_size=10))
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_a_config_or_a_config_error(at, length, instead) -> None:
    try:
        config = from_toml(TOML[:at] + instead + TOML[at + length :])
    except ConfigError:
        return
    assert isinstance(config, RunConfig)


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as error:
        make_config("articel", dataset_size=100)
    refused(error, "articel", *PRESETS)


@pytest.mark.parametrize("batch_size", ["many", None, 0, -5])
def test_a_bad_batch_size_is_refused_also_where_epochs_need_it(batch_size) -> None:
    with pytest.raises(ConfigError) as error:
        make_config("article", dataset_size=60_000, data={"batch_size": batch_size})
    refused(error, "data.batch_size", repr(batch_size))


@pytest.mark.parametrize("epochs", [0, -1, 10**9])
def test_a_bad_number_of_epochs_is_refused(epochs) -> None:
    with pytest.raises(ConfigError) as error:
        make_config(dataset_size=60_000, epochs=epochs)
    refused(error, "training.steps")


def test_a_config_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().seed = 1  # type: ignore[misc]


def test_the_articles_network_refuses_other_images() -> None:
    config = make_config("article", dataset_size=60_000)
    with pytest.raises(ConfigError) as error:
        build_model(config, (3, 32, 32), 10)
    refused(error, "(1, 28, 28)", "(3, 32, 32)", "unet")
