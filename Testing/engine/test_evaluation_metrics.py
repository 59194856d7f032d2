"""Metrics against values worked out by hand, with anisotropic voxels, and what they say of empty masks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from MedSAM2Lib.evaluation.metrics import METRICS, dice, iou, measure
from MedSAM2Lib.evaluation.surfaces import hausdorff_95, surface_dice
from MedSAM2Lib.types import BoolArray

SPACING = (2.0, 3.0, 5.0)
"""mm along i, j, k."""


def voxels(*places: tuple[int, int, int], shape: tuple[int, int, int] = (9, 9, 9)) -> BoolArray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(zip(*places))] = True
    return mask


def shifted(dimension: int, by: int) -> tuple[BoolArray, BoolArray]:
    """One voxel, and one moved along a dimension."""
    start = [4, 4, 4]
    end = list(start)
    end[dimension] += by
    return voxels(tuple(start)), voxels(tuple(end))  # type: ignore[arg-type]


def test_dice_and_iou_of_two_and_four_voxels_with_one_in_common() -> None:
    mask = voxels((1, 1, 1), (1, 1, 2))
    truth = voxels((1, 1, 2), (1, 1, 3), (1, 2, 2), (2, 2, 2))
    assert dice(mask, truth) == pytest.approx(2 * 1 / 6)
    assert iou(mask, truth) == pytest.approx(1 / 5)


@pytest.mark.parametrize(("dimension", "size"), [(0, 5.0), (1, 3.0), (2, 2.0)])
def test_distances_are_in_mm_along_every_dimension(dimension: int, size: float) -> None:
    mask, truth = shifted(dimension, 3)
    assert hausdorff_95(mask, truth, SPACING) == pytest.approx(3 * size)
    # The near side of each voxel is two voxels away from the other one, the far side three.
    for tolerance, expected in ((1.9, 0.0), (2.01, 0.5), (2.9, 0.5), (3.01, 1.0)):
        assert surface_dice(mask, truth, SPACING, tolerance * size) == pytest.approx(expected)


def test_hd95_is_the_95th_percentile_of_the_worse_direction() -> None:
    line = [(4, 4, i) for i in range(2, 22)]
    truth = voxels(*line, shape=(9, 20, 30))
    mask = voxels(*line, (4, 8, 3), (4, 13, 3), shape=(9, 20, 30))
    # 22 distances from the mask: twenty times 0, then 4 and 9 voxels of 3 mm; place 0.95 * 21 = 19.95 among them.
    assert hausdorff_95(mask, truth, SPACING) == pytest.approx(0.95 * 4 * 3.0, rel=1e-5)


def test_surface_dice_counts_areas_so_that_thick_voxels_weigh_what_they_are() -> None:
    spacing = (1.0, 1.0, 5.0)
    mask, truth = voxels((4, 4, 4)), voxels((4, 4, 4), (5, 4, 4))
    # A corner of a voxel is cut off through the middles of its three edges, an edge along k by a strip.
    corner = 0.5 * math.sqrt((1 / 4) ** 2 + 2 * (5 / 4) ** 2)
    strip = 5 * math.sqrt(2 * (1 / 2) ** 2)
    inside, whole = 12 * corner + 4 * strip, 16 * corner + 4 * strip
    assert surface_dice(mask, truth, spacing, 2.0) == pytest.approx(inside / whole, rel=1e-5)
    assert surface_dice(mask, truth, spacing, 5.0) == pytest.approx(1.0)


def test_the_same_masks_score_the_same_wherever_they_lie_in_the_volume() -> None:
    rng = np.random.default_rng(3)
    mask, truth = rng.random((2, 5, 6, 7)) < 0.3
    small = [surface_dice(mask, truth, SPACING, 2.0), hausdorff_95(mask, truth, SPACING)]
    large = [np.pad(array, ((0, 4), (3, 0), (1, 9))) for array in (mask, truth)]
    assert small == pytest.approx([surface_dice(*large, SPACING, 2.0), hausdorff_95(*large, SPACING)])
    assert small == pytest.approx([surface_dice(truth, mask, SPACING, 2.0), hausdorff_95(truth, mask, SPACING)])
    assert 0 < small[0] < 1


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_mask_is_perfect(name: str) -> None:
    truth = np.random.default_rng(0).random((4, 5, 6)) < 0.4
    assert METRICS[name].measure(truth, truth, SPACING, 2.0) == (0.0 if name == "hd95" else 1.0)


def test_empty_masks_have_defined_and_finite_values() -> None:
    nothing, something = np.zeros((2, 3, 4), dtype=bool), voxels((0, 1, 1), shape=(2, 3, 4))
    assert measure(METRICS, nothing, nothing, SPACING, 2.0) == {"dice": 1.0, "iou": 1.0, "nsd": 1.0, "hd95": 0.0}
    diagonal = math.sqrt((2 * 5) ** 2 + (3 * 3) ** 2 + (4 * 2) ** 2)
    for mask, truth in ((nothing, something), (something, nothing)):
        lost = measure(METRICS, mask, truth, SPACING, 2.0)
        assert lost == {"dice": 0.0, "iou": 0.0, "nsd": 0.0, "hd95": pytest.approx(diagonal)}


def test_a_volume_of_one_slice_is_measured_by_its_outline() -> None:
    truth = np.zeros((1, 20, 20), dtype=bool)
    truth[0, 5:15, 5:15] = True
    hollow = truth.copy()
    hollow[0, 8:12, 8:12] = False
    spacing = (2.0, 2.0, 7.0)
    # A square of n pixels has 4 (n - 1) pieces of outline as long as a pixel and 4 corners cut at half a pixel.
    outline, hole = (4 * (n - 1) * 2.0 + 4 * math.sqrt(2.0) for n in (10, 4))
    assert surface_dice(hollow, truth, spacing, 1.0) == pytest.approx(2 * outline / (2 * outline + hole), rel=1e-5)
    # 36 border pixels are the truth's own, 16 around the hole are two pixels inside.
    assert hausdorff_95(hollow, truth, spacing) == pytest.approx(4.0)


def test_only_what_is_asked_for_is_measured_and_shapes_must_agree() -> None:
    mask = voxels((1, 1, 1))
    assert set(measure(["iou", "dice"], mask, mask, SPACING, 2.0)) == {"iou", "dice"}
    for metric in METRICS.values():
        with pytest.raises(ValueError, match="different shapes"):
            metric.measure(mask, voxels((0, 0, 0), shape=(2, 2, 2)), SPACING, 2.0)
