"""Keyframes that come together, go again, or change amid a run: what was asked for is computed, once."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.types import (
    AXES,
    NOT_COMPUTED,
    Axis,
    PropagationRequest,
    SliceKey,
)
from Testing.engine.keyframe_ground import EVERY_SLICE, add, click, held, masked, opened, run, same


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
