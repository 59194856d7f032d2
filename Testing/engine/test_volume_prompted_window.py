"""The window of the first prompt: soft tissue's, unless what is pointed at would be all black or all white in it."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.types import Axis, BoxPrompt, MaskPrompt, PointPrompt, Prompt, SliceKey
from MedSAM2Lib.volume.intensity import CT_PRESETS, Window
from MedSAM2Lib.volume.prompted_window import window_of_prompt
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.phantoms import small_engine

PLACES = {-800: (4, 4), 50: (4, 14), 400: (14, 4), 1200: (14, 14)}
WINDOWS = {-800: "lung", 50: "soft-tissue", 400: "angiography", 1200: "bone"}


def chest() -> Volume:
    """Four 6x6 columns of lung, tissue, contrast and cortical bone in fat, with air around, [12, 24, 24]."""
    array = np.full((12, 24, 24), -100, dtype=np.int16)
    array[:, :, 20:] = -1000
    for value, (row, column) in PLACES.items():
        array[:, row - 3 : row + 3, column - 3 : column + 3] = value
    return Volume.from_array(array)


def prompts(value: int) -> dict[str, Prompt]:
    """A click, a box and a mask on slice 6 of the column of that grey value, and a click along j."""
    row, column = PLACES[value]
    mask = np.zeros((24, 24), dtype=bool)
    mask[row - 2 : row + 2, column - 2 : column + 2] = True
    return {
        "click": PointPrompt((column, row, 6)),
        "click along j": PointPrompt((column, row, 6), "j"),
        "box": BoxPrompt((column - 3, row - 3, 6), (column + 2, row + 2, 6)),
        "mask": MaskPrompt(SliceKey("k", 6), mask),
    }


@pytest.mark.parametrize("value", PLACES)
@pytest.mark.parametrize("kind", ["click", "click along j", "box", "mask"])
def test_a_ct_is_shown_in_the_window_of_what_the_prompt_points_at(value: int, kind: str) -> None:
    assert window_of_prompt(chest(), prompts(value)[kind]) == CT_PRESETS[WINDOWS[value]]


def test_a_box_with_some_air_in_it_stays_in_the_soft_tissue_window() -> None:
    row, column = PLACES[50]
    around = BoxPrompt((column - 3, row - 3, 6), (column + 7, row + 2, 6))
    assert window_of_prompt(chest(), around) == CT_PRESETS["soft-tissue"]


def lung_base() -> Volume:
    """A lung 14 rows high and 10 columns wide round a dome of tissue that fills most of its rectangle, [12, 24, 24]."""
    array = np.full((12, 24, 24), 50, dtype=np.int16)
    array[:, 5:19, 7:17] = -800
    array[:, 7:, 8:16] = 50
    return Volume.from_array(array)


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_a_box_that_a_lung_fits_shows_the_lung_though_most_of_the_box_is_tissue(axis: Axis) -> None:
    first, last = np.array((7, 5, 6)), np.array((16, 18, 6))
    array = lung_base().array
    order = {"k": (0, 1, 2), "j": (1, 0, 2), "i": (1, 2, 0)}[axis]
    place = {"k": (0, 1, 2), "j": (0, 2, 1), "i": (2, 0, 1)}[axis]
    box = BoxPrompt(tuple(first[list(place)].tolist()), tuple(last[list(place)].tolist()), axis)
    turned = Volume.from_array(np.ascontiguousarray(array.transpose(order)))
    dark = turned.slice(axis, 6) < -500
    assert dark.any() and dark[5:19, 7:17].mean() < 0.5
    assert window_of_prompt(turned, box) == CT_PRESETS["lung"]


def test_a_box_around_the_dome_under_the_lung_shows_tissue() -> None:
    assert window_of_prompt(lung_base(), BoxPrompt((7, 6, 6), (16, 23, 6))) == CT_PRESETS["soft-tissue"]
    assert window_of_prompt(lung_base(), BoxPrompt((8, 7, 6), (15, 18, 6))) == CT_PRESETS["soft-tissue"]


def test_a_negative_click_chooses_nothing() -> None:
    row, column = PLACES[-800]
    assert window_of_prompt(chest(), PointPrompt((column, row, 6), positive=False)) == CT_PRESETS["soft-tissue"]


@pytest.mark.parametrize("corner", [(0, 0, 6), (23, 23, 6)])
def test_a_click_at_the_volume_s_edge_takes_the_pixels_that_are_there(corner: tuple[int, int, int]) -> None:
    array = chest().array.copy()
    array[:, :2, :2], array[:, -2:, -2:] = -800, 1200
    expected = "lung" if corner[0] == 0 else "bone"
    assert window_of_prompt(Volume.from_array(array), PointPrompt(corner)) == CT_PRESETS[expected]


def test_bytes_that_are_windowed_already_stay_as_they_are() -> None:
    array = np.tile(np.arange(256, dtype=np.uint8), (4, 16, 1))
    assert window_of_prompt(Volume.from_array(array), PointPrompt((0, 8, 2))) == Window(0, 255)


def test_the_first_positive_prompt_gives_a_session_its_window_and_later_ones_leave_it() -> None:
    session = small_engine().open(chest())
    organ = session.add_object("organ")
    row, column = PLACES[1200]
    session.add_prompt(organ, PointPrompt((column, row, 6), positive=False))
    assert session.view.window == CT_PRESETS["soft-tissue"]
    session.add_prompt(organ, prompts(-800)["click"])
    assert session.view.window == CT_PRESETS["lung"]
    other = session.add_object("other")
    session.add_prompt(other, prompts(1200)["box"])
    assert session.view.window == CT_PRESETS["lung"]


def test_a_window_that_was_asked_for_is_kept() -> None:
    session = small_engine(EngineOptions(window=Window(-200, 300))).open(chest())
    session.add_prompt(session.add_object("organ"), prompts(-800)["click"])
    assert session.view.window == Window(-200, 300)


def test_features_of_one_window_are_not_taken_for_those_of_another() -> None:
    """A first prompt that is replaced by one elsewhere looks at the slice again."""
    session = small_engine().open(chest())
    organ = session.add_object("organ")
    click = prompts(-800)["click"]
    session.add_prompt(organ, click)
    session.preview(organ, click.slice)
    encoded = session.features.counts.encoded
    session.clear_prompts(organ, click.slice)
    session.add_prompt(organ, prompts(50)["click"])
    session.preview(organ, click.slice)
    assert session.view.window == CT_PRESETS["soft-tissue"]
    assert session.features.counts.encoded > encoded


@pytest.mark.parametrize(
    "prompt", [PointPrompt((4, 4, 40)), PointPrompt((4, 40, 6), "j"), BoxPrompt((1, 1, -3), (9, 9, -3))]
)
def test_a_prompt_outside_of_the_volume_decides_nothing_and_is_refused_elsewhere(prompt: Prompt) -> None:
    assert window_of_prompt(chest(), prompt) == CT_PRESETS["soft-tissue"]
