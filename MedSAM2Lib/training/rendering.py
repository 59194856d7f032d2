"""From a label volume to what a scanner might have shown of it: rendered anew for every clip.

Sixty per cent of the clips look like CT (Hounsfield units, a window), the others have free contrast, as MR, ultrasound
or optical images do. In both, the object keeps a guaranteed least contrast to everything else in the window, or in
bodies with anatomy to everything it touches, often only 10 to 30 HU. Resampling happens on per-label occupancies, so
edges may be sharp, blurred or overshot by a kernel, or partial volume, also of thick slices seen from the side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.training.anatomy import LabelVolume
from MedSAM2Lib.training.looks import Look, free_look, hounsfield_look
from MedSAM2Lib.training.noise import NOISE_WIDTHS, SHARP_NOISES, STREAKS, NoiseBank
from MedSAM2Lib.training.phases import phase_look, tissue_look
from MedSAM2Lib.training.sampling import ClipGeometry
from MedSAM2Lib.training.shapes import FloatArray, quick_field
from MedSAM2Lib.training.tissues import Tissue

HOUNSFIELD_SHARE = 0.6
ANATOMY_HOUNSFIELD_SHARE = 0.75
SLAB_SHARE = 0.35
SLAB_THICKNESS = (1.3, 2.6)
FUZZY_SHARE = 0.4

MakeLook = Callable[[np.random.Generator, NDArray[np.uint8], NDArray[np.bool_]], Look]
"""The look of one clip from a random stream, its labels' tissues [L] and which labels are the target's [L]."""


@dataclass(frozen=True)
class RenderedClip:
    """One clip as the network will see it.

    Attributes:
        images: [T, S, S] float32 in 0..1, after the window.
        occupancies: [L, T, S, S] float32, the share of every label of the window in each pixel.
        labels: [L] the body's label numbers in that order.
        levels: [L] mean brightness of each label in units of the window.
    """

    images: FloatArray
    occupancies: FloatArray
    labels: NDArray[np.int64]
    levels: FloatArray

    def mask(self, targets: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """[T, S, S] bool: where the labels that ``targets`` [all labels] marks fill at least half of the pixel."""
        return self.occupancies[targets[self.labels]].sum(axis=0) >= 0.5


def interpolation_matrix(positions: NDArray[np.float64], first: int, count: int, width: float) -> FloatArray:
    """[n, count] weights that sample ``count`` voxels, the first at index ``first``, at fractional ``positions``.

    The kernel is a tent of half-width ``width`` voxels; each row sums to 1, so edges are replicated.
    """
    places = np.clip(positions, first, first + count - 1)
    distance = np.abs(places[:, None] - (first + np.arange(count))[None])
    weights = np.clip(1.0 - distance / max(width, 1.0), 0.0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class _Samples:
    """The three interpolation matrices of a clip and the block of voxels that they read."""

    block: NDArray[np.uint8]
    along: FloatArray
    rows: FloatArray
    columns: FloatArray
    outside: NDArray[np.bool_]


def _sample_axis(centres: NDArray[np.float64], size: int, width: float) -> tuple[int, int, FloatArray]:
    margin = int(np.ceil(width)) + 1
    first = int(np.clip(np.floor(centres.min()) - margin, 0, size - 1))
    last = int(np.clip(np.ceil(centres.max()) + margin + 1, first + 1, size))
    return first, last, interpolation_matrix(centres, first, last - first, width)


def slab_interpolation(
    positions: NDArray[np.float64], first: int, count: int, thickness: float, phase: float
) -> FloatArray:
    """As ``interpolation_matrix``, but voxels are first averaged into slabs ``thickness`` voxels thick.

    This is how slices of 5 mm look from the side. ``phase``, 0 to 1, is where in the voxels the first slab starts.
    """
    number = int(np.ceil(count / thickness)) + 1
    lower = first - 0.5 + (np.arange(number) - phase)[:, None] * thickness
    voxel = (first + np.arange(count))[None] - 0.5
    overlap = np.clip(np.minimum(lower + thickness, voxel + 1) - np.maximum(lower, voxel), 0.0, None)
    full = overlap.sum(axis=1) > 1e-6
    slabs = overlap[full] / overlap[full].sum(axis=1, keepdims=True)
    centres = (lower[full, 0] + 0.5 * thickness).astype(np.float64)
    places = (positions - centres[0]) / thickness
    return np.asarray(interpolation_matrix(places, 0, len(slabs), 1.0) @ slabs, dtype=np.float32)


def _samples(
    volume: LabelVolume, geometry: ClipGeometry, side: int, kernel: float, slab: tuple[float, float] | None
) -> _Samples:
    oriented = np.moveaxis(volume.labels, geometry.axis, 0)
    steps = (np.arange(side) + 0.5) * geometry.width / side - 0.5
    rows, columns = geometry.top + steps, geometry.left + steps
    k0, k1, along = _sample_axis(geometry.positions, oriented.shape[0], geometry.thickness)
    j0, j1, row_weights = _sample_axis(rows, oriented.shape[1], kernel)
    i0, i1, column_weights = _sample_axis(columns, oriented.shape[2], kernel)
    if slab is not None and geometry.axis != 0:
        row_weights = slab_interpolation(np.clip(rows, j0, j1 - 1), j0, j1 - j0, *slab)
    outside_rows = (rows < -0.5) | (rows > oriented.shape[1] - 0.5)
    outside_columns = (columns < -0.5) | (columns > oriented.shape[2] - 0.5)
    outside = outside_rows[:, None] | outside_columns[None]
    return _Samples(oriented[k0:k1, j0:j1, i0:i1], along, row_weights, column_weights, outside)


def _resample(samples: _Samples, values: FloatArray) -> FloatArray:
    """[n, K, J, I] block values at the clip's pixels: [n, T, S, S]."""
    count, depth, height, width = values.shape
    sliced = samples.along @ values.reshape(count, depth, height * width)
    return np.matmul(samples.rows, sliced.reshape(count, -1, height, width)) @ samples.columns.T


