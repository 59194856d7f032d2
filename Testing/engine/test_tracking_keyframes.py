"""Keyframes are walls: a correction computes its interval again and nothing else, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from MedSAM2Lib.tracking.keyframes import interval_around
from MedSAM2Lib.types import (
    AXES,
    Axis,
    BoxPrompt,
    MaskPrompt,
    Orientations,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SliceKey,
    array_dimension,
)
from Testing.engine.growing_network import growing_session, mask_of, tracked_of, volume_of
from Testing.engine.keyframe_ground import SHAPE, Logits, add, click, held, masked, opened, run, same
from Testing.engine.phantoms import ellipsoid

ORGAN = ellipsoid((24, 26, 28), (12, 13, 14), (9, 8, 10))
MIDDLE = (14.0, 13.0, 12.0)


@given(st.integers(0, 30), st.sets(st.integers(0, 30), max_size=6))
def test_an_interval_reaches_to_the_next_keyframes_and_holds_none_but_its_own(index: int, others: set[int]) -> None:
    interval = interval_around("k", index, others, 31)
    assert index in interval
    assert not [keyframe for keyframe in others if keyframe in interval and keyframe != index]
    assert interval.first == 0 or interval.first - 1 in others
    assert interval.last == 30 or interval.last + 1 in others


@pytest.mark.parametrize("memory", ["temporal", "self-sorting"])
@pytest.mark.parametrize("make", [click, masked], ids=["click", "mask"])
@pytest.mark.parametrize("axis", AXES)
def test_a_correction_computes_the_interval_between_its_neighbours_and_changes_nothing_else(
    axis: Axis, make: Callable[[Axis, int], Prompt], memory: str
) -> None:
    session = opened(memory)
    add(session, click(axis, 8), click(axis, 16))
    run(session, axis)
    before, encoded = held(session), session.features.counts.encoded
    add(session, make(axis, 12))
    assert sorted(run(session, axis)) == list(range(9, 16))
    after = held(session)
    assert same(before, after, but=lambda key: 9 <= key.index <= 15)
    assert not np.array_equal(before[SliceKey(axis, 13)], after[SliceKey(axis, 13)])
    assert session.features.counts.encoded == encoded


def test_corrections_one_by_one_give_in_the_last_interval_what_all_keyframes_at_once_give() -> None:
    one_by_one, together = opened(), opened()
    add(one_by_one, click("k", 5))
    run(one_by_one)
    for index in (15, 10):
        add(one_by_one, masked("k", index))
        run(one_by_one)
    add(together, click("k", 5), masked("k", 15), masked("k", 10))
    run(together)
    assert same(held(one_by_one), held(together), but=lambda key: not 6 <= key.index <= 14, within=1e-3)


def test_between_neighbouring_keyframes_nothing_is_computed() -> None:
    session = opened()
    add(session, click("k", 9), click("k", 11))
    run(session)
    before = held(session)
    add(session, click("k", 10))
    assert run(session) == [10]
    assert same(before, held(session), but=lambda key: key.index == 10)


@pytest.mark.parametrize("axis", AXES)
def test_of_other_orientations_only_what_the_interval_touches_is_computed(axis: Axis) -> None:
    session = growing_session(volume_of(ORGAN))
    object_id = add(session, PointPrompt(MIDDLE, axis))
    list(session.propagate(PropagationRequest(axis, orientations="3")))
    before = {result.key: result.logits for result in session.results(object_id)}
    dimension = array_dimension(axis)
    first = [12, 13, 14][dimension] + 5
    drawn = np.take(ORGAN, first + 2, axis=dimension)
    add(session, PointPrompt(_at(axis, first), axis), MaskPrompt(SliceKey(axis, first + 2), drawn))
    came = [one.key for one in session.propagate(PropagationRequest(axis, orientations="3", update=True))]
    beyond = np.moveaxis(ORGAN, dimension, 0)[first - 4 :].any(axis=0)
    for place, other in enumerate(name for name in AXES if name != axis):
        spanned = np.flatnonzero(beyond.any(axis=1 - place))
        touched = {key.index for key in came if key.axis == other}
        assert touched <= set(range(spanned[0], spanned[-1] + 1))
        assert len(touched) < len(np.flatnonzero(ORGAN.any(axis=tuple({0, 1, 2} - {array_dimension(other)}))))
    after = {result.key: result.logits for result in session.results(object_id)}
    assert same(before, after, but=lambda key: key in came)
    assert np.array_equal(mask_of(session, object_id), ORGAN)


def _at(axis: Axis, index: int) -> tuple[float, float, float]:
    place = list(MIDDLE)
    place[2 - array_dimension(axis)] = float(index)
    return place[0], place[1], place[2]


def test_outside_the_interval_the_fused_probabilities_are_the_same_bits() -> None:
    session = opened()
    add(session, click("k", 10))
    run(session, orientations="3")
    before = session.fused(1, 0, 19)
    add(session, masked("k", 13), masked("k", 16))
    run(session, orientations="3")
    after = session.fused(1, 0, 19)
    assert np.array_equal(before.probability[:11], after.probability[:11])
    assert np.array_equal(before.disagreement[:11], after.disagreement[:11])
    assert not np.array_equal(before.probability[11:], after.probability[11:])


def test_slices_that_a_correction_takes_from_the_object_lose_it() -> None:
    leaking = ORGAN.copy()
    leaking[15:, 12:15, 12:17] = True
    session = growing_session(volume_of(leaking))
    object_id = add(session, PointPrompt(MIDDLE))
    list(session.propagate(PropagationRequest("k")))
    assert mask_of(session, object_id)[23].any()
    nothing_near = np.zeros(ORGAN.shape[1:], dtype=bool)
    nothing_near[0, 0] = True
    add(session, MaskPrompt(SliceKey("k", 19), nothing_near))
    steps = len(tracked_of(session))
    came = [result.key.index for result in session.propagate(PropagationRequest("k", update=True))]
    assert sorted(came) == list(range(13, 24))
    assert tracked_of(session)[steps:] == [*range(13, 19), 20, 21]
    assert not mask_of(session, object_id)[20:].any()
    assert not any((one.logits > 0).any() for one in session.results(object_id) if one.key.index > 19)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("orientations", ["1", "3"])
def test_a_keyframe_is_never_changed_by_what_comes_later(axis: Axis, orientations: Orientations) -> None:
    session = opened(zoom=1.7)
    prompts = [masked(axis, 12), click("k", 10), BoxPrompt((7, 9, 6), (15, 19, 6)), click("j", 16)]
    shown: Logits = {}
    for prompt in prompts:
        add(session, prompt)
        shown[prompt.slice] = session.preview(1, prompt.slice).logits
        if session.objects[1].keyframes("k"):
            run(session, orientations=orientations)
    after = held(session)
    assert all(np.array_equal(after[key], logits) for key, logits in shown.items())
    drawn = np.take(session.fused(1, 0, 19).probability, 12, axis=array_dimension(axis)) > 0.5
    crossed = masked(axis, 12).mask ^ drawn
    for other in prompts[1:]:
        if other.axis != axis:
            place = [slice(None)] * 3
            place[array_dimension(other.axis)] = other.slice.index  # type: ignore[call-overload]
            covered = np.zeros(SHAPE, dtype=bool)
            covered[tuple(place)] = True
            crossed &= ~np.take(covered, 12, axis=array_dimension(axis))
    assert not crossed.any()
