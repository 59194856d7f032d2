"""Image noise that is cheap to draw."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MedSAM2Lib.training.shapes import FloatArray

NOISE_SHAPE = (24, 192, 192)
NOISE_WIDTHS = (0.0, 0.8, 1.6, 3.0, 6.0)


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
