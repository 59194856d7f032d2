"""Simulated prompts: where a user would put them, as the network counts pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MedSAM2Lib.training.prompting import (
    POINT_SLOTS,
    PROMPT_KINDS,
    PROMPT_SHARES,
    Prompt,
    box_or_nothing,
    correction,
    deepest_point,
    prompt_or_denial,
    random_prompt,
    tight_box,
)


def blob(seed: int) -> np.ndarray:
    """A filled ellipse somewhere in a 48-pixel image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48]
    centre, radii = rng.uniform(14, 34, 2), rng.uniform(3, 12, 2)
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1


def test_the_tight_box_names_the_first_and_last_pixel() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[3:8, 10:12] = True
    assert tight_box(mask) == (10, 3, 11, 7)


def test_the_deepest_point_of_a_square_is_its_middle_even_at_the_border() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[0:7, 4:11] = True
    assert deepest_point(mask) == (7, 3)


@given(seed=st.integers(0, 5000), kind=st.sampled_from(PROMPT_KINDS))
@settings(max_examples=120, deadline=None)
def test_positive_clicks_lie_in_the_object_and_negative_ones_beside_it(seed: int, kind: str) -> None:
    mask = blob(seed)
    prompt = random_prompt(np.random.default_rng(seed), mask, kind)
    assert prompt.points.shape == (POINT_SLOTS, 2)
    for (x, y), label in zip(prompt.points, prompt.labels):
        if label in (0, 1):
            assert mask[int(y), int(x)] == bool(label)
    assert prompt.single_click == (kind == "click")


@given(seed=st.integers(0, 5000))
@settings(max_examples=60, deadline=None)
def test_boxes_stay_within_five_per_cent_of_the_tight_one(seed: int) -> None:
    mask = blob(seed)
    prompt = random_prompt(np.random.default_rng(seed), mask, "box")
    x0, y0, x1, y1 = tight_box(mask)
    assert prompt.labels[:2].tolist() == [2, 3]
    slack = 0.05 * np.array([x1 - x0 + 1, y1 - y0 + 1]) + 1e-4
    assert (np.abs(prompt.points[0] - (x0, y0)) <= slack).all()
    assert (np.abs(prompt.points[1] - (x1, y1)) <= slack).all()


def test_kinds_come_in_their_shares() -> None:
    rng = np.random.default_rng(0)
    clicks = np.mean([random_prompt(rng, blob(1)).single_click for _ in range(400)])
    assert abs(clicks - PROMPT_SHARES[1]) < 0.08


@pytest.mark.parametrize(("positive", "rows"), [(True, slice(10, 30)), (False, slice(2, 12))])
def test_a_correction_falls_into_the_larger_error(positive: bool, rows: slice) -> None:
    truth = np.zeros((40, 40), dtype=bool)
    truth[10:30, 10:30] = True
    predicted = truth.copy()
    predicted[rows, 10:20] = not positive
    error = predicted != truth
    after = correction(np.random.default_rng(0), Prompt.of([(15, 20)], [1]), truth, predicted)
    assert after.labels[:3].tolist() == [1, int(positive), -1]
    assert error[int(after.points[1, 1]), int(after.points[1, 0])]


def test_a_perfect_mask_or_a_full_prompt_gets_no_correction() -> None:
    truth = blob(0)
    before = Prompt.of([(20, 20)], [1])
    assert correction(np.random.default_rng(0), before, truth, truth) is before
    full = Prompt.of([(20, 20)] * POINT_SLOTS, [1] * POINT_SLOTS)
    assert correction(np.random.default_rng(0), full, truth, ~truth) is full


def test_where_the_object_is_not_there_clicks_deny_it_and_no_box_is_drawn() -> None:
    nothing = np.zeros((24, 24), dtype=bool)
    assert prompt_or_denial(np.random.default_rng(0), nothing).labels.tolist() == [0, 0, -1, -1, -1]
    assert (box_or_nothing(np.random.default_rng(0), nothing).labels == -1).all()
    assert box_or_nothing(np.random.default_rng(0), blob(0)).labels.tolist() == [2, 3, -1, -1, -1]
    assert (prompt_or_denial(np.random.default_rng(0), blob(0)).labels > 0).any()
