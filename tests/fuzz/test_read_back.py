"""What the program writes it reads back; what was torn it tells from what is whole."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import pytest
import tomlkit
import torch
from annotated_types import Ge, Gt, Le, Lt, MaxLen
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from hypothesis.strategies import SearchStrategy
from safetensors.torch import save as save_tensors

from engine.config import RunConfig, Section, from_toml, make_config, to_toml
from engine.data import idx
from engine.errors import ConfigError, DataError
from engine.images import npy_file, read_png, write_png
from engine.prompts import parse_prompt
from engine.runs.filter import parse_filter
from engine.runs.folder import check_name, create_run
from engine.runs.keeping import change_tags, check_tag, note_of, write_note
from engine.runs.metrics import Metrics, append_row, drop_rows_after
from engine.settings import parse_settings, setting_types
from engine.takes.sources import _read_npy
from engine.tensors import read_fitting

CLASSES = ("T-shirt/top", "Dress", "Coat", "Ankle boot", "7 + 1")

few = settings(max_examples=25, deadline=None)  # of what takes a tenth of a second each

texts = st.text(max_size=40)
pixels = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 5), st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 6)),
)


@contextmanager
def folder() -> Iterator[Path]:
    """One for each example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# --- Settings ------------------------------------------------------------------------------------


def values_of(kind: Any, bounds: list[Any]) -> SearchStrategy[Any]:
    """Values of a setting, by its type and bounds."""
    low = next((b.ge if isinstance(b, Ge) else b.gt for b in bounds if isinstance(b, Ge | Gt)), 0)
    high = next((b.le if isinstance(b, Le) else b.lt for b in bounds if isinstance(b, Le | Lt)), 99)
    if get_origin(kind) is not None and get_origin(kind) is not tuple:
        return st.sampled_from(get_args(kind))
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(low, high - any(isinstance(b, Lt) for b in bounds))
    if kind is float:
        return st.floats(
            low,
            high,
            exclude_min=any(isinstance(b, Gt) for b in bounds),
            exclude_max=any(isinstance(b, Lt) for b in bounds),
        )
    if kind is str:
        return st.text(max_size=next((b.max_length for b in bounds if isinstance(b, MaxLen)), 40))
    return st.lists(st.integers(0, 64), min_size=1, max_size=4).map(tuple)


def tables(section: type[Section] = RunConfig) -> SearchStrategy[dict[str, Any]]:
    """A few settings of a config, of values within their own bounds; together they may not fit."""
    fields = {}
    for key, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            fields[key] = tables(kind)
        else:
            fields[key] = values_of(kind, field.metadata)
    return st.fixed_dictionaries({}, optional=fields)


def config_of(values: dict[str, Any]) -> RunConfig:
    try:
        return make_config(dataset_size=100, **{k: v for k, v in values.items() if k != "preset"})
    except ConfigError:
        assume(False)
        raise


@few
@given(tables())
def test_a_config_is_read_back_from_its_toml(values: dict[str, Any]) -> None:
    config = config_of(values)
    assert from_toml(to_toml(config)) == config


@few
@given(tables())
def test_a_setting_on_the_command_line_is_that_of_the_file(values: dict[str, Any]) -> None:
    config = config_of(values)
    own = {"preset": config.preset, "seed": config.seed}
    words = []
    for key, _ in setting_types():
        table, _, name = key.partition(".")
        if name and key != "data.dataset":
            value = getattr(getattr(config, table), name)
            item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
            words.append(f"{key}={item.as_string()}")
    given_tables = parse_settings(words)
    given_tables["data"]["dataset"] = config.data.dataset
    assert make_config(dataset_size=100, **own, **given_tables) == config


@given(st.dictionaries(st.sampled_from(range(4)), st.floats(0.001, 999), min_size=1))
def test_a_prompt_gives_every_class_its_share(weights: dict[int, float]) -> None:
    words = " + ".join(f"{weight:f} {CLASSES[label]}" for label, weight in weights.items())
    parts = parse_prompt(words, CLASSES)
    assert [part.label for part in parts] == list(weights)
    total = sum(weights.values())
    for part in parts:
        assert part.weight == pytest.approx(weights[part.label] / total, abs=1e-5)
    assert sum(part.weight for part in parts) == pytest.approx(1)


@given(texts)
def test_what_may_be_a_name_leads_nowhere_else(name: str) -> None:
    try:
        check_name(name)
    except ConfigError:
        return
    root = Path("/runs")
    assert (root / name).resolve().parent == root and name.isprintable()


# --- Listings ------------------------------------------------------------------------------------


@given(texts, st.lists(texts, max_size=3), texts)
def test_a_word_finds_where_it_stands(name: str, tags: list[str], word: str) -> None:
    assume(word.strip() and '"' not in word and not word.startswith("-"))
    row = {"name": name, "tags": tags, "notes": ""}
    wanted = re.search(re.escape(word), "\n".join((name, *tags, "")), re.IGNORECASE)
    assert parse_filter(f'"{re.escape(word)}"').matches(row) == bool(wanted)
    assert parse_filter(f'-"{re.escape(word)}"').matches(row) != bool(wanted)


@given(st.sampled_from(["<", "<=", ">", ">=", "="]), st.floats(0, 1e6), st.none() | st.floats())
def test_a_number_is_compared_as_a_number(sign: str, limit: float, loss: float | None) -> None:
    found = parse_filter(f"loss:{sign}{limit!r}").matches({"loss": loss})
    if loss is None:
        assert not found
    else:
        assert (
            found
            == {
                "<": loss < limit,
                "<=": loss <= limit,
                ">": loss > limit,
                ">=": loss >= limit,
                "=": loss == limit,
            }[sign]
        )


