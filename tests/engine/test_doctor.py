"""The checks of the doctor, on real file systems, with a real flock that fails and a fake NVML."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine import device
from engine.doctor.datasets import datasets
from engine.doctor.devices import devices
from engine.doctor.filesystem import filesystem
from engine.doctor.finding import Finding, surely
from engine.doctor.mounts import mount_of
from engine.doctor.versions import versions
from engine.errors import DeviceError
from engine.gpus import TorchBuild, TorchGpu, TorchGpus
from tests.engine.fake_nvml import FakeGpu, build_fake_nvml, environment, world, write_world
from tests.engine.no_flock import without_flock

ROOT = Path(__file__).parents[2]

REPORT = """
import dataclasses, json, sys
from pathlib import Path
from engine.doctor.filesystem import filesystem
print(json.dumps([dataclasses.asdict(found) for found in filesystem(Path(sys.argv[1]))]))
"""
DEVICES = """
import dataclasses, json
from engine.doctor.devices import devices
print(json.dumps([dataclasses.asdict(found) for found in devices()]))
"""


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def run_python(*command: str, env: dict[str, str] | None = None) -> dict[str, Finding]:
    """The findings that a program in a process of its own prints as JSON."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return by_name([Finding(**values) for values in json.loads(done.stdout)])


# --- The file system -----------------------------------------------------------------------------


def test_a_folder_on_a_good_file_system_has_all_it_needs_and_stays_as_it_was(
    tmp_path: Path,
) -> None:
    findings = by_name(list(filesystem(tmp_path / "not" / "yet")))
    probed = ("path", "write", "locks", "fsync", "rename", "exclusive", "clock")
    assert {name: findings[name].state for name in probed} == dict.fromkeys(probed, "ok")
    assert findings["path"].found == f"{tmp_path}/not/yet, will be made in {tmp_path}"
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    (finding,) = filesystem(tmp_path / "runs")
    assert (finding.state, finding.found) == ("wrong", f"{tmp_path}/runs is not a folder")
    assert "--runs-dir" in finding.fix


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_missing_locks_are_noted(tmp_path: Path, number: int) -> None:
    env = without_flock(tmp_path, number)
    found = run_python(sys.executable, "-c", REPORT, str(tmp_path), env=env)
    assert found["locks"].state == "note"
    assert "heartbeat" in found["locks"].found
    assert found["rename"].state == "ok"


MOUNTED = """
set -e
mount -t tmpfs -o size=64k,nr_inodes=150 doctor "$1"
{prepare}
exec "$2" -c "$3" "$1/runs"
"""


def on_mount(folder: Path, prepare: str) -> dict[str, Finding]:
    """The findings on a tmpfs of 64 KiB that only the asking process sees."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a file system of its own needs the right to mount")
    script = MOUNTED.format(prepare=prepare)
    arguments = ["sh", str(folder), sys.executable, REPORT]
    return run_python("unshare", "-m", "sh", "-c", script, *arguments)


def test_a_full_disk_is_wrong_and_says_how_to_make_room(tmp_path: Path) -> None:
    found = on_mount(tmp_path, "")
    assert found["type"].state == "note"
    assert found["type"].found.startswith("tmpfs, in memory")
    assert found["write"].found == "does not work: No space left on device"
    assert "Free some space" in found["write"].fix
    assert found["space"].state == "wrong"
    assert found["files"].state == "wrong"


def test_a_read_only_file_system_is_wrong_and_says_where_to_go(tmp_path: Path) -> None:
    found = on_mount(tmp_path, 'mount -o remount,ro "$1"')
    assert found["write"].found == "does not work: Read-only file system"
    assert "--runs-dir" in found["write"].fix


MOUNTINFO = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /home rw,relatime - nfs4 server:/home rw,vers=4.2,nolock
41 40 0:41 / /home/a\040b ro,noatime - fuse.sshfs me@far:/x rw
half a line
"""


