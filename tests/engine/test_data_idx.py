"""IDX files: what is written reads back, and nothing that is not whole and exact is accepted."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tracemalloc
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from engine.data import idx
from engine.errors import DataError

BUILT_IN = Path(str(resources.files("engine.data.builtin")))

PICTURES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
WHOLE = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4) + PICTURES.tobytes()


def file_with(tmp_path: Path, content: bytes, name: str = "pictures") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@given(
    array=arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, max_side=5)),
    suffix=st.sampled_from(["", ".gz"]),
)
def test_what_is_written_reads_back(tmp_path_factory, array, suffix) -> None:
    path = tmp_path_factory.mktemp("idx") / f"array{suffix}"
    idx.write(path, array)
    read = idx.read(path)
    assert read.dtype == np.uint8
    assert np.array_equal(read, array)
    assert read.shape == array.shape


def test_the_layout_is_that_of_mnist(tmp_path) -> None:
    path = tmp_path / "pictures"
    idx.write(path, PICTURES)
    assert path.read_bytes() == WHOLE


def test_real_pictures_and_labels_read() -> None:
    images = idx.read(BUILT_IN / "train-images-idx3-ubyte.gz")
    labels = idx.read(BUILT_IN / "train-labels-idx1-ubyte.gz")
    assert images.shape == (10_000, 28, 28)
    assert labels.shape == (10_000,)
    assert images.max() == 255
    assert set(labels) == set(range(10))


def test_the_hash_is_that_of_the_decompressed_file(tmp_path) -> None:
    expected = hashlib.sha256(WHOLE).hexdigest()
    for path in (
        file_with(tmp_path, WHOLE, "plain"),
        file_with(tmp_path, gzip.compress(WHOLE, 1), "fast.gz"),
        file_with(tmp_path, gzip.compress(WHOLE, 9), "small.gz"),
    ):
        assert idx.read_hashed(path)[1] == expected


def test_a_compressed_file_is_the_same_bytes_each_time_and_names_neither_file_nor_time(
    tmp_path,
) -> None:
    first, second = tmp_path / "a.gz", tmp_path / "b.gz"
    idx.write(first, PICTURES)
    idx.write(second, PICTURES)
    assert first.read_bytes() == second.read_bytes()
    # RFC 1952: no flags (so no name), modification time 0.
    assert first.read_bytes()[3:8] == bytes(5)


def test_the_content_tells_whether_it_is_compressed_not_the_name(tmp_path) -> None:
    assert idx.read(file_with(tmp_path, WHOLE, "plain.gz")).shape == (2, 3, 4)
    assert idx.read(file_with(tmp_path, gzip.compress(WHOLE), "packed")).shape == (2, 3, 4)


def test_the_array_can_be_written_to(tmp_path) -> None:
    # torch.from_numpy warns about arrays that cannot.
    assert idx.read(file_with(tmp_path, WHOLE)).flags.writeable


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an IDX file: it begins with nothing"),
        (b"<!DOCTYPE html>", "not an IDX file: it begins with 3c 21 44 4f"),
        (b"\0\0\x0d\x01" + struct.pack(">If", 1, 0.5), "IDX type 0d, not unsigned bytes"),
        (b"\0\0\x08\0", "announces 0 dimensions"),
        (b"\0\0\x08\xff" + bytes(1020), "announces 255 dimensions"),
        (WHOLE[:9], "ends within its header"),
        (b"\0\0\x08\x02" + struct.pack(">2I", 5, 0), "is empty: it announces 5×0"),
        (WHOLE[:-1], "truncated: it announces 2×3×4 = 24 bytes and holds 23"),
        (WHOLE + b"\0", "goes on after the 2×3×4 = 24 bytes"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_a_file_that_is_not_exactly_idx_is_refused(tmp_path, content, said, compressed) -> None:
    path = file_with(tmp_path, gzip.compress(content) if compressed else content)
    with pytest.raises(DataError) as refusal:
        idx.read(path)
    assert said in refusal.value.message
    assert str(path) in refusal.value.message


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda packed: packed[:-9], "is truncated"),
        (lambda packed: packed[:-1], "is truncated"),
        (lambda packed: packed[:5], "is truncated"),
        (lambda packed: packed + b"garbage", "goes on after its end"),
        (lambda packed: packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:], "is damaged"),
        (lambda packed: packed[:10] + b"\xff" * 8 + packed[18:], "is damaged"),
    ],
    ids=["body cut", "trailer cut", "header cut", "more after it", "checksum", "deflate stream"],
)
def test_a_damaged_gzip_file_is_refused(tmp_path, damage, said) -> None:
    path = file_with(tmp_path, damage(gzip.compress(WHOLE)), "pictures.gz")
    with pytest.raises(DataError) as refusal:
        idx.read(path)
    assert said in refusal.value.message
    assert str(path) in refusal.value.message


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_real_file_cut_short_is_refused(tmp_path, cut) -> None:
    whole = (BUILT_IN / "t10k-images-idx3-ubyte.gz").read_bytes()
    path = file_with(tmp_path, whole[: int(len(whole) * cut)], "t10k-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match="is truncated"):
        idx.read(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\0\0\x08\x04" + b"\xff" * 16, id="announces 2^128 bytes"),
        pytest.param(b"\0\0\x08\x01" + struct.pack(">I", 200 * 2**20), id="announces 200 MiB"),
        pytest.param(
            b"\0\0\x08\x01" + struct.pack(">I", 16) + bytes(64 * 2**20), id="unpacks to 64 MiB"
        ),
    ],
)
def test_a_hostile_file_cannot_take_the_memory(tmp_path, content) -> None:
    path = file_with(tmp_path, gzip.compress(content, 1), "hostile.gz")
    del content
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            idx.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


def test_the_bound_on_the_size_is_exact(tmp_path) -> None:
    path = file_with(tmp_path, WHOLE)
    assert idx.read(path, max_bytes=24).size == 24
    with pytest.raises(DataError, match="24 bytes, more than the 23 accepted"):
        idx.read(path, max_bytes=23)


@pytest.mark.parametrize("path", ["absent", "."])
def test_what_cannot_be_opened_is_refused_by_name(tmp_path, path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: (No such file|Is a directory)"):
        idx.read(tmp_path / path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((), np.uint8),
        np.zeros((1,) * 5, np.uint8),
        np.zeros((3, 0), np.uint8),
    ],
    ids=["float", "scalar", "5 dimensions", "empty"],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, array) -> None:
    with pytest.raises(ValueError, match="cannot write"):
        idx.write(tmp_path / "array", array)
    assert not (tmp_path / "array").exists()
