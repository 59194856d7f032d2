"""What a memory has to beat: the slices one by one without any, and the true mask of the prompted slice repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from MedSAM2Lib.evaluation.prompts import areas_along, box_around
from MedSAM2Lib.evaluation.rounds import Outcome
from MedSAM2Lib.types import (
    Axis,
    BoolArray,
    MaskPrompt,
    Prompt,
    SegmentationSession,
    SliceKey,
    SliceResult,
    StopRule,
    array_dimension,
)


class NeighbourChain:
    """Each slice is prompted by the box of its neighbour's result and segmented without memory.

    The chain starts at every prompted slice and goes both ways, as far as halfway to the next prompted one; outwards it
    ends as a propagation does: ``stop.misses`` slices in a row without the object end it, and count as empty. After a
    miss the last box that there was goes on. A click on a slice of the chain corrects it: the box stays with it.

    Args:
        session: on the case's volume, with no object in it yet.
        axis: of the prompts.
        shape: of the volume, [k, j, i].
        stop: when a direction ends.
    """

    def __init__(self, session: SegmentationSession, axis: Axis, shape: tuple[int, ...], stop: StopRule) -> None:
        self._session = session
        self._axis = axis
        self._shape = shape
        self._stop = stop
        self._object = session.add_object("object")
        self._prompted: set[int] = set()
        self._passed_on: set[int] = set()

    def add(self, prompts: Sequence[Prompt]) -> Outcome:
        """Takes prompts on slices of the chain's axis; every slice is computed anew but for the prompted ones."""
        for prompt in prompts:
            self._give(prompt)
        for index in self._passed_on:
            self._session.clear_prompts(self._object, SliceKey(self._axis, index))
        self._passed_on = set()
        mask = np.zeros(self._shape, dtype=bool)
        slices = np.moveaxis(mask, array_dimension(self._axis), 0)
        starts = sorted(self._prompted)
        for index in starts:
            slices[index] = self._segment(index)[1]
        computed = len(starts)
        for start, stops, path in _ways(starts, len(slices)):
            for index, found in self._follow(slices[start], path, stops):
                slices[index] = found
                computed += 1
        return Outcome(mask, computed)

    def _give(self, prompt: Prompt) -> None:
        index = prompt.slice.index
        if index in self._passed_on and isinstance(prompt, MaskPrompt):
            self._session.clear_prompts(self._object, prompt.slice)
        self._passed_on.discard(index)
        self._session.add_prompt(self._object, prompt)
        self._prompted.add(index)

    def _follow(self, first: BoolArray, path: range, stops: bool) -> Iterator[tuple[int, BoolArray]]:
        """The slices of a path with their masks; those of the misses that end it are empty."""
        present, waiting = first, list[tuple[int, BoolArray]]()
        for index in path:
            if not present.any():
                return
            self._session.add_prompt(self._object, box_around(present, self._axis, index))
            self._passed_on.add(index)
            result, found = self._segment(index)
            if found.any():
                present = found
            waiting.append((index, found))
            if not (stops and self._is_miss(result, found)):
                yield from waiting
                waiting.clear()
            elif len(waiting) >= self._stop.misses:
                break
        else:
            yield from waiting
            return
        yield from ((index, np.zeros_like(found)) for index, found in waiting)

    def _segment(self, index: int) -> tuple[SliceResult, BoolArray]:
        result = self._session.preview(self._object, SliceKey(self._axis, index))
        return result, np.asarray(self._session.voxel_logits(result) > 0)

    def _is_miss(self, result: SliceResult, found: BoolArray) -> bool:
        doubtful = result.object_score <= self._stop.object_score or result.predicted_iou <= self._stop.predicted_iou
        return self._stop.enabled and (doubtful or not found.any())


class RepeatedSlice:
    """The true mask of the nearest prompted slice on every slice; needs no model, but the truth.

    Args:
        truth: [k, j, i].
        axis: of the prompts.
        within: only on the slices that the object spans.
    """

    def __init__(self, truth: BoolArray, axis: Axis, within: bool) -> None:
        self._slices = np.moveaxis(truth, array_dimension(axis), 0)
        self._dimension = array_dimension(axis)
        present = np.flatnonzero(areas_along(truth, axis))
        self._span = (int(present[0]), int(present[-1])) if within else (0, len(self._slices) - 1)
        self._prompted: set[int] = set()

    def add(self, prompts: Sequence[Prompt]) -> Outcome:
        """Every prompt makes its slice's true mask known, of whatever kind it is."""
        self._prompted |= {prompt.slice.index for prompt in prompts}
        known = np.array(sorted(self._prompted))
        repeated = np.zeros_like(self._slices)
        for index in range(self._span[0], self._span[1] + 1):
            repeated[index] = self._slices[known[np.abs(known - index).argmin()]]
        return Outcome(np.ascontiguousarray(np.moveaxis(repeated, 0, self._dimension)), 0)


def _ways(starts: Sequence[int], count: int) -> Iterator[tuple[int, bool, range]]:
    """From each start both ways: where it starts, whether it leads outwards, and the slices on it."""
    for place, start in enumerate(starts):
        outwards_below, outwards_above = place == 0, place == len(starts) - 1
        first = 0 if outwards_below else (starts[place - 1] + start) // 2 + 1
        last = count - 1 if outwards_above else (start + starts[place + 1]) // 2
        yield start, outwards_above, range(start + 1, last + 1)
        yield start, outwards_below, range(start - 1, first - 1, -1)
