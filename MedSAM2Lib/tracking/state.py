"""All that a session holds, as plain data, and a session that goes on from it.

Written are prompts, objects, keyframes, seeds, records of every slice (logits and pointers in fp32), memory banks (maps
in bf16, bit for bit as uint16; the embeddings that a self-sorting bank compares as they are), what is shown, what is
outdated or still to come, a cancelled propagation's lanes, and the window. Not written are image features, which are
made again where they are needed, and the network itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Union

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.memory.bank import MemoryEntry
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.tracking.checks import check_prompt
from MedSAM2Lib.tracking.objects import AxisTrack, SegmentedObject, StoredSlice
from MedSAM2Lib.tracking.plain import PlainReader, PlainWriter
from MedSAM2Lib.tracking.propagation import Lane
from MedSAM2Lib.tracking.runner import SliceRecord
from MedSAM2Lib.tracking.tracker import Tracker, TrackerState
from MedSAM2Lib.tracking.tracks import TrackMaker
from MedSAM2Lib.types import AXES, Axis, StopRule
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.region import Region
from MedSAM2Lib.volume.volume import Volume

FORMAT = "MedSAM2Slicer session"
VERSION = 1


@dataclass(frozen=True, eq=False)
class RestoredState:
    """What a session takes over."""

    objects: dict[int, SegmentedObject]
    window: Window
    stop: StopRule


def session_state(
    objects: Mapping[int, SegmentedObject], volume: Mapping[str, str], window: Window, stop: StopRule, model: Any
) -> dict[str, Any]:
    """Dicts, lists, numbers, strings, None and numpy arrays; arrays are in the list ``shared`` only.

    Args:
        objects: by id.
        volume: its ``name`` and ``checksum``.
        window: grey values shown to the network.
        stop: when propagation ends where a request does not say.
        model: plain data that tells the model and the options apart from others.
    """
    writer = PlainWriter()
    return {
        "format": FORMAT,
        "version": VERSION,
        "volume": dict(volume),
        "model": deepcopy(model),
        "window": writer.write(window),
        "stop": writer.write(stop),
        "objects": [[object_id, _object_state(writer, one)] for object_id, one in objects.items()],
        "shared": writer.shared,
    }


def read_state(state: Any, volume: Volume, checksum: str, model: Any, tracks: TrackMaker) -> RestoredState:
    """What ``session_state`` wrote, with tracks of this session.

    Raises InputError ``E_STATE_FORMAT`` for data that is no state or of another version, ``E_STATE_VOLUME`` and
    ``E_STATE_MODEL`` for the state of another volume, or of another model or other options.
    """
    _check_header(state)
    _check_volume(state["volume"], volume, checksum)
    _check_model(state["model"], model)
    try:
        reader = PlainReader(state["shared"], tracks.runner.context.device)
        objects = {int(key): _read_object(reader, one, tracks, int(key)) for key, one in state["objects"]}
        restored = RestoredState(objects, reader.read(Window, state["window"]), reader.read(StopRule, state["stop"]))
        _check_sizes(reader, tracks.runner.config)
        _check_places(reader, objects, volume)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, InputError) as error:
        raise _malformed(f"{type(error).__name__}: {error}") from error
    return restored


def _object_state(writer: PlainWriter, segmented: SegmentedObject) -> dict[str, Any]:
    axes = {axis: _track_state(writer, track) for axis, track in segmented.axes.items()}
    return {**writer.write_fields(segmented, without=("axes",)), "axes": axes}


def _track_state(writer: PlainWriter, track: AxisTrack) -> dict[str, Any]:
    lanes = [writer.write_fields(lane, without=("object_id", "tracker", "pending")) for lane in track.lanes]
    fields = writer.write_fields(track, without=("tracker", "lanes"))
    return {**fields, "tracker": writer.write(track.tracker.state()), "lanes": lanes}


def _read_object(reader: PlainReader, data: Any, tracks: TrackMaker, object_id: int) -> SegmentedObject:
    axes: dict[Axis, AxisTrack] = {
        axis: _read_track(reader, data["axes"][axis], tracks, axis, object_id) for axis in AXES if axis in data["axes"]
    }
    return reader.read_fields(SegmentedObject, _without(data, "axes"), axes=axes)


def _read_track(reader: PlainReader, data: Any, tracks: TrackMaker, axis: Axis, object_id: int) -> AxisTrack:
    fresh = tracks.new_track(axis, reader.read(Union[Region, None], data["region"]))
    fresh.tracker.restore(reader.read(TrackerState, data["tracker"]))
    fields = _without(data, "tracker", "lanes")
    track = reader.read_fields(AxisTrack, fields, tracker=fresh.tracker, lanes=[])
    track.lanes = [
        reader.read_fields(Lane, lane, object_id=object_id, tracker=track.tracker, pending=track.pending)
        for lane in data["lanes"]
    ]
    return track


def _without(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


def _check_header(state: Any) -> None:
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise _malformed("it is not one")
    if state.get("version") != VERSION:
        raise _malformed(f"its version is {state.get('version')}, and this program reads {VERSION}")
    if not isinstance(state.get("volume"), dict) or not isinstance(state.get("model"), dict):
        raise _malformed("it does not say of which volume and model it is")


def _check_volume(saved: Mapping[str, Any], volume: Volume, checksum: str) -> None:
    if saved.get("checksum") == checksum:
        return
    raise InputError(
        "E_STATE_VOLUME",
        "The saved session belongs to another volume ('{saved}', not '{name}' as it is now): open the volume that it "
        "was made on, or begin a new session.",
        saved=saved.get("name"),
        name=volume.name,
    )


def _check_model(saved: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    different = sorted(key for key in {*saved, *model} if saved.get(key) != model.get(key))
    if not different:
        return
    raise InputError(
        "E_STATE_MODEL",
        "The saved session was made with another model or other options ({different} differ): open it with those, or "
        "begin a new session.",
        different=", ".join(different),
    )


def _check_sizes(reader: PlainReader, config: NetworkConfig) -> None:
    """Raises ValueError unless all tensors are of the network's sizes."""
    side, grid = config.image_size // 4, config.grid_size
    pointer, top = (1, config.model_dim), (1, config.model_dim, grid, grid)
    expected = [
        pair
        for record in reader.all_of(SliceRecord)
        for pair in ((record.low_res_logits, (1, 1, side, side)), (record.pointer, pointer))
    ]
    for entry in reader.all_of(MemoryEntry):
        expected += [(entry.map, (1, config.memory_dim, grid, grid)), (entry.pointer, pointer)]
        expected += [] if entry.embedding is None else [(entry.embedding, top)]
    for tensor, shape in expected:
        if tuple(tensor.shape) != shape:
            raise ValueError(f"a tensor of {tuple(tensor.shape)} where the network has {shape}")