@pytest.mark.parametrize(
    ("path", "kind", "network", "read_only"),
    [
        ("/", "ext4", False, False),
        ("/homestead", "ext4", False, False),
        ("/home/me/runs", "nfs4", True, False),
        ("/home/a b/runs", "fuse.sshfs", True, True),
    ],
)
def test_the_mount_of_a_path(path: str, kind: str, network: bool, read_only: bool) -> None:
    mount = mount_of(Path(path), MOUNTINFO)
    assert mount is not None
    assert (mount.kind, mount.is_network, mount.read_only) == (kind, network, read_only)


def test_where_nobody_lists_mounts_there_is_none() -> None:
    assert mount_of(Path("/"), "") is None


# --- Versions, data and devices ------------------------------------------------------------------


def distribution(folder: Path, name: str, version: str, *lines: str) -> None:
    """An installed package, as its metadata tell."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    head = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *lines]
    (info / "METADATA").write_text("\n".join(head) + "\n")


def test_versions_are_held_against_what_the_program_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = ("torch>=2.10", "textual<9,>=8.2", "numpy>=2", "einops>=0.8", 'pyte; extra == "test"')
    distribution(
        tmp_path,
        "ddpm-tui",
        "7.0",
        "Requires-Python: >=3.99",
        *(f"Requires-Dist: {n}" for n in needs),
    )
    distribution(tmp_path, "torch", "2.9.1+cu128")
    distribution(tmp_path, "textual", "9.0.0")
    distribution(tmp_path, "numpy", "2.0")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = by_name(list(versions()))
    assert {name: finding.state for name, finding in found.items()} == {
        "ddpm-tui": "ok",
        "python": "wrong",
        "torch": "wrong",
        "textual": "wrong",
        "einops": "wrong",
        "others": "ok",
    }
    assert found["torch"].found == "2.9.1+cu128 is older than 2.10"
    assert found["torch"].fix == "`pip install 'torch>=2.10'`"
    assert found["textual"].found == "9.0.0 is not older than 9"
    assert found["einops"].found == "is not installed"
    assert found["others"].found == "numpy 2.0"


def test_a_damaged_data_set_is_wrong_and_a_missing_one_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for file in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{file}-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x01\x07")
    found = by_name(list(datasets(tmp_path / "data")))
    assert found["mnist"].state == "wrong"
    assert "ddpm-tui data get mnist" in found["mnist"].fix
    assert found["fashion-mnist-10k"].found == "10,000 + 1,000 images, built in, verified"


@pytest.mark.skipif(torch.cuda.is_available(), reason="here torch can use its GPU")
def test_a_gpu_that_torch_cannot_use_is_wrong(tmp_path: Path) -> None:
    library, file = build_fake_nvml(tmp_path), tmp_path / "world"
    write_world(file, world(FakeGpu(name="NVIDIA H200"), FakeGpu(uuid="GPU-2", error=15)))
    env = {**environment(library, file), "CUDA_VISIBLE_DEVICES": "0,1"}
    found = run_python(sys.executable, "-c", DEVICES, env=env)
    assert found["driver"].found.endswith("2 GPUs")
    assert found["CUDA"].state == "wrong"
    assert found["CUDA"].found.startswith("not used: ")
    assert found["cuda:0"].state == "note"
    assert found["cuda:0"].found == "NVIDIA H200, 105.0 of 140.0 GiB free"
    assert found["cuda:1"].state == "wrong"
    assert found["processor"].state in ("ok", "note")


@pytest.fixture
def fresh_torch_gpus():
    """What was found out of torch's GPUs is forgotten before and after."""
    device.torch_gpus.cache_clear()
    yield
    device.torch_gpus.cache_clear()


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA goes before mps")
def test_without_cuda_auto_and_doctor_take_apple_s_gpu(
    monkeypatch: pytest.MonkeyPatch, fresh_torch_gpus: None
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(device, "mps_problem", lambda _: "")
    assert device.resolve_device("auto") == torch.device("mps")
    assert device.resolve_device("mps") == torch.device("mps")
    found = by_name(list(devices()))
    assert found["--device"].found == "auto is mps (Apple's GPU)"
    assert found["mps"].state == found["GPU"].state == "ok"
    assert "not known" in found["GPU"].found
    assert "CUDA" not in found


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA goes before mps")
def test_an_mps_that_cannot_train_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, fresh_torch_gpus: None
) -> None:
    # Here it cannot: torch has the name and no such device.
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.resolve_device("auto") == torch.device("cpu")
    assert device.torch_gpus().problem.startswith("torch finds mps, but it cannot train: ")
    with pytest.raises(DeviceError, match="mps is not there: torch finds mps, but"):
        device.resolve_device("mps")
    assert device.mps_problem(torch.device("cpu")) == "", "what it tries is right"


