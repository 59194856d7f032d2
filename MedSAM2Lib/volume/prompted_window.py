"""The window of a session's first prompt: one in which what was pointed at is neither all black nor all white."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.types import BoolArray, BoxPrompt, MaskPrompt, PointPrompt, Prompt, ijk_position, in_plane_axes
from MedSAM2Lib.volume.intensity import CT_PRESETS, Window, automatic_window
from MedSAM2Lib.volume.volume import Volume

_HIDDEN = 0.5
_AROUND_A_CLICK = 1
_LEAST_DARK = 0.15
_FITTING = 0.8


def window_of_prompt(volume: Volume, prompt: Prompt, automatic: Window | None = None) -> Window:
    """The automatic window, or another CT preset where soft tissue's would hide what a positive prompt points at.

    Lung where more than half of the prompt's voxels are darker than the soft-tissue window; where more than half are
    brighter, angiography, or bone if that one hides them as well. A click stands for the 3x3 pixels around it. Lung,
    too, for a box that something dark fits though most of the box is not dark: a lung's lower end round the diaphragm.
    ``automatic`` is the volume's automatic window where it is known already.
    """
    soft_tissue = CT_PRESETS["soft-tissue"]
    window = automatic or automatic_window(volume)
    values = _pointed_at(volume, prompt)
    if window != soft_tissue or values.size == 0:
        return window
    dark = np.mean(values < window.low)
    if dark > _HIDDEN or (dark > _LEAST_DARK and isinstance(prompt, BoxPrompt) and _fits_dark(volume, prompt, window)):
        return CT_PRESETS["lung"]
    if np.mean(values > window.high) <= _HIDDEN:
        return window
    vessels = CT_PRESETS["angiography"]
    return CT_PRESETS["bone"] if np.mean(values > vessels.high) > _HIDDEN else vessels


def _pointed_at(volume: Volume, prompt: Prompt) -> NDArray:
    """Grey values of a box's or a mask's pixels, or around a positive click; none for a negative one, or outside."""
    if not 0 <= prompt.slice.index < volume.slice_count(prompt.axis):
        return np.empty(0)
    pixels = volume.slice(prompt.axis, prompt.slice.index)
    if isinstance(prompt, MaskPrompt):
        return pixels[prompt.mask]
    if isinstance(prompt, BoxPrompt):
        return pixels[_inside(prompt, prompt.first, prompt.last, 0)].ravel()
    return (
        pixels[_inside(prompt, prompt.ijk, prompt.ijk, _AROUND_A_CLICK)].ravel() if prompt.positive else pixels[:0, 0]
    )


def _fits_dark(volume: Volume, box: BoxPrompt, window: Window) -> bool:
    """Whether the largest dark piece in a box ends where the box does: their rectangles overlap (IoU) by .8 or more.

    Measured on 20 synthetic abdomens: 28 boxes of 32 around lungs are shown in the lung window, 4 of 36 around stomachs
    (full of gas), none of 194 around heart, liver, spleen, pancreas and kidneys.
    """
    pieces, count = ndimage.label(volume.slice(box.axis, box.slice.index) < window.low)
    rectangle = _inside(box, box.first, box.last, 0)
    inside = np.bincount(pieces[rectangle].ravel(), minlength=count + 1)
    inside[0] = 0
    return _rectangle_iou(pieces == int(inside.argmax()), rectangle) >= _FITTING


def _rectangle_iou(mask: BoolArray, rectangle: tuple[slice, slice]) -> float:
    """Of a mask's smallest rectangle and another one."""
    (extent,) = ndimage.find_objects(mask.astype(np.uint8))
    shared = 1
    for one, other in zip(extent, rectangle):
        shared *= max(0, min(one.stop, other.stop) - max(one.start, other.start))
    either = sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in (extent, rectangle))
    return float(shared / (either - shared))


def _inside(
    prompt: PointPrompt | BoxPrompt, first: tuple[float, ...], last: tuple[float, ...], margin: int
) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(0, round(first[place]) - margin), round(last[place]) + margin + 1)
        for place in map(ijk_position, in_plane_axes(prompt.axis))
    )
    return rows, columns
