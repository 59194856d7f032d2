"""Image noise that is cheap to draw."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MedSAM2Lib.training.shapes import FloatArray

NOISE_SHAPE = (24, 192, 192)
NOISE_WIDTHS = (0.0, 0.8, 1.6, 3.0, 6.0)
SHARP_WIDTHS = ((0.5, 1.3), (0.8, 2.5))
STREAK_WIDTHS = (0.6, 0.8, 9.0)
SHARP_NOISES = (5, 6)
STREAKS = 7


class NoiseBank:
    """Blocks of unit-variance noise, made once; clips take random windows of them.

    First those of the correlation widths ``NOISE_WIDTHS``; then ``SHARP_NOISES``, band-pass as a sharp reconstruction
    kernel leaves it; then ``STREAKS``, drawn out along the rows.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.blocks = [self._block(rng, width) for width in NOISE_WIDTHS]
        self.blocks += [_unit(self._block(rng, narrow) - self._block(rng, wide)) for narrow, wide in SHARP_WIDTHS]
        white = rng.standard_normal(NOISE_SHAPE).astype(np.float32)
        self.blocks.append(_unit(ndimage.gaussian_filter(white, STREAK_WIDTHS, mode="wrap")))

    @staticmethod
    def _block(rng: np.random.Generator, width: float) -> FloatArray:
        block = rng.standard_normal(NOISE_SHAPE).astype(np.float32)
        if width > 0:
            block = ndimage.gaussian_filter(block, (0.5 * width, width, width), mode="wrap")
        return (block / block.std()).astype(np.float32)

    def take(self, rng: np.random.Generator, width_index: int, shape: tuple[int, ...]) -> FloatArray:
        """[T, height, width] of the block of that number, from a random place, wrapped round."""
        block = self.blocks[width_index]
        starts = [int(rng.integers(size)) for size in block.shape]
        indices = [(start + np.arange(size)) % full for start, size, full in zip(starts, shape, block.shape)]
        noise = block[np.ix_(*indices)]
        return noise[:, :, ::-1] if rng.random() < 0.5 else noise


def _unit(block: FloatArray) -> FloatArray:
    return np.asarray(block / block.std(), dtype=np.float32)
