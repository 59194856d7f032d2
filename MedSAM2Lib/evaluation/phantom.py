"""A CT-like phantom with a known organ, for the demonstration: the training generator's anatomy in fixed HU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from MedSAM2Lib.evaluation.prompts import deepest_point
from MedSAM2Lib.training.anatomy import LabelVolume, make_label_volume
from MedSAM2Lib.training.tissues import LOOKS, Tissue
from MedSAM2Lib.types import IJK, BoolArray, FloatArray
from MedSAM2Lib.volume.volume import Volume

SPACING_MM = (3.0, 3.0, 3.0)
NOISE_HU = 12.0
ORGAN_HU = 105.0
OTHER_ORGANS_HU = 45.0
_BLUR_VOXELS = 0.6
_HELD_OUT_SEED = 910_000
_OBJECT_VOXELS = (2_000, 40_000)
_MARGIN = 4
_COMPACTNESS = 0.4


@dataclass(frozen=True, eq=False)
class Phantom:
    """A volume in HU (int16), the true mask of one organ in it [k, j, i], and a click deep inside that organ."""

    volume: Volume
    truth: BoolArray
    click: IJK


def make_phantom(seed: int = 0) -> Phantom:
    """A phantom whose organ stands about 60 HU above its neighbours, with 12 HU of noise. Deterministic by seed.

    Its bodies are from seeds that no training run draws.
    """
    rng = np.random.default_rng(seed)
    body, truth = _body_with_organ(_HELD_OUT_SEED + 1000 * seed)
    values = _tissue_values(body)[body.labels]
    values[truth] = ORGAN_HU
    blurred = ndimage.gaussian_filter(values, _BLUR_VOXELS)
    noise = ndimage.gaussian_filter(rng.standard_normal(values.shape), (0.0, 0.5, 0.5))
    voxels = np.rint(blurred + noise * (NOISE_HU / noise.std())).astype(np.int16)
    volume = Volume.from_array(voxels, SPACING_MM, (-190.0, -190.0, -95.0), name="phantom")
    index = int(truth.sum(axis=(1, 2)).argmax())
    row, column = deepest_point(truth[index])
    return Phantom(volume, truth, (float(column), float(row), float(index)))


def _body_with_organ(first_seed: int) -> tuple[LabelVolume, BoolArray]:
    """The first body with a solid organ of a fair size that lies wholly inside, and that organ."""
    for seed in range(first_seed, first_seed + 100):
        body = make_label_volume(seed)
        for labels in body.targets:
            tissues = {Tissue(int(body.tissues[label])) for label in np.flatnonzero(labels)}
            mask = np.asarray(labels[body.labels])
            if tissues == {Tissue.ORGAN} and _is_a_fair_object(mask):
                return body, mask
    raise RuntimeError("the generator made a hundred bodies without a solid organ")


def _is_a_fair_object(mask: BoolArray) -> bool:
    """Of a common organ's size, not cut by the volume's ends, and compact: it fills a good part of its own box."""
    if not _OBJECT_VOXELS[0] <= np.count_nonzero(mask) <= _OBJECT_VOXELS[1]:
        return False
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    inside = box[0].start >= _MARGIN and box[0].stop <= mask.shape[0] - _MARGIN
    return bool(inside and mask[box].mean() >= _COMPACTNESS)


def _tissue_values(body: LabelVolume) -> FloatArray:
    """The mean HU of every label: the middle of its tissue's range."""
    middles = [(LOOKS[Tissue(int(tissue))].low + LOOKS[Tissue(int(tissue))].high) / 2 for tissue in body.tissues]
    values = np.asarray(middles, dtype=np.float32)
    values[body.tissues == Tissue.ORGAN] = OTHER_ORGANS_HU
    return values
