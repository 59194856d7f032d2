"""How well a mask fits the truth."""

from __future__ import annotations

import numpy as np

from MedSAM2Lib.types import BoolArray


def dice(mask: BoolArray, truth: BoolArray) -> float:
    """Twice the common voxels over the sum of both (Dice 1945); 1 where both are empty. Shapes must be equal."""
    if mask.shape != truth.shape:
        raise ValueError(f"masks of different shapes: {mask.shape} and {truth.shape}")
    total = int(np.count_nonzero(mask)) + int(np.count_nonzero(truth))
    return 1.0 if total == 0 else 2.0 * int(np.count_nonzero(mask & truth)) / total
