"""A data set as tensors: verified on the way in, and mapped to [−1, 1] and back without loss."""

from __future__ import annotations

import gzip
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

import engine.data
from engine.data import idx, sources
from engine.data.dataset import Dataset, load
from engine.data.range import to_uint8, to_unit
from engine.errors import ConfigError, DataError

BUILT_IN = Path(str(resources.files("engine.data.builtin")))
# The whole Fashion-MNIST only where the machine has it; the built-in set takes its place elsewhere.
HERE = ["fashion-mnist-10k"] + ["fashion-mnist"] * Path(
    "/usr/share/datasets/fashion-mnist"
).exists()


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DDPM_TUI_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load("fashion-mnist-10k")


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """The built-in files in a folder of ours, in their place, so that they can be spoilt."""
    folder = tmp_path / "copy"
    shutil.copytree(BUILT_IN, folder)
    monkeypatch.setattr(sources, "_built_in_folder", lambda: folder)
    return folder


@pytest.mark.parametrize("name", HERE)
def test_a_loaded_data_set(name) -> None:
    source = sources.get(name)
    dataset = load(name)
    assert (dataset.name, dataset.origin) == (name, sources.find(name).origin)
    assert dataset.class_names == source.class_names
    assert dataset.images.shape == (source.train_count, 1, 28, 28)
    assert dataset.test_images.shape == (source.test_count, 1, 28, 28)
    assert dataset.labels.shape == (source.train_count,)
    assert dataset.test_labels.shape == (source.test_count,)
    assert dataset.images.dtype == dataset.test_images.dtype == torch.uint8
    assert dataset.labels.dtype == dataset.test_labels.dtype == torch.int64
    assert dataset.labels.unique().tolist() == list(range(10))
    assert len(dataset) == source.train_count
    assert dataset.image_shape == (1, 28, 28)


def test_pictures_are_those_of_the_file_in_its_order(dataset) -> None:
    pixels = gzip.decompress((BUILT_IN / "train-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((BUILT_IN / "train-labels-idx1-ubyte.gz").read_bytes())[8:]
    assert dataset.images.numpy().tobytes() == pixels
    assert dataset.labels.tolist() == list(labels)


def test_no_held_out_picture_is_trained_on(dataset) -> None:
    train = {image.numpy().tobytes() for image in dataset.images}
    assert not any(image.numpy().tobytes() in train for image in dataset.test_images)


def test_a_batch_is_gathered_and_normalised(dataset) -> None:
    indices = torch.tensor([9_999, 0, 17, 0])
    batch = dataset.batch(indices)
    assert batch.dtype == torch.float32
    assert batch.shape == (4, 1, 28, 28)
    assert torch.equal(batch[1], batch[3])
    expected = dataset.images[indices].double() / 127.5 - 1
    assert torch.allclose(batch.double(), expected, atol=1e-6)
    assert (batch.min(), batch.max()) == (-1, 1)


def test_a_batch_leaves_the_data_set_as_it_was(dataset) -> None:
    before = dataset.images[:8].clone()
    dataset.batch(range(8)).zero_()
    assert torch.equal(dataset.images[:8], before)


def test_a_batch_takes_any_sequence_and_refuses_what_is_out_of_range(dataset) -> None:
    assert torch.equal(
        dataset.batch([3, 1]), dataset.batch(torch.tensor([3, 1], dtype=torch.int32))
    )
    with pytest.raises(IndexError):
        dataset.batch([10_000])


def test_a_data_set_prints_in_one_line_without_its_pictures(dataset) -> None:
    assert "origin='built in'" in repr(dataset)
    assert "tensor" not in repr(dataset)


def test_data_sets_compare_as_objects_not_pixel_by_pixel(dataset) -> None:
    assert dataset == dataset
    assert dataset != load("fashion-mnist-10k")


def test_tensors_go_to_the_device_that_is_asked_for() -> None:
    dataset = load("fashion-mnist-10k", device="meta")
    assert dataset.device == torch.device("meta")
    assert dataset.labels.device == dataset.test_images.device == dataset.device


def test_every_pixel_value_survives_the_map_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_unit(pixels)), pixels)
    assert (to_unit(pixels)[0], to_unit(pixels)[255]) == (-1, 1)


