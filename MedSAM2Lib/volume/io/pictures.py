"""2D pictures: PNG, JPEG, TIFF and BMP through Pillow, single-frame DICOM through SimpleITK; and masks of them."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image

from MedSAM2Lib.errors import PromptError, VolumeError
from MedSAM2Lib.types import BoolArray
from MedSAM2Lib.volume.io.dicom_files import read_header, starts_as_dicom
from MedSAM2Lib.volume.io.images import check_file
from MedSAM2Lib.volume.io.outputs import replacing
from MedSAM2Lib.volume.io.quiet import quiet

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
DICOM_SUFFIXES = (".dcm", ".dicom")

_DEEP_MODES = ("I", "F")
_DECODING_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error)


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels as stored: grey ``[rows, columns]`` of any real type, or colour uint8 ``[rows, columns, 3]``.

    ``modality`` is that of DICOM, else None.
    """

    pixels: NDArray
    modality: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]


def is_picture(path: Path) -> bool:
    """Whether a file is taken for a picture: by its name, or as a DICOM file whatever its name."""
    return path.suffix.lower() in (*PICTURE_SUFFIXES, *DICOM_SUFFIXES) or starts_as_dicom(path)


def picture_stem(name: str) -> str:
    """A picture's file name without its suffix; other endings, as in names made of UIDs, belong to the name."""
    path = Path(name)
    return path.stem if path.suffix.lower() in (*PICTURE_SUFFIXES, *DICOM_SUFFIXES) else name


def read_picture(path: Path) -> Picture:
    """One picture.

    8 and 16 bits, integers and floats are kept; colours of more than 8 bits come as 8; palettes are looked up; where
    all three colours are the same everywhere the picture is grey. What is transparent shows black in that measure.
    Rows and columns are as stored: a note to turn a JPEG is not followed. Raises VolumeError ``E_PICTURE_UNREADABLE``
    for what cannot be read whole, ``E_PICTURE_LARGE`` for more pixels than Pillow reads (some 179 million), and
    ``E_PICTURE_FRAMES`` for several pages or frames.
    """
    check_file(path)
    if path.suffix.lower() in DICOM_SUFFIXES or starts_as_dicom(path):
        return _read_dicom(path)
    return Picture(_finite(_plain_pixels(path), path))


def read_picture_mask(path: Path, shape: Sequence[int]) -> BoolArray:
    """A mask ``[rows, columns]``: 0 outside, any one other value inside.

    Raises PromptError for another size, for colours, for more than two values and for an empty mask, and as
    ``read_picture``.
    """
    pixels = read_picture(path).pixels
    if pixels.ndim == 3:
        raise PromptError(
            "E_MASK_COLOUR",
            "The mask {path} is in colour: save it as a grey picture, 0 outside and one other value inside.",
            path=path,
        )
    if pixels.shape != tuple(shape):
        raise PromptError(
            "E_MASK_SIZE",
            "The mask {path} has {found} pixels and its image {wanted}: give a mask drawn on that image.",
            path=path,
            found=f"{pixels.shape[1]}x{pixels.shape[0]}",
            wanted=f"{shape[1]}x{shape[0]}",
        )
    values = np.unique(pixels)
    if len(values[values != 0]) > 1:
        raise PromptError(
            "E_MASK_VALUES",
            "The mask {path} holds {count} values: save it (as PNG, not JPEG) with 0 outside and one other value "
            "inside.",
            path=path,
            count=len(values),
        )
    if not pixels.any():
        raise PromptError(
            "E_MASK_EMPTY", "The mask {path} is empty: mark at least one pixel of the object in it.", path=path
        )
    return np.asarray(pixels != 0)


def write_picture_mask(path: Path, mask: BoolArray) -> None:
    """A mask ``[rows, columns]`` as a PNG of 0 and 255; it appears whole or not at all. Raises OutputError."""
    with replacing(path) as partial:
        Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(partial, format="PNG")


def _plain_pixels(path: Path) -> NDArray:
    try:
        with _opened(path) as image:
            if getattr(image, "n_frames", 1) != 1:
                raise _several(path, image.n_frames)
            image.load()
            return _without_alpha(image)
    except Image.DecompressionBombError as error:
        raise VolumeError(
            "E_PICTURE_LARGE", "{path} has more pixels than can be read: save it smaller, or in parts.", path=path
        ) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(path) from error


def _opened(path: Path) -> Image.Image:
    """The picture, its pixels not yet read; a large one is no cause for a warning here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _without_alpha(image: Image.Image) -> NDArray:
    """Grey or colour; transparency over black."""
    if image.mode in _DEEP_MODES or image.mode.startswith("I;16"):
        return np.array(image)
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, (0, 0, 0, 255)), colour)
    pixels = np.array(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def _read_dicom(path: Path) -> Picture:
    header = read_header(path)
    if header is None:
        raise _unreadable(path)
    if header.frames != 1:
        raise _several(path, header.frames)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with quiet():
            image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path) from error
    pixels = np.asarray(sitk.GetArrayFromImage(image))[0]
    if pixels.ndim == 3:
        pixels = pixels[..., :3].astype(np.uint8)
    return Picture(_finite(pixels, path), header.modality or None)


def _finite(pixels: NDArray, path: Path) -> NDArray:
    """Pixels with the lowest finite value in place of those that are no numbers."""
    if pixels.dtype.kind != "f":
        return pixels
    finite = np.isfinite(pixels)
    if not finite.any():
        raise _unreadable(path)
    return np.where(finite, pixels, pixels[finite].min())


def _unreadable(path: Path) -> VolumeError:
    return VolumeError(
        "E_PICTURE_UNREADABLE",
        "{path} cannot be read as a picture: it is damaged, incomplete or of an unknown format; copy it again, or "
        "save it as PNG.",
        path=path,
    )


def _several(path: Path, count: int) -> VolumeError:
    return VolumeError(
        "E_PICTURE_FRAMES",
        "{path} holds {count} pages or frames, not one picture: save each as a file of its own.",
        path=path,
        count=count,
    )
