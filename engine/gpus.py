"""Which GPUs torch uses: its build, and what CUDA and HIP leave visible; nothing here loads torch.

Once torch is loaded, `engine.device.torch_gpus` knows better, and telemetry follows it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Literal

Backend = Literal["cuda", "rocm", "mps", "cpu"]


@dataclass(frozen=True)
class TorchGpu:
    """A GPU as the loaded torch sees it.

    Attributes:
        name: what torch calls it.
        pci: domain:bus:device, as `0000:65:00`; empty where torch does not say.
    """

    name: str
    pci: str = ""


@dataclass(frozen=True)
class TorchGpus:
    """What the loaded torch trains on.

    Attributes:
        backend: `rocm` is torch's device type "cuda", too, on AMD's boards.
        gpus: in torch's order: the first is `cuda:0`. Empty for `cpu`.
        problem: why there is none, in plain words; empty when there is one.
        fix: what to do about the problem, one sentence.
    """

    backend: Backend
    gpus: tuple[TorchGpu, ...] = ()
    problem: str = ""
    fix: str = ""


@dataclass(frozen=True)
class TorchBuild:
    """What the installed torch was built for.

    Attributes:
        version: as in `torch.__version__`; empty where there is no torch.
        cuda, hip, xpu: the version of that toolkit; empty when it was not built for it.
    """

    version: str = ""
    cuda: str = ""
    hip: str = ""
    xpu: str = ""

    @property
    def lacks_gpus(self) -> str:
        """Why it drives neither NVIDIA's GPUs nor AMD's; empty where it may drive one of them."""
        if self.cuda or self.hip:
            return ""
        if not self.version:
            return "torch is not installed"
        if self.xpu:
            return f"torch {self.version} is a build for Intel's GPUs, which ddpm-tui does not use"
        return f"torch {self.version} is a CPU-only build"


@cache
def torch_build() -> TorchBuild:
    """The build of the installed torch, by a file of it that is read and not run."""
    try:
        spec = find_spec("torch")
        folder = Path((spec.origin if spec else None) or "").parent
        text = (folder / "version.py").read_text(encoding="utf-8")
    except (OSError, ValueError, ImportError):
        return TorchBuild()
    found = dict(re.findall(r"^(\w+)(?:: [\w\[\]]+)? = '([^']+)'$", text, re.MULTILINE))
    return TorchBuild(
        found.get("__version__", ""),
        *(found.get(toolkit, "") for toolkit in ("cuda", "hip", "xpu")),
    )


@dataclass(frozen=True)
class Slice:
    """A MIG compute instance: what CUDA takes of a board in MIG mode."""

    uuid: str
    gpu_instance: int
    compute_instance: int


@dataclass(frozen=True)
class Board:
    """An NVIDIA GPU.

    Attributes:
        uuid: begins with "GPU-"; empty where the driver does not say.
        mig: whether it is in MIG mode. Then CUDA never takes it as a whole.
        slices: its compute instances, in the order of the driver.
    """

    uuid: str
    mig: bool = False
    slices: tuple[Slice, ...] = ()


def visible_devices(
    value: str | None, boards: Sequence[Board]
) -> tuple[tuple[int, int | None], ...]:
    """The devices that CUDA shows under a given CUDA_VISIBLE_DEVICES.

    CUDA's rules: the first entry decides whether all are numbers, "GPU-" UUIDs (a unique beginning
    is enough) or MIG names ("MIG-" UUIDs, or the older "MIG-GPU-…/1/0"); whatever follows an
    invalid entry is ignored; an entry given twice hides everything. As soon as a visible board is
    in MIG mode, CUDA shows the first compute instance and nothing else; a board in MIG mode that
    has none is left out.

    Numbers are taken as NVML's, which count in PCI order. CUDA counts so only under
    CUDA_DEVICE_ORDER=PCI_BUS_ID and otherwise puts the fastest board first, so on a machine with
    unlike boards a number can mean another board here. UUIDs are exact in either order.

    Args:
        value: the variable's value; None when it is not set.
        boards: in NVML's order.

    Returns:
        Of each device, in CUDA's order, the board and which of its slices; None: the whole board.
    """
    named: list[tuple[int, int | None] | None]
    if value is None:
        return _taken([(i, None) for i in range(len(boards))], boards)
    entries = value.split(",")
    if entries[0].startswith("MIG-"):
        named = [_slice_of(entry, boards) for entry in entries]
    elif entries[0].startswith("GPU-"):
        named = [_board_of(entry, boards) for entry in entries]
    else:
        named = [_numbered(entry) for entry in entries]
    valid = [device for device in takewhile(lambda device: device is not None, named) if device]
    if len(set(valid)) < len(valid):
        return ()
    return _taken(list(takewhile(lambda device: device[0] < len(boards), valid)), boards)


def _taken(
    named: Sequence[tuple[int, int | None]], boards: Sequence[Board]
) -> tuple[tuple[int, int | None], ...]:
    for board, which in named:
        if boards[board].slices:
            return ((board, which or 0),)
    return tuple((board, None) for board, _ in named if not boards[board].mig)


def _slice_of(name: str, boards: Sequence[Board]) -> tuple[int, int | None] | None:
    for b, board in enumerate(boards):
        for s, part in enumerate(board.slices):
            older = f"MIG-{board.uuid}/{part.gpu_instance}/{part.compute_instance}"
            if name in (part.uuid, older):
                return b, s
    return None


def _board_of(prefix: str, boards: Sequence[Board]) -> tuple[int, int | None] | None:
    matches = [i for i, board in enumerate(boards) if board.uuid.startswith(prefix)]
    return (matches[0], None) if prefix.startswith("GPU-") and len(matches) == 1 else None


def _numbered(entry: str) -> tuple[int, int | None] | None:
    number = leading_integer(entry)
    return (number, None) if number >= 0 else None


def leading_integer(entry: str) -> int:
    """An entry of CUDA_VISIBLE_DEVICES as a number; −1 when it is none.

    CUDA reads with strtol: "1gpu" is 1, and what does not begin with a number is invalid.
    """
    # More digits than these are no GPU's, nor a number that Python would read.
    match = re.match(r"\s*([+-]?[0-9]{1,99})", entry)
    return int(match[1]) if match else -1


def visible_amd(environ: Mapping[str, str], uuids: Sequence[str]) -> tuple[int, ...]:
    """The AMD GPUs that HIP shows.

    ROCR_VISIBLE_DEVICES comes first, with numbers or "GPU-" UUIDs; HIP_VISIBLE_DEVICES, or
    CUDA_VISIBLE_DEVICES where that is not set or empty, then counts in what is left. Whatever
    follows an invalid entry, or one given twice, is ignored.

    Args:
        uuids: of every GPU, in the kernel's order.

    Returns:
        Positions in `uuids`, in HIP's order.
    """
    visible = list(range(len(uuids)))
    rocr = environ.get("ROCR_VISIBLE_DEVICES")
    if rocr is not None:
        visible = _listed(rocr, visible, uuids)
    hip = environ.get("HIP_VISIBLE_DEVICES") or environ.get("CUDA_VISIBLE_DEVICES")
    if hip:
        visible = _listed(hip, visible, uuids)
    return tuple(visible)


def _listed(value: str, among: Sequence[int], uuids: Sequence[str]) -> list[int]:
    listed: list[int] = []
    for entry in value.split(","):
        entry = entry.strip()
        if entry.startswith("GPU-"):
            found = [i for i in among if uuids[i].lower() == entry.lower()]
        else:
            number = int(entry) if re.fullmatch(r"[0-9]{1,9}", entry) else -1
            found = [among[number]] if 0 <= number < len(among) else []
        if not found or found[0] in listed:
            break
        listed += found
    return listed
