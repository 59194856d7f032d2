"""SAM 2's temporal memory: which slices it shows, in which order, at which distance."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from MedSAM2Lib.memory.bank import Direction, MemoryEntry, MemoryQuery
from MedSAM2Lib.memory.temporal import TemporalMemory


def entry(index: int, direction: Direction = 0) -> MemoryEntry:
    return MemoryEntry(
        index, direction, torch.full((1, 4, 2, 2), float(index)), torch.full((1, 8), float(index)), 0.9, 3.0
    )


def filled(prompted: list[int], forward: range = range(0), backward: range = range(0)) -> TemporalMemory:
    bank = TemporalMemory()
    for index in prompted:
        bank.add(entry(index))
    for index in forward:
        bank.add(entry(index, 1))
    for index in backward:
        bank.add(entry(index, -1))
    return bank


def test_a_slice_is_shown_every_prompted_slice_and_the_six_nearest_behind_it() -> None:
    selection = filled([10, 40], forward=range(11, 20)).select(MemoryQuery(20, 1, 60))
    assert selection.slices == (10, 40, 14, 15, 16, 17, 18, 19)
    assert [shown.temporal_row for shown in selection.maps] == [6, 6, 5, 4, 3, 2, 1, 0]


def test_pointers_come_from_prompted_slices_already_passed_and_fifteen_slices_behind() -> None:
    selection = filled([10, 40], forward=range(11, 32)).select(MemoryQuery(32, 1, 60))
    assert [shown.entry.slice_index for shown in selection.pointers] == [10, *range(31, 16, -1)]
    assert [shown.distance for shown in selection.pointers] == [22, *range(1, 16)]
    assert selection.pointer_limit == 16


def test_backward_distances_are_positive_and_later_prompts_are_the_ones_passed() -> None:
    selection = filled([10, 40], backward=range(9, 6, -1)).select(MemoryQuery(6, -1, 60))
    assert [(shown.entry.slice_index, shown.distance) for shown in selection.pointers] == [
        (10, 4),
        (40, 34),
        (7, 1),
        (8, 2),
        (9, 3),
    ]


def test_the_two_directions_do_not_see_each_other() -> None:
    selection = filled([10], forward=range(11, 13), backward=range(9, 5, -1)).select(MemoryQuery(13, 1, 60))
    assert selection.slices == (10, 11, 12)


def test_short_volumes_limit_the_pointers_to_their_number_of_slices() -> None:
    selection = filled([0], forward=range(1, 5)).select(MemoryQuery(5, 1, 4))
    assert selection.pointer_limit == 4
    assert [shown.distance for shown in selection.pointers] == [5, 1, 2, 3]


def test_a_correction_takes_the_place_of_the_tracked_slice() -> None:
    bank = filled([10], forward=range(11, 14))
    bank.add(entry(12))
    selection = bank.select(MemoryQuery(14, 1, 60))
    assert selection.slices == (10, 12, 11, 13)
    assert [shown.temporal_row for shown in selection.maps] == [6, 6, 2, 0]


def test_clearing_keeps_what_the_user_prompted() -> None:
    bank = filled([10, 40], forward=range(11, 20), backward=range(9, 0, -1))
    bank.clear_tracked()
    assert [kept.slice_index for kept in bank.entries()] == [10, 40]
    bank.discard(40)
    assert [kept.slice_index for kept in bank.entries()] == [10]


def test_without_a_prompted_slice_there_is_nothing_to_show() -> None:
    with pytest.raises(LookupError):
        filled([], forward=range(3)).select(MemoryQuery(3, 1, 10))


@given(st.sets(st.integers(0, 80), min_size=1), st.integers(0, 80), st.sampled_from([1, -1]))
def test_never_more_maps_or_pointers_than_published(prompted: set[int], index: int, direction: Direction) -> None:
    bank = filled(sorted(prompted), forward=range(0, 80), backward=range(80, -1, -1))
    selection = bank.select(MemoryQuery(index, direction, 81))
    assert len(selection.maps) <= len(prompted) + 6
    assert len(selection.pointers) <= len(prompted) + 15
    assert all(shown.distance >= 0 for shown in selection.pointers)
    assert len(set(selection.slices)) == len(prompted) + len(
        [shown for shown in selection.maps if not shown.entry.prompted]
    )


@given(st.sets(st.integers(0, 40), min_size=1), st.integers(0, 40), st.integers(0, 40), st.sampled_from([1, -1]))
def test_a_bank_restored_from_its_state_shows_the_same(
    prompted: set[int], forgotten: int, index: int, direction: Direction
) -> None:
    first, second = filled(sorted(prompted), range(0, 30), range(40, 20, -1)), filled([50], range(51, 60))
    if prompted != {forgotten}:
        first.discard(forgotten)
    second.restore(first.state())
    query = MemoryQuery(index, direction, 41)
    assert first.select(query) == second.select(query)
    assert second.events == first.events
    assert [id(one) for one in second.entries()] == [id(one) for one in first.entries()]


def test_every_kept_slice_is_noted_in_the_order_it_came_until_it_is_forgotten() -> None:
    bank = filled([10], forward=range(11, 13), backward=range(9, 8, -1))
    bank.discard(11)
    assert [(event.slice_index, event.reason) for event in bank.events] == [
        (10, "prompted"),
        (12, "tracked"),
        (9, "tracked"),
    ]
    assert bank.capacity is None
