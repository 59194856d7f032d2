"""Synthetic objects with their truth: bodies that training never sees, rendered as whole volumes.

The anatomy and the looks are those of ``training``; each object gets a rendering of its own, in which it keeps the
least contrast that training guarantees. CT numbers for three objects in five, where the object lies inside the
soft-tissue window, which is what a session shows of a CT; any brightness from 0 to 1000 else. Everything follows from
the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.training.anatomy import LabelVolume, make_label_volume
from MedSAM2Lib.training.looks import Look, free_look, hounsfield_look
from MedSAM2Lib.training.rendering import HOUNSFIELD_SHARE
from MedSAM2Lib.training.sampling import Body, target_tissue
from MedSAM2Lib.training.tissues import Tissue
from MedSAM2Lib.types import BoolArray, FloatArray
from MedSAM2Lib.volume.intensity import CT_PRESETS
from MedSAM2Lib.volume.volume import Volume

VOXEL_MM = 3.0
THICK_MM = 5.0
OBJECTS_OF_A_BODY = 4
FIRST_SEED = 920_000

_SEEDS_APART = 1_000_000
_LEAST_VOXELS = 100
_LEAST_THICK_SLICES = 3
_LEAST_SHARE_IN_ONE_PIECE = 0.9
_FAVOURED = (Tissue.ORGAN, Tissue.LESION)
_FAVOUR = 3.0
_TEXTURE_WIDTHS = (0.8, 1.6, 3.0)
_NOISE_WIDTHS = (0.0, 0.5, 0.8)
_LARGEST_BLUR = 0.9
_FREE_SCALE = 1000.0
_LOWEST_HU = -1024.0


@dataclass(frozen=True)
class SyntheticSource:
    """``count`` objects, up to four of each body; 3 mm voxels, or slices 5 mm thick along k where ``thick``."""

    count: int
    thick: bool = False
    seed: int = 0

    @property
    def description(self) -> str:
        slices = f"slices of {THICK_MM:g} mm" if self.thick else "isotropic voxels"
        return f"{self.count} synthetic objects, {VOXEL_MM:g} mm, {slices}, seed {self.seed}"

    def cases(self) -> Iterator[Case]:
        """The objects; the same ones, in another rendering, whether thick or not."""
        made, body_seed = 0, FIRST_SEED + _SEEDS_APART * self.seed
        while made < self.count:
            body = make_label_volume(body_seed)
            rng = np.random.default_rng((body_seed, 1))
            for target in choose_objects(rng, body, min(OBJECTS_OF_A_BODY, self.count - made)):
                kind = target_tissue(body, target).name.lower()
                yield self._case(body, target, f"synthetic-{made:04d}/{kind}", (body_seed, 2, target))
                made += 1
            body_seed += 1

    def _case(self, body: LabelVolume, target: int, name: str, seed: tuple[int, ...]) -> Case:
        voxels, truth = render_volume(np.random.default_rng(seed), body, target, THICK_MM if self.thick else None)
        thickness = THICK_MM if self.thick else VOXEL_MM
        return Case(name, Volume.from_array(voxels, (VOXEL_MM, VOXEL_MM, thickness), name=name), truth)


def choose_objects(rng: np.random.Generator, body: LabelVolume, count: int) -> list[int]:
    """Up to ``count`` rows of ``body.targets``, of objects nearly in one piece, of 100 voxels and three thick slices.

    Kinds of tissue have equal chances, organs and lesions three times as much, as in training.
    """
    indexed = Body.of(body)
    fair = [target for target in range(len(body.targets)) if _is_fair(indexed, target)]
    kinds = np.array([int(target_tissue(body, target)) for target in fair])
    weights = np.array([1.0 / np.count_nonzero(kinds == kind) for kind in kinds])
    weights *= np.where(np.isin(kinds, _FAVOURED), _FAVOUR, 1.0)
    count = min(count, len(fair))
    if count == 0:
        return []
    return [int(fair[place]) for place in rng.choice(len(fair), count, replace=False, p=weights / weights.sum())]


def render_volume(
    rng: np.random.Generator, body: LabelVolume, target: int, thickness_mm: float | None = None
) -> tuple[NDArray[np.int16], BoolArray]:
    """Voxels int16 [k, j, i] and the true mask of a target (a row of ``body.targets``).

    With ``thickness_mm`` the body's slices are averaged along k before the noise comes in: partial volume; the truth is
    then where the object fills at least half of a voxel.
    """
    look = draw_look(rng, body, target)
    image = look.levels[body.labels]
    texture = _unit_noise(rng, image.shape, float(rng.choice(_TEXTURE_WIDTHS)))
    image = image + look.textures[body.labels] * texture
    blur = float(rng.uniform(0.0, _LARGEST_BLUR))
    image = ndimage.gaussian_filter(image, (0.5 * blur, blur, blur))
    truth = np.asarray(body.targets[target][body.labels])
    noise_width = float(rng.choice(_NOISE_WIDTHS))
    if thickness_mm is not None:
        weights = slab_weights(image.shape[0], thickness_mm / VOXEL_MM)
        image = np.tensordot(weights, image, axes=1)
        truth = np.tensordot(weights, truth.astype(np.float32), axes=1) >= 0.5
    image = image + look.noise * _unit_noise(rng, image.shape, noise_width)
    return _as_voxels(image, look), truth


def draw_look(rng: np.random.Generator, body: LabelVolume, target: int) -> Look:
    """A look of training in which the target can be seen; in CT numbers only if it lies in the soft-tissue window."""
    in_target = body.targets[target]
    if rng.random() < HOUNSFIELD_SHARE:
        look = hounsfield_look(rng, body.tissues, in_target)
        counts = np.bincount(body.labels.ravel(), minlength=len(body.tissues))
        mean = float(np.average(_hounsfield(look.levels[in_target], look), weights=counts[in_target]))
        shown = CT_PRESETS["soft-tissue"]
        if shown.low < mean < shown.high:
            return look
    return free_look(rng, body.tissues, in_target)


def slab_weights(count: int, thickness: float) -> FloatArray:
    """[n, count] weights that average ``count`` slices into slabs ``thickness`` slices thick; each row sums to 1.

    A slice that two slabs share counts in each with the part that lies in it; what is left over at the end is dropped.
    """
    slabs = int(count / thickness + 1e-6)
    starts = thickness * np.arange(slabs)[:, None]
    slices = np.arange(count)[None]
    overlap = np.minimum(starts + thickness, slices + 1) - np.maximum(starts, slices)
    return (np.clip(overlap, 0.0, None) / thickness).astype(np.float32)


def _is_fair(body: Body, target: int) -> bool:
    box, mask = body.object_mask(target)
    if np.count_nonzero(mask) < _LEAST_VOXELS:
        return False
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())[1:]
    weights = slab_weights(body.volume.labels.shape[0], THICK_MM / VOXEL_MM)[:, box[0]]
    thick = np.tensordot(weights, mask.astype(np.float32), axes=1) >= 0.5
    in_one_piece = sizes.max() >= _LEAST_SHARE_IN_ONE_PIECE * sizes.sum()
    return bool(in_one_piece and np.count_nonzero(thick.any(axis=(1, 2))) >= _LEAST_THICK_SLICES)


def _unit_noise(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> FloatArray:
    """Noise of unit variance, correlated over ``width`` voxels within a slice and half as far across slices."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if width > 0:
        noise = ndimage.gaussian_filter(noise, (0.5 * width, width, width), mode="wrap")
    return np.asarray(noise / noise.std(), dtype=np.float32)


def _hounsfield(levels: FloatArray, look: Look) -> FloatArray:
    return np.asarray((levels - 0.5) * look.width + look.centre)


def _as_voxels(image: FloatArray, look: Look) -> NDArray[np.int16]:
    if look.width > 1.0:
        return np.rint(np.maximum(_hounsfield(image, look), _LOWEST_HU)).astype(np.int16)
    return np.rint(np.clip(image, 0.0, 1.0) * _FREE_SCALE).astype(np.int16)
