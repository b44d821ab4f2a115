"""Which device, and in which precision; asked of the hardware, not guessed from its name."""

from __future__ import annotations

import torch

from engine.errors import DeviceError


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU.

    Raises:
        DeviceError: an unknown name, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(
            f"There is no device {name!r}", "Use auto, cpu, cuda or cuda:1."
        ) from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"{name} is not there: torch sees {count} GPUs",
                "Use --device cpu, or check nvidia-smi and CUDA_VISIBLE_DEVICES.",
            )
    elif device.type != "cpu":
        raise DeviceError(f"Device {name!r} is not supported", "Use auto, cpu, cuda or cuda:1.")
    return device


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of the matrix products under autocast; weights and updates stay float32.

    On a CPU bf16 pays only with AMX tiles; emulated it is slower than float32.
    """
    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.get_device_capability(device) >= (8, 0)
        else:
            native = bool(torch.cpu.get_capabilities().get("amx_bf16", False))
        return torch.bfloat16 if native else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def describe_device(device: torch.device) -> str:
    """For a person: the GPU's name, or the CPU's threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
