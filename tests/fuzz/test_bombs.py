"""Small files that announce much: read in a process that has little memory, and refused there."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.runs.folder import Run
from tests.fuzz.parsers import PARSERS
from tests.tui.conftest import train

# Bytes that reading may take, beside what the process has when it begins.
_ROOM = 384 << 20

READ = """
import json, resource, sys
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
for name, read, path in json.loads(sys.argv[2]):
    path = Path(path)
    try:
        said = f"read {eval(read)!s:.300}"
    except (EngineError, OSError) as error:
        said = f"refused {error!s:.300}"
    print(json.dumps([name, said]), flush=True)
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
        "len(Metrics(path).read_all()) == 0 and not CurveReader(path).poll(60)",
    ),
}


FILES = ("run.json", "status.json", "config.toml")
WIDTHS = (2**14, 2**20, 2**40)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each, in one process that has little memory for all of them."""
    folder = tmp_path_factory.mktemp("bombs")
    asked = []
    for number, (name, (make, read)) in enumerate(BOMBS.items()):
        path = folder / f"bomb{number}"
        path.write_bytes(make())
        asked.append((name, read, str(path)))
    tiny = Run(train(folder / "runs", "tiny") / "tiny")
    for file in FILES:
        run = Run(Path(shutil.copytree(tiny.path, folder / "runs" / file)))
        with (run.path / file).open("ab") as hole:
            hole.truncate(10**11)
        asked.append((file, "summary(Run(path))", str(run.path)))
    for width in WIDTHS:
        run = Run(Path(shutil.copytree(tiny.path, folder / f"runs/w{width}")))
        text = run.config_path.read_text()
        assert "block_out_channels = [8, 16]" in text
        wide = f"block_out_channels = [{width}, {width}]"
        run.config_path.write_text(text.replace("block_out_channels = [8, 16]", wide))
        asked.append((str(width), "load_trained(Run(path), device='cpu')", str(run.path)))
    done = subprocess.run(
        [sys.executable, "-c", READ, "-", json.dumps(asked), str(_ROOM)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(name: str, said: dict[str, str]) -> None:
    assert said[name].startswith("read True" if "row" in name else "refused"), said[name]


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_a_file_of_any_size_is_read_up_to_a_bound(file: str, said: dict[str, str]) -> None:
    if file == "status.json":  # what the run has come to is known without it
        assert "its status was lost" in said[file]
    else:
        assert "'unreadable'" in said[file]
        assert "has more than" in said[file]


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_config_of_a_huge_network_takes_no_memory(width: int, said: dict[str, str]) -> None:
    # By its shapes, and not because there was no memory for it.
    assert re.search(r"does not fit \w+'s config: (too many|Storage size)", said[str(width)])
