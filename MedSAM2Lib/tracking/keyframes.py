"""Keyframes as walls: which slices a changed prompt makes outdated. Integers only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from MedSAM2Lib.types import Axis


@dataclass(frozen=True)
class Interval:
    """Slices ``first`` to ``last`` of an axis, inclusive; empty where ``last`` is below ``first``."""

    axis: Axis
    first: int
    last: int

    def __contains__(self, index: int) -> bool:
        return self.first <= index <= self.last

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def __len__(self) -> int:
        return max(0, self.last - self.first + 1)

    def overlaps(self, other: Interval) -> bool:
        """Whether both are on one axis and share a slice."""
        return self.axis == other.axis and self.first <= other.last and other.first <= self.last

    def holds(self, other: Interval) -> bool:
        """Whether all slices of another interval are among its own."""
        return self.axis == other.axis and self.first <= other.first and other.last <= self.last

    def within(self, other: Interval) -> Interval:
        """The slices that both have, possibly none; they must be on one axis."""
        return Interval(self.axis, max(self.first, other.first), min(self.last, other.last))

    def joined(self, other: Interval) -> Interval:
        """The smallest interval that holds both; they must be on one axis."""
        return Interval(self.axis, min(self.first, other.first), max(self.last, other.last))


def interval_around(axis: Axis, index: int, keyframes: Iterable[int], slice_count: int) -> Interval:
    """The slices strictly between the keyframes next to ``index``, or to the ends of the axis; ``index`` included.

    ``keyframes`` may hold ``index`` itself: it is no wall to its own change.
    """
    others = [keyframe for keyframe in keyframes if keyframe != index]
    first = max((keyframe + 1 for keyframe in others if keyframe < index), default=0)
    last = min((keyframe - 1 for keyframe in others if keyframe > index), default=slice_count - 1)
    return Interval(axis, first, last)
