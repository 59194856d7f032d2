"""Procedural anatomy: label volumes that resemble a trunk closely enough to learn segmentation from.

A volume is 64 x 128 x 128 voxels (k, j, i) of about 3 mm: body, fat, muscle, spine, ribs, lungs, warped Voronoi cells
as touching organs, super-ellipsoids with unions and bites, hollow organs with an air-fluid level, vessels, bowel and
lesions. No patient's image is involved anywhere. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable
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

GRID_SHAPE = (64, 128, 128)
LEAST_TARGET_VOXELS = 40
LABEL_LIMIT = 235


@dataclass(frozen=True)
class LabelVolume:
    """One synthetic body.

    Attributes:
        labels: [K, J, I] uint8, 0 outside the body.
        tissues: [L] uint8, the ``Tissue`` of every label.
        targets: [N, L] bool, the labels that make up each object worth segmenting.
    """

    labels: NDArray[np.uint8]
    tissues: NDArray[np.uint8]
    targets: BoolArray


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


WHOLE: Region = (slice(None), slice(None), slice(None))


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


def _paint_trunk(canvas: Canvas) -> Trunk:
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
    fat: FloatArray = canvas.uniform(0.04, 0.22) + np.float32(0.02) * smooth_field(
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


def _paint_back_muscles(canvas: Canvas, trunk: Trunk) -> None:
    """Two thick columns of muscle beside the spine."""
    for side in (-1, 1):
        points = np.column_stack([np.arange(64), trunk.spine[:, 0] + 8, trunk.spine[:, 1] + side * 10])
        region, mask = tube(canvas.grid.shape, points.astype(np.float32), np.full(64, canvas.uniform(6, 9), np.float32))
        mask &= canvas.labels[region] > 0
        canvas.paint(region, mask, Tissue.MUSCLE, target=canvas.chance(0.5))


def _paint_spine(canvas: Canvas, trunk: Trunk) -> None:
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


def _paint_ribs(canvas: Canvas, trunk: Trunk) -> None:
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


def _paint_touching_organs(canvas: Canvas, trunk: Trunk) -> None:
    """Cells of a warped, anisotropic Voronoi diagram fill the cavity, touching or with fat between."""
    count = int(canvas.rng.integers(7, 15))
    coordinates = canvas.grid.coordinates[:, trunk.cavity]
    first = np.full(coordinates.shape[1], np.inf, dtype=np.float32)
    second = first.copy()
    owner = np.zeros(coordinates.shape[1], dtype=np.int64)
    for index in range(count):
        seed = trunk.random_point(canvas.rng)
        scale = canvas.rng.uniform(0.6, 1.6, 3).astype(np.float32)
        scaled = (coordinates - seed[:, None]) * scale[:, None]
        distance = np.sqrt((scaled**2).sum(axis=0)) - canvas.uniform(0, 14)
        nearer = distance < first
        second = np.where(nearer, first, np.minimum(second, distance))
        owner[nearer] = index
        first = np.where(nearer, distance, first)
    gap = 0.0 if canvas.chance(0.45) else canvas.uniform(0.5, 4)
    filled = (second - first > gap) & (first < canvas.uniform(18, 60))
    for index in range(count):
        if canvas.chance(0.12):
            continue
        mask = np.zeros(canvas.grid.shape, dtype=bool)
        mask[trunk.cavity] = filled & (owner == index)
        canvas.paint(WHOLE, mask, Tissue.ORGAN)


def _paint_lungs(canvas: Canvas, trunk: Trunk) -> None:
    """Two lungs above a dome, each perhaps in two lobes, with vessels; and a heart between them."""
    k, j, i = canvas.grid.coordinates
    floor = canvas.uniform(15, 60)
    bulge = canvas.uniform(8, 20)
    for side in (-1, 1):
        middle = trunk.centre[1] + side * trunk.half_width * 0.45
        dome = floor + bulge * (((j - trunk.centre[0]) / 40) ** 2 + ((i - middle) / 30) ** 2) - canvas.uniform(0, 6)
        gap = canvas.uniform(3, 10)
        mask = trunk.cavity & (k < dome) & ((i - trunk.centre[1]) * side > gap)
        upper = (k + canvas.uniform(-0.8, 0.8) * (j - 64)) < canvas.uniform(5, floor)
        if canvas.chance(0.5):
            labels = [canvas.paint(WHOLE, part, Tissue.LUNG) for part in (mask & upper, mask & ~upper)]
            canvas.targets.append(tuple(labels))
        else:
            canvas.paint(WHOLE, mask, Tissue.LUNG)
        for _ in range(int(canvas.rng.integers(3, 9))):
            start = np.array([canvas.uniform(0, floor), trunk.centre[0], middle], dtype=np.float32)
            heading = canvas.rng.standard_normal(3)
            _paint_tube(canvas, start, heading, canvas.uniform(10, 30), canvas.uniform(0.7, 1.6), mask, False)
    centre = np.array([floor - canvas.uniform(5, 20), trunk.centre[0] - 8, trunk.centre[1] + 4], dtype=np.float32)
    _paint_blob(canvas, centre, canvas.rng.uniform(10, 18, 3).astype(np.float32), trunk.cavity, Tissue.ORGAN)


def _paint_tube(
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


def _paint_vessels(canvas: Canvas, trunk: Trunk) -> None:
    """A great vessel or two along the spine, and smaller branches anywhere."""
    inside = trunk.cavity
    for side in (-1, 1):
        if canvas.chance(0.15):
            continue
        start_j = trunk.spine[0, 0] - canvas.uniform(8, 13)
        start = np.array([-3, start_j, trunk.spine[0, 1] + side * canvas.uniform(2, 7)], dtype=np.float32)
        heading = np.array([1.0, canvas.uniform(-0.1, 0.1), canvas.uniform(-0.1, 0.1)])
        points = random_curve(canvas.rng, start, heading.astype(np.float32), canvas.uniform(40, 80), 0.15)
        radius = canvas.uniform(2, 5)
        region, mask = tube(canvas.grid.shape, points, np.full(len(points), radius, np.float32))
        canvas.paint(region, mask & (canvas.labels[region] > 0), Tissue.VESSEL)
    for _ in range(int(canvas.rng.integers(2, 6))):
        start = trunk.random_point(canvas.rng)
        radius = canvas.uniform(1.2, 3.5)
        _paint_tube(canvas, start, canvas.rng.standard_normal(3), canvas.uniform(20, 60), radius, inside, radius > 1.8)


def _paint_blob(
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


def _paint_solid_organs(canvas: Canvas, trunk: Trunk) -> None:
    """Large and middle-sized super-ellipsoids: kidney-like, spleen-like, gland-like."""
    for _ in range(int(canvas.rng.integers(2, 7))):
        radii = (canvas.uniform(4, 15) * canvas.rng.uniform(0.6, 1.5, 3)).astype(np.float32)
        label = _paint_blob(canvas, trunk.random_point(canvas.rng), radii, trunk.cavity, Tissue.ORGAN)
        if label is not None and canvas.chance(0.35):
            _paint_core(canvas, label)


def _paint_core(canvas: Canvas, label: int) -> None:
    """The inside of an organ as another tissue (a kidney's pelvis, a rind): the whole stays one object."""
    inner = ndimage.binary_erosion(canvas.labels == label, iterations=int(canvas.rng.integers(1, 4)))
    if inner.sum() < LEAST_TARGET_VOXELS:
        return
    core = canvas.paint(WHOLE, inner, Tissue.ORGAN if canvas.chance(0.6) else Tissue.FLUID)
    canvas.targets = [target for target in canvas.targets if target != (label,)]
    canvas.targets.append((label, core))


def _paint_hollow_organs(canvas: Canvas, trunk: Trunk) -> None:
    """Stomach- and bladder-like shells: a wall, fluid or food below a level, gas above it."""
    for _ in range(int(canvas.rng.integers(1, 4))):
        radii = (canvas.uniform(6, 14) * canvas.rng.uniform(0.6, 1.4, 3)).astype(np.float32)
        label = _paint_blob(canvas, trunk.random_point(canvas.rng), radii, trunk.cavity, Tissue.WALL)
        if label is None:
            continue
        wall = canvas.labels == label
        inner = ndimage.distance_transform_edt(wall) > canvas.uniform(1.0, 2.6)
        rows = np.flatnonzero(wall.any(axis=(0, 2)))
        level = rows[0] + canvas.uniform(-0.3, 0.8) * (rows[-1] - rows[0])
        below = canvas.grid.coordinates[1] > level
        tissue = Tissue.FLUID if canvas.chance(0.6) else Tissue.CONTENT
        content = canvas.paint(WHOLE, inner & below, tissue, target=canvas.chance(0.4))
        gas = canvas.paint(WHOLE, inner & ~below, Tissue.GAS, target=False)
        canvas.targets = [target for target in canvas.targets if target != (label,)]
        canvas.targets.append((label, content, gas))


def _paint_bowel(canvas: Canvas, trunk: Trunk) -> None:
    """Winding tubes with a thin wall and mixed content."""
    for _ in range(int(canvas.rng.integers(0, 4))):
        start = trunk.random_point(canvas.rng)
        points = random_curve(canvas.rng, start, canvas.rng.standard_normal(3), canvas.uniform(40, 110), 2.2)
        points = np.clip(points, 2, np.array(canvas.grid.shape) - 3).astype(np.float32)
        wave = 1 + canvas.uniform(0, 0.25) * np.sin(np.arange(len(points)) / canvas.uniform(3, 8))
        radii = (canvas.uniform(3, 6) * wave).astype(np.float32)
        region, outer = tube(canvas.grid.shape, points, radii)
        outer &= trunk.cavity[region]
        wall = canvas.paint(region, outer, Tissue.WALL, target=False)
        region, inner = tube(canvas.grid.shape, points, radii - np.float32(canvas.uniform(0.8, 1.6)))
        inner &= canvas.labels[region] == wall
        tissue = (Tissue.CONTENT, Tissue.FLUID, Tissue.GAS)[int(canvas.rng.choice(3, p=[0.6, 0.2, 0.2]))]
        content = canvas.paint(region, inner, tissue, target=False)
        canvas.targets.append((wall, content))


def _paint_lesions(canvas: Canvas) -> None:
    """Small blobs inside organs, muscle, fat or lung; the organ round one keeps the lesion as its part."""
    for _ in range(int(canvas.rng.integers(4, 11))):
        point = np.array([canvas.uniform(4, 60), canvas.uniform(20, 108), canvas.uniform(12, 116)], dtype=np.float32)
        host = int(canvas.labels[tuple(point.astype(int))])
        if host == 0 or canvas.tissues[host] in (Tissue.CORTEX, Tissue.GAS, Tissue.CORD):
            continue
        radii = (canvas.uniform(1.8, 7) * canvas.rng.uniform(0.7, 1.35, 3)).astype(np.float32)
        everywhere = canvas.labels == host if canvas.chance(0.6) else canvas.labels > 0
        label = _paint_blob(canvas, point, radii, everywhere, Tissue.LESION, canvas.uniform(0.05, 0.3))
        if label is not None:
            canvas.targets = [(*target, label) if host in target else target for target in canvas.targets]


def make_label_volume(seed: int) -> LabelVolume:
    """The synthetic body of one seed; equal seeds give equal bodies."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(rng, WarpedGrid.random(rng, GRID_SHAPE, float(rng.uniform(1.0, 3.5))))
    trunk = _paint_trunk(canvas)
    steps: list[Callable[[], None]] = [
        lambda: _paint_touching_organs(canvas, trunk),
        lambda: _paint_solid_organs(canvas, trunk),
        lambda: _paint_hollow_organs(canvas, trunk),
        lambda: _paint_bowel(canvas, trunk),
        lambda: _paint_vessels(canvas, trunk),
    ]
    if canvas.chance(0.4):
        steps.insert(int(rng.integers(1, 3)), lambda: _paint_lungs(canvas, trunk))
    for step in steps:
        step()
    _paint_back_muscles(canvas, trunk)
    _paint_ribs(canvas, trunk)
    _paint_spine(canvas, trunk)
    _paint_lesions(canvas)
    return _finish(canvas)


def _split_pieces(canvas: Canvas) -> None:
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


def _finish(canvas: Canvas) -> LabelVolume:
    """Drop targets that later shapes have covered."""
    _split_pieces(canvas)
    counts = np.bincount(canvas.labels.ravel(), minlength=len(canvas.tissues))
    targets = np.zeros((len(canvas.targets), len(canvas.tissues)), dtype=bool)
    for row, labels in enumerate(canvas.targets):
        targets[row, list(labels)] = True
    keep = (targets * counts).sum(axis=1) >= LEAST_TARGET_VOXELS
    return LabelVolume(canvas.labels, np.array(canvas.tissues, dtype=np.uint8), targets[keep])