def test_the_map_is_fixed_whatever_else_is_in_the_picture() -> None:
    grey = torch.tensor([[-0.5, 0.0, 0.5]])
    assert to_uint8(grey).tolist() == [[64, 128, 191]]
    assert to_uint8(torch.cat([grey, grey * 100]))[0].tolist() == [64, 128, 191]


def test_values_out_of_range_saturate_and_nan_is_black() -> None:
    x = torch.tensor([-7.0, 7.0, float("-inf"), float("inf"), float("nan")])
    assert to_uint8(x).tolist() == [0, 255, 0, 255, 0]


def test_the_map_leaves_its_argument_alone() -> None:
    x = torch.tensor([0.25], requires_grad=True)
    to_uint8(x)
    assert x.item() == 0.25
    pixels = torch.tensor([7], dtype=torch.uint8)
    to_unit(pixels)
    assert pixels.item() == 7


def test_half_precision_is_mapped_in_full_precision() -> None:
    x = torch.linspace(-1, 1, 101).bfloat16()
    assert torch.equal(to_uint8(x), to_uint8(x.float()))


@pytest.mark.parametrize("file", sources.FILES)
def test_a_file_with_one_bit_changed_is_refused_by_its_hash(copy, file) -> None:
    path = copy / f"{file}.gz"
    array = idx.read(path)
    array.reshape(-1)[-1] ^= 1
    idx.write(path.with_suffix(""), array)
    path.write_bytes(path.with_suffix("").read_bytes())
    with pytest.raises(DataError) as refusal:
        load("fashion-mnist-10k")
    found = idx.read_hashed(path)[1]
    expected = sources.get("fashion-mnist-10k").sha256[file]
    assert str(path) in refusal.value.message
    assert f"is {found[:12]}…, not {expected[:12]}…" in refusal.value.message
    assert "Reinstall ddpm-tui" in refusal.value.hint


def test_a_file_of_another_size_is_refused_by_its_shape(copy) -> None:
    path = copy / "train-images-idx3-ubyte.gz"
    idx.write(path, np.zeros((10_000, 32, 32), np.uint8))
    with pytest.raises(DataError, match="holds 10000×32×32 bytes, not 10000×28×28"):
        load("fashion-mnist-10k")


def test_a_truncated_file_is_refused_and_says_what_to_do(copy) -> None:
    path = copy / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1_000])
    with pytest.raises(DataError) as refusal:
        load("fashion-mnist-10k")
    assert f"{path} is truncated" in refusal.value.message
    assert "Reinstall" in refusal.value.hint


def test_a_file_compressed_anew_is_the_same_file(copy) -> None:
    path = copy / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))
    assert len(load("fashion-mnist-10k")) == 10_000


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_other_pictures_under_the_name_of_a_data_set_are_refused(tmp_path, name) -> None:
    shutil.copytree(BUILT_IN, tmp_path / "mine" / name)
    with pytest.raises(DataError) as refusal:
        load(name, data_dir=tmp_path / "mine")
    assert f"is not {name}'s train-images-idx3-ubyte" in refusal.value.message
    assert f"`ddpm-tui data get {name}`" in refusal.value.hint


def test_right_sizes_are_not_enough_for_mnist(tmp_path) -> None:
    source = sources.get("mnist")
    folder = tmp_path / "mine" / "mnist"
    folder.mkdir(parents=True)
    for file in sources.FILES:
        idx.write(folder / file, np.zeros(source.shape_of(file), np.uint8))
    with pytest.raises(DataError, match="is not mnist's train-images-idx3-ubyte or was altered"):
        load("mnist", data_dir=tmp_path / "mine")


def test_loading_never_downloads(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sources, "SYSTEM_ROOT", tmp_path / "system")
    monkeypatch.setattr("socket.socket", lambda *_, **__: pytest.fail("the network was touched"))
    with pytest.raises(DataError, match="the data set mnist is not on this machine"):
        load("mnist")


def test_an_unknown_name_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no data set 'fashion'"):
        load("fashion")


def test_the_package_gives_the_public_names_and_no_others() -> None:
    assert all(getattr(engine.data, name) is not None for name in engine.data.__all__)
    assert engine.data.load is load
    assert set(engine.data.__all__) == set(dir(engine.data))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        engine.data.nothing  # noqa: B018
