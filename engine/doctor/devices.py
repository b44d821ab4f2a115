"""What can train: the processor and the GPUs, really asked to compute."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.doctor.finding import Finding
from engine.errors import DeviceError, EngineError, last_line
from engine.telemetry import GpuReading, HostReading, TelemetrySampler

GROUP = "devices"
_LITTLE_MEMORY = 2 << 30  # bytes; torch, a data set and a small network


def devices(wanted: str = "auto") -> Iterator[Finding]:
    """Findings for torch, the processor, the driver and every visible GPU.

    Args:
        wanted: the device that trainings are to use.
    """
    with TelemetrySampler() as sampler:
        reading = sampler.read()
        driver = _driver_version()
    try:
        import torch
    except EngineError as error:
        yield Finding(GROUP, "torch", "wrong", error.message, error.hint)
        yield _memory(reading.host)
        return
    except Exception as error:
        yield Finding(
            GROUP,
            "torch",
            "wrong",
            f"cannot be loaded: {last_line(error)}",
            "`pip install --force-reinstall torch torchvision`",
        )
        yield _memory(reading.host)
        return
    yield _processor(torch)
    yield _memory(reading.host)
    yield from _gpus(torch, reading.gpus, reading.gpu_note, driver)
    yield from _chosen(wanted)


def _processor(torch: ModuleType) -> Finding:
    from engine.device import multiplies_bf16

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = torch.get_num_threads()
    bf16 = "bf16 by AMX" if multiplies_bf16(torch.device("cpu")) else "no bf16, trains in float32"
    found = f"{cores} cores, torch uses {threads} threads, {bf16}"
    allowed = _cpu_quota()
    if allowed is not None and threads > allowed + 0.5:
        return Finding(
            GROUP,
            "processor",
            "note",
            f"{found}; this container may use {allowed:g} cores",
            f"`export OMP_NUM_THREADS={max(int(allowed), 1)}`",
        )
    return Finding(GROUP, "processor", "ok", found)


def _cpu_quota() -> float | None:
    """How many cores the control group may use; None where nothing limits it."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _memory(host: HostReading) -> Finding:
    free = host.memory_total - host.memory_used
    found = f"{_gib(free)} of {_gib(host.memory_total)} GiB free"
    if free < _LITTLE_MEMORY:
        return Finding(GROUP, "memory", "note", found, "End what else uses the memory.")
    return Finding(GROUP, "memory", "ok", found)


def _gpus(
    torch: ModuleType, gpus: tuple[GpuReading, ...], note: str, driver: str
) -> Iterator[Finding]:
    if gpus:
        seen = f"NVIDIA driver {driver}, " if driver else ""
        yield Finding(GROUP, "driver", "ok", f"{seen}{len(gpus)} GPU{'s' * (len(gpus) != 1)}")
    elif "CUDA_VISIBLE_DEVICES" in note:
        yield Finding(GROUP, "driver", "note", note, "`unset CUDA_VISIBLE_DEVICES`")
    elif _has_nvidia_board():
        yield Finding(
            GROUP,
            "driver",
            "wrong",
            f"an NVIDIA GPU is in this machine, but {note}",
            "Install the driver (Ubuntu: `sudo ubuntu-drivers install`), or start the container "
            "with --gpus all.",
        )
    elif note == "no NVIDIA driver found":
        yield Finding(GROUP, "GPU", "ok", "none here: trainings run on the processor")
    else:
        yield Finding(GROUP, "driver", "wrong", note, "Restart the machine, or ask who keeps it.")
    problem = _cuda_problem(torch)
    if problem and gpus:
        yield Finding(GROUP, "CUDA", "wrong", f"not used: {problem[0]}", problem[1])
    elif not problem:
        found = f"CUDA {torch.version.cuda}, cuDNN {_cudnn(torch)}"
        yield Finding(GROUP, "CUDA", "ok", found)
    for position, gpu in enumerate(gpus):
        yield _gpu(torch, position, gpu, usable=not problem)


def _cuda_problem(torch: ModuleType) -> tuple[str, str] | None:
    """Why torch has no GPU, and what to do."""
    if torch.version.cuda is None:
        return (
            f"torch {torch.__version__} is a build for the processor alone",
            "`pip install --force-reinstall torch torchvision`, from an index with CUDA: "
            "https://pytorch.org/get-started/locally",
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
        try:
            torch.cuda.init()
        except Exception as error:
            said = last_line(error)
        else:
            said = str(caught[-1].message) if caught else "torch finds no GPU"
    fix = f"Update the driver to one for CUDA {torch.version.cuda}, or install an older torch."
    return said, fix


def _gpu(torch: ModuleType, position: int, gpu: GpuReading, *, usable: bool) -> Finding:
    name = f"cuda:{position}"
    parts = [gpu.name]
    if gpu.memory_total and gpu.memory_used is not None:
        free = gpu.memory_total - gpu.memory_used
        parts.append(f"{_gib(free)} of {_gib(gpu.memory_total)} GiB free")
    if gpu.note:
        fix = "nvidia-smi may say more; a reset or a restart of the machine mends most."
        return Finding(GROUP, name, "wrong", f"{gpu.name}: {gpu.note}", fix)
    if not usable:
        return Finding(GROUP, name, "note", ", ".join(parts), "See CUDA above.")
    try:
        device = torch.device("cuda", position)
        major, minor = torch.cuda.get_device_capability(device)
        assert float((torch.ones(2, device=device) + 1).sum()) == 4
    except (RuntimeError, AssertionError) as error:
        fix = "Install a torch whose CUDA build knows this GPU; CUDA_VISIBLE_DEVICES leaves it out."
        return Finding(GROUP, name, "wrong", f"{gpu.name} cannot compute: {last_line(error)}", fix)
    parts.append(f"compute capability {major}.{minor}")
    parts.append("bf16" if (major, minor) >= (8, 0) else "no bf16, trains in fp16")
    return Finding(GROUP, name, "ok", ", ".join(parts))


def _chosen(wanted: str) -> Iterator[Finding]:
    from engine.device import describe_device, resolve_device

    try:
        device = resolve_device(wanted)
    except DeviceError as error:
        yield Finding(GROUP, "--device", "wrong", error.message, error.hint)
    else:
        yield Finding(GROUP, "--device", "ok", f"{wanted} is {describe_device(device)}")


def _has_nvidia_board() -> bool:
    """Whether a display controller of NVIDIA's is on the PCI bus."""
    for board in Path("/sys/bus/pci/devices").glob("*"):
        try:
            vendor, kind = (board / "vendor").read_text(), (board / "class").read_text()
        except OSError:
            continue
        if vendor.startswith("0x10de") and kind.startswith("0x03"):
            return True
    return False


def _driver_version() -> str:
    """What NVML calls the driver; empty where it cannot say."""
    try:
        import pynvml

        return _text(pynvml.nvmlSystemGetDriverVersion())
    except Exception:  # no library, no driver, or an old one
        return ""


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _cudnn(torch: ModuleType) -> str:
    version = torch.backends.cudnn.version()
    return str(version) if version else "missing"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
