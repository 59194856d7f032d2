"""Procedural anatomy: label volumes that resemble a trunk closely enough to learn segmentation from.

A volume is 64 x 128 x 128 voxels (k, j, i) of about 3 mm: body, fat, muscle, spine, ribs, lungs, warped Voronoi cells
as touching organs, super-ellipsoids with unions and bites, hollow organs with an air-fluid level, vessels, bowel and
lesions. No patient's image is involved anywhere. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.training.canvas import LEAST_TARGET_VOXELS, Canvas, split_pieces
from MedSAM2Lib.training.organs import (
    paint_bowel,
    paint_hollow_organs,
    paint_lesions,
    paint_lungs,
    paint_solid_organs,
    paint_touching_organs,
    paint_vessels,
)
from MedSAM2Lib.training.shapes import BoolArray, WarpedGrid
from MedSAM2Lib.training.trunk import paint_back_muscles, paint_ribs, paint_spine, paint_trunk

GRID_SHAPE = (64, 128, 128)


@dataclass(frozen=True)
class LabelVolume:
    """One synthetic body.

    Attributes:
        labels: [K, J, I] uint8, 0 outside the body.
        tissues: [L] uint8, the ``Tissue`` of every label.
        targets: [N, L] bool, the labels that make up each object worth segmenting.
        contacts: [L, L] bool, which labels touch, where organs lie as in people: then tissues are rendered with related
            brightness, and contrast is certain only where labels touch. ``None``: any organ may lie anywhere.
    """

    labels: NDArray[np.uint8]
    tissues: NDArray[np.uint8]
    targets: BoolArray
    contacts: BoolArray | None = None


def make_label_volume(seed: int) -> LabelVolume:
    """The synthetic body of one seed; equal seeds give equal bodies."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(rng, WarpedGrid.random(rng, GRID_SHAPE, float(rng.uniform(1.0, 3.5))))
    trunk = paint_trunk(canvas)
    steps: list[Callable[[], None]] = [
        lambda: paint_touching_organs(canvas, trunk),
        lambda: paint_solid_organs(canvas, trunk),
        lambda: paint_hollow_organs(canvas, trunk),
        lambda: paint_bowel(canvas, trunk),
        lambda: paint_vessels(canvas, trunk),
    ]
    if canvas.chance(0.4):
        steps.insert(int(rng.integers(1, 3)), lambda: paint_lungs(canvas, trunk))
    for step in steps:
        step()
    paint_back_muscles(canvas, trunk)
    paint_ribs(canvas, trunk)
    paint_spine(canvas, trunk)
    paint_lesions(canvas)
    return finish(canvas)


def finish(canvas: Canvas) -> LabelVolume:
    """The body as painted, without targets that later shapes have covered."""
    split_pieces(canvas)
    counts = np.bincount(canvas.labels.ravel(), minlength=len(canvas.tissues))
    targets = np.zeros((len(canvas.targets), len(canvas.tissues)), dtype=bool)
    for row, labels in enumerate(canvas.targets):
        targets[row, list(labels)] = True
    keep = (targets * counts).sum(axis=1) >= LEAST_TARGET_VOXELS
    return LabelVolume(canvas.labels, np.array(canvas.tissues, dtype=np.uint8), targets[keep])
