"""A memory bank to be looked at through a session: which slices, why, what they pushed out, what was shown."""

from __future__ import annotations

from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.tracking.engine import KEY_SLICE, SELF_SORTING, TEMPORAL, EngineOptions
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import PointPrompt, PropagationRequest, StopRule
from Testing.engine.phantoms import small_engine, two_organs_volume

EVERY_SLICE = StopRule(enabled=False)
SMALL_BANK = EngineOptions(
    fit="letterbox", memory=SELF_SORTING, self_sorting=SelfSortingOptions(capacity=4, least_iou=-1.0, shown=2)
)


def propagated(options: EngineOptions, *slices: int) -> tuple[TrackingSession, int]:
    session = small_engine(options).open(two_organs_volume()[0])
    object_id = session.add_object("liver")
    for index in slices:
        session.add_prompt(object_id, PointPrompt((11.0, 14.0, float(index))))
    list(session.propagate(PropagationRequest("k", stop=EVERY_SLICE)))
    return session, object_id


def test_a_self_sorting_bank_tells_what_it_holds_and_what_left_for_it() -> None:
    session, object_id = propagated(SMALL_BANK, 10)
    view = session.bank(object_id, "k")
    assert view is not None
    assert view.capacity == 4
    assert [one.index for one in view.slices if one.prompted] == [10]
    assert {direction: sum(one.direction == direction for one in view.slices) for direction in (-1, 0, 1)} == {
        -1: 3,
        0: 1,
        1: 3,
    }
    assert len(view.events) == 20
    assert len({one.arrival for one in view.slices}) == len(view.slices)
    kept = {event.slice_index for event in view.events if event.kept}
    left = {event.pushed_out for event in view.events} - {None}
    assert left
    assert kept - left == {one.index for one in view.slices}
    for one in view.slices:
        assert view.events[one.arrival].slice_index == one.index
        assert one.pushed_out == tuple(filter(None, [view.events[one.arrival].pushed_out]))
    assert not view.grown


def test_what_was_shown_for_a_slice_is_what_its_result_says() -> None:
    session, object_id = propagated(SMALL_BANK, 10)
    view = session.bank(object_id, "k")
    assert view is not None
    assert view.shown == {result.key.index: result.shown for result in session.results(object_id)}
    assert view.shown[10] == ()
    assert view.shown[11] == (10,)
    assert 10 in view.shown[19]
    assert 2 <= len(view.shown[19]) <= 4


def test_a_temporal_bank_has_no_limit_and_tells_the_order_in_which_slices_came() -> None:
    session, object_id = propagated(EngineOptions(fit="letterbox", memory=TEMPORAL), 10)
    view = session.bank(object_id, "k")
    assert view is not None
    assert view.capacity is None
    assert [view.events[place].slice_index for place in range(5)] == [10, 11, 9, 12, 8]
    assert {one.index for one in view.slices} == set(range(20))
    assert not any(one.pushed_out for one in view.slices)


def test_an_axis_that_was_not_looked_along_has_no_bank() -> None:
    session, object_id = propagated(SMALL_BANK, 10)
    assert session.bank(object_id, "j") is None


def test_more_prompted_slices_than_the_bank_is_to_hold_are_kept_and_it_is_said() -> None:
    session, object_id = propagated(SMALL_BANK, 4, 7, 10, 13, 16)
    view = session.bank(object_id, "k")
    assert view is not None
    assert view.grown
    assert [one.index for one in view.slices] == [4, 7, 10, 13, 16]
    (sentence,) = session.notices(object_id)
    assert "'liver' along axis k is to hold 4 slices and 5 are prompted" in sentence


def test_a_memory_of_key_slices_alone_is_not_said_to_have_grown() -> None:
    session, object_id = propagated(EngineOptions(fit="letterbox", memory=KEY_SLICE), 8, 10)
    view = session.bank(object_id, "k")
    assert view is not None
    assert [one.index for one in view.slices] == [8, 10]
    assert view.capacity is None
    assert session.notices(object_id) == []


def test_a_correction_forgets_what_was_noted_of_its_interval_only() -> None:
    session, object_id = propagated(SMALL_BANK, 5, 15)
    before = session.bank(object_id, "k")
    session.add_prompt(object_id, PointPrompt((12.0, 15.0, 10.0)))
    list(session.propagate(PropagationRequest("k", stop=EVERY_SLICE, update=True)))
    after = session.bank(object_id, "k")
    assert before is not None
    assert after is not None
    outside = [event for event in before.events if not 5 < event.slice_index < 15]
    assert list(after.events[: len(outside)]) == outside
    assert {event.slice_index for event in after.events[len(outside) :]} == set(range(6, 15))
    assert all(after.shown[index] == before.shown[index] for index in [*range(6), *range(15, 20)])
