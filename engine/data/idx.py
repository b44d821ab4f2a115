"""IDX, the file format of MNIST and its descendants: a magic number, the dimensions, the values.

    00 00 08 03   two zeros, the type (08 = unsigned byte), the number of dimensions
    00 00 ea 60   each dimension as a big-endian 32-bit integer, the outermost first
    00 00 00 1c
    00 00 00 1c
    …             the values, row-major

A header is not believed: memory grows with the bytes that really arrive, and never past a bound.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError

# Fashion-MNIST's largest file holds 47 MB.
MAX_BYTES = 256 * 2**20

_UNSIGNED_BYTE = 0x08
_MAX_DIMS = 4
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**20


def read(path: Path, *, max_bytes: int = MAX_BYTES) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzip-compressed or not (the content tells, not the name).

    Args:
        path: the file.
        max_bytes: the most values that are accepted, in bytes.

    Returns:
        A writable uint8 array of the file's shape, of 1 to 4 dimensions, none of them empty.

    Raises:
        DataError: the file cannot be read, is not IDX, is truncated or damaged, is larger than
            `max_bytes`, or goes on after its last value.
    """
    return read_hashed(path, max_bytes=max_bytes)[0]


def read_hashed(path: Path, *, max_bytes: int = MAX_BYTES) -> tuple[NDArray[np.uint8], str]:
    """Like `read`, and the SHA-256 of the decompressed file, header included, in hexadecimal."""
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] != _GZIP_MAGIC:
                return _read_stream(file, path, max_bytes)
            with gzip.GzipFile(fileobj=file) as stream:
                return _read_stream(stream, path, max_bytes)
    except EOFError:
        raise DataError(f"{path} is truncated: its compressed data breaks off") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged or goes on after its end (as gzip: {error})") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_stream(
    stream: IO[bytes] | gzip.GzipFile, path: Path, max_bytes: int
) -> tuple[NDArray[np.uint8], str]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        found = magic.hex(" ") or "nothing"
        raise DataError(f"{path} is not an IDX file: it begins with {found}")
    if magic[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path} holds values of IDX type {magic[2]:02x}, not unsigned bytes (08)")
    ndim = magic[3]
    if not 1 <= ndim <= _MAX_DIMS:
        raise DataError(f"{path} announces {ndim} dimensions; 1 to {_MAX_DIMS} are understood")

    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise DataError(f"{path} is truncated: it ends within its header")
    shape: tuple[int, ...] = struct.unpack(f">{ndim}I", sizes)
    announced = f"{'×'.join(map(str, shape))} = {math.prod(shape):,} bytes"
    if 0 in shape:
        raise DataError(f"{path} is empty: it announces {announced}")
    if math.prod(shape) > max_bytes:
        raise DataError(f"{path} announces {announced}, more than the {max_bytes:,} accepted")

    values = bytearray()
    digest = hashlib.sha256(magic + sizes)
    while len(values) < math.prod(shape):
        chunk = stream.read(min(_CHUNK, math.prod(shape) - len(values)))
        if not chunk:
            raise DataError(
                f"{path} is truncated: it announces {announced} and holds {len(values):,}"
            )
        values += chunk
        digest.update(chunk)
    # For gzip this read matters twice over: only at the end does it compare its checksum.
    if stream.read(1):
        raise DataError(f"{path} goes on after the {announced} that it announces")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape), digest.hexdigest()


def write(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an array as an IDX file, compressed where the name ends in `.gz`.

    The same array gives the same bytes every time: neither a time nor a name goes into the gzip
    header. (A different zlib may still compress differently.)

    Args:
        path: the file; replaced where it exists.
        array: uint8, 1 to 4 dimensions, none of them empty.

    Raises:
        ValueError: the array is not of that kind.
        OSError: the file cannot be written.
    """
    if array.dtype != np.uint8 or not 1 <= array.ndim <= _MAX_DIMS or array.size == 0:
        raise ValueError(f"cannot write {array.dtype} of shape {array.shape} as IDX")
    header = bytes([0, 0, _UNSIGNED_BYTE, array.ndim]) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    content = header + array.tobytes()
    if path.suffix == ".gz":
        buffer = io.BytesIO()
        # Not gzip.compress: what it writes into the header varies with the version of Python.
        with gzip.GzipFile("", "wb", compresslevel=9, fileobj=buffer, mtime=0) as stream:
            stream.write(content)
        content = buffer.getvalue()
    path.write_bytes(content)
