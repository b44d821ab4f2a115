"""Runs beside one another: what differs, who is ahead, pictures from the same noise, the files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.compare import files
from engine.compare.differences import (
    config_differences,
    losses_apart,
    settings_of,
    version_differences,
)
from engine.compare.drawing import draw_run
from engine.compare.files import Row, sheet, write_comparison
from engine.compare.standing import GONE, compare, facts, read_standing
from engine.config import PREVIEW_SAMPLING, SamplingConfig, make_config
from engine.errors import ConfigError
from engine.images import read_png
from engine.runs.folder import Run, Status, create_run
from engine.runs.scores import Score
from engine.train import Trainer
from tests.engine.conftest import TinyConfig

# --- Differences -------------------------------------------------------------------------------


def test_only_what_differs_is_told_by_dotted_keys() -> None:
    one = {"seed": 0, "data": {"batch_size": 8}, "training": {"lr": 0.1}}
    two = {"seed": 0, "data": {"batch_size": 9}, "training": {"lr": 0.1}}
    assert config_differences([one, two]) == {"data.batch_size": (8, 9)}
    assert config_differences([one, one, one]) == {}
    assert config_differences([one]) == {}
    assert config_differences([]) == {}


def test_a_key_that_is_left_out_has_its_default() -> None:
    assert config_differences([{}, {"data": {"batch_size": 64}}]) == {}
    assert config_differences([{}, {"data": {"batch_size": 65}}]) == {"data.batch_size": (64, 65)}
    # A whole table that is left out has other defaults than the keys of one that is there.
    assert settings_of({})["preview.sampler"] == PREVIEW_SAMPLING.sampler
    assert settings_of({"preview": {"num": 4}})["preview.sampler"] == SamplingConfig().sampler


def test_settings_of_another_program_are_told_as_they_are() -> None:
    newer = {"data": {"batch_size": 8, "augment": {"flip": True}}, "model": {"name": "mamba"}}
    assert config_differences([newer, {"data": {"batch_size": 8}}]) == {
        "model.name": ("mamba", "unet"),
        "data.augment.flip": (True, None),
    }


def test_a_config_that_cannot_be_read_decides_nothing() -> None:
    one, two = {"seed": 1}, {"seed": 2}
    assert config_differences([one, None]) == {}
    assert config_differences([one, None, two]) == {"seed": (1, None, 2)}


def test_a_list_in_toml_is_the_tuple_of_the_default() -> None:
    newer = {"model": {"block_out_channels": [32, 64, 128]}, "new": 1}
    assert config_differences([{}, newer]) == {"new": (None, 1)}


def test_versions_that_differ_are_told() -> None:
    one = {"python": "3.11.7", "host": "a", "packages": {"torch": "2.14.1", "numpy": "2.4.6"}}
    two = {"python": "3.11.7", "host": "b", "packages": {"torch": "2.13.0", "numpy": "2.4.6"}}
    assert version_differences([one, two, None]) == {"torch": ("2.14.1", "2.13.0", None)}
    assert version_differences([{"packages": "?"}, {}]) == {}


@pytest.mark.parametrize(
    ("table", "apart"),
    [
        ({"diffusion": {"prediction_type": "sample"}}, ("diffusion.prediction_type",)),
        ({"data": {"dataset": "mnist"}}, ("data.dataset",)),
        ({"training": {"loss": "huber"}}, ("training.loss",)),
        ({"training": {"lr": 0.5}, "data": {"batch_size": 1}}, ()),
    ],
)
def test_losses_of_another_kind_do_not_compare(table: dict[str, Any], apart: tuple[str]) -> None:
    assert losses_apart(config_differences([{}, table])) == apart


# --- Standings ---------------------------------------------------------------------------------


def run_of(folder: Path, name: str, status: Status | None = None, **tables: Any) -> Run:
    run = create_run(folder, make_config(dataset_size=10_000, **tables), name=name)
    run.write_status(status or Status(state="finished", step=10, total_steps=10))
    return run


def checkpoint(run: Run, step: int, eval_loss: float) -> None:
    folder = run.checkpoints_path / f"step-{step:08d}"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps({"eval_loss": eval_loss, "parameters": 1234}))


def evaluation(run: Run, step: int, frechet: float, n: int = 2048, extractor: str = "cnn") -> None:
    folder = run.path / "evaluations"
    folder.mkdir(exist_ok=True)

    def figures(value: float) -> dict[str, Any]:
        kernel = {"mean": value / 1000}
        return {"n": n, "frechet": value, "kernel": kernel, "precision": 0.5, "recall": 0.25}

    values = {
        "step": step,
        "generated": figures(frechet),
        "floor": figures(0.25),
        "sampling": {"sampler": "ddim", "num_inference_steps": 40},
        "dataset": "fashion-mnist",
        "extractor": extractor,
    }
    (folder / f"{step}-{n}-{extractor}.json").write_text(json.dumps(values))


def figure(comparison: Any, name: str) -> Any:
    return next(row for row in comparison.figures if row.name == name)


def test_a_standing_is_what_the_folder_says(tmp_path: Path) -> None:
    run = run_of(tmp_path, "one", Status("finished", "", 10, 10), data={"batch_size": 8})
    for step, loss in ((5, 0.25), (10, 0.5)):
        checkpoint(run, step, loss)
    evaluation(run, 10, 5.0)
    standing = read_standing(run)
    assert (standing.images_seen, standing.parameters) == (80, 1234)
    assert (standing.held_out, standing.held_out_step) == (0.25, 5), "the best, not the last"
    score = standing.scores[0]
    assert (score.frechet, score.kernel, score.precision, score.recall) == (5, 0.005, 0.5, 0.25)
    assert (score.floor, score.kernel_floor, score.precision_floor) == (0.25, 0.00025, 0.5)
    assert (score.dataset, score.extractor) == ("fashion-mnist", "cnn")


def test_an_evaluation_of_an_earlier_program_still_counts(tmp_path: Path) -> None:
    run = run_of(tmp_path, "one")
    evaluation(run, 10, 5.0)
    file = next((run.path / "evaluations").iterdir())
    values = json.loads(file.read_text())
    values["floor"] = None
    for key in ("kernel", "precision", "recall"):
        del values["generated"][key]
    file.write_text(json.dumps(values))
    score = read_standing(run).scores[0]
    assert (score.frechet, score.floor, score.kernel, score.kernel_floor) == (5, None, None, None)


def test_the_best_of_each_row_is_marked(tmp_path: Path) -> None:
    slow = Status(step=1, loss=0.5, eval_loss=0.2, images_per_second=10)
    fast = Status(step=2, loss=0.4, eval_loss=0.3, images_per_second=20)
    runs = [run_of(tmp_path, "slow", slow), run_of(tmp_path, "fast", fast)]
    evaluation(runs[0], 1, 3.0)
    evaluation(runs[1], 2, 4.0)
    found = compare([read_standing(run) for run in runs])
    best = {row.name: row.best for row in found.figures if row.best}
    assert best == {
        "images_per_second": (1,),
        "loss": (1,),
        "held_out": (0,),
        "frechet": (0,),
        "kernel": (0,),
    }, "precision and recall are the same for both, so none is ahead"
    assert figure(found, "frechet").floors == (0.25, 0.25)


def test_losses_are_not_ranked_where_they_do_not_compare(tmp_path: Path) -> None:
    half = Status(step=1, loss=0.5, eval_loss=0.5)
    fifth = Status(step=1, loss=0.2, eval_loss=0.2)
    runs = [
        run_of(tmp_path, "v", half),
        run_of(tmp_path, "eps", fifth, diffusion={"prediction_type": "epsilon"}),
    ]
    found = compare([read_standing(run) for run in runs])
    assert figure(found, "held_out").best == figure(found, "loss").best == ()
    assert "The losses do not compare: diffusion.prediction_type." in found.notes


def test_evaluations_of_one_kind_are_set_beside_each_other(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, name) for name in ("a", "b", "c")]
    evaluation(runs[0], 5, 9.0)
    evaluation(runs[0], 10, 8.0)
    evaluation(runs[0], 10, 2.0, n=10_000)
    evaluation(runs[1], 10, 7.0)
    found = compare([read_standing(run) for run in runs])
    assert figure(found, "frechet").values == (8.0, 7.0, None), "of 2,048 pictures both"
    assert figure(found, "frechet").best == (1,)
    assert "c is not evaluated: ddpm-tui evaluate c" in found.notes
    evaluation(runs[2], 10, 1.0, extractor="inception")
    found = compare([read_standing(run) for run in runs])
    assert figure(found, "frechet").values == (8.0, 7.0, 1.0)
    assert figure(found, "frechet").best == ()
    assert any("extractor" in note for note in found.notes)


def test_a_run_that_is_gone_or_unreadable_is_said(tmp_path: Path) -> None:
    here, gone, broken = (run_of(tmp_path, name) for name in ("here", "gone", "broken"))
    shutil.rmtree(gone.path)
    broken.config_path.write_text("= \x1b[2J")
    found = compare([read_standing(run) for run in (here, gone, broken)])
    assert figure(found, "state").values == ("finished", GONE, "unreadable")
    assert figure(found, "step").values == (10, None, None)
    assert sum(note.startswith(("gone: ", "broken: ")) for note in found.notes) == 2
    assert not any("evaluate gone" in note for note in found.notes)
    json.dumps(facts(found), allow_nan=False)


def test_what_is_no_number_in_a_file_is_no_figure(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, name) for name in ("a", "b")]
    path = runs[0].path / "status.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "loss": "low", "step": [], "images_per_second": 1e999}))
    found = compare([read_standing(run) for run in runs])
    assert [figure(found, name).values[0] for name in ("loss", "step", "images_per_second")] == [
        *(None, None, None),
    ]
    json.dumps(facts(found), allow_nan=False)


def test_the_facts_are_by_key_and_run(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, "a"), run_of(tmp_path, "b", seed=7)]
    values = facts(compare([read_standing(run) for run in runs]))
    assert values["runs"] == ["a", "b"]
    assert values["config"] == {"seed": {"a": 0, "b": 7}}
    assert values["figures"]["step"] == {"a": 10, "b": 10}


def test_a_score_of_before_has_no_other_figures() -> None:
    assert Score(1, 2.0, None, 3, "ddim").recall is None


# --- Drawing -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_config: TinyConfig) -> list[Run]:
    """Two runs that differ in how they draw: ddpm in 50 steps, ddim in 4."""
    folder = tmp_path_factory.mktemp("drawn")
    runs = []
    for name, sampling in (
        ("ddpm", {}),
        ("ddim", {"sampler": "ddim", "num_inference_steps": 4}),
    ):
        run = create_run(
            folder, tiny_config(training={"steps": 1}, sampling=sampling), name=name, command=[]
        )
        for _ in Trainer(run, device="cpu"):
            pass
        runs.append(run)
    return runs


def test_each_run_draws_in_its_own_way_or_all_like_one(trained: list[Run]) -> None:
    ddpm, ddim = trained
    own = list(draw_run(ddim, 0, num=2, device="cpu"))
    assert [(drawn.done, drawn.of) for drawn in own] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert own[-1].pixels.shape == (2, 1, 28, 28)
    like = ddim.config().sampling
    alike = list(draw_run(ddpm, 0, like=like, num=2, device="cpu"))[-1]
    assert alike.sampling == own[-1].sampling
    # The same weights by the same seed, drawn alike from the same noise.
    assert np.array_equal(alike.pixels, own[-1].pixels)
    other = list(draw_run(ddpm, 1, like=like, num=2, device="cpu"))[-1]
    assert not np.array_equal(other.pixels, alike.pixels)


def test_a_way_that_a_run_cannot_go_is_refused(trained: list[Run]) -> None:
    longer = SamplingConfig(sampler="ddim", num_inference_steps=51)
    with pytest.raises(ConfigError, match="num_inference_steps"):
        next(draw_run(trained[0], 0, like=longer, device="cpu"))


# --- Files -------------------------------------------------------------------------------------


def test_pictures_of_all_sizes_and_colours_go_on_one_sheet() -> None:
    grey = np.full((2, 1, 4, 4), 9, np.uint8)
    colour = np.full((3, 3, 6, 8), 200, np.uint8)
    images, columns = sheet([grey, colour])
    assert columns == 3
    assert images.shape == (6, 3, 6, 8)
    assert (images[0, :, 1:5, 2:6] == 9).all()
    assert images[0].sum() == 3 * 16 * 9, "the rest of a smaller one is black"
    assert not images[2].any(), "a row of fewer ends in black"
    assert (images[3:] == 200).all()


def test_a_comparison_is_written_and_never_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.time, "strftime", lambda _: "20260101-000000")
    rows = [
        Row({"run": "a", "seed": 1}, np.full((2, 1, 4, 4), 9, np.uint8)),
        Row({}, None),
    ]
    values = {"runs": ["a", "b"], "config": {"seed": {"a": 0, "b": 1}}}
    first = write_comparison(tmp_path / "new", values, rows)
    second = write_comparison(tmp_path / "new", values, rows)
    assert len({first.json, second.json, first.png, second.png}) == 4
    assert first.png is not None
    pixels, about = read_png(first.png)
    assert pixels.shape == (2, 1, 4, 4)
    assert about["rows"] == [{"run": "a", "seed": 1}]
    written = json.loads(first.json.read_text())
    assert written["config"] == values["config"]
    assert written["sheet"] == first.png.name
    none = write_comparison(tmp_path / "new", values, [Row({}, None)])
    assert none.png is None
    long = write_comparison(tmp_path / "new", {"runs": ["x" * 64] * 8}, [])
    assert long.json.exists()
