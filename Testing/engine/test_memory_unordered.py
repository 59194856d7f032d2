"""The self-sorting bank of images without an order: a slice index is a name, and says nothing of distance."""

from __future__ import annotations

import torch

from MedSAM2Lib.memory.bank import MemoryEntry, MemoryQuery, MemorySelection
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.memory.self_sorting import SelfSortingMemory


def entry(place: int, number: int, prompted: bool = False) -> MemoryEntry:
    """What is remembered of image ``number``, counted as ``place``."""
    values = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(number))
    return MemoryEntry(place, 0 if prompted else 1, values, values.flatten(1), 0.9, 5.0, values)


def selection(places: list[int], query: int) -> MemorySelection:
    """What an image counted as ``query`` is shown of three others, the first one prompted, counted as ``places``."""
    memory = SelfSortingMemory(SelfSortingOptions(), 7, 16, ordered=False)
    for number, place in enumerate(places):
        memory.add(entry(place, number, prompted=number == 0))
    embedding = entry(query, 9).embedding
    return memory.select(MemoryQuery(query, 1, 100, embedding))


def test_places_change_nothing_that_an_image_is_shown() -> None:
    reference = selection([0, 1, 2], 3)
    for places, query in (([5, 9, 2], 3), ([50, 1, 99], 0), ([0, 1, 7], 8)):
        other = selection(places, query)
        for one, two in zip(reference.maps, other.maps, strict=True):
            assert torch.equal(one.entry.map, two.entry.map)
            assert one.temporal_row == two.temporal_row == 6
        assert [one.distance for one in other.pointers] == [15, 15, 15]
        assert other.pointer_limit == reference.pointer_limit == 16


def test_with_an_order_places_do_change_what_a_slice_is_shown() -> None:
    memory = SelfSortingMemory(SelfSortingOptions(), 7, 16)
    for number, place in enumerate((0, 1, 2)):
        memory.add(entry(place, number, prompted=number == 0))
    shown = memory.select(MemoryQuery(3, 1, 100, entry(3, 9).embedding))
    assert shown.maps[-1].temporal_row == 0
    assert len({one.distance for one in shown.pointers}) == 3
