"""Where in the trunk an organ of the abdomen lies, and what room earlier organs have left for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from MedSAM2Lib.training.canvas import LEAST_TARGET_VOXELS, Canvas
from MedSAM2Lib.training.shapes import BoolArray, FloatArray, Region, quick_field, superellipsoid, tube
from MedSAM2Lib.training.tissues import Tissue
from MedSAM2Lib.training.trunk import Trunk

Place = Sequence[float]


@dataclass
class Site:
    """The abdomen in the making.

    A place is (k, back, right): the slice, and offsets from the middle of the cavity in units of its half height and
    half width; ``back`` grows towards the spine, ``right`` towards the liver.

    Attributes:
        canvas, trunk: the body so far.
        room: [K, J, I] bool, the part of the cavity that no organ, and no fat kept between organs, has taken.
        side: 1 or -1, the sign of ``right`` along i.
        middle: (j, i) of the cavity's middle; ``half_back``, ``half_right``: its half sides in voxels.
    """

    canvas: Canvas
    trunk: Trunk
    side: int
    room: BoolArray = field(init=False)
    middle: tuple[float, float] = field(init=False)
    half_back: float = field(init=False)
    half_right: float = field(init=False)

    def __post_init__(self) -> None:
        self.room = self.trunk.cavity.copy()
        section = self.room[self.room.shape[0] // 2]
        rows, columns = np.flatnonzero(section.any(axis=1)), np.flatnonzero(section.any(axis=0))
        self.middle = (0.5 * float(rows[0] + rows[-1]), 0.5 * float(columns[0] + columns[-1]))
        self.half_back = 0.5 * float(rows[-1] - rows[0])
        self.half_right = 0.5 * float(columns[-1] - columns[0])

    def voxel(self, place: Place) -> FloatArray:
        """The voxel (k, j, i) of a place."""
        j = self.middle[0] + place[1] * self.half_back
        i = self.middle[1] + self.side * place[2] * self.half_right
        return np.array([place[0], j, i], dtype=np.float32)

    def lump(
        self,
        centre: FloatArray,
        radii: Sequence[float] | NDArray[np.floating],
        tilt: float = 0.25,
        roughness: float = 0.08,
    ) -> tuple[Region, BoolArray]:
        """A tilted, uneven super-ellipsoid round a voxel: its region and mask, whatever lies there already."""
        rng = self.canvas.rng
        rotation = Rotation.from_rotvec(tilt * rng.standard_normal(3)).as_matrix().astype(np.float32)
        exponent = self.canvas.uniform(1.9, 2.8)
        region, level = superellipsoid(self.canvas.grid, centre, np.asarray(radii, np.float32), exponent, rotation)
        if min(level.shape) < 2:
            return region, np.zeros(level.shape, dtype=bool)
        knots = tuple(max(2, size // 7) for size in level.shape)
        return region, level + np.float32(roughness) * quick_field(rng, level.shape, knots) < 1

    def pipe(
        self, points: Sequence[FloatArray], radius: float, waves: float = 0.1
    ) -> tuple[Region, BoolArray, FloatArray]:
        """A tube of uneven width along a polyline of voxels: region, mask, and the curve's points [n, 3]."""
        curve = smooth_curve(self.canvas, points)
        phase = np.arange(len(curve)) / self.canvas.uniform(4, 9) + self.canvas.uniform(0, 6)
        region, mask = tube(self.canvas.grid.shape, curve, (radius * (1 + waves * np.sin(phase))).astype(np.float32))
        return region, mask, curve

    def place(
        self, region: Region, mask: BoolArray, tissue: Tissue, gap: int = 0, target: bool = True, least: int = 1
    ) -> int | None:
        """Paint the mask where there is room and keep ``gap`` voxels of fat round it; None where too little is left."""
        inside = mask & self.room[region]
        if inside.sum() < (LEAST_TARGET_VOXELS if target else least):
            return None
        label = self.canvas.paint(region, inside, tissue, target=target)
        self.take(region, inside, gap)
        return label

    def take(self, region: Region, mask: BoolArray, gap: int) -> None:
        """Let no later organ come nearer to the mask than ``gap`` voxels."""
        if gap == 0:
            self.room[region] &= ~mask
            return
        spans = [part.indices(size)[:2] for part, size in zip(region, self.room.shape)]
        lows = [max(0, start - gap) for start, _ in spans]
        highs = [min(size, stop + gap) for (_, stop), size in zip(spans, self.room.shape)]
        padded = np.zeros([high - low for low, high in zip(lows, highs)], dtype=bool)
        padded[tuple(slice(start - low, stop - low) for (start, stop), low in zip(spans, lows))] = mask
        wide = tuple(slice(low, high) for low, high in zip(lows, highs))
        self.room[wide] &= ~ndimage.binary_dilation(padded, iterations=gap)

    def gap(self, often_touching: float = 0.5) -> int:
        """How many voxels of fat to keep: none with that probability, else one or two."""
        return 0 if self.canvas.chance(often_touching) else int(self.canvas.rng.integers(1, 3))


def smooth_curve(canvas: Canvas, points: Sequence[FloatArray]) -> FloatArray:
    """Points half a voxel apart on a smooth curve through the given voxels, [n, 3]."""
    corners = np.stack(points).astype(np.float64)
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    steps = np.linspace(0.0, lengths[-1], max(4, int(lengths[-1] * 2)))
    curve = np.stack([np.interp(steps, lengths, corners[:, axis]) for axis in range(3)], axis=1)
    curve = ndimage.gaussian_filter1d(curve, 5.0, axis=0, mode="nearest")
    return np.asarray(np.clip(curve, 0, np.array(canvas.grid.shape) - 1), dtype=np.float32)