def _draw(rng: np.random.Generator, occupancies: FloatArray, look: Look, noise_bank: NoiseBank) -> FloatArray:
    """Brightness of every pixel before noise: sharp edges, partial volume or a blend, blurred by a kernel, textured."""
    shape = occupancies.shape[1:]
    partial = np.tensordot(look.levels, occupancies, axes=1)
    owner = occupancies.argmax(axis=0)
    sharpness = float(rng.choice((0.0, 0.5, 1.0)))
    images = partial if sharpness == 0 else sharpness * look.levels[owner] + (1 - sharpness) * partial
    if look.textures.max() > 0:
        texture = noise_bank.take(rng, int(rng.integers(1, len(NOISE_WIDTHS))), shape)
        images = images + look.textures[owner] * texture
    return _apply_kernel(rng, images.astype(np.float32))


def _apply_kernel(rng: np.random.Generator, images: FloatArray) -> FloatArray:
    """The reconstruction kernel: mostly soft, at times sharp with an overshoot at edges."""
    chance = rng.random()
    if chance < 0.65:
        blur = float(rng.uniform(0.0, 1.8))
        return ndimage.gaussian_filter(images, (0, blur, blur), truncate=3.0) if blur > 0.3 else images
    if chance < 0.85:
        blur = float(rng.uniform(0.8, 2.0))
        smooth = ndimage.gaussian_filter(images, (0, blur, blur), truncate=3.0)
        return np.asarray(images + np.float32(rng.uniform(0.2, 0.9)) * (images - smooth), dtype=np.float32)
    return images


