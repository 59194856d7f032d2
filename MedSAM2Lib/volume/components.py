"""Connected parts of masks, by scipy.ndimage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from MedSAM2Lib.types import BoolArray


def component_at(mask: BoolArray, seed: tuple[int, ...]) -> BoolArray:
    """The face-connected part of ``mask`` (any dimension) that holds ``seed``; all False where the seed is outside."""
    if not mask[seed]:
        return np.zeros_like(mask)
    labels, _ = ndimage.label(mask)
    return np.asarray(labels == labels[seed])


def components_touching(mask: BoolArray, other: BoolArray) -> BoolArray:
    """The face-connected parts of ``mask`` that share a voxel with ``other``."""
    labels, _ = ndimage.label(mask)
    touched = np.unique(labels[other & mask])
    return np.asarray(np.isin(labels, touched[touched > 0]))


def largest_component(mask: BoolArray) -> BoolArray:
    """The face-connected part of ``mask`` with the most voxels; all False for an empty one."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return np.zeros_like(mask)
    return np.asarray(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()))


def deepest(mask: BoolArray, sampling: Sequence[float]) -> tuple[int, ...]:
    """Place of the element farthest from the mask's border, in array order; the array's edge is a border.

    ``sampling`` is the distance between elements along each dimension. Raises ValueError for an empty mask.
    """
    if not mask.any():
        raise ValueError("an empty mask has no deepest point")
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    depth = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=sampling)
    place = np.unravel_index(int(depth.argmax()), depth.shape)
    return tuple(int(index) - 1 + part.start for index, part in zip(place, box))
