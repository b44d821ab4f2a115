"""An NVML that a test writes: `nvml.c` as `libnvidia-ml.so.1`, and the file that it answers from.

The real nvidia-ml-py loads it. It looks for "libnvidia-ml.so.1" by that name alone, once per
process and for good, so the library is given to a process of its own through `environment`:

    library = build_fake_nvml(folder)
    write_world(file, world(FakeGpu(utilization=97), FakeGpu(power=None)))
    subprocess.run(…, env={**os.environ, **environment(library, file)})

and while that process runs, `write_world` changes what its next reading shows. `readings` does all
of it for a `TelemetrySampler`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest

from engine.gpus import TorchGpus
from engine.telemetry import GpuReading, HostReading, Telemetry

# nvmlReturn_t, from nvml.h
UNINITIALIZED, NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, GPU_IS_LOST = 1, 3, 4, 9, 15
GIB = 2**30


@dataclass(frozen=True)
class FakeGpu:
    """A GPU, or a MIG slice of one; a quantity that is None is not supported (units: `nvml.c`)."""

    uuid: str = "GPU-00000000-aaaa-bbbb-cccc-000000000000"
    name: str | None = "NVIDIA H200"
    utilization: int | None = 97
    memory_total: int | None = 140 * GIB
    memory_used: int | None = 35 * GIB
    memory_reserved: int | None = None
    temperature: int | None = 61
    power: int | None = 512_000
    power_limit: int | None = 700_000
    error: int | None = None
    pci_bus: int | None = None
    mig_mode: int | None = None
    mig_index: int | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None
    slices: tuple[FakeGpu, ...] = ()


def build_fake_nvml(folder: Path) -> Path:
    """Compile the library into `folder` and return its path; `folder` is its LD_LIBRARY_PATH."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("the fake NVML needs a C compiler: apt-get install gcc")
    library = folder / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml.c")
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    soname = f"-Wl,-soname,{library.name}"
    subprocess.run([compiler, *flags, soname, "-o", library, source], check=True)
    return library


def world(*gpus: FakeGpu, init: int = 0, every: int = 0, missing: Sequence[str] = ()) -> str:
    """The text that the library answers from.

    Args:
        init: the nvmlReturn_t of nvmlInit; 0 is success.
        every: the nvmlReturn_t of every other call.
        missing: functions that this driver does not have.
    """
    lines = [f"init = {init}", f"every = {every}", *(f"missing = {name}" for name in missing)]
    for gpu in gpus:
        lines += ["[gpu]", *_lines(gpu)]
        for part in gpu.slices:
            lines += ["[mig]", *_lines(part)]
    return "\n".join(lines) + "\n"


def _lines(gpu: FakeGpu) -> list[str]:
    values = {field.name: getattr(gpu, field.name) for field in fields(gpu)}
    del values["slices"]
    return [f"{name} = {value}" for name, value in values.items() if value is not None]


def write_world(file: Path, text: str) -> None:
    """Replace the world in one step, so that a running process never reads half of it."""
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def environment(library: Path, file: Path) -> dict[str, str]:
    """What a process needs in its environment to see the GPUs of `file` instead of real ones."""
    return {"LD_LIBRARY_PATH": str(library.parent), "FAKE_NVML": str(file)}


_READ_EACH_WORLD = """
import dataclasses, json, sys
from engine.gpus import TorchBuild, TorchGpu, TorchGpus
from engine.telemetry import TelemetrySampler
from pathlib import Path

file = Path(sys.argv[1])
worlds, used = json.load(sys.stdin)
if used is not None:
    used = TorchGpus(used["backend"], tuple(TorchGpu(**g) for g in used["gpus"]), used["problem"])
with TelemetrySampler(lambda: used, build=TorchBuild("2.12.0", cuda="13.0")) as sampler:
    for world in worlds:
        file.write_text(world, encoding="utf-8")
        print(json.dumps(dataclasses.asdict(sampler.read())))

import pynvml
try:
    pynvml.nvmlDeviceGetCount()
except pynvml.NVMLError:
    pass
else:
    sys.exit("close() left NVML initialized")
"""


def readings(
    library: Path,
    worlds: Sequence[str],
    visible: str | None = None,
    torch: TorchGpus | None = None,
) -> list[Telemetry]:
    """What one sampler, in a process of its own, reads from each world in turn.

    Args:
        library: what `build_fake_nvml` returned.
        worlds: see `world`.
        visible: CUDA_VISIBLE_DEVICES; None: not set.
        torch: what the loaded torch uses; None: it is not loaded.
    """
    file = library.with_name(f"world-{os.getpid()}")
    env = {**os.environ, **environment(library, file)}
    env.pop("CUDA_VISIBLE_DEVICES", None)
    if visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = visible
    command = [sys.executable, "-c", _READ_EACH_WORLD, str(file)]
    given = json.dumps([worlds, None if torch is None else asdict(torch)])
    child = subprocess.run(
        command, input=given, env=env, capture_output=True, text=True, timeout=60
    )
    assert child.returncode == 0, child.stderr
    return [_telemetry(json.loads(line)) for line in child.stdout.splitlines()]


def _telemetry(values: dict) -> Telemetry:
    gpus = tuple(GpuReading(**gpu) for gpu in values["gpus"])
    return Telemetry(gpus, HostReading(**values["host"]), values["gpu_note"])
