"""Building blocks of the synthetic body: smooth random fields, super-ellipsoids, tubes along curves.

Everything is in voxels of one grid, arrays and coordinates in the order (k, j, i).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Region = tuple[slice, slice, slice]
MakeField = Callable[[np.random.Generator, tuple[int, ...], tuple[int, ...]], FloatArray]


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], knots: tuple[int, ...]) -> FloatArray:
    """A smooth random field of the given shape: unit-variance noise on a coarse grid of ``knots``, spline-enlarged."""
    coarse = rng.standard_normal(knots).astype(np.float32)
    factors = [size / knot for size, knot in zip(shape, knots)]
    field = ndimage.zoom(coarse, factors, order=3, mode="nearest", grid_mode=True)
    return np.ascontiguousarray(field[tuple(slice(0, size) for size in shape)], dtype=np.float32)


def quick_field(rng: np.random.Generator, shape: tuple[int, ...], knots: tuple[int, ...]) -> FloatArray:
    """As ``smooth_field`` but for rounding, axis by axis: some ten times as fast on volumes."""
    field = rng.standard_normal(knots).astype(np.float32)
    for size, knot in zip(shape, knots):
        spline = ndimage.zoom(np.eye(knot), (size / knot, 1), order=3, mode="nearest", grid_mode=True)[:size]
        field = np.tensordot(field, spline.astype(np.float32), axes=(0, 1))
    return np.ascontiguousarray(field)


def rotation_matrix(rng: np.random.Generator) -> FloatArray:
    """A uniformly random rotation of three axes, [3, 3]."""
    matrix, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    return (matrix * np.sign(np.diag(upper))).astype(np.float32)


@dataclass(frozen=True)
class WarpedGrid:
    """Voxel coordinates displaced by a smooth field, so that simple formulas give crooked shapes.

    Attributes:
        coordinates: [3, K, J, I] displaced (k, j, i) of every voxel.
        reach: largest displacement in voxels; regions are widened by it.
    """

    coordinates: FloatArray
    reach: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """The grid's size (K, J, I)."""
        depth, height, width = self.coordinates.shape[1:]
        return depth, height, width

    @staticmethod
    def random(
        rng: np.random.Generator, shape: tuple[int, int, int], amplitude: float, make_field: MakeField = smooth_field
    ) -> WarpedGrid:
        """Coordinates with a displacement of about ``amplitude`` voxels (standard deviation)."""
        plain = np.stack(np.meshgrid(*(np.arange(size, dtype=np.float32) for size in shape), indexing="ij"))
        knots = tuple(max(3, size // 14) for size in shape)
        shift = np.stack([make_field(rng, shape, knots) for _ in range(3)]) * np.float32(amplitude)
        return WarpedGrid(plain + shift, float(np.abs(shift).max()))

    def region(self, centre: FloatArray, radius: float) -> Region:
        """Slices of the box that holds a ball of ``radius`` round ``centre`` after displacement."""
        reach = radius + self.reach + 1.0
        low = [max(0, int(np.floor(c - reach))) for c in centre]
        high = [min(size, int(np.ceil(c + reach)) + 1) for c, size in zip(centre, self.shape)]
        return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def superellipsoid(
    grid: WarpedGrid, centre: FloatArray, radii: FloatArray, exponent: float, rotation: FloatArray
) -> tuple[Region, FloatArray]:
    """The level of a super-ellipsoid: below 1 inside.

    Returns:
        The region of the grid that holds the shape, and the level [k, j, i] in that region, in units of the radii.
    """
    region = grid.region(centre, float(radii.max()) * 1.8)
    offsets = grid.coordinates[:, region[0], region[1], region[2]] - centre.reshape(3, 1, 1, 1)
    turned = np.tensordot(rotation, offsets, axes=1)
    total = np.zeros(turned.shape[1:], dtype=np.float32)
    for axis in range(3):
        total += np.abs(turned[axis] / radii[axis]) ** np.float32(exponent)
    return region, total ** np.float32(1.0 / exponent)


def random_curve(
    rng: np.random.Generator, start: FloatArray, direction: NDArray[np.floating], length: float, bend: float
) -> FloatArray:
    """Points [n, 3], half a voxel apart, of a curve that turns by about ``bend`` radians per ten voxels."""
    points = [start.astype(np.float32)]
    heading = direction / np.linalg.norm(direction)
    turn = np.zeros(3)
    for _ in range(int(length * 2)):
        turn = 0.9 * turn + rng.standard_normal(3) * bend * 0.03
        heading = heading + turn
        heading = heading / np.linalg.norm(heading)
        points.append((points[-1] + 0.5 * heading).astype(np.float32))
    return np.stack(points)


def tube(shape: tuple[int, int, int], points: FloatArray, radii: FloatArray) -> tuple[Region, BoolArray]:
    """Voxels within ``radii`` [n] of the ``points`` [n, 3] of a curve, as a region and a mask in it."""
    reach = int(np.ceil(float(radii.max()))) + 1
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - reach, 0, np.array(shape) - 1)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + reach + 1, low + 1, np.array(shape))
    mask = np.zeros(tuple(high - low), dtype=bool)
    for point, radius in zip(points[::2], radii[::2]):
        centre = point - low
        first = np.maximum(np.floor(centre - radius).astype(int), 0)
        last = np.minimum(np.ceil(centre + radius).astype(int) + 1, mask.shape)
        if np.any(first >= last):
            continue
        k, j, i = (np.arange(a, b, dtype=np.float32) for a, b in zip(first, last))
        square = (
            (k[:, None, None] - centre[0]) ** 2 + (j[None, :, None] - centre[1]) ** 2 + (i[None, None] - centre[2]) ** 2
        )
        mask[first[0] : last[0], first[1] : last[1], first[2] : last[2]] |= square <= radius**2
    region = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    return region, mask