def test_a_build_for_rocm_is_said_to_use_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    known = TorchGpus("rocm", (TorchGpu("AMD Instinct MI300X"),))
    monkeypatch.setattr(device, "torch_gpus", lambda: known)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: known.gpus[0].name)
    for module in ("engine.doctor.devices", "engine.telemetry"):
        monkeypatch.setattr(f"{module}.torch_build", lambda: TorchBuild("2.12.0", hip="7.0"))
    found = by_name(list(devices()))
    assert found["ROCm"].state == "ok"
    assert found["ROCm"].found.startswith("HIP 7.0")
    assert "not known" in found["driver"].found
    assert found["cuda:0"].found.startswith("AMD Instinct MI300X")
    assert found["--device"].found == "auto is cuda (AMD Instinct MI300X)"
    said = [each.found for each in found.values()]
    assert not any("trainings run on the processor" in each for each in said)


def test_a_build_for_the_processor_alone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    build = TorchBuild("2.12.0+cpu")
    monkeypatch.setattr(device, "torch_gpus", lambda: TorchGpus("cpu", (), build.lacks_gpus, "x"))
    monkeypatch.setattr("engine.doctor.devices.torch_build", lambda: build)
    said = [each.found for each in devices("cpu")]
    [found] = [found for found in said if "trainings run on the processor" in found]
    assert "torch 2.12.0+cpu is a CPU-only build" in found


@pytest.mark.slow
def test_a_driver_that_is_not_loaded_is_wrong(tmp_path: Path) -> None:
    library, file = build_fake_nvml(tmp_path), tmp_path / "world"
    write_world(file, world(init=9))
    found = run_python(sys.executable, "-c", DEVICES, env=environment(library, file))
    assert found["driver"].state == "wrong"
    assert "Driver Not Loaded" in found["driver"].found


@pytest.mark.slow
def test_a_board_in_mig_mode_without_an_instance_is_wrong_and_nobody_restarts(
    tmp_path: Path,
) -> None:
    library, file = build_fake_nvml(tmp_path), tmp_path / "world"
    write_world(file, world(FakeGpu(mig_mode=1)))
    code = DEVICES.replace(
        "from engine.doctor",
        "import engine.gpus as gpus\nbuild = gpus.TorchBuild('2.12.0', cuda='13.0')\n"
        "gpus.torch_build = lambda: build\nfrom engine.doctor",
    )
    found = run_python(sys.executable, "-c", code, env=environment(library, file))
    assert found["driver"].state == "wrong"
    assert "no GPU instance" in found["driver"].found
    assert "nvidia-smi mig -cgi" in found["driver"].fix


def test_a_check_that_breaks_is_a_finding() -> None:
    def breaks():
        yield Finding("group", "first", "ok", "fine")
        raise ZeroDivisionError("by zero")

    first, last = surely("group", breaks)
    assert first.found == "fine"
    assert (last.state, last.found) == (
        "wrong",
        "could not be finished: ZeroDivisionError: by zero",
    )
