"""Stomach, colon and small bowel: walls with gas, fluid, food or stool inside."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MedSAM2Lib.training.canvas import WHOLE
from MedSAM2Lib.training.shapes import BoolArray, FloatArray, Region, quick_field, random_curve, tube
from MedSAM2Lib.training.site import Site, smooth_curve
from MedSAM2Lib.training.tissues import Tissue

_STOMACH_FILLINGS = (Tissue.FLUID, Tissue.CONTENT, Tissue.WALL)


def place_stomach(site: Site) -> None:
    """A curved bag at the front left: collapsed to its wall, or with fluid or food and perhaps gas above a level."""
    canvas = site.canvas
    k = canvas.uniform(10, 26)
    places = [
        (k - canvas.uniform(4, 12), canvas.uniform(-0.1, 0.35), -canvas.uniform(0.35, 0.6)),
        (k, -canvas.uniform(0.1, 0.4), -canvas.uniform(0.35, 0.65)),
        (k + canvas.uniform(6, 16), -canvas.uniform(0.35, 0.65), -canvas.uniform(0.1, 0.35)),
        (k + canvas.uniform(4, 18), -canvas.uniform(0.2, 0.5), canvas.uniform(0.05, 0.3)),
    ]
    curve = smooth_curve(canvas, [site.voxel(place) for place in places])
    narrowing = np.linspace(canvas.uniform(6, 14), canvas.uniform(3, 6), len(curve))
    region, mask = tube(canvas.grid.shape, curve, narrowing.astype(np.float32))
    wall = site.place(region, mask, Tissue.WALL, site.gap(0.55))
    if wall is None:
        return
    depth = ndimage.distance_transform_edt(canvas.labels[region] == wall)
    inner = depth > canvas.uniform(0.8, 2.2)
    filling = _STOMACH_FILLINGS[int(canvas.rng.choice(3, p=[0.45, 0.3, 0.25]))]
    _fill(site, region, inner, wall, filling, gas_share=canvas.uniform(-0.4, 0.8))


def _fill(site: Site, region: Region, inner: BoolArray, wall: int, filling: Tissue, gas_share: float) -> None:
    """Fill a hollow organ up to a level, gas above it; everything inside is part of the organ."""
    canvas = site.canvas
    rows = np.flatnonzero(inner.any(axis=(0, 2)))
    if len(rows) == 0:
        return
    level = region[1].start + rows[0] + gas_share * (rows[-1] - rows[0])
    above = canvas.grid.coordinates[1][region] < level
    labels = [wall, canvas.paint(region, inner & ~above, filling, target=False)]
    if gas_share > 0:
        labels.append(canvas.paint(region, inner & above, Tissue.GAS, target=False))
    canvas.targets = [tuple(labels) if target == (wall,) else target for target in canvas.targets]


def place_colon(site: Site) -> None:
    """One to three wide segments with haustra, full of gas or of stool with gas in it."""
    canvas = site.canvas
    ways = [
        [(canvas.uniform(26, 40), 0.3, 0.75), (66, 0.25, 0.72)],
        [(canvas.uniform(14, 30), 0.2, -0.75), (66, 0.35, -0.78)],
        [
            (canvas.uniform(26, 44), -0.6, 0.6),
            (canvas.uniform(34, 56), -0.75, 0.0),
            (canvas.uniform(16, 34), -0.5, -0.65),
        ],
    ]
    for index in canvas.rng.permutation(3)[: int(canvas.rng.integers(1, 4))]:
        shifts = canvas.rng.standard_normal((len(ways[index]), 3)) * (2.0, 0.08, 0.05)
        curve = smooth_curve(canvas, [site.voxel(np.add(*pair)) for pair in zip(ways[index], shifts)])
        folds = 1 + canvas.uniform(0.08, 0.3) * np.abs(np.sin(np.arange(len(curve)) / canvas.uniform(4, 8)))
        _place_bowel(site, curve, canvas.uniform(4.0, 7.5) * folds, canvas.uniform(0.5, 1.2), _colon_filling(site))


def _colon_filling(site: Site) -> Tissue:
    return (Tissue.STOOL, Tissue.GAS, Tissue.FLUID)[int(site.canvas.rng.choice(3, p=[0.6, 0.3, 0.1]))]


def place_small_bowel(site: Site) -> None:
    """Loops in the lower front, touching or in fat, mostly of fluid or collapsed."""
    canvas = site.canvas
    for _ in range(int(canvas.rng.integers(3, 18))):
        start = site.voxel((canvas.uniform(20, 64), canvas.uniform(-0.8, 0.25), canvas.uniform(-0.6, 0.6)))
        curve = random_curve(canvas.rng, start, canvas.rng.standard_normal(3), canvas.uniform(15, 60), 2.4)
        curve = np.clip(curve, 0, np.array(canvas.grid.shape) - 1).astype(np.float32)
        filling = (Tissue.FLUID, Tissue.CONTENT, Tissue.GAS)[int(canvas.rng.choice(3, p=[0.65, 0.2, 0.15]))]
        radii = np.full(len(curve), canvas.uniform(2.4, 4.5))
        _place_bowel(site, curve, radii, canvas.uniform(0.6, 1.6), filling)


def _place_bowel(site: Site, curve: FloatArray, radii: np.ndarray, thickness: float, filling: Tissue) -> None:
    canvas = site.canvas
    region, outer = tube(canvas.grid.shape, curve, radii.astype(np.float32))
    wall = site.place(region, outer, Tissue.WALL, site.gap(0.45))
    if wall is None:
        return
    _, inner = tube(canvas.grid.shape, curve, np.maximum(radii - thickness, 0.4).astype(np.float32))
    if inner.shape != outer.shape:
        inner = ndimage.binary_erosion(outer)
    inner = inner & (canvas.labels[region] == wall)
    labels = [wall, canvas.paint(region, inner, filling, target=False)]
    if filling is Tissue.STOOL and min(inner.shape) > 3:
        mottle = quick_field(canvas.rng, inner.shape, tuple(max(2, int(size / 2.5)) for size in inner.shape))
        labels.append(canvas.paint(region, inner & (mottle > canvas.uniform(0.5, 1.5)), Tissue.GAS, target=False))
    canvas.targets = [tuple(labels) if target == (wall,) else target for target in canvas.targets]


def strew_fat(site: Site) -> None:
    """Thin vessels and small nodes in the fat between organs, none of them an object."""
    canvas = site.canvas
    thin = canvas.new_label(Tissue.VEIN)
    inside = np.flatnonzero(site.room)
    if len(inside) == 0:
        return
    for _ in range(int(canvas.rng.integers(15, 70))):
        start = np.array(np.unravel_index(int(canvas.rng.choice(inside)), site.room.shape), dtype=np.float32)
        points = random_curve(canvas.rng, start, canvas.rng.standard_normal(3), canvas.uniform(4, 26), 1.5)
        region, mask = tube(canvas.grid.shape, points, np.full(len(points), canvas.uniform(0.5, 1.3), np.float32))
        canvas.labels[region][mask & site.room[region]] = thin
    haze = canvas.uniform(0.0, 0.06)
    specks = site.room & (canvas.rng.random(site.room.shape, dtype=np.float32) < haze)
    canvas.labels[WHOLE][specks] = thin
