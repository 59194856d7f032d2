"""A deterministic engine without a network: region growing behind the same Protocol, for tests of what lies above.

A click grows over connected voxels within a tolerance of its grey value; a box keeps what resembles its centre; a
mask is taken as it is. From slice to slice the object is what resembles it and touches the mask before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.tracking.checks import (
    check_positive,
    check_prompt,
    check_range,
    no_object,
    no_prompt_on,
    prompted_slices,
    slice_pixel,
)
from MedSAM2Lib.tracking.conflicts import replaced_by, without
from MedSAM2Lib.tracking.ending import emptied_slices
from MedSAM2Lib.types import (
    Axis,
    BoolArray,
    BoxPrompt,
    FloatArray,
    FusedSlab,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SegmentationEngine,
    SegmentationSession,
    SliceFrame,
    SliceKey,
    SliceResult,
    VolumeData,
    array_dimension,
)
from MedSAM2Lib.volume.components import component_at, components_touching

_INSIDE = 10.0
_TOLERANCE_OF_RANGE = 0.1


@dataclass
class _GrownObject:
    name: str
    prompts: list[Prompt] = field(default_factory=list)
    results: dict[SliceKey, SliceResult] = field(default_factory=dict)


class RegionGrowingEngine(SegmentationEngine):
    """Opens sessions that grow regions; ``tolerance`` in the volume's units, a tenth of its range if not given."""

    def __init__(self, tolerance: float | None = None) -> None:
        self._tolerance = tolerance

    def open(self, volume: VolumeData) -> RegionGrowingSession:
        """A session on one volume."""
        array = np.asarray(volume.array, dtype=np.float32)
        spread = float(array.max() - array.min())
        tolerance = spread * _TOLERANCE_OF_RANGE if self._tolerance is None else self._tolerance
        return RegionGrowingSession(array, tolerance)


