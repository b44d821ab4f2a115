"""Requests to a trainer: through its folder, from any process, obeyed between two steps."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from engine.errors import RunError
from engine.events import CheckpointSaved, Finished, PreviewSaved, Started, Stepped
from engine.obeying import obeying
from engine.runs.folder import Run, create_run
from engine.runs.requests import Requests, ask
from engine.train import Trainer


@pytest.fixture
def run(tmp_path: Path, tiny_config) -> Run:
    config = tiny_config(
        training={"steps": 100_000, "checkpoint_every": 100_000, "preview_every": 0}
    )
    return create_run(tmp_path / "runs", config, name="asked")


def taken(requests: Requests) -> list[str]:
    return list(iter(requests.next, None))


# --- The folder ----------------------------------------------------------------------------------


def test_what_was_asked_first_is_taken_first_and_once(run: Run) -> None:
    requests = Requests(run)
    with run.lock():
        ask(run, "pause")
        ask(run, "checkpoint")
        ask(run, "go on")
    assert taken(requests) == ["pause", "checkpoint", "go on"]
    assert taken(Requests(run)) == []


def test_nobody_is_asked_where_nobody_trains(run: Run) -> None:
    with pytest.raises(RunError, match=r"asked is not being trained.*ddpm-tui resume asked"):
        ask(run, "stop")
    assert not (run.path / "requests").exists()


def test_what_is_no_request_goes_and_does_nothing(run: Run) -> None:
    folder = run.path / "requests"
    folder.mkdir()
    (folder / "1").write_text("rm -rf")
    (folder / "2").write_bytes(b"stop" * 1_000_000)
    (folder / "3").write_bytes(b"\xff\x00")
    (folder / "4").write_text("pause")
    (folder / ".5.tmp").write_text("sto")
    (folder / "6").mkdir()
    assert taken(Requests(run)) == ["pause"]
    assert {path.name for path in folder.iterdir()} == {".5.tmp", "6"}


def test_waiting_ends_with_a_request_from_any_side(run: Run) -> None:
    requests = Requests(run)
    threading.Timer(0.1, requests.put, ["stop"]).start()
    assert requests.next(wait=True) == "stop"
    with run.lock():
        threading.Timer(0.1, ask, [run, "go on"]).start()
        assert requests.next(wait=True) == "go on"


def test_a_pause_is_known_however_it_was_asked(run: Run) -> None:
    requests = Requests(run)
    requests.put("pause")
    assert requests.paused
    with run.lock():
        ask(run, "go on")
    assert taken(requests) == ["pause", "go on"]
    assert not requests.paused


# --- The training --------------------------------------------------------------------------------


def test_a_trainer_does_what_others_ask(run: Run) -> None:
    seen: list[str] = []
    for event in obeying(Trainer(run, device="cpu"), Requests(run)):
        match event:
            case Started():
                first = event.step
            case Stepped() if event.step == 3:
                ask(run, "checkpoint")
            case CheckpointSaved() if not seen:
                seen.append(f"checkpoint at {event.step}")
                ask(run, "preview")
            case PreviewSaved() if len(seen) == 1:
                seen.append("preview")
                ask(run, "stop")
            case CheckpointSaved():
                seen.append("the last checkpoint")
    assert first == 0
    assert seen[1:] == ["preview", "the last checkpoint"]
    status = run.status()
    assert status.state == "stopped"
    assert 3 <= status.step < 100_000
    assert not run.is_locked()


def test_a_pause_lasts_until_somebody_asks_to_go_on(run: Run) -> None:
    requests, steps = Requests(run), []

    def train() -> None:
        for event in obeying(Trainer(run, device="cpu"), requests):
            if isinstance(event, Stepped):
                steps.append(event.step)

    thread = threading.Thread(target=train)
    thread.start()
    _until(lambda: len(steps) > 2)
    ask(run, "pause")
    _until(lambda: run.status().state == "paused")
    at = len(steps)
    time.sleep(0.5)
    assert len(steps) == at
    ask(run, "go on")
    _until(lambda: len(steps) > at)
    ask(run, "stop")
    thread.join(60)
    assert not thread.is_alive()


def test_what_a_dead_trainer_was_asked_is_forgotten(tmp_path: Path, tiny_config) -> None:
    run = create_run(tmp_path / "runs", tiny_config(training={"steps": 5}), name="asked")
    with run.lock():
        ask(run, "stop")
    events = list(obeying(Trainer(run, device="cpu"), Requests(run)))
    assert isinstance(events[-1], Finished)


def test_who_asks_a_finished_training_to_stop_comes_too_late(tmp_path: Path, tiny_config) -> None:
    run = create_run(tmp_path / "runs", tiny_config(training={"steps": 2}), name="asked")
    requests = Requests(run)
    for event in obeying(Trainer(run, device="cpu"), requests):
        if isinstance(event, Finished):
            requests.put("stop")
    assert run.status().state == "finished"


def _until(done) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)
