"""The body's wall and bones: skin fat, muscle, the cavity, spine and ribs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from MedSAM2Lib.training.canvas import WHOLE, Canvas
from MedSAM2Lib.training.shapes import BoolArray, FloatArray, MakeField, smooth_field, tube
from MedSAM2Lib.training.tissues import Tissue


@dataclass(frozen=True)
class Trunk:
    """Where the body's cavity is: ``cavity`` [K, J, I] bool, the spine's (j, i) per slice k, the axes of the body."""

    cavity: BoolArray
    spine: FloatArray
    centre: tuple[float, float]
    half_height: float
    half_width: float

    def random_point(self, rng: np.random.Generator) -> FloatArray:
        """A point (k, j, i) of the cavity."""
        inside = np.flatnonzero(self.cavity)
        flat = inside[int(rng.integers(len(inside)))]
        return np.array(np.unravel_index(flat, self.cavity.shape), dtype=np.float32)


def paint_trunk(canvas: Canvas, make_field: MakeField = smooth_field) -> Trunk:
    """Body surface, fat, muscle wall and the fatty cavity within."""
    k, j, i = canvas.grid.coordinates
    half_height, half_width = canvas.uniform(36, 52), canvas.uniform(46, 61)
    centre = (64 + canvas.uniform(-4, 4), 64 + canvas.uniform(-3, 3))
    taper = 1.0 + canvas.uniform(-0.12, 0.12) * (k - 32) / 32
    exponent = np.float32(canvas.uniform(2.0, 2.8))
    level = (np.abs((j - centre[0]) / (half_height * taper)) ** exponent) + (
        np.abs((i - centre[1]) / (half_width * taper)) ** exponent
    )
    level = level ** (1 / exponent)
    fat: FloatArray = canvas.uniform(0.04, 0.22) + np.float32(0.02) * make_field(
        canvas.rng, canvas.grid.shape, (4, 6, 6)
    )
    muscle = canvas.uniform(0.06, 0.14)
    canvas.paint(WHOLE, level < 1, Tissue.FAT, target=False)
    canvas.paint(WHOLE, level < 1 - fat, Tissue.MUSCLE, target=False)
    cavity = level < 1 - fat - muscle
    canvas.paint(WHOLE, cavity, Tissue.FAT, target=False)
    along = np.arange(canvas.grid.shape[0], dtype=np.float32)
    middle_j = centre[0] + half_height * (1 - float(fat.mean()) - 0.5 * muscle) - canvas.uniform(8, 13)
    spine_j = middle_j + canvas.uniform(-4, 4) * np.sin(along / 25 + canvas.uniform(0, 6))
    spine_i = centre[1] + canvas.uniform(-3, 3) * np.sin(along / 30 + canvas.uniform(0, 6))
    spine = np.stack([spine_j, spine_i], axis=1).astype(np.float32)
    return Trunk(cavity, spine, centre, half_height, half_width)


def paint_back_muscles(canvas: Canvas, trunk: Trunk) -> None:
    """Two thick columns of muscle beside the spine."""
    for side in (-1, 1):
        points = np.column_stack([np.arange(64), trunk.spine[:, 0] + 8, trunk.spine[:, 1] + side * 10])
        region, mask = tube(canvas.grid.shape, points.astype(np.float32), np.full(64, canvas.uniform(6, 9), np.float32))
        mask &= canvas.labels[region] > 0
        canvas.paint(region, mask, Tissue.MUSCLE, target=canvas.chance(0.5))


def paint_spine(canvas: Canvas, trunk: Trunk) -> None:
    """Vertebral bodies with a cortex, discs between them, arches with processes, the canal with the cord."""
    k, j, i = canvas.grid.coordinates
    middle_j = trunk.spine[:, 0][:, None, None]
    middle_i = trunk.spine[:, 1][:, None, None]
    radius_j, radius_i = canvas.uniform(4.5, 6.5), canvas.uniform(5.5, 8.5)
    level = np.sqrt(((j - middle_j) / radius_j) ** 2 + ((i - middle_i) / radius_i) ** 2)
    period, phase, gap = canvas.uniform(8, 12), canvas.uniform(0, 12), canvas.uniform(1.2, 2.4)
    height = np.mod(k + phase, period)
    number = np.floor((k + phase) / period).astype(int)
    disc = height < gap
    cortex_thickness = canvas.uniform(0.12, 0.25)
    canal_j = middle_j + radius_j + canvas.uniform(1.5, 3)
    canal = np.sqrt(((j - canal_j) / 2.8) ** 2 + ((i - middle_i) / 3.2) ** 2)
    process = (np.abs(i - middle_i) < canvas.uniform(1.0, 1.8)) & (j > canal_j) & (j < canal_j + canvas.uniform(7, 12))
    wings = (np.abs(j - canal_j) < canvas.uniform(1.0, 2.0)) & (np.abs(i - middle_i) < canvas.uniform(9, 14))
    arch = ((canal < 1.6) | ((process | wings) & (height > period * 0.35))) & (canvas.labels > 0)
    canvas.paint(WHOLE, (level < 1) & disc & (canvas.labels > 0), Tissue.DISC, target=False)
    for index in np.unique(number):
        mine = (number == index) & ~disc & (canvas.labels > 0)
        cortex = canvas.paint(WHOLE, mine & ((level < 1) | arch), Tissue.CORTEX, target=False)
        edge = np.minimum(height - gap, period - height)
        inner = mine & (level < 1 - cortex_thickness) & (edge > 0.8)
        marrow = canvas.paint(WHOLE, inner, Tissue.MARROW, target=False)
        canvas.targets.append((cortex, marrow))
    canvas.paint(WHOLE, (canal < 1.05) & (canvas.labels > 0), Tissue.CORD)


def paint_ribs(canvas: Canvas, trunk: Trunk) -> None:
    """Slanted bony bands that run round the wall of the cavity."""
    if canvas.chance(0.2):
        return
    k, j, i = canvas.grid.coordinates
    y = (j - trunk.centre[0]) / trunk.half_height
    x = (i - trunk.centre[1]) / trunk.half_width
    shell = ndimage.binary_dilation(trunk.cavity, iterations=int(canvas.rng.integers(2, 4))) & ~trunk.cavity
    angle = np.arctan2(np.abs(x), y)
    period = canvas.uniform(8, 12)
    phase = np.mod(k + canvas.uniform(4, 9) * angle + canvas.uniform(0, period), period)
    band = (phase < canvas.uniform(2.2, 4)) & (angle < canvas.uniform(1.8, 3.0)) & (angle > 0.35)
    lowest = canvas.uniform(20, 80)
    canvas.paint(WHOLE, shell & band & (k < lowest) & (canvas.labels > 0), Tissue.CORTEX, target=False)