@few
@given(st.text(st.characters(exclude_categories=[]), max_size=60), st.lists(texts, max_size=3))
def test_notes_and_tags_are_read_back(note: str, tags: list[str]) -> None:
    with folder() as runs:
        run = create_run(runs, make_config(dataset_size=100), name="run1", command=["ddpm-tui"])
        write_note(run, note)
        assert note_of(run) == note
        wanted = set()
        for tag in tags:
            try:
                wanted.add(check_tag(tag))
            except ConfigError:
                continue
        assert change_tags(run, add=wanted) == sorted(wanted)


# --- Metrics -------------------------------------------------------------------------------------

numbers = st.none() | st.floats()
rows = st.lists(
    st.fixed_dictionaries(
        {"loss": numbers, "lr": numbers, "loss_by_t": st.lists(numbers, max_size=3)}
    ),
    max_size=8,
)


def finite(values: list[Any]) -> list[float]:
    """As they come out: what is no finite number is NaN."""
    return [math.nan if v is None or not math.isfinite(v) else v for v in values]


@given(rows, st.booleans(), st.integers(0, 9), st.data())
def test_rows_are_read_back_and_torn_ones_are_not(
    given_rows: list[dict[str, Any]], resumed: bool, last: int, data: st.DataObject
) -> None:
    with folder() as path:
        file = path / "metrics.jsonl"
        file.touch()
        for step, row in enumerate(given_rows, 1):
            append_row(file, {"step": step, **row})
        losses = finite([row["loss"] for row in given_rows])
        np.testing.assert_array_equal(Metrics(file).read_all().columns["loss"], losses)

        # Anywhere, and often just before the end of a line.
        whole = file.read_bytes()
        ends = [at for at, byte in enumerate(whole) if byte == ord("\n")] or [0]
        cut = data.draw(st.sampled_from(ends) | st.integers(0, len(whole)))
        file.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        np.testing.assert_array_equal(Metrics(file).read_all().columns["loss"], losses[:kept])

        if resumed:
            drop_rows_after(file, last)
            kept = min(kept, last)
            assert list(Metrics(file).read_all().columns["step"]) == list(range(1, kept + 1))
        append_row(file, {"step": 99, "loss": 1.0})
        steps = list(Metrics(file).read_all().columns["step"])
        assert steps[:kept] == list(range(1, kept + 1)) and steps[-1] == 99
        assert not resumed or len(steps) == kept + 1


# --- Pictures, arrays, weights -------------------------------------------------------------------


@given(pixels, st.dictionaries(texts, st.none() | texts | st.integers() | st.booleans()))
def test_a_grid_is_read_back_with_what_it_says_of_itself(
    images: np.ndarray, about: dict[str, Any]
) -> None:
    with folder() as path:
        write_png(path / "grid.png", images, about=about)
        read, told = read_png(path / "grid.png")
        np.testing.assert_array_equal(read, images)
        assert {key: told.get(key) for key in about} == about


@given(pixels)
def test_pictures_are_read_back_piece_by_piece(images: np.ndarray) -> None:
    with folder() as path:
        with npy_file(path / "a.npy", images.shape) as file:
            for image in images:
                file.write(image.tobytes())
        np.testing.assert_array_equal(_read_npy(path / "a.npy"), images)


@given(
    arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)),
    st.booleans(),
    st.data(),
)
def test_an_idx_file_is_whole_or_refused(
    array: np.ndarray, zipped: bool, data: st.DataObject
) -> None:
    with folder() as path:
        file = path / ("data.gz" if zipped else "data")
        idx.write(file, array)
        np.testing.assert_array_equal(idx.read(file), array)
        whole = file.read_bytes()
        file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(DataError):
            idx.read(file)
        file.write_bytes(whole + gzip.compress(b"\0") if zipped else whole + b"\0")
        with pytest.raises(DataError):
            idx.read(file)


shapes = st.dictionaries(
    texts.filter(lambda name: name and name != "__metadata__"),
    arrays.array_shapes(min_dims=0, max_dims=3, max_side=4),
    max_size=4,
)


@given(shapes, shapes)
def test_weights_are_of_the_wanted_shapes_or_refused(
    shapes_there: dict[str, tuple[int, ...]], others: dict[str, tuple[int, ...]]
) -> None:
    with folder() as path:
        file = path / "a.safetensors"
        there = {name: torch.rand(shape) for name, shape in shapes_there.items()}
        file.write_bytes(save_tensors(there))
        found = read_fitting(file, there)
        assert found.keys() == there.keys()
        assert all(torch.equal(found[name], there[name]) for name in there)
        if there:
            file.write_bytes(save_tensors({**there, min(there): there[min(there)].double()}))
            with pytest.raises(ValueError, match="float64"):
                read_fitting(file, there)
            file.write_bytes(save_tensors(there))
        if others != shapes_there:
            with pytest.raises(ValueError):
                read_fitting(file, {name: torch.zeros(shape) for name, shape in others.items()})


def test_what_is_no_text_is_written_as_text(tmp_path: Path) -> None:
    """A path or an argument need not be any, and other programs read a run folder too."""
    command = ["ddpm-tui", "train", "--data-dir", os.fsdecode(b"\xff")]
    run = create_run(tmp_path, make_config(dataset_size=100), name="run1", command=command)
    run.log(f"Cannot read {command[-1]}")
    assert json.loads((run.path / "env.json").read_text(encoding="utf-8"))["command"] == command
    assert (run.path / "train.log").read_text(encoding="utf-8").endswith("Cannot read \\udcff\n")
