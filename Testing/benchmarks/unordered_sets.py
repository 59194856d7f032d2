"""Synthetic sets of unordered 2D images: one kind of object in held-out bodies, some images without it.

The bodies are from seeds that no training run draws. In each set the object stands out by the same sign of contrast;
contrast, window, gamma, noise, scale and place differ from image to image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.training.pool import HELD_OUT_FROM, fill_pool, load_body
from MedSAM2Lib.training.sampling import Body
from MedSAM2Lib.training.tissues import LOOKS, Tissue
from MedSAM2Lib.types import BoolArray, FloatArray

OTHER_ORGANS_HU = 45.0
CONTRAST_HU = (45.0, 85.0)
ABSENT_SHARE = 0.2
_FIRST_BODY = HELD_OUT_FROM + 50_000
_OBJECT_VOXELS = (1_500, 40_000)
_COMPACTNESS = 0.35
_LEAST_PIXELS = 30
_LEAST_SHARE = 0.15
_CLEAR_OF_OBJECT = 2


@dataclass(frozen=True, eq=False)
class SetImage:
    """One image: ``pixels`` uint8 [rows, columns], and where the object is; nowhere in some."""

    name: str
    pixels: NDArray[np.uint8]
    truth: BoolArray


@dataclass(frozen=True, eq=False)
class Target:
    """One organ of one body: its mask [k, j, i] and the slices along k that show it well."""

    body: Body
    mask: BoolArray
    slices: NDArray[np.intp]


def held_out_bodies(folder: Path, count: int) -> list[Body]:
    """Bodies that no training has seen, made once and kept in a folder."""
    return [Body.of(load_body(path)) for path in fill_pool(folder, range(_FIRST_BODY, _FIRST_BODY + count))]


def solid_organs(body: Body) -> list[Target]:
    """The compact solid organs of a body."""
    volume = body.volume
    found = []
    for row, labels in enumerate(volume.targets):
        if {int(volume.tissues[label]) for label in np.flatnonzero(labels)} != {int(Tissue.ORGAN)}:
            continue
        box, inside = body.object_mask(row)
        fair = _OBJECT_VOXELS[0] <= np.count_nonzero(inside) <= _OBJECT_VOXELS[1]
        if fair and inside.mean() >= _COMPACTNESS:
            mask = np.zeros(volume.labels.shape, dtype=bool)
            mask[box] = inside
            areas = mask.sum(axis=(1, 2))
            found.append(Target(body, mask, np.flatnonzero(areas >= max(_LEAST_PIXELS, _LEAST_SHARE * areas.max()))))
    return found


def make_set(bodies: Sequence[Body], seed: int, count: int, several: bool) -> list[SetImage]:
    """A set of ``count`` images: of one organ in one body, or of one organ in each of ``several`` bodies."""
    rng = np.random.default_rng((seed, int(several)))
    organs = [organs for body in bodies if (organs := solid_organs(body))]
    chosen = rng.permutation(len(organs))[: len(organs) if several else 1]
    targets = [organs[place][int(rng.integers(len(organs[place])))] for place in chosen]
    sign = float(rng.choice((-1.0, 1.0)))
    images = []
    for number in range(count):
        target = targets[int(rng.integers(len(targets)))]
        present = bool(rng.random() >= ABSENT_SHARE) or number == 0
        images.append(_image(rng, f"{number:03d}.png", target, sign, present))
    return images


def _image(rng: np.random.Generator, name: str, target: Target, sign: float, present: bool) -> SetImage:
    shape = target.mask.shape
    key = int(rng.choice(target.slices))
    window = _window(rng, target.mask[key], shape[1:])
    index = key if present else _slice_without(rng, target.mask)
    contrast = sign * rng.uniform(*CONTRAST_HU)
    values = _hounsfield(rng, target, index, contrast)
    truth = target.mask[index].astype(np.float32)
    scale = float(rng.uniform(1.2, 3.0))
    grey = ndimage.zoom(values[window], scale, order=1, mode="nearest")
    mask = ndimage.zoom(truth[window], scale, order=1, mode="nearest") >= 0.5
    noise = ndimage.gaussian_filter(rng.standard_normal(grey.shape), float(rng.uniform(0.3, 1.0)))
    grey = grey + noise * (rng.uniform(4, 20) / noise.std())
    level, width = rng.uniform(20, 80), rng.uniform(250, 500)
    unit = np.clip((grey - level) / width + 0.5, 0, 1) ** np.exp(rng.uniform(-0.3, 0.3))
    return SetImage(name, np.rint(unit * 255).astype(np.uint8), mask)


def _hounsfield(rng: np.random.Generator, target: Target, index: int, contrast: float) -> FloatArray:
    """One slice in HU, slightly blurred: the object stands ``contrast`` from the other organs."""
    volume = target.body.volume
    middles = np.array([(LOOKS[Tissue(int(t))].low + LOOKS[Tissue(int(t))].high) / 2 for t in volume.tissues])
    organs = volume.tissues == Tissue.ORGAN
    middles[organs] = OTHER_ORGANS_HU + rng.uniform(-10, 10, int(organs.sum()))
    values = middles[volume.labels[index]]
    values[target.mask[index]] = OTHER_ORGANS_HU + contrast
    return ndimage.gaussian_filter(values, float(rng.uniform(0.3, 0.9))).astype(np.float32)


def _window(rng: np.random.Generator, section: BoolArray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """A rectangle that holds the object at any place in it, 1.5 to 4 times as large, inside the slice."""
    parts = []
    larger = max(np.ptp(np.flatnonzero(section.any(axis=other))) + 1 for other in (0, 1))
    zoom = float(np.exp(rng.uniform(np.log(1.5), np.log(4.0))))
    for axis in (0, 1):
        marked = np.flatnonzero(section.any(axis=1 - axis))
        side = int(np.clip(zoom * larger * rng.uniform(0.85, 1.2), max(32, np.ptp(marked) + 3), shape[axis]))
        lowest = max(0, marked[-1] + 2 - side)
        highest = min(marked[0] - 1, shape[axis] - side)
        start = int(rng.integers(lowest, highest + 1)) if highest > lowest else max(0, min(lowest, shape[axis] - side))
        parts.append(slice(start, start + side))
    return parts[0], parts[1]


def _slice_without(rng: np.random.Generator, mask: BoolArray) -> int:
    """A slice of the same body, clear of the object."""
    near = ndimage.binary_dilation(mask.any(axis=(1, 2)), iterations=_CLEAR_OF_OBJECT)
    return int(rng.choice(np.flatnonzero(~near)))
