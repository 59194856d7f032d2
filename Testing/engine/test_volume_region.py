"""Regions of interest: square in mm, around what was prompted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from MedSAM2Lib.types import Axis
from MedSAM2Lib.volume.region import (
    SMALLEST_SIDE_VOXELS,
    Region,
    SliceGrid,
    around_extent,
    click_sides,
    slice_grid,
    square_around,
    square_holding,
    union,
)
from MedSAM2Lib.volume.volume import Volume

grids = st.builds(
    SliceGrid,
    st.tuples(st.integers(1, 600), st.integers(1, 600)),
    st.tuples(st.floats(0.2, 6), st.floats(0.2, 6)),
)
places = st.tuples(st.floats(0, 600), st.floats(0, 600))


def sides_mm(grid: SliceGrid, region: Region) -> tuple[float, float]:
    top, left, bottom, right = region
    return (bottom - top) * grid.spacing[0], (right - left) * grid.spacing[1]


def holds(outer: Region, inner: Region) -> bool:
    slack = 1e-6
    return (
        outer[0] <= inner[0] + slack
        and outer[1] <= inner[1] + slack
        and outer[2] >= inner[2] - slack
        and outer[3] >= inner[3] - slack
    )


@pytest.mark.parametrize(
    ("axis", "shape", "spacing"),
    [("k", (3, 4), (3, 2)), ("j", (2, 4), (5, 2)), ("i", (2, 3), (5, 3))],
)
def test_the_grid_of_a_slice_is_what_its_rows_and_columns_have(
    axis: Axis, shape: tuple[int, int], spacing: tuple[float, float]
) -> None:
    assert slice_grid(Volume.from_array(np.zeros((2, 3, 4)), (2, 3, 5)), axis) == SliceGrid(shape, spacing)


@given(grids, places, st.floats(1, 900))
def test_a_region_is_square_in_mm_around_its_centre(grid: SliceGrid, centre: tuple[float, float], side: float) -> None:
    region = square_around(grid, centre, side)
    assert sides_mm(grid, region) == pytest.approx((side, side))
    assert ((region[0] + region[2]) / 2, (region[1] + region[3]) / 2) == pytest.approx(centre, abs=1e-6)


@given(grids, st.integers(0, 200), st.integers(0, 200), st.integers(0, 200), st.integers(0, 200), st.floats(1, 4))
def test_the_region_of_an_extent_holds_it_and_is_zoom_times_as_large(
    grid: SliceGrid, top: int, left: int, height: int, width: int, zoom: float
) -> None:
    extent = (top, left, top + height, left + width)
    region = around_extent(grid, extent, zoom)
    larger = max((height + 1) * grid.spacing[0], (width + 1) * grid.spacing[1])
    expected = max(zoom * larger, grid.smallest_side_mm)
    assert sides_mm(grid, region) == pytest.approx((expected, expected))
    assert holds(region, (top, left, top + height + 1, left + width + 1))


def test_a_tiny_box_gets_the_smallest_region_worth_showing_or_what_was_asked_for() -> None:
    grid = SliceGrid((512, 512), (0.7, 0.7))
    side = SMALLEST_SIDE_VOXELS * 0.7
    assert sides_mm(grid, around_extent(grid, (10, 10, 11, 11), 1.7)) == pytest.approx((side, side))
    assert sides_mm(grid, around_extent(grid, (10, 10, 11, 11), 1.7, smallest_mm=40)) == pytest.approx((40, 40))


def test_a_region_may_leave_the_slice() -> None:
    region = around_extent(SliceGrid((100, 100), (1, 1)), (0, 0, 59, 59), 2)
    assert region == (-30, -30, 90, 90)


@given(grids, st.lists(places, min_size=1, max_size=6), st.floats(1, 300))
def test_the_square_for_points_holds_them_all(grid: SliceGrid, points: list[tuple[float, float]], side: float) -> None:
    region = square_holding(grid, points, side)
    assert min(sides_mm(grid, region)) >= side - 1e-6
    for row, column in points:
        assert holds(region, (row, column, row, column))


@given(grids, st.lists(st.tuples(places, st.floats(1, 300)), min_size=1, max_size=5))
def test_the_union_is_a_square_that_holds_every_region(
    grid: SliceGrid, squares: list[tuple[tuple[float, float], float]]
) -> None:
    regions = [square_around(grid, centre, side) for centre, side in squares]
    united = union(grid, regions)
    height, width = sides_mm(grid, united)
    assert height == pytest.approx(width)
    assert all(holds(united, region) for region in regions)
    assert len(regions) > 1 or united == regions[0]


@given(grids, st.integers(2, 8))
def test_the_sides_for_a_click_grow_by_one_factor_up_to_the_whole_slice(grid: SliceGrid, count: int) -> None:
    sides = click_sides(grid, count)
    assert len(sides) == count
    assert sides[-1] == pytest.approx(max(grid.extent_mm))
    factors = np.array(sides[1:]) / np.array(sides[:-1])
    assert factors == pytest.approx(np.full(count - 1, factors[0]))
    assert factors[0] >= 1 - 1e-9
