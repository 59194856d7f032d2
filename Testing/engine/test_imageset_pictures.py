"""Pictures from files: every format, depth and kind of colour comes as its pixels; masks are read strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from MedSAM2Lib.errors import MedSAM2Error, PromptError, VolumeError
from MedSAM2Lib.volume.io.pictures import (
    is_picture,
    picture_stem,
    read_picture,
    read_picture_mask,
    write_picture_mask,
)
from Testing.engine.pictures import disc_picture, write_dicom


@pytest.fixture
def grey() -> NDArray[np.uint8]:
    return disc_picture(3, (20, 30))[0]


@pytest.fixture
def colour(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([grey, 255 - grey, grey // 2], axis=-1)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "TIFF"])
def test_lossless_files_come_as_they_are(tmp_path: Path, suffix: str, grey: NDArray, colour: NDArray) -> None:
    for pixels in (grey, colour):
        path = tmp_path / f"one.{suffix}"
        Image.fromarray(pixels).save(path)
        assert np.array_equal(read_picture(path).pixels, pixels)


def test_a_jpeg_comes_nearly_so(tmp_path: Path, grey: NDArray) -> None:
    path = tmp_path / "one.jpg"
    Image.fromarray(grey).save(path, quality=95)
    assert np.abs(read_picture(path).pixels.astype(int) - grey).mean() < 4


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_keep_their_values(tmp_path: Path, suffix: str, grey: NDArray) -> None:
    deep = grey.astype(np.uint16) * 200 + 7
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(deep).save(path)
    assert np.array_equal(read_picture(path).pixels, deep)


def test_floats_without_a_value_get_the_lowest_one(tmp_path: Path, grey: NDArray) -> None:
    values = grey.astype(np.float32)
    values[2, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "f.tif")
    read = read_picture(tmp_path / "f.tif").pixels
    assert read[2, 3] == np.nanmin(values)
    assert read[4, 5] == values[4, 5]


def test_what_is_transparent_shows_black_in_that_measure(tmp_path: Path, grey: NDArray) -> None:
    alpha = np.full_like(grey, 255)
    alpha[:5], alpha[5:10] = 0, 128
    Image.fromarray(np.stack([grey, grey, grey, alpha], axis=-1)).save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png").pixels
    assert read.ndim == 2
    assert not read[:5].any()
    assert np.abs(read[5:10].astype(int) - grey[5:10] * 128.0 / 255).max() <= 1
    assert np.array_equal(read[10:], grey[10:])


def test_palettes_are_looked_up(tmp_path: Path, grey: NDArray) -> None:
    image = Image.fromarray(grey // 128).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50] + [0] * 762)
    image.save(tmp_path / "p.png")
    read = read_picture(tmp_path / "p.png").pixels
    assert set(map(tuple, read.reshape(-1, 3))) == {(10, 20, 30), (200, 100, 50)}
    assert np.array_equal(read[..., 0] == 200, grey >= 128)


def test_colours_that_are_all_grey_come_as_grey(tmp_path: Path, grey: NDArray) -> None:
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "g.png")
    assert np.array_equal(read_picture(tmp_path / "g.png").pixels, grey)


def test_dicom_comes_as_its_values_whatever_its_name(tmp_path: Path, grey: NDArray, colour: NDArray) -> None:
    deep = grey.astype(np.int16) * 9 - 1000
    assert np.array_equal(read_picture(write_dicom(tmp_path / "1.2.840.1", deep)).pixels, deep)
    assert np.array_equal(read_picture(write_dicom(tmp_path / "c.dcm", colour, "RGB")).pixels, colour)
    turned = read_picture(write_dicom(tmp_path / "m1.dcm", grey, "MONOCHROME1")).pixels
    assert np.array_equal(turned, 255 - grey)
    assert is_picture(tmp_path / "1.2.840.1")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n and then nothing"])
@pytest.mark.parametrize("suffix", ["png", "dcm", "tif"])
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"bad\."):
        read_picture(path)


def test_a_cut_off_file_is_refused(tmp_path: Path, grey: NDArray) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(VolumeError, match="damaged, incomplete"):
        read_picture(path)


def test_a_picture_of_very_many_pixels_is_read_without_a_word_and_a_larger_one_refused_as_that(
    tmp_path: Path, grey: NDArray, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    Image.fromarray(grey).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", grey.size - 1)
    assert np.array_equal(read_picture(tmp_path / "large.png").pixels, grey)
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", grey.size // 4)
    with pytest.raises(VolumeError, match="more pixels than can be read") as caught:
        read_picture(tmp_path / "large.png")
    assert caught.value.code == "E_PICTURE_LARGE"


def test_several_pages_or_frames_are_refused(tmp_path: Path, grey: NDArray) -> None:
    page = Image.fromarray(grey)
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
    write_dicom(tmp_path / "frames.dcm", grey, frames=3)
    for name in ("pages.tif", "frames.dcm"):
        with pytest.raises(VolumeError, match="pages or frames"):
            read_picture(tmp_path / name)


def test_a_mask_comes_back_as_it_was_written(tmp_path: Path) -> None:
    mask = disc_picture(1, (21, 33))[1]
    write_picture_mask(tmp_path / "m.png", mask)
    assert set(np.unique(np.asarray(Image.open(tmp_path / "m.png")))) == {0, 255}
    assert np.array_equal(read_picture_mask(tmp_path / "m.png", mask.shape), mask)
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (np.zeros((4, 5), np.uint8), "E_MASK_EMPTY"),
        (np.ones((5, 4), np.uint8), "E_MASK_SIZE"),
        (np.arange(20, dtype=np.uint8).reshape(4, 5), "E_MASK_VALUES"),
        (np.arange(60, dtype=np.uint8).reshape(4, 5, 3), "E_MASK_COLOUR"),
    ],
)
def test_what_is_no_mask_of_the_image_is_refused(tmp_path: Path, pixels: NDArray, code: str) -> None:
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(PromptError) as caught:
        read_picture_mask(tmp_path / "m.png", (4, 5))
    assert caught.value.code == code


def test_only_known_endings_are_cut_off_a_name() -> None:
    names = {"a.png": "a", "a.b.JPG": "a.b", "x.dcm": "x", "1.2.840.17": "1.2.840.17"}
    assert {name: picture_stem(name) for name in names} == names
    assert issubclass(VolumeError, MedSAM2Error)
