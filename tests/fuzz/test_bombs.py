"""Small files that announce much: read in a process that has little memory, and refused there."""

from __future__ import annotations

import gzip
import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Bytes that reading may take, beside what the process has when it begins.
_ROOM = 384 << 20

READ = """
import resource, sys
from pathlib import Path
import torch, engine.sampling, engine.importing
from engine.errors import EngineError
from engine.data import idx
from engine.data.pictures import load_picture
from engine.images import read_png
from engine.importing import import_article
from engine.runs.curves import CurveReader
from engine.runs.folder import Run
from engine.runs.metrics import Metrics
from engine.runs.summary import summary
from engine.sampling import load_trained
from engine.takes.files import read_recipe
from engine.takes.sources import _read_npy
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[3]),) * 2)
path = Path(sys.argv[2])
try:
    print("read", {read})
except (EngineError, OSError) as error:
    print("refused", str(error)[:300])
"""


def png(width: int, height: int) -> bytes:
    """A whole picture of zeros in very few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    layout = b"ddpm-tui\0" + json.dumps({"num": 1, "height": height, "width": width}).encode()
    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    packed = b"".join(packer.compress(row) for _ in range(min(height, 20_000))) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
            chunk(b"tEXt", layout),
            chunk(b"IDAT", packed),
            chunk(b"IEND", b""),
        )
    )


def _idx(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def _npy(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def _webp() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (9000, 9000)).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def _recipe(**values: object) -> bytes:
    from tests.fuzz.parsers import PARSERS

    return json.dumps({**json.loads(PARSERS["recipe"].seeds[0]), **values}).encode()


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "idx of 2³¹ pictures": (lambda: _idx(2**31, 28, 28), "idx.read(path).shape"),
    "idx of 2³² labels": (lambda: _idx(2**32 - 1) + b"\0" * 99, "idx.read(path).shape"),
    "gzip of a gigabyte": (
        lambda: gzip.compress(_idx(250_000_000) + bytes(1 << 30)),
        "idx.read(path, max_bytes=1 << 27).shape",
    ),
    "PNG of a gigapixel": (lambda: png(30_000, 30_000), "load_picture(path, (1, 28, 28))"),
    "grid of a gigapixel": (lambda: png(30_000, 30_000), "read_png(path)"),
    "WebP of 81 megapixels": (_webp, "load_picture(path, (1, 28, 28))"),
    "npy of 2⁶⁰ pictures": (lambda: _npy((2**60, 1, 28, 28)), "_read_npy(path).shape"),
    "a recipe of a billion rounds": (
        lambda: _recipe(turns=["900 inpaint mask=left resample=1000000000"]),
        "__import__('tests.fuzz.parsers').fuzz.parsers._recipe_read(path)",
    ),
    "deep JSON": (lambda: b'{"a":' * 10**6 + b"}" * 10**6, "read_recipe(path)"),
    "a row of 100 MB": (
        lambda: b'{"step": 1, "loss": "' + b"x" * 10**8 + b'"}\n',
        "(Metrics(path).read_all() and CurveReader(path).poll(60))",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(name: str, tmp_path: Path) -> None:
    make, read = BOMBS[name]
    path = tmp_path / "bomb"
    path.write_bytes(make())
    done = _with_little_memory(read, path)
    assert done.startswith(("refused", "read")), done


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "size"), [("run.json", 10**11), ("status.json", 10**11), ("config.toml", 10**11)]
)
def test_a_file_of_any_size_is_read_up_to_a_bound(file: str, size: int, tmp_path: Path) -> None:
    from tests.fuzz.parsers import _run

    run = _run(tmp_path)
    with (run.path / file).open("ab") as hole:
        hole.truncate(size)
    said = _with_little_memory("summary(Run(path))", run.path)
    assert "unreadable" in said
    assert "has more than" in said


@pytest.mark.slow
@pytest.mark.parametrize("width", [2**14, 2**20, 2**40])
def test_a_config_of_a_huge_network_takes_no_memory(width: int, tmp_path: Path, tiny_run) -> None:
    text = tiny_run.config_path.read_text()
    assert "block_out_channels = [8, 16]" in text
    tiny_run.config_path.write_text(
        text.replace("block_out_channels = [8, 16]", f"block_out_channels = [{width}, {width}]")
    )
    said = _with_little_memory("load_trained(Run(path), device='cpu')", tiny_run.path)
    assert "does not fit tiny's config" in said


@pytest.fixture
def tiny_run(tmp_path: Path):
    from engine.runs.folder import Run
    from tests.tui.conftest import train

    return Run(train(tmp_path / "runs", "tiny") / "tiny")


def _with_little_memory(read: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", READ.replace("{read}", read), "-", str(path), str(_ROOM)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
