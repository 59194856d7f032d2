"""From a label volume to what a scanner might have shown of it: rendered anew for every clip.

Sixty per cent of the clips look like CT (Hounsfield units, a window), the others have free contrast, as MR, ultrasound
or optical images do. In both, the object keeps a guaranteed least contrast to everything else in the window, often only
10 to 30 HU. Resampling happens on per-label occupancies, so edges may be sharp, blurred by a kernel, or partial volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.training.anatomy import LabelVolume
from MedSAM2Lib.training.sampling import ClipGeometry
from MedSAM2Lib.training.shapes import FloatArray, smooth_field
from MedSAM2Lib.training.tissues import LOOKS, SOFT_TISSUES, Tissue

HOUNSFIELD_SHARE = 0.6
NOISE_SHAPE = (24, 192, 192)
NOISE_WIDTHS = (0.0, 0.8, 1.6, 3.0, 6.0)


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


@dataclass(frozen=True)
class Look:
    """Brightness of the labels of one clip, in units of the window (0 black, 1 white).

    Attributes:
        levels, textures: [L] mean and standard deviation inside each label.
        least_contrast: what separates the target from every other label.
        noise: standard deviation of the image noise.
    """

    levels: FloatArray
    textures: FloatArray
    least_contrast: float
    noise: float


class NoiseBank:
    """Blocks of unit-variance noise with several correlation widths, made once; clips take random windows of them."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.blocks = [self._block(rng, width) for width in NOISE_WIDTHS]

    @staticmethod
    def _block(rng: np.random.Generator, width: float) -> FloatArray:
        block = rng.standard_normal(NOISE_SHAPE).astype(np.float32)
        if width > 0:
            block = ndimage.gaussian_filter(block, (0.5 * width, width, width), mode="wrap")
        return (block / block.std()).astype(np.float32)

    def take(self, rng: np.random.Generator, width_index: int, shape: tuple[int, ...]) -> FloatArray:
        """[T, height, width] of the block of that correlation width, from a random place, wrapped round."""
        block = self.blocks[width_index]
        starts = [int(rng.integers(size)) for size in block.shape]
        indices = [(start + np.arange(size)) % full for start, size, full in zip(starts, shape, block.shape)]
        noise = block[np.ix_(*indices)]
        return noise[:, :, ::-1] if rng.random() < 0.5 else noise


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


def _samples(volume: LabelVolume, geometry: ClipGeometry, side: int, kernel: float) -> _Samples:
    oriented = np.moveaxis(volume.labels, geometry.axis, 0)
    steps = (np.arange(side) + 0.5) * geometry.width / side - 0.5
    rows, columns = geometry.top + steps, geometry.left + steps
    k0, k1, along = _sample_axis(geometry.positions, oriented.shape[0], geometry.thickness)
    j0, j1, row_weights = _sample_axis(rows, oriented.shape[1], kernel)
    i0, i1, column_weights = _sample_axis(columns, oriented.shape[2], kernel)
    outside_rows = (rows < -0.5) | (rows > oriented.shape[1] - 0.5)
    outside_columns = (columns < -0.5) | (columns > oriented.shape[2] - 0.5)
    outside = outside_rows[:, None] | outside_columns[None]
    return _Samples(oriented[k0:k1, j0:j1, i0:i1], along, row_weights, column_weights, outside)


def _resample(samples: _Samples, values: FloatArray) -> FloatArray:
    """[n, K, J, I] block values at the clip's pixels: [n, T, S, S]."""
    count, depth, height, width = values.shape
    sliced = samples.along @ values.reshape(count, depth, height * width)
    return np.matmul(samples.rows, sliced.reshape(count, -1, height, width)) @ samples.columns.T


