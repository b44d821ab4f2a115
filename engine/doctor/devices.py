"""What can train: the processor and the GPUs, really asked to compute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.doctor.finding import Finding
from engine.errors import DeviceError, EngineError, last_line
from engine.gpus import TorchGpus, torch_build
from engine.telemetry import (
    MIG_WITHOUT_INSTANCE,
    GpuReading,
    HostReading,
    Telemetry,
    TelemetrySampler,
)

GROUP = "devices"
_LITTLE_MEMORY = 2 << 30  # bytes; torch, a data set and a small network


def devices(wanted: str = "auto") -> Iterator[Finding]:
    """Findings for torch, the processor, the driver and every visible GPU.

    Args:
        wanted: the device that trainings are to use.
    """
    build = torch_build()
    if not build.hip:  # what NVML sees is worth a word even if this torch cannot use it
        build = replace(build, cuda=build.cuda or "none")
    with TelemetrySampler(build=build) as sampler:
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
    from engine.device import torch_gpus

    known = torch_gpus()
    with TelemetrySampler(lambda: known) as sampler:
        used = sampler.read().gpus
    yield from _driver(reading, known, driver)
    yield from _gpus(torch, reading.gpus, used, known)
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


def _driver(reading: Telemetry, known: TorchGpus, version: str) -> Iterator[Finding]:
    """What the system says of GPUs, before torch is asked."""
    gpus, note = reading.gpus, reading.gpu_note
    if known.backend == "mps":
        yield Finding(GROUP, "GPU", "ok", "Apple's; utilization not known (mps has no counter)")
    elif gpus:
        vendor = "AMD" if torch_build().hip else "NVIDIA"
        seen = f"{vendor} driver {version}, " if version else ""
        yield Finding(GROUP, "driver", "ok", f"{seen}{len(gpus)} GPU{'s' * (len(gpus) != 1)}")
    elif known.gpus:
        yield Finding(
            GROUP,
            "driver",
            "note",
            f"trainings use the GPU; its utilization is not known: {note}",
            "It needs the NVIDIA driver's libnvidia-ml.so.1, or /sys for an AMD GPU.",
        )
    elif "VISIBLE_DEVICES" in note:
        hiding = next((name for name in _HIDING if os.environ.get(name) is not None), _HIDING[0])
        yield Finding(GROUP, "driver", "note", note, f"`unset {hiding}`")
    elif _has_nvidia_board() and not torch_build().lacks_gpus:
        yield Finding(
            GROUP,
            "driver",
            "wrong",
            f"an NVIDIA GPU is in this machine, but {note}",
            "Install the driver (Ubuntu: `sudo ubuntu-drivers install`), or start the container "
            "with --gpus all.",
        )
    elif note in ("no NVIDIA driver found", "no AMD GPU found"):
        if not torch_build().lacks_gpus:  # then that is what is said
            yield Finding(GROUP, "GPU", "ok", "none here: trainings run on the processor")
    elif note == MIG_WITHOUT_INSTANCE:
        fix = (
            "Make one: `sudo nvidia-smi mig -cgi 19 -C`; `nvidia-smi mig -lgip` lists the profiles."
        )
        yield Finding(GROUP, "driver", "wrong", note, fix)
    elif not torch_build().lacks_gpus:
        yield Finding(GROUP, "driver", "wrong", note, "Restart the machine, or ask who keeps it.")


_HIDING = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")


def _gpus(
    torch: ModuleType,
    seen: tuple[GpuReading, ...],
    used: tuple[GpuReading, ...],
    known: TorchGpus,
) -> Iterator[Finding]:
    """What torch makes of the GPUs: those it uses, or why it uses none of those that are seen."""
    build = torch_build()
    if known.backend == "cuda":
        found = f"CUDA {build.cuda}, cuDNN {_cudnn(torch)}"
        yield Finding(GROUP, "CUDA", "ok", found)
    elif known.backend == "rocm":
        yield Finding(GROUP, "ROCm", "ok", f"HIP {build.hip}, MIOpen {_cudnn(torch)}")
    elif known.backend == "mps":
        yield Finding(GROUP, "mps", "ok", "torch uses Apple's GPU, in float32")
    elif seen or (build.lacks_gpus and _has_nvidia_board()):
        name = "ROCm" if build.hip else "CUDA"
        found = f"not used: {known.problem}; trainings run on the processor"
        yield Finding(GROUP, name, "wrong", found, known.fix)
    elif build.lacks_gpus:
        found = f"not used: {known.problem}; trainings run on the processor"
        yield Finding(GROUP, "GPU", "ok", found)
    if known.backend == "mps":
        return
    for position, gpu in enumerate(used if known.gpus else seen):
        yield _gpu(torch, position, gpu, usable=bool(known.gpus))


def _gpu(torch: ModuleType, position: int, gpu: GpuReading, *, usable: bool) -> Finding:
    name = f"cuda:{position}"
    parts = [gpu.name]
    if gpu.memory_total and gpu.memory_used is not None:
        free = gpu.memory_total - gpu.memory_used
        parts.append(f"{_gib(free)} of {_gib(gpu.memory_total)} GiB free")
    if gpu.note:
        fix = "nvidia-smi may say more; a reset or a restart of the machine mends most."
        return Finding(GROUP, name, "wrong", f"{gpu.name}: {gpu.note}", fix)
    if gpu.not_known:
        parts.append(f"utilization not known ({gpu.not_known})")
    if not usable:
        return Finding(GROUP, name, "note", ", ".join(parts), "See above why it is not used.")
    try:
        device = torch.device("cuda", position)
        major, minor = torch.cuda.get_device_capability(device)
        properties = torch.cuda.get_device_properties(device)
        architecture = properties.gcnArchName if torch.version.hip else ""
        assert float((torch.ones(2, device=device) + 1).sum()) == 4
    except (RuntimeError, AssertionError) as error:
        fix = "Install a torch whose CUDA build knows this GPU; CUDA_VISIBLE_DEVICES leaves it out."
        return Finding(GROUP, name, "wrong", f"{gpu.name} cannot compute: {last_line(error)}", fix)
    parts.append(architecture or f"compute capability {major}.{minor}")
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
