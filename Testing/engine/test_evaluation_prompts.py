"""Simulated users: where they prompt, how they correct, and when they are content."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.evaluation.prompts import (
    box_on,
    deepest_point,
    error_click,
    largest_slice,
    most_different_slice,
    quarter_slice,
)
from MedSAM2Lib.evaluation.users import CLICK, SLICE, PromptingUser
from MedSAM2Lib.types import AXES, Axis, BoxPrompt, MaskPrompt, PointPrompt, array_dimension
from MedSAM2Lib.volume.components import deepest
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.phantoms import ellipsoid

SHAPE = (12, 14, 16)
TRUTH = ellipsoid(SHAPE, (6, 7, 8), (4, 5, 6))

masks = st.builds(
    lambda seed, share: np.random.default_rng(seed).random((5, 6, 7)) < share,
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.05, 0.3, 0.8, 1.0]),
)


def case(truth: np.ndarray = TRUTH, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Case:
    return Case("a/b", Volume.from_array(truth.astype(np.int16), spacing), truth)


def test_the_quarter_slice_lies_a_quarter_into_the_extent_and_is_never_empty() -> None:
    truth = np.zeros((20, 4, 4), dtype=bool)
    truth[3:16, 1:3, 1:3] = True
    assert quarter_slice(truth, "k") == 6
    truth[5:8] = False
    assert quarter_slice(truth, "k") == 4
    assert quarter_slice(np.moveaxis(truth, 0, 2), "i") == 4
    with pytest.raises(ValueError, match="empty"):
        quarter_slice(np.zeros((3, 3, 3), dtype=bool), "k")


def test_the_deepest_place_is_measured_in_mm() -> None:
    mask = np.zeros((12, 12), dtype=bool)
    mask[1:4, 1:8] = True  # 3 rows of 7, deepest in the middle row
    mask[6:11, 9:12] = True  # 5 rows of 3, the array's edge is a border
    assert deepest(mask, (3.0, 1.0)) == (2, 4)
    assert deepest(mask, (1.0, 3.0))[0] == 8
    assert deepest_point(mask[5:]) == (2, 10)


@pytest.mark.parametrize("axis", AXES)
def test_a_box_is_tight_but_never_without_an_area(axis: Axis) -> None:
    box = box_on(TRUTH, axis, largest_slice(TRUTH, axis))
    low, high = np.array(box.first)[::-1], np.array(box.last)[::-1]
    inside = [place for place in range(3) if place != array_dimension(axis)]
    marked = np.argwhere(np.take(TRUTH, largest_slice(TRUTH, axis), axis=array_dimension(axis)))
    assert np.array_equal(low[inside], marked.min(axis=0))
    assert np.array_equal(high[inside], marked.max(axis=0))
    for place in ((0, 0), (5, 6), (2, 6)):
        line = np.zeros((4, 6, 7), dtype=bool)
        line[1][place] = True
        one = box_on(line, "k", 1)
        assert np.all(np.array(one.last[:2]) - one.first[:2] == 1)
        assert np.all(np.array(one.last[:2]) <= (6, 5))


def test_the_next_click_is_in_the_middle_of_the_largest_error() -> None:
    missed = TRUTH.copy()
    missed[:, :, 8:] = False
    click = error_click(missed, TRUTH, (1.0, 1.0, 1.0), "k")
    assert click is not None and click.positive
    assert click.ijk[0] >= 10 and click.ijk[1:] == (7.0, 6.0)
    too_much = TRUTH.copy()
    too_much[0:3, 0:3, 0:3] = True
    click = error_click(too_much, TRUTH, (1.0, 1.0, 1.0), "k")
    assert click == PointPrompt((1.0, 1.0, 1.0), "k", positive=False)
    assert error_click(too_much, TRUTH, (1.0, 1.0, 1.0), "k", but=[0, 1, 2]) is None
    assert error_click(TRUTH, TRUTH, (1.0, 1.0, 1.0), "k") is None


@settings(max_examples=60, deadline=None)
@given(masks, masks, st.sampled_from(AXES))
def test_a_click_is_always_on_an_error_and_says_which_kind(mask: np.ndarray, truth: np.ndarray, axis: Axis) -> None:
    click = error_click(mask, truth, (1.0, 2.0, 3.0), axis)
    if click is None:
        assert np.array_equal(mask, truth)
        return
    place = tuple(int(value) for value in click.ijk[::-1])
    assert mask[place] != truth[place]
    assert click.positive == truth[place]
    assert click.axis == axis


def test_the_slice_to_correct_differs_most_is_not_empty_in_truth_and_is_no_prompted_one() -> None:
    mask = TRUTH.copy()
    mask[4] = False
    mask[7, :, 8:] = False
    mask[0] = True
    assert most_different_slice(mask, TRUTH, "k") == 4
    assert most_different_slice(mask, TRUTH, "k", but={4}) == 7
    assert most_different_slice(mask, TRUTH, "k", but={4, 7}) is None


@pytest.mark.parametrize(("prompt", "kind"), [("box", BoxPrompt), ("click", PointPrompt), ("mask", MaskPrompt)])
@pytest.mark.parametrize(("at", "index"), [("largest", 6), ("quarter", 4)])
def test_a_user_begins_with_one_prompt_on_the_chosen_slice(prompt: str, kind: type, at: str, index: int) -> None:
    (given_first,) = PromptingUser(prompt, at).first(case())
    assert isinstance(given_first, kind)
    assert (given_first.slice.axis, given_first.slice.index) == ("k", index)
    if isinstance(given_first, MaskPrompt):
        assert np.array_equal(given_first.mask, TRUTH[index])
    if isinstance(given_first, PointPrompt):
        assert TRUTH[tuple(int(value) for value in given_first.ijk[::-1])]


def test_users_correct_by_a_click_or_a_slice_and_stop_when_content() -> None:
    worse = TRUTH.copy()
    worse[8] = False
    first = PromptingUser("mask").first(case())
    (click,) = PromptingUser("mask", corrections=1, correct_by=CLICK).correct(case(), worse, first)
    assert isinstance(click, PointPrompt) and click.slice.index == 8 and click.positive
    (drawn,) = PromptingUser("mask", corrections=1, correct_by=SLICE).correct(case(), worse, first)
    assert isinstance(drawn, MaskPrompt) and np.array_equal(drawn.mask, TRUTH[8])
    for way in (CLICK, SLICE):
        assert PromptingUser("mask", corrections=1, correct_by=way).correct(case(), TRUTH, first) == []


def test_no_click_falls_on_a_slice_that_the_user_drew() -> None:
    first = PromptingUser("mask").first(case())
    worse = TRUTH.copy()
    worse[6], worse[8, 7, 8] = False, False
    (click,) = PromptingUser("mask", corrections=1).correct(case(), worse, first)
    assert click == PointPrompt((8.0, 7.0, 8.0), "k", positive=True)


def test_what_a_round_follows_from_does_not_depend_on_how_many_follow() -> None:
    assert PromptingUser("box", corrections=2).as_dict() == PromptingUser("box", corrections=5).as_dict()
    assert PromptingUser("box", corrections=2).name == "box at largest, then clicks"
    assert PromptingUser("box").as_dict() != PromptingUser("box", corrections=2).as_dict()
    assert PromptingUser("box").as_dict() == PromptingUser("box", correct_by=SLICE).as_dict()
