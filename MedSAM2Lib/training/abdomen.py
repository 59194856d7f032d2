"""A synthetic abdomen: the same trunk and grid as ``anatomy``, with organs in their places instead of anywhere.

Organs touch, or lie in fat with thin vessels in it; the lungs reach down round the diaphragm; some bodies are cut by
the scanner's field of view or lie on a table. No patient's image is involved anywhere. Everything follows from the
seed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.training.anatomy import LabelVolume, finish
from MedSAM2Lib.training.canvas import LABEL_LIMIT, WHOLE, Canvas, paint_blob, paint_tube
from MedSAM2Lib.training.gut import place_colon, place_small_bowel, place_stomach, strew_fat
from MedSAM2Lib.training.shapes import BoolArray, WarpedGrid, quick_field
from MedSAM2Lib.training.site import Site
from MedSAM2Lib.training.tissues import Tissue
from MedSAM2Lib.training.trunk import Trunk, paint_back_muscles, paint_ribs, paint_spine, paint_trunk
from MedSAM2Lib.training.viscera import (
    place_adrenals,
    place_gallbladder,
    place_great_vessels,
    place_kidneys,
    place_liver,
    place_pancreas,
    place_spleen,
)

LEAST_CONTACT = 4
LESION_HOSTS = (Tissue.LIVER, Tissue.KIDNEY, Tissue.SPLEEN, Tissue.PANCREAS, Tissue.MUSCLE, Tissue.FAT, Tissue.LUNG)


def make_abdomen(seed: int, shape: tuple[int, int, int]) -> LabelVolume:
    """The synthetic abdomen of one seed; equal seeds give equal bodies."""
    rng = np.random.default_rng((seed, 1))
    canvas = Canvas(rng, WarpedGrid.random(rng, shape, float(rng.uniform(0.8, 2.5)), quick_field))
    trunk = paint_trunk(canvas, quick_field)
    _paint_bones(canvas, trunk)
    fat = canvas.tissues.index(int(Tissue.FAT), 3)
    site = Site(canvas, trunk, 1 if canvas.chance(0.5) else -1)
    site.room &= canvas.labels == fat
    if canvas.chance(0.75):
        _place_lungs(site)
    place_great_vessels(site)
    place_adrenals(site)
    place_kidneys(site)
    place_spleen(site)
    place_stomach(site)
    place_gallbladder(site)
    place_colon(site)
    place_liver(site)
    place_pancreas(site)
    place_small_bowel(site)
    strew_fat(site)
    _paint_lesions(canvas)
    _paint_surroundings(canvas)
    volume = finish(canvas)
    return LabelVolume(
        volume.labels, volume.tissues, volume.targets, label_contacts(volume.labels, len(volume.tissues))
    )


def label_contacts(labels: NDArray[np.uint8], count: int) -> BoolArray:
    """[count, count] bool, symmetric: labels that share at least four voxel faces."""
    faces = np.zeros(count * count, dtype=np.int64)
    for axis in range(3):
        first = np.moveaxis(labels, axis, 0)[:-1].ravel()
        second = np.moveaxis(labels, axis, 0)[1:].ravel()
        differ = first != second
        pairs = first[differ].astype(np.int64) * count + second[differ]
        faces += np.bincount(pairs, minlength=count * count)
    table = faces.reshape(count, count)
    return np.asarray(table + table.T >= LEAST_CONTACT)


def _paint_bones(canvas: Canvas, trunk: Trunk) -> None:
    """Spine and ribs, and the muscles beside and before the spine."""
    paint_back_muscles(canvas, trunk)
    paint_ribs(canvas, trunk)
    paint_spine(canvas, trunk)
    depth, reach = canvas.grid.shape[0], canvas.uniform(5, 8)
    top, thickness = canvas.uniform(10, 40), canvas.uniform(3, 6.5)
    k, j, i = canvas.grid.coordinates
    middle_j, middle_i = (trunk.spine[:depth, axis][:, None, None] for axis in (0, 1))
    radius = np.clip(thickness * (k - top) / 20, 0, thickness)
    soft = np.isin(canvas.labels, np.flatnonzero(np.isin(canvas.tissues, (int(Tissue.FAT), int(Tissue.MUSCLE)))))
    for side in (-1, 1):
        distance = ((j - middle_j - 1) ** 2 + (np.abs(i - middle_i - side * (reach + 4)) * 1.2) ** 2) ** 0.5
        canvas.paint(WHOLE, soft & (distance < radius), Tissue.MUSCLE, target=canvas.chance(0.5))


def _place_lungs(site: Site) -> None:
    """The lungs' lower ends round the domes of the diaphragm, with vessels, a heart and perhaps a sheet of muscle."""
    canvas = site.canvas
    k, j, i = canvas.grid.coordinates
    lungs = np.zeros(canvas.grid.shape, dtype=bool)
    bulge = canvas.uniform(6, 26)
    for side in (-1, 1):
        middle = site.middle[1] + side * 0.5 * site.half_right
        radius = ((j - site.middle[0]) / site.half_back) ** 2 + ((i - middle) / (0.5 * site.half_right)) ** 2
        dome = canvas.uniform(-10, 12) + bulge * radius - canvas.uniform(0, 6)
        between = (i - site.middle[1]) * side > canvas.uniform(3, 12)
        mask = site.room & between & (k < np.minimum(dome, canvas.uniform(24, 44)))
        lung = site.place(WHOLE, mask, Tissue.LUNG)
        lungs |= mask
        for _ in range(int(canvas.rng.integers(3, 12)) if lung is not None else 0):
            start = np.array([canvas.uniform(0, 12), *site.voxel((0, 0, 0))[1:]], dtype=np.float32)
            start[2] += side * 0.4 * site.half_right
            radius_of_vessel = canvas.uniform(0.6, 1.5)
            paint_tube(
                canvas, start, canvas.rng.standard_normal(3), canvas.uniform(10, 30), radius_of_vessel, mask, False
            )
    heart = site.voxel((canvas.uniform(-10, 4), -canvas.uniform(0.1, 0.5), -canvas.uniform(0.0, 0.3)))
    region, mask = site.lump(heart, canvas.rng.uniform(10, 19, 3).tolist())
    site.place(region, mask, Tissue.HEART)
    if canvas.chance(0.6):
        site.place(WHOLE, ndimage.binary_dilation(lungs), Tissue.MUSCLE, target=False)


