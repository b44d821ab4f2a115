"""A training of the workbench that finds the disk full, while somebody looks at something else."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ddpm_tui.app import Workbench
from ddpm_tui.views.runs import RunsView
from engine.runs import io
from engine.runs.folder import create_run
from tests.crash.disks import FailingDisk
from tests.crash.life import STEPS, small_config
from tests.tui.test_workbench import until


@pytest.mark.parametrize("shown", ["the runs", "another run", "the run itself"])
async def test_every_view_says_that_a_training_waits_for_room(
    shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.room._TRY_AGAIN_EVERY", 0.5)
    run = create_run(tmp_path / "runs", small_config(), name="mine")
    another = create_run(tmp_path / "runs", small_config(), name="another")
    app = Workbench(run.path.parent)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(lambda: app.torch_ready, pilot)
        disk = FailingDisk(40, errno.ENOSPC, lasting=True)
        monkeypatch.setattr(io, "disk", disk)
        app.start_training(run)
        if shown == "the runs":
            await pilot.press("1")
            assert isinstance(app.screen, RunsView)
        elif shown == "another run":
            app.open_run(another)
        await until(lambda: app.activity == "no room · mine", pilot)
        await until(lambda: run.status().state == "paused", pilot)
        await pilot.pause(1)
        told = [note.message for note in app._notifications]
        assert len(told) == (shown != "the run itself"), "said once, where it is not seen anyway"
        assert all("waits for room on the disk: No space left on device" in text for text in told)

        disk.heal()
        training = app.training
        assert training is not None
        await until(lambda: not training.alive, pilot)
    assert (run.status().state, run.status().step) == ("finished", STEPS)
