"""The self-sorting bank: both published rules by hand-computed vectors, and what must hold whatever arrives."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from MedSAM2Lib.memory.bank import Direction, MemoryEntry, MemoryQuery, MemorySelection
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.memory.self_sorting import (
    SelfSortingMemory,
    leaving_by_code,
    leaving_by_paper,
)
from MedSAM2Lib.memory.similarity import cosine_matrix
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.tracking.conditioning import memory_sequence
from Testing.engine.phantoms import SMALL_CONFIG, small_network


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


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
@pytest.mark.parametrize("shown", [0, 3])
def test_drawing_works_for_every_seed_and_number(seed: int, shown: int) -> None:
    options = SelfSortingOptions(resampling="drawn", shown=shown, neighbour=False, seed=seed)
    bank = bank_of(options, at_angle(0, 0, direction=0), at_angle(1, 30.0), at_angle(2, 60.0))
    slices = bank.select(query(7, 30)).slices
    assert slices[0] == 0
    assert len(slices) == 1 + shown


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


arrivals = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 359), st.sampled_from([-1, 0, 0, 1, 1, 1])), min_size=1, max_size=25
)
rules = st.sampled_from(["paper", "code"])


@settings(deadline=None)
@given(arrivals, st.integers(1, 6), rules)
def test_prompts_among_tracked_slices_stay_and_each_direction_keeps_to_the_capacity(
    arriving: list[tuple[int, int, Direction]], capacity: int, rule: str
) -> None:
    bank = SelfSortingMemory(SelfSortingOptions(capacity=capacity, rule=rule))  # type: ignore[arg-type]
    prompted: set[int] = set()
    for index, angle, direction in arriving:
        bank.add(at_angle(index, angle, direction))
        if direction == 0:
            prompted.add(index)
        entries = bank.entries()
        assert {entry.slice_index for entry in entries if entry.prompted} == prompted
        for way in (1, -1):
            tracked = [entry.slice_index for entry in entries if entry.direction == way]
            assert len(tracked) + len(prompted) <= max(capacity, len(prompted))
            assert not prompted.intersection(tracked)


@settings(deadline=None)
@given(arrivals, st.integers(0, 20), st.integers(0, 6), st.integers(1, 8))
def test_forgetting_a_range_leaves_the_others_as_they_are(
    arriving: list[tuple[int, int, Direction]], first: int, length: int, capacity: int
) -> None:
    bank = SelfSortingMemory(SelfSortingOptions(capacity=capacity))
    for index, angle, direction in arriving:
        bank.add(at_angle(index, angle, direction))
    gone = set(range(first, first + length))
    expected = [entry for entry in bank.entries() if entry.slice_index not in gone]
    noted = [event for event in bank.events if event.slice_index not in gone]
    for index in gone:
        bank.discard(index)
    assert [id(entry) for entry in bank.entries()] == [id(entry) for entry in expected]
    assert bank.events == noted


@settings(deadline=None)
@given(arrivals, arrivals, st.integers(1, 6), st.integers(0, 359), st.booleans())
def test_a_bank_restored_from_its_state_goes_on_as_the_first_one_would(
    before: list[tuple[int, int, Direction]],
    after: list[tuple[int, int, Direction]],
    capacity: int,
    looking: int,
    neighbour: bool,
) -> None:
    options = SelfSortingOptions(capacity=capacity, neighbour=neighbour, shown=3)
    first, second = bank_of(options, at_angle(30, 7, direction=0)), SelfSortingMemory(options)
    for index, angle, direction in before:
        first.add(at_angle(index, angle, direction))
    second.restore(first.state())
    for index, angle, direction in after:
        for bank in (first, second):
            bank.add(at_angle(index, angle, direction))
    assert [entry.slice_index for entry in first.entries()] == [entry.slice_index for entry in second.entries()]
    assert first.events == second.events
    for index, direction in itertools.product(range(22), (1, -1)):
        asked = query(index, looking, direction)  # type: ignore[arg-type]
        assert first.select(asked).slices == second.select(asked).slices


def test_a_state_does_not_change_with_the_bank() -> None:
    bank = bank_of(SelfSortingOptions(), at_angle(5, 0, direction=0), at_angle(6, 40))
    state = bank.state()
    bank.discard(6)
    bank.add(at_angle(7, 80))
    assert [entry.slice_index for entry in (*state.prompted, *state.tracked, *state.latest)] == [5, 6, 6]
    assert [event.slice_index for event in state.events] == [5, 6]


def test_more_prompted_slices_than_the_capacity_make_it_grow_and_it_is_noted() -> None:
    bank = bank_of(SelfSortingOptions(capacity=2), *(at_angle(index, 30.0 * index, direction=0) for index in range(3)))
    assert kept(bank) == {0, 1, 2}
    assert [event.reason for event in bank.events] == ["prompted", "prompted", "prompted, beyond the capacity"]
    bank.add(at_angle(3, 170))
    assert kept(bank) == {0, 1, 2}


def test_a_late_prompt_pushes_out_the_tracked_slice_that_is_least_dissimilar() -> None:
    # Angles 0 (prompted), 80, 100, 180 and a prompt at 90: totals 80: .826 + .015 + .060 + 1.174 = 2.075,
    # 100: 1.174 + .015 + .060 + .826 = 2.075, 180: 2 + 1 + 1.174 + .826 = 5; of the two the earlier one leaves.
    entries = [at_angle(0, 0, direction=0), at_angle(1, 80), at_angle(2, 100), at_angle(3, 180)]
    bank = bank_of(SelfSortingOptions(capacity=4), *entries, at_angle(4, 90, direction=0))
    assert kept(bank) == {0, 2, 3, 4}
    assert [(event.slice_index, event.pushed_out) for event in bank.events[-2:]] == [(4, None), (4, 1)]


def random_entries(count: int, seed: int) -> list[MemoryEntry]:
    """Entries in the sizes of the small network; the first one is prompted."""
    generator = torch.Generator().manual_seed(seed)
    side, config = SMALL_CONFIG.grid_size, SMALL_CONFIG

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return [
        MemoryEntry(
            index,
            0 if index == 0 else 1,
            normal(1, config.memory_dim, side, side).bfloat16(),
            normal(1, config.model_dim),
            0.9,
            5.0,
            normal(1, config.model_dim, side, side),
        )
        for index in range(count)
    ]


def attended(network: Sam2Network, looking: MemoryEntry, selection: MemorySelection) -> torch.Tensor:
    assert looking.embedding is not None
    with torch.inference_mode():
        return network.attend_memory(looking.embedding, memory_sequence(network, [selection], torch.float32))


def shuffled(items: Sequence[MemoryEntry], seed: int) -> list[MemoryEntry]:
    mixed = list(items)
    random.Random(seed).shuffle(mixed)
    return mixed


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 7), st.integers(0, 1000), st.integers(0, 1000), st.booleans())
def test_attention_does_not_depend_on_the_order_of_what_it_is_shown(
    count: int, seed: int, order: int, neighbour: bool
) -> None:
    network = small_network()
    *entries, looking = random_entries(count + 1, seed)
    bank = bank_of(SelfSortingOptions(neighbour=neighbour), *entries)
    selection = bank.select(MemoryQuery(count, 1, 100, looking.embedding))
    maps, pointers = list(selection.maps), list(selection.pointers)
    random.Random(order).shuffle(maps)
    random.Random(order + 1).shuffle(pointers)
    mixed = MemorySelection(tuple(maps), tuple(pointers), selection.pointer_limit)
    torch.testing.assert_close(
        attended(network, looking, mixed), attended(network, looking, selection), atol=1e-5, rtol=1e-5
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 8), st.integers(0, 1000), st.integers(0, 1000), rules)
def test_up_to_the_capacity_attention_does_not_depend_on_the_order_of_arrival(
    count: int, seed: int, order: int, rule: str
) -> None:
    network = small_network()
    *entries, looking = random_entries(count + 1, seed)
    options = SelfSortingOptions(capacity=8, rule=rule, neighbour=False)  # type: ignore[arg-type]
    asked = MemoryQuery(count, 1, 100, looking.embedding)
    found = [
        attended(network, looking, bank_of(options, *arriving).select(asked))
        for arriving in (entries, shuffled(entries, order))
    ]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)
