"""Connected parts of masks, by scipy.ndimage."""

from __future__ import annotations

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
