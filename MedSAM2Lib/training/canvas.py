"""The synthetic body in the making, and the two brushes that all organs are painted with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.training.shapes import (
    BoolArray,
    FloatArray,
    Region,
    WarpedGrid,
    random_curve,
    rotation_matrix,
    smooth_field,
    superellipsoid,
    tube,
)
from MedSAM2Lib.training.tissues import Tissue

LEAST_TARGET_VOXELS = 40
LABEL_LIMIT = 235
WHOLE: Region = (slice(None), slice(None), slice(None))


@dataclass
class Canvas:
    """A body in the making: later shapes are painted over earlier ones."""

    rng: np.random.Generator
    grid: WarpedGrid
    labels: NDArray[np.uint8] = field(init=False)
    tissues: list[int] = field(default_factory=lambda: [int(Tissue.OUTSIDE)])
    targets: list[tuple[int, ...]] = field(default_factory=list)
    crumbs: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.labels = np.zeros(self.grid.shape, dtype=np.uint8)

    def new_label(self, tissue: Tissue) -> int:
        """A fresh label of that tissue."""
        self.tissues.append(int(tissue))
        return len(self.tissues) - 1

    def paint(self, region: Region, mask: BoolArray, tissue: Tissue, target: bool = True) -> int:
        """Give the masked voxels of the region a fresh label; returns it."""
        label = self.new_label(tissue)
        self.labels[region][mask] = label
        if target:
            self.targets.append((label,))
        return label

    def uniform(self, low: float, high: float) -> float:
        """A uniform random number."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < probability)


def paint_tube(
    canvas: Canvas,
    start: FloatArray,
    heading: NDArray[np.floating],
    length: float,
    radius: float,
    within: BoolArray,
    target: bool,
) -> None:
    points = random_curve(canvas.rng, start, heading.astype(np.float32), length, 0.8)
    radii = radius * (1 + 0.15 * np.sin(np.arange(len(points)) / 9 + canvas.uniform(0, 6)))
    region, mask = tube(canvas.grid.shape, points, radii.astype(np.float32))
    mask &= within[region]
    canvas.paint(region, mask, Tissue.VESSEL, target=target)


def paint_blob(
    canvas: Canvas, centre: FloatArray, radii: FloatArray, within: BoolArray, tissue: Tissue, roughness: float = 0.12
) -> int | None:
    """A super-ellipsoid, perhaps joined with another one and with a bite taken out; None where nothing is left."""
    rotation = rotation_matrix(canvas.rng)
    region, level = superellipsoid(canvas.grid, centre, radii, canvas.uniform(1.6, 3.5), rotation)
    if min(level.shape) < 2:
        return None
    knots = tuple(max(2, size // 5) for size in level.shape)
    level = level + np.float32(roughness) * smooth_field(canvas.rng, level.shape, knots)
    mask = level < 1
    for sign in (1, -1):
        if not canvas.chance(0.45):
            continue
        offset = canvas.rng.standard_normal(3) * radii * 0.7
        size = radii * canvas.rng.uniform(0.4, 0.8, 3)
        k, j, i = (canvas.grid.coordinates[axis][region] - centre[axis] - offset[axis] for axis in range(3))
        other = (k / size[0]) ** 2 + (j / size[1]) ** 2 + (i / size[2]) ** 2 < 1
        mask = mask | other if sign > 0 else mask & ~other
    mask &= within[region]
    if mask.sum() < LEAST_TARGET_VOXELS:
        return None
    return canvas.paint(region, mask, tissue)


def split_pieces(canvas: Canvas) -> None:
    """Objects that later shapes have cut apart: the largest piece keeps the label, large others become objects."""
    boxes = ndimage.find_objects(canvas.labels, max_label=len(canvas.tissues) - 1)
    for (label,) in [target for target in canvas.targets if len(target) == 1]:
        box = boxes[label - 1]
        if box is None:
            continue
        pieces, _ = ndimage.label(canvas.labels[box] == label)
        sizes = np.bincount(pieces.ravel())[1:]
        for piece in np.argsort(sizes)[:-1] + 1:
            whole = sizes[piece - 1] >= LEAST_TARGET_VOXELS and len(canvas.tissues) < LABEL_LIMIT
            if whole:
                canvas.paint(box, pieces == piece, Tissue(canvas.tissues[label]))
            else:
                canvas.labels[box][pieces == piece] = _crumbs(canvas, canvas.tissues[label])


def _crumbs(canvas: Canvas, tissue: int) -> int:
    """The one label of a tissue that collects pieces too small to be objects."""
    if tissue not in canvas.crumbs:
        canvas.crumbs[tissue] = canvas.new_label(Tissue(tissue))
    return canvas.crumbs[tissue]