def _make_fuzzy(rng: np.random.Generator, images: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    """Wash out the border of a lesion and leave the rest of the image as it is."""
    width = float(np.clip(0.12 * np.sqrt(mask[0].sum()), 1.0, 6.0)) * float(rng.uniform(0.5, 1.5))
    near = ndimage.gaussian_filter(mask.astype(np.float32), (0, width, width), truncate=2.5)
    smooth = ndimage.gaussian_filter(images, (0, width, width), truncate=2.5)
    weight = np.clip(4.0 * near * (1 - near), 0.0, 1.0)
    return np.asarray(images + weight * (smooth - images), dtype=np.float32)


def _add_noise(
    rng: np.random.Generator, images: FloatArray, samples: _Samples, look: Look, noise_bank: NoiseBank
) -> FloatArray:
    """Noise that is white, correlated, band-pass, or made at the body's voxels and enlarged with them; perhaps Rician.

    Images with free contrast are Rician more often, as MR is.
    """
    if rng.random() < 0.5:
        sliced = (len(samples.along), *samples.block.shape[1:])
        number = int(rng.choice((0, 0, 1, *SHARP_NOISES)))
        noise = np.matmul(samples.rows, noise_bank.take(rng, number, sliced)) @ samples.columns.T
    else:
        noise = noise_bank.take(rng, int(rng.choice((0, 1, 2, 3, *SHARP_NOISES))), images.shape)
    noise = look.noise * noise
    if rng.random() < 0.1:
        noise = 0.8 * noise + 0.6 * look.noise * noise_bank.take(rng, STREAKS, images.shape)
    if rng.random() < (0.03 if look.width > 1 else 0.2):
        return np.sqrt((images + noise) ** 2 + (look.noise * noise_bank.take(rng, 0, images.shape)) ** 2)
    return images + noise


def _disturb(rng: np.random.Generator, images: FloatArray, look: Look) -> FloatArray:
    """Now and then a bias field, stripes, or another gamma; with free contrast a bias that multiplies, as in MR."""
    if look.width == 1.0 and rng.random() < 0.35:
        field = quick_field(rng, images.shape[1:], (3, 3))
        images = images * np.exp(np.float32(rng.uniform(0.05, 0.3)) * field)
    if rng.random() < 0.3:
        field = quick_field(rng, images.shape[1:], (4, 4))
        images = images + rng.uniform(0.2, 0.8) * look.least_contrast * field
    if rng.random() < 0.05:
        phase = np.arange(images.shape[1]) * rng.uniform(0.2, 1.5)
        images = images + 0.4 * look.least_contrast * np.sin(phase)[None, :, None]
    images = np.clip(images, 0.0, 1.0)
    if rng.random() < 0.25:
        images = images ** np.float32(np.exp(rng.uniform(-0.35, 0.35)))
    return images


def render_clip(
    rng: np.random.Generator,
    volume: LabelVolume,
    geometry: ClipGeometry,
    target: int,
    side: int,
    noise_bank: NoiseBank,
    make_look: MakeLook | None = None,
) -> RenderedClip:
    """Render one clip of ``side`` x ``side`` pixels in which ``target`` (a row of ``volume.targets``) can be seen.

    ``make_look`` takes the place of a look drawn for this clip alone. Pixels outside the body's grid are black, at
    times grey, and belong to no object.
    """
    kernel = 1.0 if rng.random() < 0.5 else float(rng.uniform(1.0, 1.7))
    slab = (float(rng.uniform(*SLAB_THICKNESS)), float(rng.random())) if rng.random() < SLAB_SHARE else None
    samples = _samples(volume, geometry, side, kernel, slab)
    labels = np.flatnonzero(np.bincount(samples.block.ravel(), minlength=len(volume.tissues)))
    one_hot = (samples.block[None] == labels.astype(np.uint8)[:, None, None, None]).astype(np.float32)
    occupancies = _resample(samples, one_hot)
    in_target = volume.targets[target][labels]
    if make_look is None:
        look = _look(rng, volume, labels, in_target)
    else:
        look = make_look(rng, volume.tissues[labels], in_target)
    images = _draw(rng, occupancies, look, noise_bank)
    if (volume.tissues[labels][in_target] == Tissue.LESION).all() and rng.random() < FUZZY_SHARE:
        images = _make_fuzzy(rng, images, occupancies[in_target].sum(axis=0) >= 0.5)
    images = _disturb(rng, _add_noise(rng, images, samples, look, noise_bank), look)
    occupancies *= ~samples.outside
    images[:, samples.outside] = 0.0 if rng.random() < 0.7 else 0.45
    oriented = [_orient(array, geometry) for array in (images, occupancies)]
    return RenderedClip(oriented[0], oriented[1], labels, look.levels)


def _look(
    rng: np.random.Generator, volume: LabelVolume, labels: NDArray[np.int64], in_target: NDArray[np.bool_]
) -> Look:
    """A look for the labels shown: by anatomy where the body has one."""
    tissues = volume.tissues[labels]
    if volume.contacts is None:
        return (hounsfield_look if rng.random() < HOUNSFIELD_SHARE else free_look)(rng, tissues, in_target)
    make_look = phase_look if rng.random() < ANATOMY_HOUNSFIELD_SHARE else tissue_look
    return make_look(rng, tissues, in_target, volume.contacts[np.ix_(labels, labels)])


def _orient(array: FloatArray, geometry: ClipGeometry) -> FloatArray:
    """Flip and transpose the last two axes as the geometry says."""
    if geometry.flips[0]:
        array = array[..., ::-1, :]
    if geometry.flips[1]:
        array = array[..., ::-1]
    if geometry.transpose:
        array = np.swapaxes(array, -1, -2)
    return np.ascontiguousarray(array, dtype=np.float32)
