"""A picture of a segmentation: slices in their window, the mask's outline on them, the click marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from MedSAM2Lib.types import IJK, Axis, BoolArray, array_dimension, ijk_position, in_plane_axes
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.volume import Volume

TILE = 256
_COLUMNS = 4
_OUTLINE = (255, 196, 0)
_CLICK = (0, 230, 118)
_TEXT = (255, 255, 255)
_CAPTION = 18


def montage(
    volume: Volume,
    mask: BoolArray,
    window: Window,
    axis: Axis,
    clicks: Sequence[IJK] = (),
    captions: dict[int, str] | None = None,
    tiles: int = 12,
) -> Image.Image:
    """Up to ``tiles`` slices along ``axis``, spread over the mask with one beyond each end; RGB.

    ``mask`` is [k, j, i]; ``clicks`` are voxel coordinates, drawn on their slices, which are always shown;
    ``captions`` adds words to the index under a slice.
    """
    clicked = {round(ijk[ijk_position(axis)]) for ijk in clicks}
    indices = slices_to_show(mask, axis, tiles, clicked)
    pictures = [_tile(volume, mask, window, axis, index, clicks) for index in indices]
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (min(len(pictures), _COLUMNS) * TILE, rows * (TILE + _CAPTION)))
    draw = ImageDraw.Draw(sheet)
    for place, (index, picture) in enumerate(zip(indices, pictures)):
        left, top = (place % _COLUMNS) * TILE, (place // _COLUMNS) * (TILE + _CAPTION)
        sheet.paste(picture, (left, top))
        words = f"{axis} = {index}  {(captions or {}).get(index, '')}"
        draw.text((left + 4, top + TILE + 3), words, fill=_TEXT)
    return sheet


def slices_to_show(mask: BoolArray, axis: Axis, tiles: int, always: set[int]) -> list[int]:
    """Indices spread over the mask's extent and one slice more at each end, those in ``always`` included."""
    dimension = array_dimension(axis)
    count = mask.shape[dimension]
    found = np.flatnonzero(mask.any(axis=tuple(place for place in range(3) if place != dimension)))
    first, last = (int(found[0]) - 1, int(found[-1]) + 1) if found.size else (0, count - 1)
    spread = np.linspace(max(first, 0), min(last, count - 1), max(tiles - len(always), 2))
    return sorted({round(float(index)) for index in spread} | always)


def _tile(
    volume: Volume, mask: BoolArray, window: Window, axis: Axis, index: int, clicks: Sequence[IJK]
) -> Image.Image:
    rows, columns = in_plane_axes(axis)
    grey = Image.fromarray((window.apply(volume.slice(axis, index)) * 255).astype(np.uint8))
    height, width = grey.height * volume.spacing_along(rows), grey.width * volume.spacing_along(columns)
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = np.array(grey.resize(size, Image.Resampling.BICUBIC).convert("RGB"))
    region = Image.fromarray(np.take(mask, index, axis=array_dimension(axis))).resize(size, Image.Resampling.NEAREST)
    inside = np.asarray(region, dtype=bool)
    picture[inside & ~ndimage.binary_erosion(inside, iterations=2)] = _OUTLINE
    tile = Image.new("RGB", (TILE, TILE))
    left, top = (TILE - size[0]) // 2, (TILE - size[1]) // 2
    tile.paste(Image.fromarray(picture), (left, top))
    for ijk in clicks:
        if round(ijk[ijk_position(axis)]) == index:
            row, column = ijk[ijk_position(rows)] + 0.5, ijk[ijk_position(columns)] + 0.5
            _cross(tile, left + column * size[0] / grey.width, top + row * size[1] / grey.height)
    return tile


def _cross(tile: Image.Image, x: float, y: float) -> None:
    draw = ImageDraw.Draw(tile)
    for width, colour in ((5, (0, 0, 0)), (2, _CLICK)):
        draw.line((x - 7, y, x + 7, y), fill=colour, width=width)
        draw.line((x, y - 7, x, y + 7), fill=colour, width=width)
