"""Which slices a propagation covers: around the prompts unless the user says otherwise, and all prompts in any case."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from MedSAM2Lib.types import Axis, SliceKey, VolumeData, array_dimension, ijk_position

REACH_MM = 50.0
LEAST_REACH = 8
"""Slices to either side of the prompts, where their spacing makes 50 mm fewer."""

Range = tuple[int, int]


def default_range(volume: VolumeData, axis: Axis, index: int) -> Range:
    """Slices within 50 mm of slice ``index``, at least 8 to either side, within the volume."""
    spacing = float(np.linalg.norm(np.asarray(volume.ijk_to_world)[:3, ijk_position(axis)]))
    reach = max(LEAST_REACH, round(REACH_MM / spacing))
    last = volume.array.shape[array_dimension(axis)] - 1
    return max(0, index - reach), min(last, index + reach)


def with_keys(wanted: Range, axis: Axis, keys: Iterable[SliceKey]) -> Range:
    """The range, widened to hold every slice of ``keys`` on its axis."""
    indices = [key.index for key in keys if key.axis == axis]
    return min([wanted[0], *indices]), max([wanted[1], *indices])


def clamped(first: int, last: int, count: int) -> Range:
    """A range in order and within ``count`` slices."""
    low, high = sorted((first, last))
    return min(max(low, 0), count - 1), min(max(high, 0), count - 1)
