"""How bright the tissues of one clip are: as in CT seen through a window, or any way at all.

In both, the object keeps a guaranteed least contrast to everything else in the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.training.shapes import FloatArray
from MedSAM2Lib.training.tissues import LOOKS, SOFT_TISSUES, Tissue


@dataclass(frozen=True)
class Look:
    """Brightness of the labels of one clip, in units of the window (0 black, 1 white).

    Attributes:
        levels, textures: [L] mean and standard deviation inside each label.
        least_contrast: what separates the target from every other label.
        noise: standard deviation of the image noise.
        centre, width: the window in HU, where there is one; in HU a level is (level - 0.5) * width + centre.
    """

    levels: FloatArray
    textures: FloatArray
    least_contrast: float
    noise: float
    centre: float = 0.5
    width: float = 1.0


def keep_contrast(
    rng: np.random.Generator, levels: FloatArray, in_target: NDArray[np.bool_], least: float
) -> FloatArray:
    """Move every other label away from the target's labels until ``least`` lies between them."""
    levels = levels.copy()
    target_levels = np.unique(levels[in_target])
    for index in np.flatnonzero(~in_target):
        for _ in range(12):
            distance = levels[index] - target_levels
            nearest = int(np.argmin(np.abs(distance)))
            if abs(distance[nearest]) >= least:
                break
            sign = 1.0 if distance[nearest] > 0 else -1.0
            if rng.random() < 0.15:
                sign = -sign
            levels[index] = target_levels[nearest] + sign * least * rng.uniform(1.0, 1.6)
        else:
            levels[index] = target_levels.max() + least
    return levels


def hounsfield_look(rng: np.random.Generator, tissues: NDArray[np.uint8], in_target: NDArray[np.bool_]) -> Look:
    """CT numbers by tissue, seen through a window.

    Soft tissues scatter round one common level of the clip, so that neighbours often differ by 10 to 30 HU. The window
    is 250 to 900 HU wide round soft tissue, at times a lung or bone window, and always holds part of the target.
    """
    common, spread = rng.uniform(35, 90), rng.uniform(8, 35)
    values = np.empty(len(tissues), dtype=np.float32)
    textures = np.empty(len(tissues), dtype=np.float32)
    for index, number in enumerate(tissues):
        tissue = Tissue(int(number))
        look = LOOKS[tissue]
        soft = tissue in SOFT_TISSUES and rng.random() < 0.75
        values[index] = common + spread * rng.standard_normal() if soft else rng.uniform(look.low, look.high)
        textures[index] = rng.uniform(look.texture_low, look.texture_high)
    width = float(np.exp(rng.uniform(np.log(250), np.log(900))))
    centre = rng.uniform(20, 80)
    middle = float(values[in_target].mean())
    if abs(middle - centre) > 0.45 * width:
        centre, width = (middle + rng.uniform(0, 300), float(rng.uniform(900, 2000)))
    least = max(float(rng.uniform(10, 45)), 0.035 * width)
    values = keep_contrast(rng, values, in_target, least)
    noise = min(float(np.exp(rng.uniform(np.log(2), np.log(30)))), 1.1 * least)
    levels = (values - centre) / width + 0.5
    return Look(levels.astype(np.float32), textures / np.float32(width), least / width, noise / width, centre, width)


def free_look(rng: np.random.Generator, tissues: NDArray[np.uint8], in_target: NDArray[np.bool_]) -> Look:
    """Any brightness for any label, as in other kinds of images; what is outside the body is mostly black."""
    values = rng.uniform(0.05, 0.95, len(tissues)).astype(np.float32)
    if rng.random() < 0.5:
        values = (0.5 + (values - 0.5) * rng.uniform(0.3, 1.0)).astype(np.float32)
    values[tissues == Tissue.OUTSIDE] = rng.uniform(0, 0.05) if rng.random() < 0.85 else rng.uniform(0, 1)
    least = float(rng.uniform(0.06, 0.2))
    values = keep_contrast(rng, values, in_target, least)
    textures = rng.uniform(0, 0.6 * least, len(tissues)) * (rng.random(len(tissues)) < 0.6)
    noise = min(float(np.exp(rng.uniform(np.log(0.004), np.log(0.12)))), 1.0 * least)
    return Look(values, textures.astype(np.float32), least, noise)
