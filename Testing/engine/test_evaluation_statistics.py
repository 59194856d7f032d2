"""Paired differences and their intervals, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MedSAM2Lib.evaluation.statistics import bootstrap_interval, paired_difference

values = st.floats(-1, 1, allow_nan=False, width=32)
pairs = st.lists(st.tuples(values, values), min_size=2, max_size=40)


def test_the_mean_the_wins_and_the_losses_are_those_of_the_pairs() -> None:
    found = paired_difference([0.9, 0.5, 0.7, 0.8], [0.8, 0.7, 0.7, 0.4])
    assert (found.n, found.wins, found.losses) == (4, 2, 1)
    assert found.mean == pytest.approx((0.1 - 0.2 + 0.0 + 0.4) / 4)
    distances = paired_difference([0.9, 0.5, 0.7, 0.8], [0.8, 0.7, 0.7, 0.4], higher_is_better=False)
    assert (distances.wins, distances.losses) == (1, 2)
    assert distances.mean == found.mean


def test_the_interval_is_that_of_means_over_cases_drawn_anew() -> None:
    # The mean of four draws from (0, 0, 0, 4) is binomial: up to 2 in 94.9 % of the resamples, up to 3 in 99.6 %.
    assert bootstrap_interval(np.array([0.0, 0.0, 0.0, 4.0])) == (0.0, 3.0)
    # Of two draws from (0, 1) a quarter are both 0 and a quarter both 1.
    assert bootstrap_interval(np.array([0.0, 1.0])) == (0.0, 1.0)
    found = paired_difference([1.5] * 5, [1.0] * 5)
    assert (found.low, found.high) == (0.5, 0.5)


def test_the_interval_of_many_cases_is_that_of_the_normal_distribution() -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.05, 0.2, 400)
    low, high = bootstrap_interval(differences)
    half = 1.96 * differences.std() / math.sqrt(400)
    assert low == pytest.approx(differences.mean() - half, abs=0.05 * half)
    assert high == pytest.approx(differences.mean() + half, abs=0.05 * half)


def test_one_case_has_no_interval_and_none_is_refused() -> None:
    found = paired_difference([0.9], [0.5])
    assert found.mean == pytest.approx(0.4)
    assert math.isnan(found.low) and math.isnan(found.high)
    for ours, theirs in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="pairs"):
            paired_difference(ours, theirs)


def test_the_seed_decides_and_nothing_else() -> None:
    differences = np.random.default_rng(0).random(300)
    assert bootstrap_interval(differences, 3) == bootstrap_interval(differences, 3)
    assert bootstrap_interval(differences, 3) != bootstrap_interval(differences, 4)


@settings(max_examples=40, deadline=None)
@given(pairs, st.integers(0, 5), st.booleans())
def test_the_interval_holds_the_mean_and_exchanging_the_settings_flips_all_signs(
    drawn: list[tuple[float, float]], seed: int, higher: bool
) -> None:
    ours, theirs = ([pair[side] for pair in drawn] for side in (0, 1))
    one = paired_difference(ours, theirs, higher, seed, resamples=2000)
    other = paired_difference(theirs, ours, higher, seed, resamples=2000)
    slack = 1e-12
    assert one.low - slack <= one.mean <= one.high + slack
    assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low), abs=slack)
    assert (other.wins, other.losses) == (one.losses, one.wins)
    assert one.wins + one.losses <= one.n
