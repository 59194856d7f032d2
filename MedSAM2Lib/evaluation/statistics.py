"""Means, and paired differences with bootstrap intervals (Efron and Tibshirani 1993, chapter 13)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
_CONFIDENCE = 0.95
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class PairedDifference:
    """How a setting differs from a reference on the same cases.

    ``mean`` is the mean of value - reference, ``low`` and ``high`` its 95 % interval (nan for fewer than two cases).
    ``wins`` counts the cases where the setting is better, ``losses`` those where the reference is.
    """

    n: int
    mean: float
    low: float
    high: float
    wins: int
    losses: int


def paired_difference(
    values: Sequence[float],
    reference: Sequence[float],
    higher_is_better: bool = True,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PairedDifference:
    """The paired difference of two settings measured on the same cases, in the same order.

    The interval is the percentile interval of means over cases drawn anew with replacement. Exchanging the settings
    changes all signs and nothing else. Raises ValueError for sequences of different lengths, and for none.
    """
    if len(values) != len(reference) or not len(values):
        raise ValueError(f"pairs are needed, not {len(values)} and {len(reference)} values")
    differences = np.asarray(values, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    low, high = bootstrap_interval(differences, seed, resamples)
    better = differences if higher_is_better else -differences
    return PairedDifference(
        n=len(differences),
        mean=float(differences.mean()),
        low=low,
        high=high,
        wins=int(np.count_nonzero(better > 0)),
        losses=int(np.count_nonzero(better < 0)),
    )


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of ``values`` [n]; (nan, nan) for fewer than two."""
    count = len(values)
    if count < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    at_once = max(1, _NUMBERS_AT_ONCE // count)
    means = np.concatenate(
        [
            values[rng.integers(0, count, (min(at_once, resamples - done), count))].mean(axis=1)
            for done in range(0, resamples, at_once)
        ]
    )
    outside = 50.0 * (1.0 - _CONFIDENCE)
    low, high = np.percentile(means, (outside, 100.0 - outside))
    return float(low), float(high)
