"""Propagation: both ways, inside the range, stopping where the object ends, cancelled by not asking again."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch

from MedSAM2Lib.memory.temporal import TemporalMemory
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.tracking.propagation import lanes_for, propagate
from MedSAM2Lib.tracking.runner import NetworkPrompts, SliceRecord, TrackOutcome, TrackStep
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.types import NOT_COMPUTED, StopRule

RULE = StopRule(misses=2, predicted_iou=0.4)
CLICK = NetworkPrompts(torch.zeros(1, 2), torch.ones(1, dtype=torch.int64))


@dataclass
class ScriptedRunner:
    """The runner's interface with a network whose answers are written down: predicted IoU by slice, blank slices."""

    iou: Callable[[int], float]
    blank: Container[int] = ()
    batch_limit: int = 1
    batches: list[list[tuple[int, int]]] = field(default_factory=list)

    @property
    def context(self) -> SimpleNamespace:
        return SimpleNamespace(batch_limit=self.batch_limit)

    def decode_prompts(self, index: int, *_: object) -> SliceRecord:
        return self._record(index, 0)

    def encode_prompted_memory(self, *_: object) -> torch.Tensor:
        return torch.zeros(1, 1, 1, 1)

    def track(self, steps: Sequence[TrackStep]) -> list[TrackOutcome]:
        self.batches.append([(step.index, step.direction) for step in steps])
        return [TrackOutcome(self._record(step.index, step.direction), torch.zeros(1, 1, 1, 1)) for step in steps]

    def _record(self, index: int, direction: int) -> SliceRecord:
        iou = self.iou(index)
        logits = torch.full((1, 1, 2, 2), -1.0 if index in self.blank else 1.0)
        return SliceRecord(index, direction, logits, iou, 5.0, torch.zeros(1, 1))  # type: ignore[arg-type]


def tracker_with(runner: ScriptedRunner, prompted: Sequence[int], slice_count: int) -> Tracker:
    features = SliceFeatures(torch.zeros(1), (torch.zeros(1), torch.zeros(1)))
    tracker = Tracker(runner, TemporalMemory(), lambda index: features, slice_count)  # type: ignore[arg-type]
    for index in prompted:
        tracker.prompt(index, CLICK)
    tracker.remember_prompted()
    return tracker


def run(
    runner: ScriptedRunner, prompted: Sequence[int], first: int, last: int, rule: StopRule = RULE
) -> dict[int, bool]:
    """Slices in the order they came, each with whether the object is in it."""
    lanes = lanes_for(1, tracker_with(runner, prompted, 50), first, last)
    found = {}
    for step in propagate(lanes, runner, rule):  # type: ignore[arg-type]
        assert step.record.index not in found, "a slice comes once"
        found[step.record.index] = bool((step.record.low_res_logits > NOT_COMPUTED).all())
    return found


def test_both_ways_in_one_pass_from_the_prompted_slice_to_both_ends_of_the_range() -> None:
    found = run(ScriptedRunner(lambda index: 0.9), [10], 7, 14)
    assert list(found) == [10, 11, 9, 12, 8, 13, 7, 14]


def test_two_misses_in_a_row_end_a_direction_and_count_as_absent() -> None:
    found = run(ScriptedRunner(lambda index: 0.9 if 8 <= index <= 12 else 0.1), [10], 0, 49)
    assert {index for index, present in found.items() if present} == {8, 9, 10, 11, 12}
    assert sorted(found) == list(range(6, 15))


def test_a_single_miss_between_good_slices_keeps_its_mask() -> None:
    found = run(ScriptedRunner(lambda index: 0.1 if index in (12, 15, 16) else 0.9), [10], 10, 49)
    assert found[12]
    assert not found[15]
    assert max(found) == 16


def test_a_single_slice_seen_again_between_blank_ones_does_not_float_beyond_the_end() -> None:
    found = run(ScriptedRunner(lambda index: 0.9, blank=(13, 15, 16, 17)), [10], 10, 49)
    assert [index for index, present in found.items() if present] == [10, 11, 12]
    assert max(found) == 15


def test_an_object_seen_again_on_as_many_slices_as_end_it_goes_on_with_all_of_them() -> None:
    found = run(ScriptedRunner(lambda index: 0.9, blank=(13, 18, 19)), [10], 10, 49)
    assert [index for index, present in found.items() if present] == list(range(10, 18))
    assert max(found) == 19


def test_a_slice_seen_again_and_doubted_next_is_not_back() -> None:
    found = run(ScriptedRunner(lambda index: 0.1 if index == 15 else 0.9, blank=(13,)), [10], 10, 49)
    assert [index for index, present in found.items() if present] == [10, 11, 12]
    assert max(found) == 15


def test_a_single_miss_at_the_very_end_of_the_range_stands() -> None:
    found = run(ScriptedRunner(lambda index: 0.1 if index == 20 else 0.9), [10], 10, 20)
    assert found[20]
    assert found[19]


def test_a_direction_never_stops_before_the_last_prompted_slice() -> None:
    found = run(ScriptedRunner(lambda index: 0.9 if index in (10, 30) else 0.1), [10, 30], 10, 49)
    assert max(found) == 32
    assert set(range(10, 31)) <= set(found)


def test_with_the_rule_off_every_slice_of_the_range_is_computed() -> None:
    found = run(ScriptedRunner(lambda index: 0.0), [10], 0, 49, StopRule(enabled=False))
    assert sorted(found) == list(range(50))
    assert all(found.values())


def test_prompted_slices_are_never_computed_again() -> None:
    runner = ScriptedRunner(lambda index: 0.9)
    run(runner, [10, 12], 8, 14)
    computed = [index for batch in runner.batches for index, _ in batch]
    assert sorted(computed) == [8, 9, 11, 13, 14]


def test_a_device_that_gains_from_batches_gets_both_directions_in_one() -> None:
    runner = ScriptedRunner(lambda index: 0.9, batch_limit=4)
    run(runner, [10], 8, 12)
    assert runner.batches == [[(11, 1), (9, -1)], [(12, 1), (8, -1)]]


def test_not_asking_for_the_next_slice_cancels() -> None:
    runner = ScriptedRunner(lambda index: 0.9)
    steps = propagate(lanes_for(1, tracker_with(runner, [10], 50), 0, 49), runner, RULE)  # type: ignore[arg-type]
    next(steps)
    next(steps)
    steps.close()
    assert len(runner.batches) == 1