def _check_places(reader: PlainReader, objects: Mapping[int, SegmentedObject], volume: Volume) -> None:
    """Raises ValueError or PromptError where something lies on no slice of the volume."""
    for segmented in objects.values():
        for prompt in segmented.prompts:
            check_prompt(prompt, volume.shape)
        for axis, track in segmented.axes.items():
            _check_indices(axis, track.tracker, track.pending, volume.slice_count(axis))
    for stored in reader.all_of(StoredSlice):
        frame = stored.frame
        if not 0 <= frame.key.index < volume.slice_count(frame.key.axis):
            raise ValueError(f"slice {frame.key.index} of axis {frame.key.axis} is not in the volume")
        if frame.shape != volume.slice(frame.key.axis, 0).shape:
            raise ValueError(f"a slice of {frame.shape} pixels is not in the volume")


def _check_indices(axis: Axis, tracker: Tracker, pending: set[int], count: int) -> None:
    known = {record.index for record in tracker.records}
    remembered = {entry.slice_index for entry in tracker.bank.entries()}
    outside = [index for index in {*known, *remembered, *pending} if not 0 <= index < count]
    if outside or not remembered <= known:
        raise ValueError(f"slices {outside or sorted(remembered - known)} of axis {axis} are not known")


def _malformed(reason: str) -> InputError:
    return InputError(
        "E_STATE_FORMAT",
        "This is no session that can be restored ({reason}): save it again with this program, or begin a new session.",
        reason=reason,
    )
