"""Pictures of segmentations: slices as radiologists expect them, however the voxels are stored."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from MedSAM2Lib.evaluation.montage import TILE, montage
from MedSAM2Lib.evaluation.screen_layout import screen_layout
from MedSAM2Lib.types import IJK, Axis
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.phantoms import two_organs

WINDOW = Window(-160, 240)
SPACING = (1.2, 1.5, 2.0)
CLICK = (11.0, 12.0, 10.0)
LETTERS = {"k": "RALP", "j": "RSLI", "i": "ASPI"}
"""At the left, top, right and bottom of a view along z, y and x."""


def upright() -> tuple[Volume, np.ndarray]:
    """A volume with i to the left, j to posterior, k to superior; its two organs and noise are without symmetry."""
    array, mask = two_organs()
    return Volume.from_array(array, SPACING), mask


def stored_otherwise(
    volume: Volume, mask: np.ndarray, order: tuple[int, ...], flips: tuple[bool, ...]
) -> tuple[Volume, np.ndarray, IJK, dict[Axis, Axis]]:
    """The same body with array dimensions permuted and flipped; the click there, and how its axes are called there."""
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    array, moved = (np.transpose(one, order)[steps] for one in (volume.array, mask))
    # columns of the matrix are i, j, k; array dimension d is column 2 - d
    columns, origin, click = [], volume.ijk_to_world[:3, 3].copy(), []
    for dimension, source in enumerate(order):
        column, place = volume.ijk_to_world[:3, 2 - source], CLICK[2 - source]
        if flips[dimension]:
            origin += column * (array.shape[dimension] - 1)
            column, place = -column, array.shape[dimension] - 1 - place
        columns.append(column)
        click.append(place)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack(columns[::-1], axis=1)
    matrix[:3, 3] = origin
    names: tuple[Axis, Axis, Axis] = ("k", "j", "i")
    called = {names[source]: names[dimension] for dimension, source in enumerate(order)}
    i, j, k = click[::-1]
    return Volume(array, matrix), moved, (i, j, k), called


def clicked_tile(volume: Volume, mask: np.ndarray, axis: Axis, click: IJK) -> np.ndarray:
    """The tile of the clicked slice: the only one with the click's green."""
    sheet = np.asarray(montage(volume, mask, WINDOW, axis, [click], tiles=4)).astype(int)
    tiles = [
        sheet[top : top + TILE, left : left + TILE]
        for top in range(0, sheet.shape[0] - TILE, TILE + 18)
        for left in range(0, sheet.shape[1], TILE)
    ]
    (found,) = (tile for tile in tiles if green(tile).any())
    return found


def green(tile: np.ndarray) -> np.ndarray:
    return (tile[..., 1] > 200) & (tile[..., 0] < 50) & (tile[..., 2] < 150)


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_the_picture_is_the_same_however_the_voxels_are_stored(axis: Axis) -> None:
    volume, mask = upright()
    expected = clicked_tile(volume, mask, axis, CLICK)
    place = np.argwhere(green(expected)).mean(axis=0)
    for order, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        stored, moved, click, called = stored_otherwise(volume, mask, order, flips)
        found = clicked_tile(stored, moved, called[axis], click)
        assert np.abs(np.argwhere(green(found)).mean(axis=0) - place).max() <= 1.0, (order, flips)
        assert np.mean(np.abs(found - expected).max(axis=-1) > 8) < 0.005, (order, flips)
        layout = screen_layout(stored, called[axis])
        assert layout.left + layout.top + layout.right + layout.bottom == LETTERS[axis]


def test_the_click_of_an_upright_volume_is_where_its_voxel_is_shown() -> None:
    volume, mask = upright()
    tile = clicked_tile(volume, np.zeros_like(mask), "k", CLICK)
    down, across = np.argwhere(green(tile)).mean(axis=0)
    # the whole slice of 28 x 32 voxels in the middle of a square of 42 mm
    side = 28 * SPACING[1]
    assert across == pytest.approx(
        TILE * ((CLICK[0] + 0.5) * SPACING[0] + (side - 32 * SPACING[0]) / 2) / side, abs=1.5
    )
    assert down == pytest.approx(TILE * (CLICK[1] + 0.5) * SPACING[1] / side, abs=1.5)


def test_letters_are_drawn_at_the_edges() -> None:
    volume, mask = upright()
    dark = Volume(np.full_like(volume.array, -1000), volume.ijk_to_world)
    tile = np.asarray(montage(dark, np.zeros_like(mask), WINDOW, "k", tiles=2))[:TILE, :TILE]
    ring = tile.max(axis=-1) > 200
    middle = slice(TILE // 2 - 8, TILE // 2 + 8)
    for edge in (ring[middle, :16], ring[middle, -16:], ring[:16, middle], ring[-16:, middle]):
        assert edge.sum() >= 3
    assert not ring[20:-20, 20:-20].any()


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.floats(-0.35, 0.35)] * 3), st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_oblique_volumes_are_laid_out_as_the_nearest_upright_ones(
    angles: tuple[float, ...], order: list[int], flips: tuple[bool, ...]
) -> None:
    volume, mask = upright()
    stored, _, _, called = stored_otherwise(volume, mask, tuple(order), flips)
    turn = np.eye(3)
    for place, angle in enumerate(angles):
        one, other = (place + 1) % 3, (place + 2) % 3
        step = np.eye(3)
        step[[one, one, other, other], [one, other, one, other]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        turn = turn @ step
    matrix = stored.ijk_to_world.copy()
    matrix[:3, :3] = turn @ matrix[:3, :3]
    turned = Volume(stored.array, matrix)
    for axis in called.values():
        assert screen_layout(turned, axis) == screen_layout(stored, axis)


def test_a_stored_picture_is_turned_as_the_layout_says() -> None:
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    direction = [0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0]  # i to anterior, j to the left
    layout = screen_layout(Volume.from_array(np.zeros((1, 2, 3)), direction=direction), "k")
    assert layout.apply(np.asarray(picture)).tolist() == [[2, 5], [1, 4], [0, 3]]
