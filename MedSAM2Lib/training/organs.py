"""What fills the body's cavity: touching and solid organs, lungs, vessels, hollow organs, bowel, lesions."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MedSAM2Lib.training.canvas import LEAST_TARGET_VOXELS, WHOLE, Canvas, paint_blob, paint_tube
from MedSAM2Lib.training.shapes import random_curve, tube
from MedSAM2Lib.training.tissues import Tissue
from MedSAM2Lib.training.trunk import Trunk


def paint_touching_organs(canvas: Canvas, trunk: Trunk) -> None:
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


def paint_lungs(canvas: Canvas, trunk: Trunk) -> None:
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
            paint_tube(canvas, start, heading, canvas.uniform(10, 30), canvas.uniform(0.7, 1.6), mask, False)
    centre = np.array([floor - canvas.uniform(5, 20), trunk.centre[0] - 8, trunk.centre[1] + 4], dtype=np.float32)
    paint_blob(canvas, centre, canvas.rng.uniform(10, 18, 3).astype(np.float32), trunk.cavity, Tissue.ORGAN)


def paint_vessels(canvas: Canvas, trunk: Trunk) -> None:
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
        paint_tube(canvas, start, canvas.rng.standard_normal(3), canvas.uniform(20, 60), radius, inside, radius > 1.8)


def paint_solid_organs(canvas: Canvas, trunk: Trunk) -> None:
    """Large and middle-sized super-ellipsoids: kidney-like, spleen-like, gland-like."""
    for _ in range(int(canvas.rng.integers(2, 7))):
        radii = (canvas.uniform(4, 15) * canvas.rng.uniform(0.6, 1.5, 3)).astype(np.float32)
        label = paint_blob(canvas, trunk.random_point(canvas.rng), radii, trunk.cavity, Tissue.ORGAN)
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


def paint_hollow_organs(canvas: Canvas, trunk: Trunk) -> None:
    """Stomach- and bladder-like shells: a wall, fluid or food below a level, gas above it."""
    for _ in range(int(canvas.rng.integers(1, 4))):
        radii = (canvas.uniform(6, 14) * canvas.rng.uniform(0.6, 1.4, 3)).astype(np.float32)
        label = paint_blob(canvas, trunk.random_point(canvas.rng), radii, trunk.cavity, Tissue.WALL)
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


def paint_bowel(canvas: Canvas, trunk: Trunk) -> None:
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


def paint_lesions(canvas: Canvas) -> None:
    """Small blobs inside organs, muscle, fat or lung; the organ round one keeps the lesion as its part."""
    for _ in range(int(canvas.rng.integers(4, 11))):
        point = np.array([canvas.uniform(4, 60), canvas.uniform(20, 108), canvas.uniform(12, 116)], dtype=np.float32)
        host = int(canvas.labels[tuple(point.astype(int))])
        if host == 0 or canvas.tissues[host] in (Tissue.CORTEX, Tissue.GAS, Tissue.CORD):
            continue
        radii = (canvas.uniform(1.8, 7) * canvas.rng.uniform(0.7, 1.35, 3)).astype(np.float32)
        everywhere = canvas.labels == host if canvas.chance(0.6) else canvas.labels > 0
        label = paint_blob(canvas, point, radii, everywhere, Tissue.LESION, canvas.uniform(0.05, 0.3))
        if label is not None:
            canvas.targets = [(*target, label) if host in target else target for target in canvas.targets]
