"""A volume as the network sees it: square images of its slices, prompts in network pixels, logits back on voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from MedSAM2Lib.tracking.checks import slice_pixel
from MedSAM2Lib.tracking.runner import NetworkPrompts
from MedSAM2Lib.types import (
    IJK,
    Axis,
    BoolArray,
    BoxPrompt,
    FloatArray,
    MaskPrompt,
    PointPrompt,
    Prompt,
    SliceFrame,
    SliceKey,
    ijk_position,
    in_plane_axes,
)
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.region import Extent, Region
from MedSAM2Lib.volume.slices import (
    frame_for,
    letterbox_frame,
    mask_to_network,
    render,
    to_network,
    to_voxels,
    whole_frame,
)
from MedSAM2Lib.volume.volume import Volume

STRETCH = "stretch"
LETTERBOX = "letterbox"
FITS = (STRETCH, LETTERBOX)

_MASK_LOGIT = 10.0


class VolumeView:
    """Frames and images of one volume.

    Args:
        volume: finite voxels only.
        window: grey values shown to the network; fixed for the session.
        fit: how a whole slice fills the square: ``stretch`` (published, 8 bits) or ``letterbox`` (square in mm).
        image_size: side S of the network's image.
    """

    def __init__(self, volume: Volume, window: Window, fit: str, image_size: int) -> None:
        self.volume = volume
        self.window = window
        self.fit = fit
        self.image_size = image_size

    def frame(self, key: SliceKey, region: Region | None) -> SliceFrame:
        """The frame of a slice: a region of it, or the whole slice where there is none."""
        if region is not None:
            return frame_for(self.volume, key, region)
        return whole_frame(self.volume, key) if self.fit == STRETCH else letterbox_frame(self.volume, key)

    def image(self, frame: SliceFrame) -> Tensor:
        """The network's image [S, S] in 0..1."""
        quantise = self._as_published(frame)
        pixels = render(self.volume, frame, self.window, self.image_size, quantise)
        return torch.from_numpy(np.ascontiguousarray(pixels))

    def network_prompts(self, frame: SliceFrame, prompts: Sequence[Prompt]) -> NetworkPrompts:
        """All prompts of one slice; the box's corners come first, as published."""
        corners = [self._box_corners(frame, prompt) for prompt in prompts if isinstance(prompt, BoxPrompt)]
        points = [prompt for prompt in prompts if isinstance(prompt, PointPrompt) and self._shows(frame, prompt)]
        coordinates = [corner for pair in corners for corner in pair]
        coordinates += [self._network_point(frame, *row_column(point.ijk, frame.key.axis)) for point in points]
        labels = [2, 3] * len(corners) + [int(point.positive) for point in points]
        return NetworkPrompts(
            torch.tensor(coordinates, dtype=torch.float32).reshape(-1, 2),
            torch.tensor(labels, dtype=torch.int64),
            self._network_mask(frame, prompts),
        )

    def voxel_logits(self, frame: SliceFrame, low_res_logits: FloatArray) -> FloatArray:
        """Logits on the slice's voxels [rows, columns]; NOT_COMPUTED outside the frame."""
        return to_voxels(frame, low_res_logits)

    def _as_published(self, frame: SliceFrame) -> bool:
        return self.fit == STRETCH and frame == whole_frame(self.volume, frame.key)

    def _network_point(self, frame: SliceFrame, row: float, column: float) -> tuple[float, float]:
        """(x, y) in network pixels: scaled as published for whole slices, else the place where the image shows it."""
        centred = not self._as_published(frame)
        y, x = to_network(frame, (row, column), self.image_size, centred)
        return x, y

    def _shows(self, frame: SliceFrame, point: PointPrompt) -> bool:
        """A click outside the frame can only be negative, and what is outside is not the object anyway."""
        row, column = row_column(point.ijk, frame.key.axis)
        return frame.top <= row + 0.5 <= frame.bottom and frame.left <= column + 0.5 <= frame.right

    def _box_corners(self, frame: SliceFrame, box: BoxPrompt) -> list[tuple[float, float]]:
        """Both corners; in a magnified region they lie on the outermost pixels that show the box's voxels."""
        (top, left), (bottom, right) = (row_column(corner, frame.key.axis) for corner in (box.first, box.last))
        if self._as_published(frame):
            return [self._network_point(frame, top, left), self._network_point(frame, bottom, right)]
        x0, y0 = self._network_point(frame, top - 0.5, left - 0.5)
        x1, y1 = self._network_point(frame, bottom + 0.5, right + 0.5)
        return [(x0 + 0.5, y0 + 0.5), (x1 - 0.5, y1 - 0.5)]

    def _network_mask(self, frame: SliceFrame, prompts: Sequence[Prompt]) -> Tensor | None:
        for prompt in prompts:
            if isinstance(prompt, MaskPrompt):
                shown = mask_to_network(frame, prompt.mask, self.image_size)
                return torch.from_numpy((shown >= 0.5).astype(np.float32))
        return None


def mask_logits(mask: BoolArray) -> FloatArray:
    """Logits that say exactly what a user's mask says: +10 inside, -10 outside, as published for mask prompts."""
    return np.where(mask, _MASK_LOGIT, -_MASK_LOGIT).astype(np.float32)


def prompt_extent(prompt: Prompt) -> Extent | None:
    """Inclusive (top, left, bottom, right) voxels of a box, a mask or a positive click; None for a negative one."""
    if isinstance(prompt, MaskPrompt):
        return mask_extent(prompt.mask)
    if isinstance(prompt, BoxPrompt):
        return (*slice_pixel(prompt.first, prompt.axis), *slice_pixel(prompt.last, prompt.axis))
    row, column = slice_pixel(prompt.ijk, prompt.axis)
    return (row, column, row, column) if prompt.positive else None


def mask_extent(mask: BoolArray) -> Extent | None:
    """Inclusive (top, left, bottom, right) of the marked pixels, or None where there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1])


def row_column(ijk: IJK, axis: Axis) -> tuple[float, float]:
    """A voxel coordinate on a slice of ``axis``, as (row, column)."""
    rows, columns = in_plane_axes(axis)
    return ijk[ijk_position(rows)], ijk[ijk_position(columns)]
