"""Slice by slice through the volume, both ways in one pass, until the object ends. A generator: one step, one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch

from MedSAM2Lib.memory.bank import Direction
from MedSAM2Lib.tracking.runner import NetworkRunner, SliceRecord
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.types import NOT_COMPUTED, StopRule


@dataclass
class Lane:
    """One object travelling in one direction: ``position`` is the next slice, ``end`` the last one (inclusive)."""

    object_id: int
    tracker: Tracker
    direction: Direction
    position: int
    end: int
    last_prompted: int
    waiting: list[SliceRecord] = field(default_factory=list)
    stopped: bool = False

    @property
    def active(self) -> bool:
        return not self.stopped and (self.end - self.position) * self.direction >= 0

    def stop(self) -> None:
        """Ends the lane where it is; what it holds back is dropped."""
        self.stopped = True
        self.waiting.clear()

    @property
    def past_prompts(self) -> bool:
        """Whether no prompted slice lies ahead; before that a lane never stops by itself."""
        return (self.position - self.last_prompted) * self.direction > 0


@dataclass(frozen=True, eq=False)
class Progress:
    """A slice that is done: whose it is, and what was found."""

    object_id: int
    record: SliceRecord


def lanes_for(object_id: int, tracker: Tracker, first: int, last: int) -> list[Lane]:
    """Forward from the lowest prompted slice to ``last``, backward from the slice below it to ``first``."""
    prompted = tracker.prompted_slices
    start = prompted[0]
    return [
        Lane(object_id, tracker, 1, start, last, prompted[-1]),
        Lane(object_id, tracker, -1, start - 1, first, start),
    ]


def propagate(lanes: Sequence[Lane], runner: NetworkRunner, stop: StopRule) -> Iterator[Progress]:
    """Yields each slice once, in rounds over the lanes; the steps of a round share batches where the device gains.

    A miss (see ``StopRule``) is held back until the next slices tell whether the object goes on: then it is yielded
    as it is, and as absent if they end the direction. Prompted slices are yielded as they stand.
    """
    while any(lane.active for lane in lanes):
        moving = [lane for lane in lanes if lane.active]
        yield from _prompted_ahead(moving)
        moving = [lane for lane in moving if lane.active]
        limit = runner.context.batch_limit
        for start in range(0, len(moving), limit):
            yield from _advance(moving[start : start + limit], runner, stop)
    for lane in lanes:
        yield from _release(lane)


def is_miss(record: SliceRecord, rule: StopRule) -> bool:
    """Whether a tracked slice counts against its lane."""
    doubtful = record.object_score <= rule.object_score or record.predicted_iou <= rule.predicted_iou
    return doubtful or not bool((record.low_res_logits > 0).any())


def absent(record: SliceRecord) -> SliceRecord:
    """The same slice without the object."""
    return replace(record, low_res_logits=torch.full_like(record.low_res_logits, NOT_COMPUTED))


def _prompted_ahead(lanes: Sequence[Lane]) -> Iterator[Progress]:
    for lane in lanes:
        while lane.active:
            record = lane.tracker.record(lane.position)
            if record is None or not record.prompted:
                break
            yield from _release(lane)
            lane.position += lane.direction
            yield Progress(lane.object_id, record)


def _advance(lanes: Sequence[Lane], runner: NetworkRunner, stop: StopRule) -> Iterator[Progress]:
    going = [lane for lane in lanes if lane.active]  # a caller may have stopped some while they had our last slice
    steps = [lane.tracker.step(lane.position, lane.direction) for lane in going]
    for lane, step, outcome in zip(going, steps, runner.track(steps)):
        record = lane.tracker.accept(step, outcome)
        may_stop = stop.enabled and lane.past_prompts
        lane.position += lane.direction
        if may_stop and is_miss(record, stop):
            lane.waiting.append(record)
            lane.stopped = len(lane.waiting) >= stop.misses
            if lane.stopped:
                yield from _give_up(lane)
        else:
            yield from _release(lane)
            yield Progress(lane.object_id, record)


def _release(lane: Lane) -> Iterator[Progress]:
    waiting, lane.waiting = lane.waiting, []
    for record in waiting:
        yield Progress(lane.object_id, record)


def _give_up(lane: Lane) -> Iterator[Progress]:
    waiting, lane.waiting = lane.waiting, []
    for record in waiting:
        yield Progress(lane.object_id, absent(record))
