"""The organs of the abdomen, each near its place and shape in people: what a click or a box most often asks for.

Sizes are rounded textbook values in voxels of 3 mm, spread widely. Every organ is one target, whole: with its vessels
and lesions, a stomach with its wall and content, a kidney without the fat of its sinus, so that a click inside one
means one thing.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MedSAM2Lib.training.canvas import WHOLE
from MedSAM2Lib.training.shapes import random_curve, tube
from MedSAM2Lib.training.site import Site
from MedSAM2Lib.training.tissues import Tissue


def place_great_vessels(site: Site) -> None:
    """Aorta and vena cava before the spine."""
    canvas, spine = site.canvas, site.trunk.spine
    depth = canvas.grid.shape[0]
    for sign, tissue in ((-1, Tissue.ARTERY), (1, Tissue.VEIN)):
        radius = canvas.uniform(2.4, 4.6)
        ahead = canvas.uniform(7.0, 9.5) + radius
        aside = sign * canvas.uniform(1.5, 6.0)
        points = [
            np.array(
                [k, spine[min(k, depth - 1), 0] - ahead, spine[min(k, depth - 1), 1] + site.side * aside], np.float32
            )
            + canvas.rng.standard_normal(3).astype(np.float32) * (0, 1, 1)
            for k in range(0, depth + 16, 16)
        ]
        region, mask, _ = site.pipe(points, radius, 0.06)
        site.place(region, mask, tissue, site.gap(0.6))


def place_kidneys(site: Site) -> None:
    """Two kidneys in fat, each with the fat of its sinus cut out towards the spine and perhaps a pelvis of fluid."""
    canvas = site.canvas
    for sign in (1, -1):
        if canvas.chance(0.08):
            continue
        size = canvas.uniform(0.8, 1.2)
        centre = site.voxel((canvas.uniform(24, 52), canvas.uniform(0.3, 0.6), sign * canvas.uniform(0.42, 0.6)))
        radii = np.array([canvas.uniform(14, 20), canvas.uniform(7, 10), canvas.uniform(7.5, 10)]) * size
        region, mask = site.lump(centre, radii, 0.2, 0.05)
        label = site.place(region, mask, Tissue.KIDNEY, int(canvas.rng.integers(1, 5)))
        if label is None:
            continue
        kidney = canvas.labels[region] == label
        if canvas.chance(0.6):
            depth = ndimage.distance_transform_edt(kidney)
            uneven = depth + 1.2 * np.sin(np.arange(kidney.shape[0]) / canvas.uniform(1.2, 2.0))[:, None, None]
            medulla = canvas.paint(region, kidney & (uneven > canvas.uniform(2.2, 3.4)), Tissue.MEDULLA, target=False)
            canvas.targets = [(label, medulla) if target == (label,) else target for target in canvas.targets]
        inward = centre + np.array([0, -canvas.uniform(0.0, 0.5) * radii[1], -site.side * sign * 0.55 * radii[2]])
        sinus_radii = radii * np.array(
            [canvas.uniform(0.35, 0.6), canvas.uniform(0.25, 0.5), canvas.uniform(0.35, 0.6)]
        )
        sinus, hollow = site.lump(inward.astype(np.float32), sinus_radii, 0.3, 0.25)
        hollow &= np.isin(canvas.labels[sinus], (label, len(canvas.tissues) - 1))
        canvas.paint(sinus, hollow, Tissue.FAT, target=False)
        if canvas.chance(0.6):
            pelvis, fluid = site.lump(inward.astype(np.float32), sinus_radii * canvas.uniform(0.3, 0.75), 0.3, 0.2)
            fluid &= canvas.labels[pelvis] == len(canvas.tissues) - 1
            canvas.paint(pelvis, fluid, Tissue.FLUID, target=False)


def place_spleen(site: Site) -> None:
    """Against the wall at the back left, hollow on the inner side."""
    canvas = site.canvas
    centre = site.voxel((canvas.uniform(6, 30), canvas.uniform(0.0, 0.5), -canvas.uniform(0.68, 0.85)))
    radii = [canvas.uniform(12, 20), canvas.uniform(13, 21), canvas.uniform(7, 12)]
    region, mask = site.lump(centre, radii, 0.3, 0.06)
    inner = centre + np.array([0, -canvas.uniform(0, 6), site.side * canvas.uniform(9, 15)], np.float32)
    hollow_region, hollow = site.lump(inner, [r * canvas.uniform(0.5, 0.9) for r in radii], 0.3, 0.1)
    carved = np.zeros(canvas.grid.shape, dtype=bool)
    carved[region] = mask
    carved[hollow_region] &= ~hollow
    site.place(WHOLE, carved, Tissue.SPLEEN, site.gap(0.55))


def place_liver(site: Site) -> None:
    """The largest organ: a right lobe that fills its side, a thinner left one across the middle, fissures, vessels."""
    canvas = site.canvas
    mask = np.zeros(canvas.grid.shape, dtype=bool)
    k = canvas.uniform(8, 30)
    right = site.voxel((k, canvas.uniform(-0.1, 0.2), canvas.uniform(0.5, 0.7)))
    radii = [
        canvas.uniform(22, 42),
        site.half_back * canvas.uniform(0.7, 1.1),
        site.half_right * canvas.uniform(0.4, 0.75),
    ]
    region, lobe = site.lump(right, radii, 0.15, 0.04)
    mask[region] |= lobe
    left = site.voxel((k - canvas.uniform(0, 10), -canvas.uniform(0.3, 0.65), canvas.uniform(-0.15, 0.3)))
    radii = [
        canvas.uniform(10, 24),
        site.half_back * canvas.uniform(0.25, 0.6),
        site.half_right * canvas.uniform(0.35, 0.8),
    ]
    region, lobe = site.lump(left, radii, 0.25, 0.06)
    mask[region] |= lobe
    for _ in range(int(canvas.rng.integers(0, 3))):
        notch = site.voxel((k + canvas.uniform(-6, 16), canvas.uniform(-0.8, 0.2), canvas.uniform(0.0, 0.45)))
        size = [canvas.uniform(6, 18), canvas.uniform(4, 14), canvas.uniform(0.6, 2.0)]
        region, cut = site.lump(notch, size, 0.4, 0.1)
        mask[region] &= ~cut
    label = site.place(WHOLE, mask, Tissue.LIVER, site.gap(0.6))
    if label is not None:
        _grow_vessels(site, label, right)


def _grow_vessels(site: Site, organ: int, root: np.ndarray) -> None:
    """Branches inside an organ, part of it, that fan out from near its hilum."""
    canvas = site.canvas
    vessels = canvas.new_label(Tissue.VEIN)
    hilum = root + np.array([4, 0, -site.side * 0.3 * site.half_right], np.float32)
    for _ in range(int(canvas.rng.integers(4, 14))):
        heading = canvas.rng.standard_normal(3) + np.array([0, 0, site.side * 0.7])
        start = (hilum + canvas.rng.standard_normal(3) * 5).astype(np.float32)
        points = random_curve(canvas.rng, start, heading, canvas.uniform(12, 34), 0.9)
        radii = np.linspace(canvas.uniform(0.9, 2.0), 0.5, len(points)).astype(np.float32)
        region, mask = tube(canvas.grid.shape, points, radii)
        canvas.labels[region][mask & (canvas.labels[region] == organ)] = vessels
    canvas.targets = [(organ, vessels) if target == (organ,) else target for target in canvas.targets]


def place_gallbladder(site: Site) -> None:
    """A bag of bile at the lower face of the liver."""
    canvas = site.canvas
    centre = site.voxel((canvas.uniform(26, 48), -canvas.uniform(0.2, 0.6), canvas.uniform(0.25, 0.6)))
    radii = [canvas.uniform(5, 10), canvas.uniform(3.5, 6.5), canvas.uniform(3.5, 6.5)]
    region, mask = site.lump(centre, radii, 0.6, 0.05)
    site.place(region, mask, Tissue.BILE, site.gap(0.75))


def place_pancreas(site: Site) -> None:
    """A lobulated band across the middle, thick at its right end."""
    canvas = site.canvas
    k = canvas.uniform(22, 44)
    places = [
        (k + canvas.uniform(4, 12), canvas.uniform(-0.05, 0.25), canvas.uniform(0.22, 0.34)),
        (k + canvas.uniform(-2, 4), canvas.uniform(-0.3, 0.0), 0.05),
        (k - canvas.uniform(0, 6), canvas.uniform(-0.15, 0.15), -0.25),
        (k - canvas.uniform(2, 10), canvas.uniform(0.0, 0.35), -canvas.uniform(0.4, 0.6)),
    ]
    region, mask, _ = site.pipe([site.voxel(place) for place in places], canvas.uniform(2.2, 4.2), 0.28)
    uneven = ndimage.gaussian_filter(canvas.rng.standard_normal(mask.shape), 0.8)
    site.place(region, mask & (uneven < canvas.uniform(0.3, 0.8)), Tissue.PANCREAS, site.gap(0.5))


def place_adrenals(site: Site) -> None:
    """Thin limbs of two or three voxels beside the spine above the kidneys."""
    canvas = site.canvas
    for sign in (1, -1):
        start = site.voxel((canvas.uniform(12, 30), canvas.uniform(0.15, 0.4), sign * canvas.uniform(0.22, 0.36)))
        mask = np.zeros(canvas.grid.shape, dtype=bool)
        for _ in range(int(canvas.rng.integers(2, 4))):
            heading = np.array([canvas.uniform(0.6, 1.5), canvas.uniform(0.2, 1.5), canvas.uniform(-0.8, 0.8)])
            points = random_curve(canvas.rng, start, heading, canvas.uniform(6, 11), 0.8)
            region, limb = tube(canvas.grid.shape, points, np.full(len(points), canvas.uniform(0.9, 1.5), np.float32))
            mask[region] |= limb
        site.place(WHOLE, mask, Tissue.ADRENAL, 1)