def _keep_contrast(
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
    values = _keep_contrast(rng, values, in_target, least)
    noise = min(float(np.exp(rng.uniform(np.log(2), np.log(30)))), 1.1 * least)
    levels = (values - centre) / width + 0.5
    return Look(levels.astype(np.float32), textures / np.float32(width), least / width, noise / width)


def free_look(rng: np.random.Generator, tissues: NDArray[np.uint8], in_target: NDArray[np.bool_]) -> Look:
    """Any brightness for any label, as in other kinds of images; what is outside the body is mostly black."""
    values = rng.uniform(0.05, 0.95, len(tissues)).astype(np.float32)
    if rng.random() < 0.5:
        values = (0.5 + (values - 0.5) * rng.uniform(0.3, 1.0)).astype(np.float32)
    values[tissues == Tissue.OUTSIDE] = rng.uniform(0, 0.05) if rng.random() < 0.85 else rng.uniform(0, 1)
    least = float(rng.uniform(0.06, 0.2))
    values = _keep_contrast(rng, values, in_target, least)
    textures = rng.uniform(0, 0.6 * least, len(tissues)) * (rng.random(len(tissues)) < 0.6)
    noise = min(float(np.exp(rng.uniform(np.log(0.004), np.log(0.12)))), 1.0 * least)
    return Look(values, textures.astype(np.float32), least, noise)


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
    blur = float(rng.uniform(0.0, 1.8)) if rng.random() < 0.7 else 0.0
    if blur > 0.3:
        images = ndimage.gaussian_filter(images, (0, blur, blur))
    return images.astype(np.float32)


def _add_noise(
    rng: np.random.Generator, images: FloatArray, samples: _Samples, look: Look, noise_bank: NoiseBank
) -> FloatArray:
    """Noise that is white, correlated, or made at the body's voxels and enlarged with them; perhaps Rician."""
    if rng.random() < 0.35:
        sliced = (len(samples.along), *samples.block.shape[1:])
        noise = np.matmul(samples.rows, noise_bank.take(rng, 0, sliced)) @ samples.columns.T
    else:
        noise = noise_bank.take(rng, int(rng.integers(0, 4)), images.shape)
    noise = look.noise * noise
    if rng.random() < 0.05:
        return np.sqrt((images + noise) ** 2 + (look.noise * noise_bank.take(rng, 0, images.shape)) ** 2)
    return images + noise


def _disturb(rng: np.random.Generator, images: FloatArray, look: Look) -> FloatArray:
    """Now and then a bias field, stripes, or another gamma."""
    if rng.random() < 0.3:
        field = smooth_field(rng, images.shape[1:], (4, 4))
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
) -> RenderedClip:
    """Render one clip of ``side`` x ``side`` pixels in which ``target`` (a row of ``volume.targets``) can be seen.

    Pixels outside the body's grid are black, at times grey, and belong to no object.
    """
    kernel = 1.0 if rng.random() < 0.5 else float(rng.uniform(1.0, 1.7))
    samples = _samples(volume, geometry, side, kernel)
    labels = np.flatnonzero(np.bincount(samples.block.ravel(), minlength=len(volume.tissues)))
    one_hot = (samples.block[None] == labels.astype(np.uint8)[:, None, None, None]).astype(np.float32)
    occupancies = _resample(samples, one_hot)
    in_target = volume.targets[target][labels]
    make_look = hounsfield_look if rng.random() < HOUNSFIELD_SHARE else free_look
    look = make_look(rng, volume.tissues[labels], in_target)
    images = _draw(rng, occupancies, look, noise_bank)
    images = _disturb(rng, _add_noise(rng, images, samples, look, noise_bank), look)
    occupancies *= ~samples.outside
    images[:, samples.outside] = 0.0 if rng.random() < 0.7 else 0.45
    oriented = [_orient(array, geometry) for array in (images, occupancies)]
    return RenderedClip(oriented[0], oriented[1], labels, look.levels)


def _orient(array: FloatArray, geometry: ClipGeometry) -> FloatArray:
    """Flip and transpose the last two axes as the geometry says."""
    if geometry.flips[0]:
        array = array[..., ::-1, :]
    if geometry.flips[1]:
        array = array[..., ::-1]
    if geometry.transpose:
        array = np.swapaxes(array, -1, -2)
    return np.ascontiguousarray(array, dtype=np.float32)
