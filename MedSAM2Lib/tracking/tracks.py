"""Makes and prompts the tracks of objects along axes: regions, features, keyframes, the engine's own seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from MedSAM2Lib.memory.bank import MemoryBank
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.tracking.features import FeatureCache, FeatureKey, SharedEmbeddings, feature_key
from MedSAM2Lib.tracking.fusion import given_mask, stored_logits
from MedSAM2Lib.tracking.objects import AxisTrack, SegmentedObject, StoredSlice
from MedSAM2Lib.tracking.region import Trial, choose_region, holds
from MedSAM2Lib.tracking.runner import NetworkPrompts, NetworkRunner, SliceRecord
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.tracking.view import VolumeView, prompt_extent
from MedSAM2Lib.types import Axis, BoolArray, FloatArray, Prompt, SliceFrame, SliceKey
from MedSAM2Lib.volume.region import Region, around_extent, slice_grid, union
from MedSAM2Lib.volume.slices import mask_to_network

BankFactory = Callable[[], MemoryBank]


class TrackMaker:
    """What a session's tracks have in common.

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
        self.runner = runner
        self.features = features
        self.zoom = zoom
        self._new_bank = new_bank
        self._embeddings = SharedEmbeddings()

    def new_track(self, axis: Axis, region: Region | None) -> AxisTrack:
        """A track with nothing on it, all slices still to be computed."""

        def features_of(index: int) -> SliceFeatures:
            return self._features(self.view.frame(SliceKey(axis, index), region))

        def embedding_of(index: int, features: SliceFeatures) -> Tensor:
            return self._embeddings.get(self._key(self.view.frame(SliceKey(axis, index), region)), features)

        count = self.view.volume.slice_count(axis)
        tracker = Tracker(self.runner, self._new_bank(), features_of, count, embedding_of)
        return AxisTrack(region, tracker, set(range(count)))

    def prompted_track(self, segmented: SegmentedObject, axis: Axis) -> AxisTrack:
        """The track of an axis with prompts of the user; in a wider region where one lies outside the present one."""
        prompts = [prompt for prompt in segmented.prompts if prompt.axis == axis]
        track = segmented.axes.get(axis)
        if track is None:
            track = self.new_track(axis, self._region(prompts, axis))
            track.undecoded = set(segmented.keyframes(axis))
        elif not holds(track.region, prompts):
            track.halt()
            if segmented.updates:
                track = self.reframed(segmented, axis, track, self._widened(track.region, prompts, axis))
            else:
                track = self.new_track(axis, self._region(prompts, axis))
                track.undecoded = set(segmented.keyframes(axis))
        segmented.axes[axis] = track
        return track

    def reframed(self, segmented: SegmentedObject, axis: Axis, track: AxisTrack, region: Region | None) -> AxisTrack:
        """The same track seen in another region: prompted slices are carried over as the masks that they gave."""
        wider = self.new_track(axis, region)
        wider.pending = set(track.pending)
        wider.outdated = list(track.outdated)
        wider.undecoded, wider.keyframes, wider.seeds = set(track.undecoded), track.keyframes, set(track.seeds)
        for index in sorted({*track.keyframes, *track.seeds} - track.undecoded):
            key = SliceKey(axis, index)
            stored = track.keyframes.get(index) or segmented.latest(key)
            mask = given_mask(segmented, key)
            if mask is None and stored is not None:
                mask = stored_logits(stored) > 0
            if mask is not None:
                wider.tracker.prompt(index, self._mask_prompt(self.view.frame(key, region), mask))
        return wider

    def renewed(self, segmented: SegmentedObject, axis: Axis) -> AxisTrack:
        """The track of an axis as before its first propagation: keyframes as decoded, nothing tracked, no refit."""
        track = self.decode_keyframes(segmented, axis)
        regions = {stored.frame.region for stored in track.keyframes.values()}
        region = regions.pop() if track.region is not None and len(regions) == 1 else track.region
        prompts = [prompt for prompt in segmented.prompts if prompt.axis == axis]
        if region == track.region or not holds(region, prompts):
            track.begin_anew()
            return track
        track.halt()
        again = self.new_track(axis, region)
        again.keyframes = track.keyframes
        for _, stored in sorted(track.keyframes.items()):
            again.tracker.adopt(stored.record)
        segmented.axes[axis] = again
        return again

    def decode_keyframes(self, segmented: SegmentedObject, axis: Axis) -> AxisTrack:
        """The axis's track with every prompted slice decoded."""
        track = self.prompted_track(segmented, axis)
        for index in sorted(track.undecoded):
            self.decode(segmented, track, SliceKey(axis, index))
        return track

    def decode(self, segmented: SegmentedObject, track: AxisTrack, key: SliceKey) -> None:
        """One prompted slice from its prompts."""
        frame = self.view.frame(key, track.region)
        record = track.tracker.prompt(key.index, self.view.network_prompts(frame, segmented.prompts_on(key)))
        track.keyframes[key.index] = StoredSlice(frame, record, by_user=True)
        track.undecoded.discard(key.index)
        track.seeds.discard(key.index)

    def seed(self, track: AxisTrack, key: SliceKey, prompts: Sequence[Prompt]) -> None:
        """Prompts a slice on the engine's own account."""
        frame = self.view.frame(key, track.region)
        track.tracker.prompt(key.index, self.view.network_prompts(frame, prompts))
        track.seeds.add(key.index)

    def stored(self, track: AxisTrack, key: SliceKey, record: SliceRecord) -> StoredSlice:
        """A record with its frame; a keyframe as its prompts gave it, whatever region it has been carried over to."""
        if record.prompted and key.index in track.keyframes:
            return track.keyframes[key.index]
        return StoredSlice(self.view.frame(key, track.region), record)

    def _features(self, frame: SliceFrame) -> SliceFeatures:
        def encode() -> SliceFeatures:
            return self.runner.encode(self.view.image(frame))

        return self.runner.guarded(lambda: self.features.get(self._key(frame), encode))

    def _key(self, frame: SliceFrame) -> FeatureKey:
        return feature_key(frame, self.view.window, self.view.image_size, self.runner.context.dtype)

    def _region(self, prompts: Sequence[Prompt], axis: Axis) -> Region | None:
        """One region for all prompted slices of an axis, whatever their order; None shows whole slices."""
        if self.zoom is None:
            return None

        def try_region(on_slice: Sequence[Prompt], region: Region) -> Trial:
            return self._trial(on_slice, on_slice[0].slice, region)

        return choose_region(slice_grid(self.view.volume, axis), prompts, self.zoom, try_region)

    def _widened(self, region: Region | None, prompts: Sequence[Prompt], axis: Axis) -> Region | None:
        if region is None:
            return None
        grid = slice_grid(self.view.volume, axis)
        extents = [extent for extent in map(prompt_extent, prompts) if extent is not None]
        return union(grid, [region, *(around_extent(grid, extent, 1.0) for extent in extents)])

    def _trial(self, prompts: Sequence[Prompt], key: SliceKey, region: Region) -> Trial:
        frame = self.view.frame(key, region)
        record = self.runner.decode_prompts(key.index, self._features(frame), self.view.network_prompts(frame, prompts))
        logits = numpy_logits(record)
        on_voxels = self.view.voxel_logits(frame, logits) > 0
        return Trial(region, logits, on_voxels, record.predicted_iou, record.object_score > 0)

    def _mask_prompt(self, frame: SliceFrame, mask: BoolArray) -> NetworkPrompts:
        shown = mask_to_network(frame, mask, self.view.image_size) >= 0.5
        none = torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)
        return NetworkPrompts(*none, torch.from_numpy(shown.astype(np.float32)))


def numpy_logits(record: SliceRecord) -> FloatArray:
    """A copy of a record's logits [s, s]: what a caller does to it does not reach the session."""
    return np.array(record.low_res_logits[0, 0].cpu().numpy(), dtype=np.float32)
