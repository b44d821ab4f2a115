"""A drawing that dies at any call to the disk goes on, to the same bits, and leaves nothing."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.config import RunConfig, SamplingConfig
from engine.errors import NoRoomError, RunError
from engine.runs import io, processes
from engine.runs.disk import Disk
from engine.runs.folder import Run, create_run
from engine.runs.litter import clear_abandoned
from engine.runs.lock import owning
from engine.sample_files import SampleFiles, write_samples
from engine.sampling import TrainedModel
from engine.schedule import NoiseSchedule

SAMPLING = SamplingConfig(sampler="ddim", num=11, num_inference_steps=2)
_CALLS = ("open", "write", "sync", "close", "make_folder", "rename", "remove_file", "remove_folder")


class Killed(BaseException):
    """What a process that was killed does not see."""


class DyingDisk(Disk):
    """Counts its calls; the Nth is never made, nor is any after it."""

    def __init__(self, at: int = 0) -> None:
        self.calls, self.at = 0, at
        for name in _CALLS:
            setattr(self, name, self._counted(getattr(super(), name)))

    def _counted(self, call):
        def counted(*args):
            self.calls += 1
            if self.at and self.calls >= self.at:
                raise Killed
            return call(*args)

        return counted


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.3), requires_grad=False)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.scale * x + t.view(-1, 1, 1, 1) / 1000


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedModel:
    """Small pieces: of four pictures, in chunks of two."""
    monkeypatch.setattr("engine.sampling.CHUNK", 2)
    monkeypatch.setattr("engine.sample_shards.SHARD", 4)
    monkeypatch.setattr("engine.sample_files.MAX_SHOWN", 4)
    config = RunConfig.model_validate({"model": {"class_conditional": False}})
    run = create_run(tmp_path / "runs", config, name="mine")
    schedule = NoiseSchedule.of(config.diffusion)
    return TrainedModel(run, config, Network().eval(), schedule, (1, 3, 3), ("a", "b"), 5)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() if path.is_file() else b"" for path in folder.iterdir()}


def ended_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_drawing_may_be_killed_at_any_call(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DyingDisk()
    (tmp_path / "whole").mkdir()
    monkeypatch.setattr(io, "disk", disk)
    write_samples(model, SAMPLING, 0, out=tmp_path / "whole")
    undisturbed = files(tmp_path / "whole")
    assert len(undisturbed) == 3
    where, _, began = processes.maker().split("-")
    dead = f"{where}-{ended_process():x}-{began}"
    resumed = []
    for at in range(1, disk.calls + 1):
        out = tmp_path / "killed"
        out.mkdir()
        with monkeypatch.context() as patched:
            patched.setattr(io, "disk", DyingDisk(at))
            patched.setattr(processes, "maker", lambda: dead)
            with pytest.raises(Killed):
                write_samples(model, SAMPLING, 0, out=out)
        monkeypatch.setattr(io, "disk", Disk())
        write_samples(model, SAMPLING, 0, out=out, on_resume=resumed.append)
        assert files(out) == undisturbed, f"call {at}"
        shutil.rmtree(out)
    assert set(resumed) == {4, 8, 11}


def half_drawn(model: TrainedModel, out: Path, seed: int = 0) -> list[int]:
    """Interrupt a drawing in its third piece; what the next one finds of it."""

    def stop(done: int, total: int) -> None:
        if done > total * 3 // 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(model, SAMPLING, seed, out=out, on_step=stop)
    return [len(list(folder.glob("0*"))) for folder in out.glob(".*.shards")]


def resume(model: TrainedModel, out: Path, seed: int = 0) -> list[int]:
    found: list[int] = []
    write_samples(model, SAMPLING, seed, out=out, on_resume=found.append)
    return found


def test_ctrl_c_keeps_the_finished_pieces(model: TrainedModel, tmp_path: Path) -> None:
    assert half_drawn(model, tmp_path / "a") == [2]
    assert resume(model, tmp_path / "a") == [8]
    resume(model, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    (npy,) = (tmp_path / "a").glob("*.npy")
    assert np.load(npy).shape == (11, 1, 3, 3)


def test_other_weights_and_other_seeds_do_not_mix(model: TrainedModel, tmp_path: Path) -> None:
    half_drawn(model, tmp_path)
    assert resume(model, tmp_path, seed=1) == []
    assert isinstance(model.model, Network)
    model.model.scale += 0.1
    assert resume(model, tmp_path) == []
    model.model.scale -= 0.1
    assert resume(model, tmp_path) == [8], "it was kept meanwhile"


@pytest.mark.parametrize("damage", ["cut", "altered", "without its grid"])
def test_a_damaged_piece_is_drawn_again(model: TrainedModel, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "a"
    half_drawn(model, out)
    piece = min(out.glob(".*.shards/0*"))
    if damage == "cut":
        piece.write_bytes(piece.read_bytes()[:-1])
    elif damage == "altered":
        piece.write_bytes(bytes(len(piece.read_bytes())))
    else:
        next(out.glob(".*.shards/*.png")).unlink()
    assert resume(model, out) == [4]
    resume(model, tmp_path / "b")
    assert files(out) == files(tmp_path / "b")


def test_two_do_not_draw_the_same_at_once(model: TrainedModel, tmp_path: Path) -> None:
    half_drawn(model, tmp_path)
    (folder,) = tmp_path.glob(".*.shards")
    with owning(folder), pytest.raises(RunError, match="Another process is drawing"):
        resume(model, tmp_path)
    assert resume(model, tmp_path) == [8]


def test_a_full_disk_is_known_before_the_drawing(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_drawn(model, tmp_path)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("engine.sample_shards.shutil.disk_usage", lambda _: usage(100))
    with pytest.raises(NoRoomError, match="are free"):
        resume(model, tmp_path)
    monkeypatch.undo()


class FullDisk(Disk):
    def rename(self, path: Path, target: Path) -> None:
        if target.suffix == ".npy":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().rename(path, target)


def test_a_disk_that_fills_up_costs_no_picture(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(io, "disk", FullDisk())
    with pytest.raises(NoRoomError, match="No space") as error, io.advising("--out"):
        resume(model, tmp_path)
    assert "11 of 11 pictures are kept" in error.value.hint
    monkeypatch.setattr(io, "disk", Disk())
    assert resume(model, tmp_path) == [11]


# --- What others left and what others make ---


def test_what_a_living_process_makes_stays_whatever_its_age(tmp_path: Path) -> None:
    where, pid, began = processes.maker().split("-")
    ended = f"{ended_process():x}"
    names = {
        "living": f"{where}-{pid}-{began}",
        "dead": f"{where}-{ended}-{began}",
        "another of its id": f"{where}-{pid}-{int(began, 16) + 1:x}",
        "elsewhere": f"00000000-{ended}-{began}",
        "elsewhere, old": f"00000000-{ended}-{began}",
    }
    for name, maker in names.items():
        path = tmp_path / f".{name}.0a1b2c3d-{maker}.tmp"
        path.touch()
        if name in ("living", "elsewhere, old"):
            os.utime(path, (0, 0))
    foreign = tmp_path / ".theirs.0a1b2c3d.tmp"
    foreign.touch()
    os.utime(foreign, (0, 0))
    clear_abandoned(tmp_path, others=False)
    left = {path.name.split(".")[1] for path in tmp_path.iterdir()}
    assert left == {"living", "elsewhere", "theirs"}
    clear_abandoned(tmp_path)
    assert not foreign.exists()


def test_a_process_that_nobody_has_reaped_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.has_ended(child.pid)
    child.wait()


# --- Before the work ---


class ReadOnlyDisk(Disk):
    def open(self, path: Path, flags: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return super().open(path, flags)


def refused(model: TrainedModel, out: Path | None = None) -> RunError:
    """Why nothing is drawn, before a single step."""
    steps: list[int] = []
    few = SAMPLING.model_copy(update={"num": 2})
    with pytest.raises(RunError) as error, io.advising("--out"):
        write_samples(model, few, 0, out=out, on_step=lambda done, _: steps.append(done))
    assert not steps
    return error.value


def test_a_read_only_run_is_known_before_the_drawing(
    model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(io, "disk", ReadOnlyDisk())
    assert refused(model).hint.endswith("write elsewhere with --out.")


def test_a_run_behind_a_link_is_known_before_the_drawing(
    model: TrainedModel, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(model.run.path)
    linked = TrainedModel(**{**vars(model), "run": Run(tmp_path / "link")})
    assert "is a link" in refused(linked).message
    drawn = write_samples(linked, SAMPLING, 0, out=tmp_path / "out")
    assert isinstance(drawn, SampleFiles)
