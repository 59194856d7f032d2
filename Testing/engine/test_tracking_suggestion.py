"""The suggested next prompt: on the slice of greatest doubt, inside the volume, never where the user has been."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import (
    AXES,
    Axis,
    Orientations,
    PointPrompt,
    PropagationRequest,
    SliceKey,
    StopRule,
    array_dimension,
    ijk_position,
)
from Testing.engine.growing_network import BRIGHT, growing_session, volume_of
from Testing.engine.phantoms import ellipsoid, small_engine, two_organs_volume

TRUTH = ellipsoid((24, 26, 28), (12, 13, 14), (9, 8, 10))
CENTRE = {"k": 12, "j": 13, "i": 14}


def tracked(array: np.ndarray, axis: Axis = "k", orientations: Orientations = "1") -> TrackingSession:
    session = growing_session(volume_of(array > 0), stop=StopRule(enabled=False))
    session.view.volume.array[:] = array
    session.add_prompt(session.add_object("organ"), PointPrompt((14.0, 13.0, 12.0), axis))
    list(session.propagate(PropagationRequest(axis, orientations=orientations)))
    return session


def dimmed(axis: Axis, index: int) -> np.ndarray:
    """The organ with one slice so dim that the stand-in trusts it least."""
    array = (TRUTH * BRIGHT).astype(np.int16)
    view = np.moveaxis(array, array_dimension(axis), 0)
    view[index] = view[index] * 6 // 10
    return array


def test_nothing_is_suggested_where_nothing_is_tracked() -> None:
    session = growing_session(volume_of(TRUTH))
    object_id = session.add_object("organ")
    assert session.suggest(object_id) is None
    session.add_prompt(object_id, PointPrompt((14.0, 13.0, 12.0)))
    session.preview(object_id, SliceKey("k", 12))
    assert session.suggest(object_id) is None
    started = session.propagate(PropagationRequest("k"))
    assert session.suggest(object_id) is None
    next(iter(started))
    assert session.suggest(object_id) is None


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("offset", [-4, 3])
def test_the_slice_that_the_network_trusts_least_is_suggested(axis: Axis, offset: int) -> None:
    doubtful = CENTRE[axis] + offset
    session = tracked(dimmed(axis, doubtful), axis)
    suggestion = session.suggest(1)
    assert suggestion is not None
    assert suggestion.slice == SliceKey(axis, doubtful)
    assert suggestion.reason == "low predicted IoU"
    lowest = min(result.predicted_iou for result in session.results(1) if (result.logits > 0).any())
    assert suggestion.doubt == pytest.approx(1 - lowest)
    assert suggestion.ijk[ijk_position(axis)] == doubtful


def test_a_keyframe_is_never_suggested_and_following_suggestions_ends() -> None:
    session = small_engine().open(two_organs_volume()[0])
    session.add_prompt(session.add_object("organ"), PointPrompt((11.0, 14.0, 10.0)))
    request = PropagationRequest("k", stop=StopRule(enabled=False), orientations="3", update=True)
    for count in range(1, 6):
        list(session.propagate(request))
        suggestion = session.suggest(1)
        assert suggestion is not None
        assert 0 < suggestion.doubt <= 1
        assert suggestion.slice.index not in session.objects[1].keyframes("k")
        assert all(0 <= value < size for value, size in zip(suggestion.ijk, (32, 28, 20)))
        session.add_prompt(1, PointPrompt(suggestion.ijk, suggestion.slice.axis))
        assert len(session.objects[1].keyframes("k")) == count + 1


@pytest.mark.parametrize("axis", AXES)
def test_where_orientations_contradict_each_other_the_suggestion_lies_in_the_dispute(axis: Axis) -> None:
    session = tracked((TRUTH * BRIGHT).astype(np.int16), axis, "3")
    wrong = CENTRE[axis] + 3
    (update,) = session.objects[1].updates
    stored = update.slices[SliceKey(axis, wrong)]
    stored.record.low_res_logits[0, 0, :, 32:] = -8.0
    suggestion = session.suggest(1)
    assert suggestion is not None
    assert suggestion.slice == SliceKey(axis, wrong)
    assert suggestion.reason == "orientations disagree"
    disputed = session.fused(1, 0, 23).disagreement > 0.5
    place = tuple(int(value) for value in suggestion.ijk[::-1])
    assert disputed[place]
    assert TRUTH[place]


def test_an_object_seen_without_any_doubt_needs_no_prompt() -> None:
    session = tracked((TRUTH * BRIGHT).astype(np.int16))
    (update,) = session.objects[1].updates
    for stored in update.slices.values():
        object.__setattr__(stored.record, "predicted_iou", 0.99)
    assert session.suggest(1) is None
