"""A session: several objects on one volume, prompted on any slice of any axis, previewed, propagated.

It keeps what users pay for: image features (within a budget), records of every slice, the window of the first prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.memory.bank import MemoryBank
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.tracking.checks import check_prompt, check_range, check_together, prompted_slices
from MedSAM2Lib.tracking.features import FeatureCache, feature_key
from MedSAM2Lib.tracking.propagation import Lane, lanes_for, propagate
from MedSAM2Lib.tracking.region import Trial, around_points
from MedSAM2Lib.tracking.runner import NetworkRunner, SliceRecord
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.tracking.view import VolumeView, extent_of, mask_logits
from MedSAM2Lib.types import (
    Axis,
    FloatArray,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SegmentationSession,
    SliceFrame,
    SliceKey,
    SliceResult,
    ijk_position,
    in_plane_axes,
)
from MedSAM2Lib.volume.region import Region, around_extent, slice_grid

BankFactory = Callable[[], MemoryBank]


@dataclass
class ObjectOnAxis:
    """One object along one axis: the region it is shown in, its tracker, and slices whose prompts changed since."""

    region: Region | None
    tracker: Tracker
    stale: set[int] = field(default_factory=set)


@dataclass
class SegmentedObject:
    """A named object, its prompts in the order they came, and what is known of it along each axis."""

    name: str
    prompts: list[Prompt] = field(default_factory=list)
    axes: dict[Axis, ObjectOnAxis] = field(default_factory=dict)

    def prompts_on(self, key: SliceKey) -> list[Prompt]:
        return [prompt for prompt in self.prompts if prompt.slice == key]


class TrackingSession(SegmentationSession):
    """The network's session; see ``SegmentationSession`` for the contract.

    Args:
        view: the volume as the network sees it.
        runner: calls the network.
        features: image features, shared by all objects and directions.
        new_bank: makes the memory bank of an object on an axis.
        zoom: side of the region of interest as a multiple of the object's larger side; None for whole slices.
    """

    def __init__(
        self,
        view: VolumeView,
        runner: NetworkRunner,
        features: FeatureCache,
        new_bank: BankFactory,
        zoom: float | None,
    ) -> None:
        self.view = view
        self.features = features
        self.runner = runner
        self.zoom = zoom
        self._new_bank = new_bank
        self._objects: dict[int, SegmentedObject] = {}

    @property
    def objects(self) -> dict[int, SegmentedObject]:
        """The objects by id."""
        return dict(self._objects)

    def add_object(self, name: str) -> int:
        """A new object; ids count from 1."""
        object_id = max(self._objects, default=0) + 1
        self._objects[object_id] = SegmentedObject(name)
        return object_id

    def remove_object(self, object_id: int) -> None:
        """Forgets an object and all that was computed for it."""
        self._object(object_id)
        del self._objects[object_id]

    def add_prompt(self, object_id: int, prompt: Prompt) -> None:
        """Adds a prompt; its slice is computed at the next preview or propagation."""
        segmented = self._object(object_id)
        check_prompt(prompt, self.view.volume.array.shape)
        check_together([*segmented.prompts, prompt])
        segmented.prompts.append(prompt)
        on_axis = segmented.axes.get(prompt.axis)
        if on_axis is not None:
            on_axis.stale.add(prompt.slice.index)

    def clear_prompts(self, object_id: int, key: SliceKey) -> None:
        """Removes an object's prompts on a slice, with the slice's record and memory."""
        segmented = self._object(object_id)
        segmented.prompts = [prompt for prompt in segmented.prompts if prompt.slice != key]
        on_axis = segmented.axes.get(key.axis)
        if on_axis is None:
            return
        on_axis.stale.discard(key.index)
        on_axis.tracker.forget(key.index)
        if not any(prompt.axis == key.axis for prompt in segmented.prompts):
            del segmented.axes[key.axis]

    def preview(self, object_id: int, key: SliceKey) -> SliceResult:
        """The object on a prompted slice; computed once until its prompts change."""
        segmented = self._object(object_id)
        if not segmented.prompts_on(key):
            raise PromptError(
                "E_NO_PROMPT",
                "Slice {index} of axis {axis} has no prompt for '{name}': add a point, a box or a mask on it first.",
                index=key.index,
                axis=key.axis,
                name=segmented.name,
            )
        on_axis = self._on_axis(segmented, key)
        if key.index in on_axis.stale or on_axis.tracker.record(key.index) is None:
            self._decode(segmented, on_axis, key)
        record = on_axis.tracker.record(key.index)
        assert record is not None
        return self._result(object_id, on_axis, key, record)

    def propagate(self, request: PropagationRequest) -> Iterator[SliceResult]:
        """Computes every slice of the request anew from the prompts on its axis, both ways, one result a step.

        Raises PromptError before the first step for an object without a prompt on the axis, or a bad range.
        """
        ids = list(self._objects) if request.object_ids is None else list(request.object_ids)
        lanes: list[Lane] = []
        for object_id in ids:
            lanes += self._lanes(object_id, request)
        return self._results(lanes, request)

    def frame(self, object_id: int, key: SliceKey) -> SliceFrame:
        """The frame in which a slice of an object with prompts on that axis is shown to the network."""
        return self.view.frame(key, self._object(object_id).axes[key.axis].region)

    def voxel_logits(self, result: SliceResult) -> FloatArray:
        """Logits on the slice's voxels; a mask prompt comes back voxel for voxel as the user gave it."""
        segmented = self._objects.get(result.object_id)
        if result.prompted and segmented is not None:
            for prompt in segmented.prompts_on(result.key):
                if isinstance(prompt, MaskPrompt):
                    return mask_logits(prompt.mask)
        return self.view.voxel_logits(result.frame, result.logits)

    def _object(self, object_id: int) -> SegmentedObject:
        if object_id not in self._objects:
            raise PromptError(
                "E_NO_OBJECT", "There is no object {object_id} in this session: add it first.", object_id=object_id
            )
        return self._objects[object_id]

    def _lanes(self, object_id: int, request: PropagationRequest) -> list[Lane]:
        segmented = self._object(object_id)
        prompted = prompted_slices(segmented.prompts, request.axis)
        first, last = check_range(request, prompted, self.view.volume.slice_count(request.axis))
        for index in prompted:
            self.preview(object_id, SliceKey(request.axis, index))
        tracker = segmented.axes[request.axis].tracker
        tracker.forget_tracked()
        tracker.remember_prompted()
        return lanes_for(object_id, tracker, first, last)

    def _results(self, lanes: Sequence[Lane], request: PropagationRequest) -> Iterator[SliceResult]:
        for progress in propagate(lanes, self.runner, request.stop):
            on_axis = self._objects[progress.object_id].axes[request.axis]
            key = SliceKey(request.axis, progress.record.index)
            yield self._result(progress.object_id, on_axis, key, progress.record)

    def _on_axis(self, segmented: SegmentedObject, key: SliceKey) -> ObjectOnAxis:
        on_axis = segmented.axes.get(key.axis)
        if on_axis is None:
            region = self._region(segmented.prompts_on(key), key)
            on_axis = ObjectOnAxis(region, self._tracker(key.axis, region))
            segmented.axes[key.axis] = on_axis
        return on_axis

    def _tracker(self, axis: Axis, region: Region | None) -> Tracker:
        def features_of(index: int) -> SliceFeatures:
            return self._features(self.view.frame(SliceKey(axis, index), region))

        return Tracker(self.runner, self._new_bank(), features_of, self.view.volume.slice_count(axis))

    def _decode(self, segmented: SegmentedObject, on_axis: ObjectOnAxis, key: SliceKey) -> None:
        frame = self.view.frame(key, on_axis.region)
        on_axis.tracker.prompt(key.index, self.view.network_prompts(frame, segmented.prompts_on(key)))
        on_axis.stale.discard(key.index)

    def _features(self, frame: SliceFrame) -> SliceFeatures:
        key = feature_key(frame, self.view.image_size, self.runner.context.dtype)
        return self.features.get(key, lambda: self.runner.encode(self.view.image(frame)))

    def _region(self, prompts: Sequence[Prompt], key: SliceKey) -> Region | None:
        if self.zoom is None:
            return None
        grid = slice_grid(self.view.volume, key.axis)
        extent = extent_of(prompts)
        if extent is not None:
            return around_extent(grid, extent, self.zoom)
        rows, columns = in_plane_axes(key.axis)
        points = [
            (prompt.ijk[ijk_position(rows)] + 0.5, prompt.ijk[ijk_position(columns)] + 0.5)
            for prompt in prompts
            if isinstance(prompt, PointPrompt)
        ]
        return around_points(grid, points, self.zoom, lambda region: self._trial(prompts, key, region))

    def _trial(self, prompts: Sequence[Prompt], key: SliceKey, region: Region) -> Trial:
        frame = self.view.frame(key, region)
        record = self.runner.decode_prompts(key.index, self._features(frame), self.view.network_prompts(frame, prompts))
        logits = _numpy_logits(record)
        on_voxels = self.view.voxel_logits(frame, logits) > 0
        return Trial(region, logits, on_voxels, record.predicted_iou, record.object_score > 0)

    def _result(self, object_id: int, on_axis: ObjectOnAxis, key: SliceKey, record: SliceRecord) -> SliceResult:
        return SliceResult(
            object_id=object_id,
            frame=self.view.frame(key, on_axis.region),
            logits=_numpy_logits(record),
            predicted_iou=record.predicted_iou,
            object_score=record.object_score,
            prompted=record.prompted,
        )


def _numpy_logits(record: SliceRecord) -> FloatArray:
    return np.asarray(record.low_res_logits[0, 0].cpu().numpy(), dtype=np.float32)
