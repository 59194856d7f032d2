"""Following objects through clips: which memories a slice is shown, what gradients reach, what a plan changes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.clips import ClipBatch, ClipMaker, ClipPlan
from MedSAM2Lib.training.losses import frame_loss
from MedSAM2Lib.training.schedule import ScheduleConfig, learning_rate, step_plan
from MedSAM2Lib.training.unroll import ClipUnroller, FrameResult, MemoryPlan
from MedSAM2Lib.training.validation import Validator, dice
from Testing.engine.training_ground import TINY, body


@cache
def batch(frames: int = 5, kinds: tuple[str, ...] = ("box",)) -> ClipBatch:
    return ClipMaker([body()], TINY.image_size, seed=0).make(ClipPlan(2, frames, 2, kinds), 0)


@cache
def network() -> Sam2Network:
    torch.manual_seed(0)
    fresh = Sam2Network(TINY).train()
    # An untrained score may deny the object, and what is denied has no pointer of its own.
    score_head = fresh.sam_mask_decoder.pred_obj_score_head
    torch.nn.init.constant_(list(score_head.parameters())[-1], 4.0)
    return fresh


def unroll(plan: MemoryPlan, clips: ClipBatch | None = None, seed: int = 0) -> list[FrameResult]:
    return ClipUnroller(network(), clips or batch(), plan, np.random.default_rng(seed)).run()


class WatchedNetwork:
    """A network that keeps every memory that it is shown."""

    def __init__(self) -> None:
        self.shown: list[MemorySequence] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(network(), name)

    def attend_memory(self, top: torch.Tensor, memory: MemorySequence) -> torch.Tensor:
        self.shown.append(memory)
        return network().attend_memory(top, memory)


def shown_by(plan: MemoryPlan, frames: int = 6) -> list[MemorySequence]:
    """What the slices of a batch are shown, one after the other."""
    watched = WatchedNetwork()
    ClipUnroller(watched, batch(frames), plan, np.random.default_rng(0)).run()  # type: ignore[arg-type]
    return watched.shown


def rows_shown(sequence: MemorySequence) -> list[int]:
    """Temporal rows of the maps of a sequence, told by their positions."""
    tokens = TINY.grid_size**2
    tables = [network().map_positions(row) for row in range(TINY.memory_map_count)]
    maps = sequence.positions[0, : sequence.positions.shape[1] - sequence.pointer_token_count].split(tokens)
    return [next(row for row, table in enumerate(tables) if torch.equal(table, shown)) for shown in maps]


@torch.no_grad()
def test_slices_see_the_prompted_map_and_the_nearest_ones_with_their_rows() -> None:
    shown = shown_by(MemoryPlan())
    assert [rows_shown(one) for one in shown] == [[3], [3, 0], [3, 0, 1], [3, 0, 1, 2], [3, 0, 1, 2]]
    pieces = TINY.model_dim // TINY.memory_dim
    assert [one.pointer_token_count for one in shown] == [pieces * count for count in (1, 2, 3, 4, 4)]


@torch.no_grad()
def test_shuffled_memories_take_any_row_once_but_the_prompted_one_keeps_its_own() -> None:
    rows = [rows_shown(one) for one in shown_by(MemoryPlan(shuffled=True))]
    assert all(row[0] == 3 and len(set(row)) == len(row) for row in rows)
    assert rows[-1] != [3, 0, 1, 2] or rows[-2] != [3, 0, 1, 2]


@torch.no_grad()
def test_dropped_memories_shorten_what_is_shown_but_never_the_prompt() -> None:
    assert all(rows_shown(one) == [3] for one in shown_by(MemoryPlan(drop_share=1.0)))


@torch.no_grad()
def test_a_second_prompted_slice_is_in_sight_of_all_tracked_ones() -> None:
    for second, tracked in (("prompted", 4), ("corrected", 5)):
        shown = shown_by(MemoryPlan(second=second))  # type: ignore[arg-type]
        rows = [rows_shown(one) for one in shown]
        assert len(rows) == tracked
        assert all(row[:2] == [3, 3] for row in rows[-4:])


@torch.no_grad()
def test_true_masks_in_memory_change_later_slices_only() -> None:
    own, true = unroll(MemoryPlan()), unroll(MemoryPlan(true_mask_share=1.0))
    torch.testing.assert_close(own[0].decoding.candidates, true[0].decoding.candidates)
    assert not torch.allclose(own[1].decoding.candidates, true[1].decoding.candidates)


@torch.no_grad()
def test_corrections_add_one_result_on_the_last_slice() -> None:
    assert len(unroll(MemoryPlan(correct=True))) == 6
    single = unroll(MemoryPlan(correct=True), batch(1))
    assert len(single) == 2
    assert torch.equal(single[0].truth, single[1].truth)
    assert not torch.allclose(single[0].decoding.candidates, single[1].decoding.candidates)


def test_a_given_mask_is_no_result_to_learn_from_but_its_pointer_learns() -> None:
    results = unroll(MemoryPlan(mask_prompt=True))
    assert [result.given for result in results] == [True, False, False, False, False]
    network().zero_grad()
    frame_loss(results[1].decoding, results[1].truth).total.backward()
    gradient = network().mask_downsample.weight.grad
    assert gradient is not None and gradient.abs().sum() > 0


def test_losses_reach_the_prompted_slice_through_its_pointer_and_no_slice_through_its_mask() -> None:
    results = unroll(MemoryPlan())
    sources = [results[0].decoding.pointer, results[1].decoding.pointer, results[0].decoding.low_res_logits]
    loss = frame_loss(results[2].decoding, results[2].truth).total
    through = torch.autograd.grad(loss, sources, allow_unused=True)
    assert through[0] is not None and through[0].abs().sum() > 0
    assert through[1] is None and through[2] is None


def test_every_weight_but_the_unread_ones_is_trained_by_some_step() -> None:
    network().zero_grad()
    for plan, clips in ((MemoryPlan(mask_prompt=True), batch()), (MemoryPlan(correct=True), batch(1, ("click",)))):
        results = unroll(plan, clips)
        sum(frame_loss(r.decoding, r.truth).total for r in results if not r.given).backward()  # type: ignore[union-attr]
    idle = {name for name, weight in network().named_parameters() if weight.grad is None}
    assert idle <= {"no_obj_ptr", "no_obj_embed_spatial"}


def test_the_learning_rate_warms_up_and_falls_to_its_last_share() -> None:
    config = ScheduleConfig(1000, peak_rate=1.0, warmup_steps=10, last_rate_share=0.02)
    assert learning_rate(config, 0, 0) == pytest.approx(0.1)
    assert learning_rate(config, 9, 0) == pytest.approx(1.0)
    assert learning_rate(config, 500, 500) == pytest.approx(0.51)
    assert learning_rate(config, 999, 1000) == pytest.approx(0.02)


def test_single_slices_come_first_and_then_alternate_with_clips_that_get_longer() -> None:
    config = ScheduleConfig(10_000, set_share=0.0)
    assert all(step_plan(config, 0, step, 500).clips.frames == 1 for step in range(10))
    middle = {step_plan(config, 0, step, 4000).clips.frames for step in range(1, 60, 2)}
    late = {step_plan(config, 0, step, 9000).clips.frames for step in range(1, 60, 2)}
    assert middle == {4} and late == {4, 6}
    assert step_plan(config, 0, 8, 9000).clips.frames == 1
    plans = [step_plan(config, 0, step, 9000) for step in range(1, 400, 2)]
    assert {plan.memory.mask_prompt for plan in plans} == {True, False}
    assert {plan.clips.scattered for plan in plans} == {True, False}
    assert plans == [step_plan(config, 0, step, 9000) for step in range(1, 400, 2)]


def test_single_slices_take_the_share_of_the_steps_that_they_are_given() -> None:
    config = replace(ScheduleConfig.warm_start(10_000), images_every=5)
    singles = [step for step in range(100) if step_plan(config, 0, step, 5000).clips.frames == 1]
    assert singles == list(range(0, 100, 5))


def test_memories_take_their_shares_of_a_warm_start_from_its_first_step() -> None:
    config = ScheduleConfig.warm_start(10_000)
    plans = [step_plan(config, 0, step, 0) for step in range(2000)]
    assert np.mean([plan.clips.frames == 1 for plan in plans]) == 0.5
    clips = [plan for plan in plans if plan.clips.frames > 1]
    for kind, share in (("set", config.set_share), ("self-sorting", config.sorted_share)):
        assert np.mean([plan.memory.kind == kind for plan in clips]) == pytest.approx(share, abs=0.05)
    assert all(plan.clips.unordered == (plan.memory.kind == "set") for plan in plans)
    sorted_plans = [plan.memory for plan in clips if plan.memory.kind == "self-sorting"]
    assert {plan.second for plan in sorted_plans} == {"", "prompted", "corrected"}
    assert min(plan.bank.capacity for plan in sorted_plans) == 2
    assert config.peak_rate < ScheduleConfig(10_000).peak_rate


def test_dice_counts_voxels_and_two_empty_masks_agree() -> None:
    one = torch.tensor([[True, True, False], [False, False, False]])
    other = torch.tensor([[True, False, False], [False, False, False]])
    assert dice(one, other).tolist() == [pytest.approx(2 / 3), 1.0]


def test_validation_scores_lie_between_zero_and_one_and_repeat() -> None:
    validator = Validator(ClipMaker([body()], TINY.image_size, 77), slices=3, clips=3, frames=4, sets=2)
    judged = Sam2Network(TINY).eval()
    first = validator.score(judged).as_dict()
    assert first == pytest.approx(validator.score(judged).as_dict(), nan_ok=True)
    assert all(0 <= value <= 1 for name, value in first.items() if name != "absent_seen")
