"""The memory banks inside training: what a clip's slice is shown is what the bank would show when tracking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MedSAM2Lib.memory.bank import MemoryEntry, MemoryQuery
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.memory.self_sorting import SelfSortingMemory
from MedSAM2Lib.tracking.conditioning import memory_sequence as sequence_when_tracking
from MedSAM2Lib.training.losses import frame_loss
from MedSAM2Lib.training.memories import (
    MANY_SLICES,
    Remembered,
    Shown,
    SortedSlices,
    attend,
    memory_sequence,
)
from MedSAM2Lib.training.unroll import ClipUnroller, MemoryPlan
from Testing.engine.test_training_unroll import batch, network, unroll
from Testing.engine.training_ground import TINY

OBJECTS = 4
SMALL = SelfSortingOptions(capacity=3, shown=1)


def remembered(index: int, prompted: bool = False) -> Remembered:
    """Random memories; some objects are denied, some not confident."""
    draw = torch.Generator().manual_seed(100 + index)
    side = TINY.grid_size
    return Remembered(
        index=index,
        prompted=prompted,
        map=torch.randn(OBJECTS, TINY.memory_dim, side, side, generator=draw, requires_grad=True),
        pointer=torch.randn(OBJECTS, TINY.model_dim, generator=draw),
        predicted_iou=0.45 + 0.5 * torch.rand(OBJECTS, generator=draw),
        object_score=torch.randn(OBJECTS, 1, generator=draw) + 1,
        embedding=torch.randn(OBJECTS, TINY.model_dim, side, side, generator=draw),
    )


def bank_when_tracking(slices: list[Remembered], row: int, options: SelfSortingOptions, ordered: bool) -> Shown:
    """What a fresh bank shows one object's next slice, offered the same entries one by one."""
    bank = SelfSortingMemory(options, TINY.memory_map_count, TINY.max_object_pointers, ordered)
    for one in slices:
        bank.add(
            MemoryEntry(
                slice_index=one.index,
                direction=0 if one.prompted else 1,
                map=one.map[row : row + 1].detach(),
                pointer=one.pointer[row : row + 1],
                predicted_iou=float(one.predicted_iou[row]),
                object_score=float(one.object_score[row]),
                embedding=one.embedding[row : row + 1],
            )
        )
    query = remembered(slices[-1].index + 1).embedding[row : row + 1]
    return Shown.of(bank.select(MemoryQuery(slices[-1].index + 1, 1, MANY_SLICES, query)))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("options", [SMALL, SelfSortingOptions(), SelfSortingOptions(capacity=4, shown=2, rule="code")])
def test_each_object_is_shown_what_its_own_bank_chooses(options: SelfSortingOptions, ordered: bool) -> None:
    memory = SortedSlices(TINY, OBJECTS, options, ordered)
    slices: list[Remembered] = []
    differing = False
    for index in range(7):
        slices.append(remembered(index, prompted=index in (0, 3)))
        memory.add(slices[-1])
        shown = memory.shown(index + 1, remembered(index + 1).embedding)
        assert shown == [bank_when_tracking(slices, row, options, ordered) for row in range(OBJECTS)]
        differing |= len(set(shown)) > 1
    assert differing


@torch.no_grad()
def test_tokens_and_places_are_those_of_tracking() -> None:
    slices = {index: remembered(index, prompted=index == 0) for index in range(5)}
    entries = {
        index: MemoryEntry(index, 0 if one.prompted else 1, one.map[1:2], one.pointer[1:2], 0.9, 1.0)
        for index, one in slices.items()
    }
    bank = SelfSortingMemory(SelfSortingOptions(), TINY.memory_map_count, TINY.max_object_pointers)
    for entry in entries.values():
        bank.add(replace(entry, embedding=slices[entry.slice_index].embedding[1:2]))
    selection = bank.select(MemoryQuery(5, 1, MANY_SLICES, remembered(5).embedding[1:2]))
    expected = sequence_when_tracking(network(), [selection], torch.float32)
    found = memory_sequence(network(), slices, [Shown.of(selection)], [1])
    assert found.pointer_token_count == expected.pointer_token_count
    torch.testing.assert_close(found.tokens, expected.tokens)
    torch.testing.assert_close(found.positions, expected.positions)


@torch.no_grad()
def test_objects_shown_unequally_much_are_each_conditioned_as_if_alone() -> None:
    slices = {index: remembered(index, prompted=index == 0) for index in range(3)}
    few = Shown(((0, 3),), ((0, 3),))
    many = Shown(((0, 3), (1, 3), (2, 0)), ((0, 3), (1, 2), (2, 1)))
    shown = [few, many, few, Shown(((0, 3), (1, 0)), ((0, 3), (1, 2)))]
    top = remembered(9).embedding
    together = attend(network(), top, slices, shown)
    for row in range(OBJECTS):
        alone = network().attend_memory(top[row : row + 1], memory_sequence(network(), slices, [shown[row]], [row]))
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)


class KeepsMemory(ClipUnroller):
    """Gives its memory away after a run."""

    @property
    def banks(self) -> list[SelfSortingMemory]:
        assert isinstance(self._memory, SortedSlices)
        return self._memory.banks


@torch.no_grad()
def test_a_followed_clip_fills_the_banks_no_further_than_their_capacity() -> None:
    plan = MemoryPlan("self-sorting", SMALL, true_mask_share=1.0)
    unroller = KeepsMemory(network(), batch(6), plan, np.random.default_rng(0))
    unroller.run()
    held = [[entry.slice_index for entry in bank.entries()] for bank in unroller.banks]
    assert all(slices[0] == 0 and len(slices) <= 3 for slices in held)
    events = [event for bank in unroller.banks for event in bank.events]
    assert any(event.reason in ("more diverse", "no more diverse") for event in events)


@pytest.mark.parametrize("kind", ["self-sorting", "set"])
def test_losses_reach_the_memory_encoder_and_no_slice_through_its_mask(kind: str) -> None:
    results = unroll(MemoryPlan(kind, true_mask_share=1.0))  # type: ignore[arg-type]
    loss = frame_loss(results[3].decoding, results[3].truth).total
    encoder = list(network().memory_encoder.parameters())
    first, second = results[0].decoding, results[1].decoding
    sources = [first.pointer, second.pointer, second.low_res_logits]
    gradients = torch.autograd.grad(loss, [*sources, *encoder], allow_unused=True)
    assert gradients[0] is not None and gradients[0].abs().sum() > 0
    assert gradients[1] is None and gradients[2] is None
    assert sum(float(each.abs().sum()) for each in gradients[3:] if each is not None) > 0


@torch.no_grad()
def test_a_small_bank_changes_what_is_seen_and_equal_seeds_repeat_it() -> None:
    small = MemoryPlan("self-sorting", replace(SMALL, neighbour=False), true_mask_share=1.0)
    large = replace(small, bank=SelfSortingOptions())
    one, again, other = unroll(small), unroll(small), unroll(large)
    assert torch.equal(one[-1].decoding.candidates, again[-1].decoding.candidates)
    assert not torch.allclose(one[-1].decoding.candidates, other[-1].decoding.candidates)
