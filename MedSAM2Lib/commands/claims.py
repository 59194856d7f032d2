"""What each object claims of the volume, part by part, so that nothing of the volume's size is held for an object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

import numpy as np

from MedSAM2Lib.tracking.fusion import logits_of
from MedSAM2Lib.types import BoolArray, FloatArray, MaskPrompt, SliceKey, SliceResult, array_dimension

if TYPE_CHECKING:
    from MedSAM2Lib.commands.segmentation import Segmentation

Place = tuple[Union[slice, int], ...]
"""Where a part lies in an array [k, j, i]."""

_SLAB = 16


@dataclass(frozen=True, eq=False)
class Claim:
    """What an object claims of a part: ``logits`` float32 in the part's shape, and which voxels the user drew."""

    object_id: int
    logits: FloatArray
    given: BoolArray


def slice_claims(done: Segmentation) -> Iterator[tuple[Place, Iterator[Claim]]]:
    """Slice by slice along the one axis that was looked along; slices on which nothing was computed do not come."""
    on_slice: dict[SliceKey, list[SliceResult]] = {}
    for object_id in done.object_ids:
        for result in done.results_of(object_id):
            on_slice.setdefault(result.key, []).append(result)
    for key in sorted(on_slice, key=lambda key: key.index):
        yield _place_of(array_dimension(key.axis), key.index), _of_slice(done, on_slice.pop(key))


def fused_claims(done: Segmentation) -> Iterator[tuple[Place, Iterator[Claim]]]:
    """Slab by slab along k, every object as all of its orientations together see it."""
    count = len(done.labels)
    for first in range(0, count, _SLAB):
        last = min(first + _SLAB, count) - 1
        yield (slice(first, last + 1),), (_fused(done, object_id, first, last) for object_id in done.object_ids)


def _of_slice(done: Segmentation, results: Sequence[SliceResult]) -> Iterator[Claim]:
    for result in results:
        logits = done.session.voxel_logits(result)
        yield Claim(result.object_id, logits, np.full(logits.shape, done.session.is_given(result)))


def _fused(done: Segmentation, object_id: int, first: int, last: int) -> Claim:
    slab = done.session.fused(object_id, first, last)
    given = np.zeros(slab.probability.shape, dtype=bool)
    for prompt in done.session.objects[object_id].prompts:
        if isinstance(prompt, MaskPrompt):
            _mark(given, prompt, first, last)
    return Claim(object_id, logits_of(slab.probability), given)


def _mark(given: BoolArray, prompt: MaskPrompt, first: int, last: int) -> None:
    """Marks the part of a drawn slice that lies in slices ``first`` to ``last`` along k."""
    if prompt.axis != "k":
        given[_place_of(array_dimension(prompt.axis), prompt.slice.index)] = True
    elif first <= prompt.slice.index <= last:
        given[prompt.slice.index - first] = True


def _place_of(dimension: int, index: int) -> Place:
    return tuple(index if place == dimension else slice(None) for place in range(3))
