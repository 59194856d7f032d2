"""The self-sorting bank: both published rules by hand-computed vectors, and what must hold whatever arrives."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from MedSAM2Lib.memory.bank import Direction, MemoryEntry, MemoryQuery
from MedSAM2Lib.memory.self_sorting import (
    SelfSortingMemory,
    SelfSortingOptions,
    leaving_by_code,
    leaving_by_paper,
)
from MedSAM2Lib.memory.similarity import cosine_matrix


def at_angle(index: int, degrees: float, direction: Direction = 1, iou: float = 0.9, score: float = 5.0) -> MemoryEntry:
    """An entry whose map and embedding are one vector in the plane, so that similarity is the cosine of angles."""
    vector = torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
    return MemoryEntry(
        index, direction, vector.view(1, 2, 1, 1), torch.zeros(1, 4), iou, score, vector.view(1, 2, 1, 1)
    )


def query(index: int, degrees: float, direction: Direction = 1) -> MemoryQuery:
    return MemoryQuery(index, direction, 100, at_angle(index, degrees).embedding)


def bank_of(options: SelfSortingOptions, *entries: MemoryEntry) -> SelfSortingMemory:
    bank = SelfSortingMemory(options)
    for entry in entries:
        bank.add(entry)
    return bank


def kept(bank: SelfSortingMemory) -> set[int]:
    return {entry.slice_index for entry in bank.entries()}


def similarity_of(*degrees: float) -> torch.Tensor:
    return cosine_matrix(torch.cat([at_angle(0, angle).map for angle in degrees]))


def test_the_papers_rule_by_hand() -> None:
    # Angles 0, 40, 100, newcomer 170; totals of 1 - cos of the differences:
    # 0: .234 + 1.174 + 1.985 = 3.393; 40: .234 + .5 + 1.643 = 2.377; 100: 1.174 + .5 + .658 = 2.332; 170: 4.286
    assert leaving_by_paper(similarity_of(0, 40, 100, 170), fixed=0) == 2
    # 0, 70, 100, newcomer 150: 70: .658 + .134 + .826 = 1.618; 100: 1.174 + .134 + .357 = 1.665
    assert leaving_by_paper(similarity_of(0, 70, 100, 150), fixed=0) == 1
    # The same with the first two prompted: 100 leaves, though 70 is less dissimilar.
    assert leaving_by_paper(similarity_of(0, 70, 100, 150), fixed=2) == 2
    # The newcomer at 80 lies in the middle of the others: it is not taken.
    assert leaving_by_paper(similarity_of(0, 180, 90, 80), fixed=0) is None


def test_the_released_codes_rule_by_hand() -> None:
    # Angles 0, 20, 90, newcomer 120. Its least similar is 0 (cos 120 = -.5); most similar to 0 is 20 (.940).
    # -.5 < .940, so 20 leaves.
    assert leaving_by_code(similarity_of(0, 20, 90, 120), fixed=0) == 1
    # Angles 0, 90, newcomer 60: least similar is 0 (.5); its twin is 90 (0). .5 is not below 0: nothing leaves.
    assert leaving_by_code(similarity_of(0, 90, 60), fixed=0) is None
    # The twin is prompted: it stays.
    assert leaving_by_code(similarity_of(20, 0, 90, 120), fixed=1) is None


def test_a_newcomer_much_less_confident_than_the_one_it_would_push_out_is_not_taken() -> None:
    for iou, taken in ((0.79, False), (0.81, True)):
        options = SelfSortingOptions(capacity=3, rule="code")
        bank = bank_of(options, at_angle(1, 0), at_angle(2, 20), at_angle(3, 90), at_angle(4, 120, iou=iou))
        assert (4 in kept(bank)) is taken
        assert bank.events[-1].kept is taken
        assert bank.events[-1].pushed_out == (2 if taken else None)


@pytest.mark.parametrize(("iou", "score"), [(0.5, 5.0), (0.2, 5.0), (0.9, 0.0), (0.9, -3.0)])
def test_an_unsure_slice_or_one_without_the_object_is_not_remembered(iou: float, score: float) -> None:
    bank = bank_of(SelfSortingOptions(), at_angle(1, 0, direction=0), at_angle(2, 40, iou=iou, score=score))
    assert kept(bank) == {1}
    assert bank.events[-1].reason == "not confident"


def test_the_most_similar_slices_are_shown_and_the_neighbour_with_its_own_time() -> None:
    entries = [at_angle(0, 0, direction=0), *(at_angle(index, 30.0 * index) for index in range(1, 6))]
    bank = bank_of(SelfSortingOptions(shown=2, least_iou=0.5), *entries)
    selection = bank.select(query(6, 65))
    assert selection.slices == (0, 2, 3, 5)
    assert [shown.temporal_row for shown in selection.maps] == [6, 6, 6, 0]
    without = bank_of(SelfSortingOptions(shown=2, neighbour=False), *entries).select(query(6, 65))
    assert without.slices == (0, 2, 3)


def test_an_unsure_neighbour_is_shown_to_the_next_slice_only() -> None:
    bank = bank_of(SelfSortingOptions(), at_angle(0, 0, direction=0), at_angle(1, 10, iou=0.1))
    assert bank.select(query(2, 20)).slices == (0, 1)
    assert bank.select(query(3, 20)).slices == (0,)


def test_drawing_follows_the_seed_and_the_slice_and_favours_what_is_similar() -> None:
    entries = [at_angle(0, 0, direction=0), *(at_angle(index, 30.0 * index) for index in range(1, 7))]
    options = SelfSortingOptions(resampling="drawn", shown=6, neighbour=False)
    first, again = (bank_of(options, *entries).select(query(40, 30)).slices for _ in range(2))
    assert first == again
    counts = dict.fromkeys(range(1, 7), 0)
    bank = bank_of(options, *entries)
    for index in range(50, 250):
        for shown in bank.select(MemoryQuery(index, 1, 300, query(0, 30).embedding)).slices[1:]:
            counts[shown] += 1
    assert counts[1] > 1.5 * counts[6]


def test_directions_keep_apart_and_clearing_keeps_what_was_prompted() -> None:
    bank = bank_of(SelfSortingOptions(), at_angle(5, 0, direction=0), at_angle(6, 40), at_angle(4, 80, direction=-1))
    assert bank.select(query(7, 50)).slices == (5, 6)
    assert bank.select(query(3, 50, direction=-1)).slices == (5, 4)
    bank.clear_tracked()
    assert kept(bank) == {5}
    assert [event.reason for event in bank.events] == ["prompted"]


def test_without_a_prompted_slice_there_is_nothing_to_show() -> None:
    with pytest.raises(LookupError):
        bank_of(SelfSortingOptions(), at_angle(1, 0)).select(query(2, 0))


angles = st.lists(st.integers(0, 359), min_size=1, max_size=12, unique=True)


@settings(deadline=None)
@given(angles, st.integers(0, 4), st.integers(1, 6), st.sampled_from(["paper", "code"]))
def test_prompted_slices_never_leave_and_the_capacity_holds(
    arriving: list[int], prompted: int, capacity: int, rule: str
) -> None:
    options = SelfSortingOptions(capacity=capacity, rule=rule)  # type: ignore[arg-type]
    bank = SelfSortingMemory(options)
    for place, angle in enumerate(arriving):
        bank.add(at_angle(place, angle, direction=0 if place < prompted else 1))
    fixed = set(range(min(prompted, len(arriving))))
    assert fixed <= kept(bank)
    assert len(bank.entries()) <= max(capacity, len(fixed))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 359), min_size=2, max_size=5, unique=True), st.integers(0, 359), st.integers(0, 100))
def test_up_to_its_capacity_the_order_of_arrival_changes_nothing(arriving: list[int], looking: int, seed: int) -> None:
    entries = [at_angle(0, 13, direction=0), *(at_angle(place + 1, angle) for place, angle in enumerate(arriving))]
    orders = list(itertools.islice(itertools.permutations(entries), 0, 120, 1 + seed % 7))
    options = SelfSortingOptions(capacity=8, shown=3, neighbour=False)
    found = {bank_of(options, *order).select(query(50, looking)).slices for order in orders}
    assert len(found) == 1
