"""Keyframes are walls: a correction computes its interval again and nothing else, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.keyframes import Interval, interval_around
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import (
    AXES,
    NOT_COMPUTED,
    Axis,
    BoxPrompt,
    FloatArray,
    MaskPrompt,
    Orientations,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SliceKey,
    StopRule,
    array_dimension,
)
from Testing.engine.growing_network import growing_session, mask_of, volume_of
from Testing.engine.phantoms import ellipsoid, small_engine, two_organs_volume

EVERY_SLICE = StopRule(enabled=False)
CLICK = PointPrompt((11.0, 14.0, 10.0))
ORGAN = ellipsoid((24, 26, 28), (12, 13, 14), (9, 8, 10))
SHAPE = (20, 28, 32)
MIDDLE = (14.0, 13.0, 12.0)

Logits = dict[SliceKey, FloatArray]


def opened(memory: str = "temporal", zoom: float | None = None) -> TrackingSession:
    return small_engine(EngineOptions(fit="letterbox", memory=memory, zoom=zoom)).open(two_organs_volume()[0])


def add(session: TrackingSession, *prompts: Prompt) -> int:
    object_id = max(session.objects, default=0) or session.add_object("organ")
    for prompt in prompts:
        session.add_prompt(object_id, prompt)
    return object_id


def run(session: TrackingSession, axis: Axis = "k", orientations: Orientations = "1", update: bool = True) -> list[int]:
    """Indices of the slices that came, in order; on all axes."""
    request = PropagationRequest(axis, stop=EVERY_SLICE, orientations=orientations, update=update)
    return [result.key.index for result in session.propagate(request)]


def held(session: TrackingSession) -> Logits:
    return {result.key: result.logits for result in session.results(1)}


def same(
    first: Logits, second: Logits, but: Callable[[SliceKey], bool] = lambda key: False, within: float = 0.0
) -> bool:
    keys = [key for key in {*first, *second} if not but(key)]
    return all(bool((np.abs(first[key] - second[key]) <= within).all()) for key in keys)


def click(axis: Axis, index: int) -> PointPrompt:
    place = [11.0, 14.0, 10.0]
    place[2 - array_dimension(axis)] = float(index)
    return PointPrompt((place[0], place[1], place[2]), axis)


def masked(axis: Axis, index: int) -> MaskPrompt:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[6:15, 9:20, 7:15] = True
    section = np.take(mask, [10, 14, 11][array_dimension(axis)], axis=array_dimension(axis))
    return MaskPrompt(SliceKey(axis, index), section)


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


def test_corrections_on_both_sides_of_a_keyframe_before_one_update_are_each_computed() -> None:
    session = opened()
    add(session, click("k", 10))
    run(session)
    add(session, click("k", 13), click("k", 5), click("k", 16))
    came = run(session)
    assert sorted(came) == [index for index in range(20) if index != 10]
    for update in session.objects[1].updates:
        assert all(key.index in update.interval for key in update.slices)
    assert run(session) == []


def test_a_keyframe_removed_amid_the_update_next_to_it_costs_no_slice() -> None:
    session = opened()
    add(session, click("k", 4), click("k", 10))
    run(session)
    add(session, click("k", 13))
    next(iter(session.propagate(PropagationRequest("k", stop=EVERY_SLICE, update=True))))
    session.clear_prompts(1, SliceKey("k", 10))
    came = run(session)
    assert len(came) == len(set(came))
    assert all((logits > NOT_COMPUTED).all() for logits in held(session).values())


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
def test_removing_a_keyframe_gives_back_what_was_there_before(axis: Axis) -> None:
    session = opened()
    add(session, click(axis, 10))
    run(session, axis)
    before = held(session)
    for other in (14, 5):
        add(session, masked(axis, other))
        run(session, axis)
        session.clear_prompts(1, SliceKey(axis, other))
        run(session, axis)
        assert same(before, held(session))
    assert run(session, axis) == []


def test_removing_the_only_keyframe_of_another_axis_gives_what_a_session_without_it_gives() -> None:
    session, without = opened(), opened()
    for one in (session, without):
        add(one, click("k", 10))
        run(one, orientations="3")
    add(session, masked("j", 12))
    run(session, orientations="3")
    session.clear_prompts(1, SliceKey("j", 12))
    run(session, orientations="3")
    assert same(held(session), held(without))
    assert np.array_equal(session.fused(1, 0, 19).probability, without.fused(1, 0, 19).probability)


def test_a_prompt_taken_back_before_any_update_costs_no_other_axis_anything() -> None:
    session = opened()
    add(session, click("k", 10))
    run(session, orientations="3")
    before = held(session)
    add(session, masked("j", 12))
    session.preview(1, SliceKey("j", 12))
    session.clear_prompts(1, SliceKey("j", 12))
    assert run(session, orientations="3") == []
    assert same(before, held(session))


def test_removing_the_first_axis_s_keyframe_leaves_the_others_to_be_computed_anew() -> None:
    session, fresh = opened(), opened()
    add(session, click("j", 14))
    run(session, "j")
    add(session, masked("k", 10))
    add(fresh, masked("k", 10))
    run(session, "j")
    session.clear_prompts(1, SliceKey("j", 14))
    run(session)
    run(fresh)
    assert same(held(session), held(fresh))


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
    came = [result.key.index for result in session.propagate(PropagationRequest("k", update=True))]
    assert sorted(came) == list(range(13, 24))
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


def test_a_correction_stays_within_the_range_that_was_asked_for() -> None:
    session = opened()
    add(session, click("k", 10))
    ranged = PropagationRequest("k", first=8, last=13, stop=EVERY_SLICE, update=True)
    list(session.propagate(ranged))
    add(session, click("k", 12))
    assert sorted(result.key.index for result in session.propagate(ranged)) == [11, 12, 13]
    add(session, click("k", 9))
    assert sorted(run(session)) == [*range(10), *range(14, 20)]
    assert Interval("k", 0, 19) == session.objects[1].covered("k")


def test_a_second_propagation_ends_the_first_one() -> None:
    session, fresh = opened(), opened()
    for one in (session, fresh):
        add(one, click("k", 10))
    request = PropagationRequest("k", stop=EVERY_SLICE, orientations="3")
    abandoned = iter(session.propagate(request))
    for _ in range(7):
        next(abandoned)
    again = iter(session.propagate(request))
    assert list(abandoned) == []
    assert len(list(again)) == len(list(fresh.propagate(request)))
    assert same(held(session), held(fresh))
