"""A trainer tells of its machine in the run folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from engine.obeying import obeying
from engine.runs.devices import read_devices
from engine.runs.folder import Run, create_run
from engine.runs.requests import Requests
from engine.train import Trainer


@pytest.fixture
def new_run(tmp_path: Path, tiny_config):
    def create(**overrides: object) -> Run:
        return create_run(tmp_path / "runs", tiny_config(**overrides))

    return create


def test_a_training_tells_of_its_process_and_ends_with_it(new_run, monkeypatch) -> None:
    monkeypatch.setattr("engine.runs.devices._EVERY", 0.01)
    run = new_run(training={"steps": 100_000})
    requests = Requests(run)
    end = time.monotonic() + 60
    for _ in obeying(Trainer(run, device="cpu"), requests):
        if (told := read_devices(run)) is not None:
            requests.put("stop")
        assert time.monotonic() < end
    assert told is not None
    assert told.host.cores == os.cpu_count()
    assert told.host.process_rss > 50e6
    (run.path / "devices.json").unlink()
    time.sleep(0.1)
    assert read_devices(run) is None, "nobody writes it any more"


@pytest.mark.parametrize(
    "wrong",
    [
        *({}, {"host": None}, {"gpus": 3}, {"gpus": [{}]}, {"gpu_note": ["?"]}),
        *({"host.cores": value} for value in ("many", None, -1, 1e300, 10**400, [])),
        *({"host.cpu_percent": value} for value in (float("nan"), float("inf"), -0.1)),
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_what_cannot_be_is_not_shown(new_run, wrong: dict[str, object]) -> None:
    host = {
        "cpu_percent": 1.0,
        "cores": 2,
        "memory_used": 1,
        "memory_total": 2,
        "process_cpu_percent": 1.0,
        "process_rss": 1,
    }
    right = {"gpus": [], "host": host, "gpu_note": "none"}
    run, file = new_run(), "devices.json"
    (run.path / file).write_text(json.dumps(right))
    assert read_devices(run) is not None
    values = {**right, "host": dict(host)} if wrong else {}
    for name, value in wrong.items():
        place, _, key = name.rpartition(".")
        (values["host"] if place else values)[key] = value
    (run.path / file).write_text(json.dumps(values))
    assert read_devices(run) is None
