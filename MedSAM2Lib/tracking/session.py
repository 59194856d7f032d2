"""A session: several objects on one volume, prompted on any slice of any axis, previewed, propagated, corrected.

It keeps what users pay for: image features (within a budget), records of every slice, the window of the first prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from MedSAM2Lib.tracking.checks import (
    check_positive,
    check_prompt,
    check_range,
    is_positive,
    no_object,
    no_prompt_on,
    prompted_slices,
)
from MedSAM2Lib.tracking.conflicts import replaced_by, without
from MedSAM2Lib.tracking.features import FeatureCache
from MedSAM2Lib.tracking.fusion import fused_slab, given_mask
from MedSAM2Lib.tracking.inspection import bank_notices, bank_view
from MedSAM2Lib.tracking.keyframes import Interval, interval_around
from MedSAM2Lib.tracking.objects import SegmentedObject, StoredSlice, Update
from MedSAM2Lib.tracking.runner import NetworkRunner
from MedSAM2Lib.tracking.state import read_state, session_state
from MedSAM2Lib.tracking.suggestion import suggested_prompt
from MedSAM2Lib.tracking.tracks import BankFactory, TrackMaker, numpy_logits
from MedSAM2Lib.tracking.updates import UpdateRunner
from MedSAM2Lib.tracking.view import VolumeView, mask_logits
from MedSAM2Lib.types import (
    Axis,
    BankView,
    FloatArray,
    FusedSlab,
    Prompt,
    PropagationRequest,
    SegmentationSession,
    SliceFrame,
    SliceKey,
    SliceResult,
    StopRule,
    Suggestion,
)
from MedSAM2Lib.volume.intensity import Window


class TrackingSession(SegmentationSession):
    """The network's session; see ``SegmentationSession`` for the contract.

    Args:
        view: the volume as the network sees it.
        runner: calls the network.
        features: image features, shared by all objects and directions.
        new_bank: makes the memory bank of an object on an axis.
        zoom: side of the region of interest as a multiple of the object's larger side; None for whole slices.
        stop: when propagation ends by itself, where a request does not say.
        seed_by: how other orientations are prompted from the first one's result, ``box`` or ``mask``.
        made_with: tells the model and the options apart from others, as plain data; for saved states.
        choose_window: the window for a prompt, asked at the session's first positive one; None keeps the view's.
    """

    def __init__(
        self,
        view: VolumeView,
        runner: NetworkRunner,
        features: FeatureCache,
        new_bank: BankFactory,
        zoom: float | None,
        stop: StopRule,
        seed_by: str = "box",
        made_with: Callable[[], dict[str, Any]] = dict,
        choose_window: Callable[[Prompt], Window] | None = None,
    ) -> None:
        self.view = view
        self.features = features
        self.runner = runner
        self.stop = stop
        self._seed_by = seed_by
        self._made_with = made_with
        self._choose_window = choose_window
        self._tracks = TrackMaker(view, runner, features, new_bank, zoom)
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
        self._changed(self._object(object_id))
        del self._objects[object_id]

    def add_prompt(self, object_id: int, prompt: Prompt) -> tuple[Prompt, ...]:
        """Adds a prompt; its slice is computed at the next preview or propagation, and one under way ends.

        The slice is a keyframe from now on, and the slices between it and its neighbouring keyframes are outdated.
        What was last computed of the slice, a replaced mask included, still goes in as a dense prompt.
        """
        segmented = self._object(object_id)
        check_prompt(prompt, self.view.volume.array.shape)
        if self._choose_window is not None and not self._has_positive_prompt():
            self.view.window = self._choose_window(prompt)
        replaced = replaced_by(prompt, segmented.prompts)
        segmented.prompts = [*without(segmented.prompts, replaced), prompt]
        self._outdate(segmented, prompt.slice)
        track = segmented.axes.get(prompt.axis)
        if track is not None:
            track.undecoded.add(prompt.slice.index)
        return replaced

    def _has_positive_prompt(self) -> bool:
        return any(is_positive(prompt) for segmented in self._objects.values() for prompt in segmented.prompts)

    def clear_prompts(self, object_id: int, key: SliceKey) -> None:
        """Removes an object's prompts on a slice: it is a keyframe no more, and what depends on it is outdated."""
        segmented = self._object(object_id)
        if not segmented.prompts_on(key):
            return
        segmented.prompts = [prompt for prompt in segmented.prompts if prompt.slice != key]
        track = segmented.axes.get(key.axis)
        if track is not None:
            track.undecoded.discard(key.index)
            track.keyframes.pop(key.index, None)
            track.tracker.forget(key.index)
        self._outdate(segmented, key)
        if not segmented.keyframes(key.axis):
            segmented.forget_axis(key.axis)

    def preview(self, object_id: int, key: SliceKey) -> SliceResult:
        """The object on a prompted slice; computed once until its prompts change."""
        segmented = self._object(object_id)
        if not segmented.prompts_on(key):
            raise no_prompt_on(key, segmented.name)
        check_positive(segmented.prompts, segmented.name)
        track = self._tracks.prompted_track(segmented, key.axis)
        if key.index in track.undecoded or key.index not in track.keyframes:
            self._tracks.decode(segmented, track, key)
        return self._result(object_id, segmented, track.keyframes[key.index])

    def propagate(self, request: PropagationRequest) -> Iterator[SliceResult]:
        """Computes the request's slices from the prompts, both ways, one result a step; see ``PropagationRequest``.

        A slice may come again: in a wider region where the object did not fit the first one. The last word holds.
        One under way for the same object ends. Raises PromptError before the first step for an object without a prompt
        on the axis, or a bad range.
        """
        ids = list(self._objects) if request.object_ids is None else list(request.object_ids)
        ranges = {object_id: self._check(object_id, request) for object_id in ids}
        for object_id, interval in ranges.items():
            self._changed(self._objects[object_id])
            self._prepare(self._objects[object_id], interval, request.update)
        return self._results({object_id: self._objects[object_id] for object_id in ids}, request)

    def remaining(self, object_ids: list[int] | None = None) -> int:
        """Slices that a propagation under way has still to compute on the axes it has reached, at most."""
        wanted = self._objects if object_ids is None else {key: self._objects[key] for key in object_ids}
        tracks = [track for segmented in wanted.values() for track in segmented.axes.values()]
        return sum(len(lane.todo) for track in tracks for lane in track.lanes if lane.active)

    def results(self, object_id: int) -> list[SliceResult]:
        """Everything that holds of an object now, one result a slice, of all axes; by axis and index."""
        segmented = self._object(object_id)
        keys = {key for update in segmented.updates for key in update.slices}
        stored = [segmented.latest(key) for key in sorted(keys, key=lambda key: (key.axis, key.index))]
        return [self._result(object_id, segmented, one) for one in stored if one is not None]

    def fused(self, object_id: int, first: int, last: int) -> FusedSlab:
        """What all orientations together say of slices ``first`` to ``last`` along k, and where they disagree."""
        return fused_slab(self._object(object_id), self.view.volume.shape, first, last)

    def suggest(self, object_id: int) -> Suggestion | None:
        """Where the next prompt helps most; None while nothing is tracked, or where nothing is in doubt."""
        return suggested_prompt(self._object(object_id), self.view.volume)

    def bank(self, object_id: int, axis: Axis) -> BankView | None:
        """The memory of an object along an axis, to be looked at; None where it has none."""
        track = self._object(object_id).axes.get(axis)
        return None if track is None else bank_view(axis, track.tracker)

    def notices(self, object_id: int) -> list[str]:
        """Sentences for the user on what the engine did with an object and nobody asked for."""
        segmented = self._object(object_id)
        views = {axis: bank_view(axis, track.tracker) for axis, track in segmented.axes.items()}
        return list(bank_notices(segmented.name, views))

    def state(self) -> dict[str, Any]:
        """All that the session holds, as dicts, lists, numbers, strings, None and numpy arrays; see ``state.py``.

        It may be taken at any time, between two steps of a propagation too, and does not change with the session.
        """
        return self._state_of(self._objects)

    def restore(self, state: dict[str, Any]) -> None:
        """Holds what ``state`` says and nothing else; a propagation under way ends.

        Raises InputError ``E_STATE_FORMAT``, ``E_STATE_VOLUME`` or ``E_STATE_MODEL``; the session is then unchanged.
        """
        taken = read_state(state, self.view.volume, self._checksum, self._made_with(), self._tracks)
        for segmented in self._objects.values():
            self._changed(segmented)
        self._objects, self.stop = taken.objects, taken.stop
        self.view.window = taken.window

    def object_state(self, object_id: int) -> dict[str, Any]:
        """As ``state``, of one object only."""
        return self._state_of({object_id: self._object(object_id)})

    def restore_object(self, object_id: int, state: dict[str, Any]) -> None:
        """An object is what ``object_state`` said of it; all others and the window stay. Raises as ``restore``."""
        self._object(object_id)
        taken = read_state(state, self.view.volume, self._checksum, self._made_with(), self._tracks)
        if object_id not in taken.objects:
            raise no_object(object_id)
        self._changed(self._objects[object_id])
        self._objects[object_id] = taken.objects[object_id]

    def _state_of(self, objects: dict[int, SegmentedObject]) -> dict[str, Any]:
        volume = {"name": self.view.volume.name, "checksum": self._checksum}
        return session_state(objects, volume, self.view.window, self.stop, self._made_with())

    @cached_property
    def _checksum(self) -> str:
        return self.view.volume.checksum()

    def frame(self, object_id: int, key: SliceKey) -> SliceFrame:
        """The frame in which a slice of an object that is known along that axis is shown to the network."""
        return self.view.frame(key, self._object(object_id).axes[key.axis].region)

    def voxel_logits(self, result: SliceResult) -> FloatArray:
        """Logits on the slice's voxels; a mask prompt comes back voxel for voxel as the user gave it."""
        segmented = self._objects.get(result.object_id)
        given = given_mask(segmented, result.key) if result.prompted and segmented is not None else None
        return self.view.voxel_logits(result.frame, result.logits) if given is None else mask_logits(given)

    def is_given(self, result: SliceResult) -> bool:
        """Whether a result is a mask that the user gave, which no other object may take voxels from."""
        segmented = self._objects.get(result.object_id)
        return segmented is not None and given_mask(segmented, result.key) is not None

    def _object(self, object_id: int) -> SegmentedObject:
        if object_id not in self._objects:
            raise no_object(object_id)
        return self._objects[object_id]

    def _check(self, object_id: int, request: PropagationRequest) -> Interval:
        """The range of a request for an object with a prompt on its axis, or PromptError."""
        prompted = prompted_slices(self._object(object_id).prompts, request.axis)
        first, last = check_range(request, prompted, self.view.volume.slice_count(request.axis))
        return Interval(request.axis, first, last)

    @staticmethod
    def _changed(segmented: SegmentedObject) -> None:
        segmented.version += 1
        for track in segmented.axes.values():
            track.halt()

    def _outdate(self, segmented: SegmentedObject, key: SliceKey) -> None:
        self._changed(segmented)
        count = self.view.volume.slice_count(key.axis)
        interval = interval_around(key.axis, key.index, segmented.keyframes(key.axis), count)
        track = segmented.axes.get(key.axis)
        if track is not None:
            track.outdated.append(interval)
        segmented.outdate(interval)

    def _prepare(self, segmented: SegmentedObject, interval: Interval, update: bool) -> None:
        """Keyframes decoded, and an update for what is to be computed."""
        if not update:
            segmented.updates = [Update(interval)]
            segmented.axes = {axis: track for axis, track in segmented.axes.items() if segmented.keyframes(axis)}
        for axis in segmented.prompted_axes():
            if update:
                self._tracks.decode_keyframes(segmented, axis).settle()
            else:
                self._tracks.renewed(segmented, axis)
        if update:
            segmented.updates.extend(segmented.missing(interval))

    def _results(self, objects: dict[int, SegmentedObject], request: PropagationRequest) -> Iterator[SliceResult]:
        stop = request.stop or self.stop
        found = UpdateRunner(self._tracks, stop, request.orientations, self._seed_by).run(objects)
        return (self._result(one.object_id, objects[one.object_id], one.stored) for one in found)

    @staticmethod
    def _result(object_id: int, segmented: SegmentedObject, stored: StoredSlice) -> SliceResult:
        key, record = stored.frame.key, stored.record
        return SliceResult(
            object_id=object_id,
            frame=stored.frame,
            logits=numpy_logits(record),
            predicted_iou=record.predicted_iou,
            object_score=record.object_score,
            prompted=record.prompted and bool(segmented.prompts_on(key)),
            shown=record.shown,
        )
