"""The feed: a thread that tells what a run folder says, and never more than the newest."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from textual.message import Message

from ddpm_tui import feed as feeds
from ddpm_tui.feed import RunFeed, Snapshot
from engine.images import write_png
from engine.runs.folder import Run
from engine.runs.metrics import append_row
from engine.runs.previews import preview_path


@pytest.fixture
def run(tiny_runs: Path) -> Run:
    return Run(tiny_runs / "tiny")


class Watched:
    """A feed with what it posted, and the newest snapshot."""

    def __init__(self, run: Run) -> None:
        self.posted: list[Message] = []
        self.feed = RunFeed(run, self.posted.append)
        self.feed.start()

    def until(self, condition: Callable[[Snapshot], bool]) -> Snapshot:
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            snapshot = self.feed.snapshots.take()
            if snapshot is not None and condition(snapshot):
                return snapshot
            time.sleep(0.01)
        raise AssertionError("no such snapshot came")


@pytest.fixture
def watched(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)
    one = Watched(run)
    yield one
    one.feed.close()


def paint(run: Run, step: int, value: int, weights: str = "ema") -> None:
    run.samples_path.mkdir(exist_ok=True)
    pixels = np.full((4, 1, 8, 8), value, np.uint8)
    write_png(preview_path(run, step, weights), pixels)  # type: ignore[arg-type]


def test_the_first_snapshot_has_the_whole_run(watched: Watched) -> None:
    snapshot = watched.until(lambda s: s.curves.rows > 0)
    assert snapshot.status.state == "finished"
    assert snapshot.checkpoints == (3,)
    assert snapshot.held_out[0][0] == 3
    assert snapshot.held_out[0][1] == pytest.approx(snapshot.status.eval_loss)
    assert snapshot.log[-1].endswith("finished at step 3")


def test_a_terminal_that_stalls_finds_one_message_and_the_newest_snapshot(
    watched: Watched, run: Run
) -> None:
    watched.until(lambda s: s.curves.rows > 0)
    posted = len(watched.posted)
    for step in range(10, 20):
        append_row(run.metrics_path, {"step": step, "loss": 0.5})
        time.sleep(0.06)
    assert len(watched.posted) <= posted + 1
    assert watched.until(lambda _: True).curves.last["step"] == 19


def test_nothing_is_posted_or_read_while_nothing_changes(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.until(lambda s: s.curves.rows > 0)
    time.sleep(2.2)  # until the folders' time stamps can be told from now
    posted = len(watched.posted)

    def fail(*_: object) -> None:
        raise AssertionError("read again")

    for name in ("list_previews", "list_checkpoints", "list_scores", "_tail", "read_png"):
        monkeypatch.setattr(feeds, name, fail)
    time.sleep(0.3)
    assert len(watched.posted) == posted
    assert watched.feed._thread.is_alive()


def test_the_newest_grid_is_followed_and_an_earlier_one_brought_when_asked(
    watched: Watched, run: Run
) -> None:
    for step in (0, 100):
        paint(run, step, step)
    newest = watched.until(lambda s: s.grid is not None and s.grid.step == 100)
    assert newest.previews.ema == (0, 100)
    watched.feed.look_at(0)
    earlier = watched.until(lambda s: s.grid is not None and s.grid.step == 0)
    assert earlier.grid is not None
    assert earlier.grid.ema is not None
    assert earlier.grid.ema.max() == 0
    paint(run, 200, 200)
    still = watched.until(lambda s: s.previews.ema == (0, 100, 200))
    assert still.grid is not None
    assert still.grid.step == 0
    watched.feed.look_at(None)
    watched.until(lambda s: s.grid is not None and s.grid.step == 200)


def test_the_raw_weights_grid_comes_beside_that_of_the_ema(watched: Watched, run: Run) -> None:
    paint(run, 100, 1)
    watched.until(lambda s: s.grid is not None)
    paint(run, 100, 2, "raw")
    both = watched.until(lambda s: s.grid is not None and s.grid.raw is not None)
    assert both.grid is not None
    assert both.previews.raw == (100,)
    assert (both.grid.ema.max(), both.grid.raw.max()) == (1, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["step-x.png", "step-.png", "step-00000300.png", "holiday.png"])
def test_an_odd_file_among_the_samples_does_not_end_the_feed(
    watched: Watched, run: Run, name: str
) -> None:
    paint(run, 100, 1)
    (run.samples_path / name).write_bytes(b"no picture")
    append_row(run.metrics_path, {"step": 50, "loss": 0.5})
    watched.until(lambda s: s.curves.last.get("step") == 50)
    paint(run, 400, 7)
    watched.until(lambda s: s.grid is not None and s.grid.step == 400 and s.grid.ema is not None)


def test_evaluations_are_told_and_broken_ones_passed_over(watched: Watched, run: Run) -> None:
    folder = run.path / "evaluations"
    folder.mkdir()
    good = {
        "step": 3,
        "generated": {"n": 2048, "frechet": 5.5},
        "floor": None,
        "sampling": {"sampler": "ddim", "num_inference_steps": 40},
    }
    (folder / "a.json").write_text(json.dumps(good))
    (folder / "b.json").write_text("{")
    (folder / "c.json").write_text('{"step": "x"}')
    snapshot = watched.until(lambda s: bool(s.scores))
    assert [(s.step, s.frechet, s.floor) for s in snapshot.scores] == [(3, 5.5, None)]


def test_a_folder_that_goes_away_is_waited_for(watched: Watched, run: Run, tmp_path: Path) -> None:
    watched.until(lambda s: s.curves.rows > 0)
    shutil.move(run.path, tmp_path / "away")
    time.sleep(0.1)
    shutil.move(tmp_path / "away", run.path)
    append_row(run.metrics_path, {"step": 70, "loss": 0.5})
    watched.until(lambda s: s.curves.last.get("step") == 70)
