"""A picture of a segmentation: the object slice by slice, the outline of the mask on it, the click marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from MedSAM2Lib.evaluation.screen_layout import ScreenLayout, screen_layout
from MedSAM2Lib.types import IJK, Axis, BoolArray, SliceFrame, SliceKey, array_dimension, ijk_position, in_plane_axes
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.region import Region, around_extent, slice_grid
from MedSAM2Lib.volume.slices import frame_for, letterbox_frame, mask_to_network, render, to_network
from MedSAM2Lib.volume.volume import Volume

TILE = 256
_COLUMNS = 4
_SURROUNDINGS = 2.5
_OUTLINE_PIXELS = 2
_OUTLINE = (255, 196, 0)
_CLICK = (0, 230, 118)
_TEXT = (255, 255, 255)
_CAPTION = 18
_LETTER_MARGIN = 8


def montage(
    volume: Volume,
    mask: BoolArray,
    window: Window,
    axis: Axis,
    clicks: Sequence[IJK] = (),
    captions: dict[int, str] | None = None,
    tiles: int = 12,
) -> Image.Image:
    """Up to ``tiles`` slices along ``axis``, spread over the mask with one beyond each end; RGB, square in mm.

    Slices are laid out by ``screen_layout``, with the letters of the patient's sides at their edges.
    ``mask`` is [k, j, i]; ``clicks`` are voxel coordinates, drawn on their slices, which are always shown;
    ``captions`` adds words to the index under a slice.
    """
    clicked = {round(ijk[ijk_position(axis)]) for ijk in clicks}
    indices = slices_to_show(mask, axis, tiles, clicked)
    region, layout = _region(volume, mask, axis), screen_layout(volume, axis)
    rows = -(-len(indices) // _COLUMNS)
    sheet = Image.new("RGB", (min(len(indices), _COLUMNS) * TILE, rows * (TILE + _CAPTION)))
    draw = ImageDraw.Draw(sheet)
    for place, index in enumerate(indices):
        left, top = (place % _COLUMNS) * TILE, (place // _COLUMNS) * (TILE + _CAPTION)
        tile = _tile(volume, mask, window, frame_for(volume, SliceKey(axis, index), region), clicks)
        sheet.paste(_laid_out(tile, layout), (left, top))
        words = f"{axis} = {index}  {(captions or {}).get(index, '')}"
        draw.text((left + 4, top + TILE + 3), words, fill=_TEXT)
    return sheet


def slices_to_show(mask: BoolArray, axis: Axis, tiles: int, always: set[int]) -> list[int]:
    """Indices spread over the mask's extent and one slice more at each end, those in ``always`` included."""
    dimension = array_dimension(axis)
    count = mask.shape[dimension]
    found = np.flatnonzero(mask.any(axis=_others(dimension)))
    first, last = (int(found[0]) - 1, int(found[-1]) + 1) if found.size else (0, count - 1)
    spread = np.linspace(max(first, 0), min(last, count - 1), max(tiles - len(always), 2))
    return sorted({round(float(index)) for index in spread} | always)


def _others(dimension: int) -> tuple[int, ...]:
    return tuple(place for place in range(3) if place != dimension)


def _region(volume: Volume, mask: BoolArray, axis: Axis) -> Region:
    """A square around the whole mask as seen along the axis, the whole slice where there is none."""
    shadow = mask.any(axis=array_dimension(axis))
    whole = letterbox_frame(volume, SliceKey(axis, 0))
    if not shadow.any():
        return whole.region
    rows, columns = np.nonzero(shadow)
    extent = (int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max()))
    around = around_extent(slice_grid(volume, axis), extent, _SURROUNDINGS)
    return around if around[2] - around[0] < whole.bottom - whole.top else whole.region


def _tile(volume: Volume, mask: BoolArray, window: Window, frame: SliceFrame, clicks: Sequence[IJK]) -> Image.Image:
    key = frame.key
    grey = (render(volume, frame, window, TILE) * 255).astype(np.uint8)
    picture = np.repeat(grey[..., None], 3, axis=2)
    inside = mask_to_network(frame, np.take(mask, key.index, axis=array_dimension(key.axis)), TILE) >= 0.5
    picture[inside & ~ndimage.binary_erosion(inside, iterations=_OUTLINE_PIXELS)] = _OUTLINE
    tile = Image.fromarray(picture)
    rows, columns = in_plane_axes(key.axis)
    for ijk in clicks:
        if round(ijk[ijk_position(key.axis)]) == key.index:
            place = (ijk[ijk_position(rows)], ijk[ijk_position(columns)])
            y, x = to_network(frame, place, TILE, centred=True)
            _cross(tile, x, y)
    return tile


def _laid_out(tile: Image.Image, layout: ScreenLayout) -> Image.Image:
    """A tile as stored, click and outline on it, turned for the screen; only then the letters."""
    shown = Image.fromarray(np.ascontiguousarray(layout.apply(np.asarray(tile))))
    middle = TILE // 2
    for letter, x, y in (
        (layout.left, _LETTER_MARGIN, middle),
        (layout.right, TILE - 1 - _LETTER_MARGIN, middle),
        (layout.top, middle, _LETTER_MARGIN),
        (layout.bottom, middle, TILE - 1 - _LETTER_MARGIN),
    ):
        _letter(shown, letter, x, y)
    return shown


def _letter(tile: Image.Image, letter: str, x: float, y: float) -> None:
    """A letter with its middle at (x, y), readable on black and on white."""
    draw = ImageDraw.Draw(tile)
    left, top, right, bottom = draw.textbbox((0, 0), letter)
    corner = (round(x - (left + right) / 2), round(y - (top + bottom) / 2))
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        draw.text((corner[0] + dx, corner[1] + dy), letter, fill=(0, 0, 0))
    draw.text(corner, letter, fill=_TEXT)


def _cross(tile: Image.Image, x: float, y: float) -> None:
    draw = ImageDraw.Draw(tile)
    for width, colour in ((5, (0, 0, 0)), (2, _CLICK)):
        draw.line((x - 7, y, x + 7, y), fill=colour, width=width)
        draw.line((x, y - 7, x, y + 7), fill=colour, width=width)