def _paint_lesions(canvas: Canvas) -> None:
    """Cysts and solid lesions, mostly in organs; the organ round one keeps it as its part."""
    hosts = [label for label, tissue in enumerate(canvas.tissues) if tissue in LESION_HOSTS]
    for _ in range(int(canvas.rng.integers(3, 11))):
        host = hosts[int(canvas.rng.integers(len(hosts)))]
        inside = np.flatnonzero(canvas.labels == host)
        if len(inside) == 0 or len(canvas.tissues) >= LABEL_LIMIT:
            continue
        point = np.unravel_index(int(canvas.rng.choice(inside)), canvas.labels.shape)
        radii = (canvas.uniform(1.8, 7) * canvas.rng.uniform(0.7, 1.35, 3)).astype(np.float32)
        tissue = Tissue.CYST if canvas.chance(0.3) else Tissue.LESION
        roughness = canvas.uniform(0.02, 0.1) if tissue is Tissue.CYST else canvas.uniform(0.05, 0.3)
        within = canvas.labels == host
        if canvas.chance(0.25):
            within = np.isin(canvas.labels, np.flatnonzero(np.isin(canvas.tissues, LESION_HOSTS)))
        label = paint_blob(canvas, np.array(point, dtype=np.float32), radii, within, tissue, roughness)
        if label is not None:
            canvas.targets = [(*target, label) if host in target else target for target in canvas.targets]


def _paint_surroundings(canvas: Canvas) -> None:
    """A table or a cloth outside the body, at times; at times nothing beyond a circular field of view."""
    _, j, i = np.ogrid[tuple(slice(0, size) for size in canvas.grid.shape)]
    outside = canvas.labels == 0
    if canvas.chance(0.35):
        lowest = float(np.flatnonzero(~outside.all(axis=(0, 2)))[-1])
        bow = canvas.uniform(-0.004, 0.002) * (i - 64) ** 2
        depth = j - lowest - canvas.uniform(0.5, 3) - bow
        board = outside & ((np.abs(depth) < 0.8) | (np.abs(depth - canvas.uniform(4, 10)) < 0.8))
        canvas.paint(WHOLE, board, Tissue.TABLE, target=False)
    if canvas.chance(0.2):
        cloth = ndimage.binary_dilation(~outside[32], iterations=int(canvas.rng.integers(2, 5)))
        edge = cloth & ~ndimage.binary_erosion(cloth)
        canvas.paint(WHOLE, outside & edge[None] & (j < 64), Tissue.TABLE, target=False)
    if canvas.chance(0.2):
        radius = canvas.uniform(48, 66)
        far = (j - 64) ** 2 + (i - 64) ** 2 > radius**2
        canvas.labels[np.broadcast_to(far, canvas.labels.shape)] = 0
