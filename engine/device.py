"""Which device, in which precision, with what memory; asked of the hardware, not guessed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch
from torch.nn import functional as F

from engine.errors import DeviceError, last_line
from engine.gpus import TorchGpu, TorchGpus, torch_build

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_USE = "Use auto, cpu, cuda, cuda:1 or mps."


@cache
def torch_gpus() -> TorchGpus:
    """What trainings run on here: `auto`, doctor and the device panel all follow it.

    CUDA or ROCm where torch finds a GPU, else Apple's mps where it can do what a training needs.
    """
    build = torch_build()
    problem, fix = _cuda_problem()
    if not problem:
        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        named = tuple(TorchGpu(gpu.name, _pci(gpu)) for gpu in gpus)
        return TorchGpus("rocm" if torch.version.hip else "cuda", named)
    if torch.backends.mps.is_available():
        mps = torch.device("mps")
        if not (wrong := mps_problem(mps)):
            return TorchGpus("mps", (TorchGpu("mps, Apple's GPU"),))
        return TorchGpus("cpu", (), f"torch finds mps, but {wrong}", "Update torch, or macOS.")
    if not (build.cuda or build.hip) and torch.backends.mps.is_built():
        problem, fix = "torch finds no mps here", "It wants an Apple M chip and macOS 14 or later."
    return TorchGpus("cpu", (), problem, fix)


def _cuda_problem() -> tuple[str, str]:
    """Why torch has neither CUDA nor ROCm, and what to do; empty where it has."""
    if lacks := torch_build().lacks_gpus:
        return lacks, (
            "`pip install --force-reinstall torch torchvision`, from an index with CUDA or ROCm: "
            "https://pytorch.org/get-started/locally"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return "", ""
        try:
            torch.cuda.init()
        except Exception as error:  # torch has no type of its own for it
            problem = last_line(error)
        else:
            problem = str(caught[-1].message) if caught else "torch finds no GPU"
    toolkit = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
    return problem, f"Update the driver to one for {toolkit}, or install an older torch."


def _pci(gpu: object) -> str:
    # torch's annotations leave these out, and torch before 2.9 has not all of them.
    place = [getattr(gpu, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
    domain, bus, device = place
    return "" if None in place else f"{domain:04x}:{bus:02x}:{device:02x}"


def mps_problem(device: torch.device) -> str:
    """Why a device cannot do what a training needs beside float64; empty where it can.

    Noise is drawn with 64-bit integers, and a gradient has to be right.
    """
    try:
        wide = torch.tensor([0xFFFF_FFFF], dtype=torch.int64, device=device) * 0xD251_1F53
        if int(wide >> 32 & 0xFFFF_FFFF) != 0xD251_1F52:
            return "its 64-bit integers are wrong"
        if not trains_in(torch.float32, device):
            return "its gradients are wrong"
    except (RuntimeError, TypeError) as error:
        return f"it cannot train: {last_line(error)}"
    return ""


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU; see `torch_gpus`.

    Raises:
        DeviceError: an unknown name, or a GPU that is not there.
    """
    known = torch_gpus()
    if name == "auto":
        return torch.device("cuda" if known.backend == "rocm" else known.backend)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"There is no device {name!r}", _USE) from None
    if device.type == "cuda":
        count = len(known.gpus) if known.backend in ("cuda", "rocm") else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"{name} is not there: torch sees {count or 'no'} GPU{'s' * (count != 1)}",
                "Use --device cpu, or see what `ddpm-tui doctor` says.",
            )
    elif device.type == "mps":
        if known.backend != "mps" or (device.index or 0) > 0:
            why = known.problem or "there is one mps"
            raise DeviceError(f"{name} is not there: {why}", "Use --device auto.")
    elif device.type != "cpu":
        raise DeviceError(f"Device {name!r} is not supported", _USE)
    return device


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of the matrix products under autocast; weights and updates stay float32.

    auto: bf16 where the hardware multiplies it natively, fp16 on older GPUs on which it works, else
    fp32.

    Raises:
        DeviceError: the device cannot train in the precision that was asked for.
    """
    if precision == "auto":
        if multiplies_bf16(device):
            return torch.bfloat16
        gpu = device.type == "cuda"
        return torch.float16 if gpu and trains_in(torch.float16, device) else torch.float32
    dtype = _DTYPES[precision]
    if dtype is not torch.float32 and not trains_in(dtype, device):
        raise DeviceError(
            f"{describe_device(device)} cannot train in {precision}", "Use precision auto or fp32."
        )
    return dtype


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively; emulated it is slower than float32.

    On a CPU that takes AMX tiles; of mps torch does not say.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """The network's products in `dtype`; nothing changes for float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def no_tf32() -> AbstractContextManager[object]:
    """Convolutions in all of float32: a GPU rounds their factors to ten bits otherwise (TF32)."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def trains_in(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a small convolution and a product, there and back, give the right numbers."""
    x = torch.linspace(-1, 1, 8 * 8 * 8, device=device).reshape(1, 8, 8, 8)
    kernel = torch.linspace(-0.1, 0.1, 8 * 8 * 3 * 3, device=device).reshape(8, 8, 3, 3)

    def gradient(precise: bool) -> torch.Tensor:
        leaf = kernel.clone().requires_grad_()
        with nullcontext() if precise else autocast(device, dtype):
            y = F.conv2d(x, leaf, padding=1)
            y = y.reshape(8, 64) @ y.reshape(8, 64).T
        return torch.autograd.grad(y.float().mean(), leaf)[0]

    try:
        exact = gradient(precise=True)
        error = (gradient(precise=False) - exact).norm() / exact.norm()
    except RuntimeError:
        return False
    return bool(error < 0.05)


def memory_format(model_name: str, dtype: torch.dtype, device: torch.device) -> torch.memory_format:
    """How the weights of a network lie in memory; only what was measured to be faster.

    On one core of a Xeon with AMX, in float32, channels_last takes 12 % off a step of the default
    U-Net and 17 % off the article's network; in bf16 it adds 2 %. A fixed answer and no timing at
    the start, since another format rounds differently, and a resume has to go on to the bit.
    """
    if model_name in ("unet", "article") and device.type == "cpu" and dtype is torch.float32:
        return torch.channels_last
    return torch.contiguous_format


def describe_device(device: torch.device) -> str:
    """For a person: the GPU's name, or the CPU's threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "mps":
        return "mps (Apple's GPU)"
    return f"cpu ({torch.get_num_threads()} threads)"


def wait_for(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def widest_float(device: torch.device | str) -> torch.dtype:
    """float64, but float32 on Apple's mps, which has nothing wider."""
    return torch.float32 if torch.device(device).type == "mps" else torch.float64


# torch has a type for a GPU's lack of memory; its CPU allocator and CUDA's libraries have words.
_NO_MEMORY = (
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
    "MPS backend out of memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had not enough memory, in whichever words it says so."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
    )


def no_memory(device: torch.device, task: str) -> DeviceError:
    """The error that says so to a person."""
    return DeviceError(
        f"{describe_device(device)} has not enough memory to {task}",
        "Choose a smaller network, or end what else uses the memory.",
    )


@contextmanager
def memory_explained(device: torch.device, task: str) -> Iterator[None]:
    """Turn a lack of memory inside the block into a DeviceError that says what to do.

    Args:
        task: what the memory was wanted for, after "has not enough memory to".
    """
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise no_memory(device, task) from None
        raise
