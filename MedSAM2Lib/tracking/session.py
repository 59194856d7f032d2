"""A session: several objects on one volume, prompted on any slice of any axis, previewed, propagated.

It keeps what users pay for: image features (within a budget), records of every slice, the window of the first prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from MedSAM2Lib.memory.bank import MemoryBank
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.tracking.checks import (
    check_prompt,
    check_range,
    check_together,
    no_object,
    no_prompt_on,
    prompted_slices,
)
from MedSAM2Lib.tracking.features import FeatureCache, feature_key
from MedSAM2Lib.tracking.propagation import Lane, lanes_for, propagate
from MedSAM2Lib.tracking.region import Trial, choose_region, holds
from MedSAM2Lib.tracking.runner import NetworkRunner, SliceRecord
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.tracking.view import VolumeView, mask_logits
from MedSAM2Lib.types import (
    Axis,
    FloatArray,
    MaskPrompt,
    Prompt,
    PropagationRequest,
    SegmentationSession,
    SliceFrame,
    SliceKey,
    SliceResult,
    StopRule,
)
from MedSAM2Lib.volume.region import Region, slice_grid

BankFactory = Callable[[], MemoryBank]


@dataclass
class ObjectOnAxis:
    """One object along one axis: the region it is shown in, its tracker, and slices whose prompts changed since."""

    region: Region | None
    tracker: Tracker
    stale: set[int] = field(default_factory=set)
    lanes: list[Lane] = field(default_factory=list)

    def outdate(self) -> None:
        """Ends a propagation under way: its prompts have changed."""
        for lane in self.lanes:
            lane.stop()
        self.lanes = []


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
        stop: when propagation ends by itself, where a request does not say.
    """

    def __init__(
        self,
        view: VolumeView,
        runner: NetworkRunner,
        features: FeatureCache,
        new_bank: BankFactory,
        zoom: float | None,
        stop: StopRule,
    ) -> None:
        self.view = view
        self.features = features
        self.runner = runner
        self.zoom = zoom
        self.stop = stop
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
        """Forgets an object and all that was computed for it; a propagation of it under way ends."""
        for on_axis in self._object(object_id).axes.values():
            on_axis.outdate()
        del self._objects[object_id]

    def add_prompt(self, object_id: int, prompt: Prompt) -> None:
        """Adds a prompt; its slice is computed at the next preview or propagation, and one under way ends."""
        segmented = self._object(object_id)
        check_prompt(prompt, self.view.volume.array.shape)
        check_together([*segmented.prompts_on(prompt.slice), prompt])
        segmented.prompts.append(prompt)
        on_axis = segmented.axes.get(prompt.axis)
        if on_axis is not None:
            on_axis.outdate()
            on_axis.stale.add(prompt.slice.index)

    def clear_prompts(self, object_id: int, key: SliceKey) -> None:
        """Removes an object's prompts on a slice, and what was computed from them along its axis."""
        segmented = self._object(object_id)
        segmented.prompts = [prompt for prompt in segmented.prompts if prompt.slice != key]
        on_axis = segmented.axes.get(key.axis)
        if on_axis is None:
            return
        on_axis.outdate()
        on_axis.stale.discard(key.index)
        on_axis.tracker.forget(key.index)
        on_axis.tracker.forget_tracked()
        if not any(prompt.axis == key.axis for prompt in segmented.prompts):
            del segmented.axes[key.axis]

    def preview(self, object_id: int, key: SliceKey) -> SliceResult:
        """The object on a prompted slice; computed once until its prompts change."""
        segmented = self._object(object_id)
        if not segmented.prompts_on(key):
            raise no_prompt_on(key, segmented.name)
        on_axis = self._on_axis(segmented, key.axis)
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
        for object_id in ids:
            self._check(object_id, request)
        lanes = [lane for object_id in ids for lane in self._lanes(object_id, request)]
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

    def is_given(self, result: SliceResult) -> bool:
        """Whether a result is a mask that the user gave, which no other object may take voxels from."""
        segmented = self._objects.get(result.object_id)
        return segmented is not None and any(
            isinstance(prompt, MaskPrompt) for prompt in segmented.prompts_on(result.key)
        )

    def _object(self, object_id: int) -> SegmentedObject:
        if object_id not in self._objects:
            raise no_object(object_id)
        return self._objects[object_id]

    def _check(self, object_id: int, request: PropagationRequest) -> tuple[list[int], int, int]:
        """The prompted slices of an object and the range, or PromptError."""
        prompted = prompted_slices(self._object(object_id).prompts, request.axis)
        first, last = check_range(request, prompted, self.view.volume.slice_count(request.axis))
        return prompted, first, last

    def _lanes(self, object_id: int, request: PropagationRequest) -> list[Lane]:
        prompted, first, last = self._check(object_id, request)
        for index in prompted:
            self.preview(object_id, SliceKey(request.axis, index))
        on_axis = self._objects[object_id].axes[request.axis]
        on_axis.outdate()
        on_axis.tracker.forget_tracked()
        on_axis.tracker.remember_prompted()
        on_axis.lanes = lanes_for(object_id, on_axis.tracker, first, last)
        return on_axis.lanes

    def _results(self, lanes: Sequence[Lane], request: PropagationRequest) -> Iterator[SliceResult]:
        axes = {lane.object_id: self._objects[lane.object_id].axes[request.axis] for lane in lanes}
        for progress in propagate(lanes, self.runner, request.stop or self.stop):
            key = SliceKey(request.axis, progress.record.index)
            yield self._result(progress.object_id, axes[progress.object_id], key, progress.record)

    def _on_axis(self, segmented: SegmentedObject, axis: Axis) -> ObjectOnAxis:
        """What is known along an axis; begun anew where a prompt lies outside the region that was chosen before."""
        on_axis = segmented.axes.get(axis)
        prompts = [prompt for prompt in segmented.prompts if prompt.axis == axis]
        if on_axis is None or not holds(on_axis.region, prompts):
            if on_axis is not None:
                on_axis.outdate()
            region = self._region(prompts, axis)
            on_axis = ObjectOnAxis(region, self._tracker(axis, region))
            segmented.axes[axis] = on_axis
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

        def encode() -> SliceFeatures:
            return self.runner.encode(self.view.image(frame))

        return self.runner.guarded(lambda: self.features.get(key, encode))

    def _region(self, prompts: Sequence[Prompt], axis: Axis) -> Region | None:
        """One region for all prompted slices of an axis, whatever their order; None shows whole slices."""
        if self.zoom is None:
            return None

        def try_region(on_slice: Sequence[Prompt], region: Region) -> Trial:
            return self._trial(on_slice, on_slice[0].slice, region)

        return choose_region(slice_grid(self.view.volume, axis), prompts, self.zoom, try_region)

    def _trial(self, prompts: Sequence[Prompt], key: SliceKey, region: Region) -> Trial:
        frame = self.view.frame(key, region)
        record = self.runner.decode_prompts(key.index, self._features(frame), self.view.network_prompts(frame, prompts))
        logits = numpy_logits(record)
        on_voxels = self.view.voxel_logits(frame, logits) > 0
        return Trial(region, logits, on_voxels, record.predicted_iou, record.object_score > 0)

    def _result(self, object_id: int, on_axis: ObjectOnAxis, key: SliceKey, record: SliceRecord) -> SliceResult:
        return SliceResult(
            object_id=object_id,
            frame=self.view.frame(key, on_axis.region),
            logits=numpy_logits(record),
            predicted_iou=record.predicted_iou,
            object_score=record.object_score,
            prompted=record.prompted,
        )


def numpy_logits(record: SliceRecord) -> FloatArray:
    """A copy of a record's logits [s, s]: what a caller does to it does not reach the session."""
    return np.array(record.low_res_logits[0, 0].cpu().numpy(), dtype=np.float32)