class RegionGrowingSession(SegmentationSession):
    """The stand-in's session; see ``SegmentationSession`` for its methods."""

    def __init__(self, array: FloatArray, tolerance: float) -> None:
        self._array = array
        self._tolerance = tolerance
        self._objects: dict[int, _GrownObject] = {}

    def add_object(self, name: str) -> int:
        """A new object's id."""
        self._objects[len(self._objects) + 1] = _GrownObject(name)
        return len(self._objects)

    def add_prompt(self, object_id: int, prompt: Prompt) -> tuple[Prompt, ...]:
        """Adds a prompt after the checks that every engine makes, and returns those that it replaces."""
        grown = self._object(object_id)
        check_prompt(prompt, self._array.shape)
        replaced = replaced_by(prompt, grown.prompts)
        grown.prompts = [*without(grown.prompts, replaced), prompt]
        return replaced

    def clear_prompts(self, object_id: int, key: SliceKey) -> None:
        """Removes an object's prompts on one slice."""
        grown = self._object(object_id)
        grown.prompts = [prompt for prompt in grown.prompts if prompt.slice != key]

    def preview(self, object_id: int, key: SliceKey) -> SliceResult:
        """The region grown on one prompted slice."""
        grown = self._object(object_id)
        if not any(prompt.slice == key for prompt in grown.prompts):
            raise no_prompt_on(key, grown.name)
        check_positive(grown.prompts, grown.name)
        mask, _ = self._prompted_mask(object_id, key)
        return self._result(object_id, key, mask, prompted=True)

    def propagate(self, request: PropagationRequest) -> Iterator[SliceResult]:
        """Each object from its lowest prompted slice up, then from there down, until nothing touches."""
        ids = list(self._objects) if request.object_ids is None else list(request.object_ids)
        journeys: list[tuple[int, list[int], range]] = []
        for object_id in ids:
            prompted = prompted_slices(self._object(object_id).prompts, request.axis)
            first, last = check_range(request, prompted, self._array.shape[array_dimension(request.axis)])
            self._objects[object_id].results.clear()
            emptied = emptied_slices(self._objects[object_id].prompts, request.axis)
            start = next(index for index in prompted if index not in emptied)
            journeys.append((object_id, prompted, range(start, last + 1)))
            journeys.append((object_id, prompted, range(start, first - 1, -1)))
        return chain.from_iterable(self._travel(each, request.axis, slices, way) for each, slices, way in journeys)

    def results(self, object_id: int) -> list[SliceResult]:
        """The results of the last propagation."""
        found = self._object(object_id).results
        return [found[key] for key in sorted(found, key=lambda key: key.index)]

    def fused(self, object_id: int, first: int, last: int) -> FusedSlab:
        """The regions of the last propagation: probability 1 inside, 0 outside; there is nothing to disagree."""
        mask = np.zeros(self._array.shape, dtype=np.float32)
        for result in self.results(object_id):
            np.moveaxis(mask, array_dimension(result.key.axis), 0)[result.key.index] = result.logits > 0
        slab = mask[first : last + 1]
        return FusedSlab(first, slab, np.zeros_like(slab))

    def voxel_logits(self, result: SliceResult) -> FloatArray:
        """The result's logits, which are on voxels already."""
        return result.logits

    def _object(self, object_id: int) -> _GrownObject:
        if object_id not in self._objects:
            raise no_object(object_id)
        return self._objects[object_id]

    def _travel(self, object_id: int, axis: Axis, prompted: list[int], indices: range) -> Iterator[SliceResult]:
        mask, grey = self._prompted_mask(object_id, SliceKey(axis, indices[0]))
        for index in indices:
            key = SliceKey(axis, index)
            is_prompted = index in prompted
            if is_prompted:
                mask, grey = self._prompted_mask(object_id, key)
            else:
                mask = components_touching(self._resembling(key, grey), mask)
            if not mask.any():
                return
            if index != indices[0] or indices.step > 0:
                result = self._result(object_id, key, mask, is_prompted)
                self._objects[object_id].results[key] = result
                yield result

    def _prompted_mask(self, object_id: int, key: SliceKey) -> tuple[BoolArray, float]:
        pixels = self._slice(key)
        mask = np.zeros(pixels.shape, dtype=bool)
        grey = 0.0
        for prompt in self._objects[object_id].prompts:
            if prompt.slice != key:
                continue
            if isinstance(prompt, MaskPrompt):
                mask, grey = prompt.mask.copy(), float(pixels[prompt.mask].mean()) if prompt.mask.any() else 0.0
            elif isinstance(prompt, BoxPrompt):
                mask, grey = self._grow_in_box(prompt, pixels)
            else:
                mask, grey = self._grow_from_click(prompt, pixels, mask, grey)
        return mask, grey

    def _grow_from_click(
        self, prompt: PointPrompt, pixels: NDArray, mask: BoolArray, grey: float
    ) -> tuple[BoolArray, float]:
        seed = slice_pixel(prompt.ijk, prompt.axis)
        region = component_at(np.abs(pixels - pixels[seed]) <= self._tolerance, seed)
        if prompt.positive:
            return mask | region, float(pixels[seed])
        return mask & ~region, grey

    def _grow_in_box(self, prompt: BoxPrompt, pixels: NDArray) -> tuple[BoolArray, float]:
        (top, left), (bottom, right) = (slice_pixel(corner, prompt.axis) for corner in (prompt.first, prompt.last))
        grey = float(pixels[(top + bottom) // 2, (left + right) // 2])
        mask = np.zeros(pixels.shape, dtype=bool)
        mask[top : bottom + 1, left : right + 1] = True
        return mask & (np.abs(pixels - grey) <= self._tolerance), grey

    def _resembling(self, key: SliceKey, grey: float) -> BoolArray:
        return np.asarray(np.abs(self._slice(key) - grey) <= self._tolerance)

    def _slice(self, key: SliceKey) -> NDArray:
        return np.take(self._array, key.index, axis=array_dimension(key.axis))

    def _result(self, object_id: int, key: SliceKey, mask: BoolArray, prompted: bool) -> SliceResult:
        rows, columns = mask.shape
        frame = SliceFrame(key, (rows, columns), 0.0, 0.0, float(rows), float(columns))
        logits = np.where(mask, _INSIDE, -_INSIDE).astype(np.float32)
        return SliceResult(object_id, frame, logits, predicted_iou=1.0, object_score=_INSIDE, prompted=prompted)
