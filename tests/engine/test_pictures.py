"""Pictures and masks of a person's own: any kind is read, what does not fit is refused clearly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data import pictures
from engine.data.pictures import NAMED_MASKS, load_mask, load_picture, named_mask
from engine.errors import ConfigError, DataError

GREY, COLOUR = (1, 28, 28), (3, 28, 28)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def test_a_picture_of_the_right_kind_is_read_to_the_bit(tmp_path: Path) -> None:
    grey, colour = noise(28, 28), noise(28, 28, 3)
    read = load_picture(save(tmp_path / "a.png", grey), GREY)
    assert read.dtype == torch.uint8
    assert np.array_equal(read.numpy(), grey[None])
    read = load_picture(save(tmp_path / "b.png", colour), COLOUR)
    assert np.array_equal(read.numpy(), colour.transpose(2, 0, 1))


def test_grey_becomes_colour_and_colour_grey(tmp_path: Path) -> None:
    grey = noise(28, 28)
    read = load_picture(save(tmp_path / "a.png", grey), COLOUR)
    assert np.array_equal(read.numpy(), np.stack([grey] * 3))
    read = load_picture(save(tmp_path / "b.png", np.stack([grey] * 3, axis=-1)), GREY)
    assert np.array_equal(read.numpy(), grey[None])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_every_mode_is_read(tmp_path: Path, mode, shape) -> None:
    picture = Image.new("RGB", (28, 28), (255, 255, 255)).convert(mode)
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    picture.save(path)
    read = load_picture(path, shape)
    assert tuple(read.shape) == shape
    assert (read == 255).all()


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    pixels = np.full((28, 28), 0x8000, dtype=np.uint16)
    assert (load_picture(save(tmp_path / "a.png", pixels), GREY) == 0x80).all()


def test_transparent_parts_are_black(tmp_path: Path) -> None:
    pixels = np.full((28, 28, 4), 255, dtype=np.uint8)
    pixels[:14, :, 3] = 0
    read = load_picture(save(tmp_path / "a.png", pixels), GREY)
    assert (read[:, :14] == 0).all()
    assert (read[:, 14:] == 255).all()


def test_a_photo_is_turned_as_the_camera_noted(tmp_path: Path) -> None:
    pixels = np.zeros((28, 28), dtype=np.uint8)
    pixels[:14] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    read = load_picture(save(tmp_path / "a.png", pixels, exif=exif), GREY)
    assert (read[:, 14:] == 255).all()


@pytest.mark.parametrize("size", [(28, 27), (14, 28), (1, 1), (300, 200)])
def test_another_size_is_refused_unless_it_may_be_scaled(tmp_path: Path, size) -> None:
    path = save(tmp_path / "a.png", noise(*size[::-1]))
    with pytest.raises(DataError, match=rf"{size[0]}×{size[1]} pixels.*28×28.*--resize"):
        load_picture(path, GREY)
    assert tuple(load_picture(path, GREY, resize=True).shape) == GREY


def test_scaling_takes_the_middle_and_keeps_proportions(tmp_path: Path) -> None:
    pixels = np.zeros((56, 112), dtype=np.uint8)
    pixels[:, 28:84] = 255
    assert (load_picture(save(tmp_path / "a.png", pixels), GREY, resize=True) > 230).all()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0\n"])
def test_what_is_no_picture_is_refused(tmp_path: Path, content) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png"):
        load_picture(path, GREY)


def test_a_truncated_picture_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.png", noise(28, 28)).read_bytes()
    path = tmp_path / "a.png"
    for length in range(0, len(whole) - 20, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.png"):
            load_picture(path, GREY)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load_picture(tmp_path / "a.png", GREY)
    with pytest.raises(DataError, match="Is a directory"):
        load_picture(tmp_path, GREY)


def test_a_picture_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch) -> None:
    path = save(tmp_path / "a.png", noise(28, 28))
    monkeypatch.setattr(pictures, "MAX_PIXELS", 28 * 28 - 1)
    with pytest.raises(DataError, match="too large"):
        load_picture(path, GREY)
    # Pillow's own limit, which refuses before ours is asked.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="too large"):
        load_picture(path, GREY)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tiff", np.zeros((28, 28), dtype=np.float32))
    with pytest.raises(DataError, match="floating-point"):
        load_picture(path, GREY)


# --- masks ---


def test_a_mask_is_painted_where_it_is_at_least_half_white(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask = load_mask(save(tmp_path / "a.png", pixels), 16, 16)
    assert mask.dtype == torch.bool
    assert np.array_equal(mask.numpy(), pixels >= 128)


def test_a_mask_of_another_size_is_refused_unless_it_may_be_scaled(tmp_path: Path) -> None:
    pixels = np.zeros((56, 56), dtype=np.uint8)
    pixels[:, 28:] = 255
    path = save(tmp_path / "a.png", pixels)
    with pytest.raises(DataError, match="56×56"):
        load_mask(path, 28, 28)
    assert torch.equal(load_mask(path, 28, 28, resize=True), named_mask("right", 28, 28))


def test_a_mask_with_nothing_to_paint_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((28, 28), 127, dtype=np.uint8))
    with pytest.raises(DataError, match="nothing white"):
        load_mask(path, 28, 28)


@pytest.mark.parametrize("size", [(28, 28), (7, 9), (3, 2)])
def test_named_masks_paint_a_part(size) -> None:
    masks = {name: named_mask(name, *size) for name in NAMED_MASKS}
    for mask in masks.values():
        assert tuple(mask.shape) == size
        assert mask.any()
    assert torch.equal(masks["left"], ~masks["right"])
    assert torch.equal(masks["top"], ~masks["bottom"])
    assert masks["top"][0].all()
    assert masks["left"][:, 0].all()
    if size == (28, 28):
        assert masks["centre"][7:21, 7:21].all()
        assert int(masks["centre"].sum()) == 14 * 14


def test_a_mask_of_no_known_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="left, right"):
        named_mask("diagonal", 28, 28)
