"""AMD's GPUs as Linux shows them in sysfs: their names, load, memory, temperature and power."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DRM = Path("/sys/class/drm")
_AMD = "0x1002"


@dataclass(frozen=True)
class AmdBoard:
    """One GPU.

    Attributes:
        folder: its device folder in sysfs.
        pci: domain:bus:device, as `0000:65:00`.
        name: what its firmware calls it, unfiltered; often nothing better than "AMD GPU".
        uuid: as ROCR_VISIBLE_DEVICES spells it; empty where the kernel does not say.
    """

    folder: Path
    pci: str
    name: str
    uuid: str


def amd_boards(drm: Path = DRM) -> list[AmdBoard]:
    """Every AMD GPU, by the numbers of the kernel's cards.

    Args:
        drm: `/sys/class/drm`.
    """
    cards = [card for card in drm.glob("card*") if card.name.removeprefix("card").isdecimal()]
    boards = []
    for card in sorted(cards, key=lambda card: int(card.name.removeprefix("card"))):
        folder = (card / "device").resolve()
        if _text(folder / "vendor") == _AMD:
            unique = _text(folder / "unique_id")
            boards.append(
                AmdBoard(
                    folder,
                    pci=folder.name.rpartition(".")[0],
                    name=_text(folder / "product_name") or "AMD GPU",
                    uuid=f"GPU-{unique}" if unique else "",
                )
            )
    return boards


@dataclass(frozen=True)
class AmdFigures:
    """What a GPU does at one moment; None is what its driver does not report.

    Attributes:
        utilization: 0–100 %.
        memory_used, memory_total: bytes.
        temperature: °C, of the edge of the chip.
        power, power_limit: W.
    """

    utilization: int | None
    memory_used: int | None
    memory_total: int | None
    temperature: int | None
    power: float | None
    power_limit: float | None


def read_amd(board: AmdBoard) -> AmdFigures:
    """Read the files of one GPU; never raises."""
    folder = board.folder
    busy = _number(folder / "gpu_busy_percent")
    sensors = next(iter(sorted(folder.glob("hwmon/hwmon*"))), folder / "hwmon")
    heat = _number(sensors / "temp1_input")
    power = _number(sensors / "power1_average")
    if power is None:
        power = _number(sensors / "power1_input")  # what newer chips have instead
    limit = _number(sensors / "power1_cap")
    return AmdFigures(
        utilization=None if busy is None else min(busy, 100),
        memory_used=_number(folder / "mem_info_vram_used"),
        memory_total=_number(folder / "mem_info_vram_total"),
        temperature=None if heat is None else round(heat / 1000),  # in thousandths
        power=None if power is None else power / 1e6,  # in millionths
        power_limit=None if limit is None else limit / 1e6,
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
