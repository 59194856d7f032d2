"""Slice by slice through the volume, both ways in one pass, until the object ends. A generator: one step, one batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch

from MedSAM2Lib.memory.bank import Direction
from MedSAM2Lib.tracking.runner import NetworkRunner, SliceRecord
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.types import NOT_COMPUTED, StopRule


@dataclass
class Lane:
    """One object travelling in one direction over the slices ``todo``, which need not be neighbours.

    ``pending`` is shared by the lanes of an object and axis: what is still to be computed. ``waiting`` are misses that
    may yet be the end of the object, and slices on which it seems to return after it had vanished; ``finished`` are
    records that nobody has taken yet: neither is lost if a propagation is cancelled.
    """

    object_id: int
    tracker: Tracker
    direction: Direction
    todo: deque[int]
    last_prompted: int
    pending: set[int]
    waiting: list[SliceRecord] = field(default_factory=list)
    finished: deque[SliceRecord] = field(default_factory=deque)
    stopped: bool = False

    @property
    def active(self) -> bool:
        return not self.stopped and bool(self.todo)

    @property
    def position(self) -> int:
        """The next slice of an active lane."""
        return self.todo[0]

    @property
    def past_prompts(self) -> bool:
        """Whether no prompted slice with the object lies ahead; before that a lane never stops by itself."""
        return (self.position - self.last_prompted) * self.direction > 0

    def advance(self) -> None:
        """The slice at hand is done."""
        self.pending.discard(self.todo.popleft())

    def stop(self) -> None:
        """Ends the lane where it is."""
        self.stopped = True

    def end_of_object(self) -> None:
        """The object has ended: the slices that waited are without it, and nothing further is computed in this way."""
        self.finished.extend(absent(record) for record in self.waiting)
        self.waiting = []
        self.pending.difference_update(self.todo)
        self.stop()

    def object_goes_on(self) -> None:
        """The slices that waited keep their masks."""
        self.finished.extend(self.waiting)
        self.waiting = []

    def hold(self, record: SliceRecord, stop: StopRule) -> None:
        """Takes a slice past the prompts: the object ends, goes on, or the next slices have to tell.

        After a slice on which nothing was seen, the object is back only once it is seen on as many slices in a row as
        end it: fewer would be left floating beyond its end.
        """
        self.waiting.append(record)
        misses = [is_miss(one, stop) for one in self.waiting]
        vanished = any(map(is_blank, self.waiting))
        needed = stop.misses if vanished else 1
        if sum(misses) >= stop.misses:
            self.end_of_object()
        elif len(misses) >= needed and not any(misses[-needed:]):
            self.object_goes_on()

    def without(self, first: int, last: int) -> None:
        """Drops what is held back of slices ``first`` to ``last``: they are to be computed again."""
        self.waiting = [record for record in self.waiting if not first <= record.index <= last]
        self.finished = deque(record for record in self.finished if not first <= record.index <= last)


@dataclass(frozen=True, eq=False)
class Progress:
    """A slice that is done: by which lane, and what was found."""

    lane: Lane
    record: SliceRecord


def lanes_for(
    object_id: int,
    tracker: Tracker,
    first: int,
    last: int,
    pending: set[int] | None = None,
    before: Sequence[Lane] = (),
    emptied: Collection[int] = (),
) -> list[Lane]:
    """Forward from the lowest prompted slice, backward from the slice below it; slices ``first`` to ``last`` only.

    ``pending`` None means every slice of the range. Lanes of ``before`` were cancelled: what they hold back is taken
    over. Nothing starts from prompted slices that are ``emptied``; without any other there are no lanes.
    """
    pending = set(range(first, last + 1)) if pending is None else pending
    prompted = [index for index in tracker.prompted_slices if index not in emptied]
    if not prompted:
        return []
    start = prompted[0]
    lanes = [
        Lane(object_id, tracker, 1, _among(pending, range(max(start, first), last + 1)), prompted[-1], pending),
        Lane(object_id, tracker, -1, _among(pending, range(min(start - 1, last), first - 1, -1)), start, pending),
    ]
    for lane in lanes:
        for old in before:
            if old.direction == lane.direction:
                lane.waiting, lane.finished = list(old.waiting), deque(old.finished)
    return lanes


def _among(pending: set[int], indices: range) -> deque[int]:
    return deque(index for index in indices if index in pending)


def propagate(lanes: Sequence[Lane], runner: NetworkRunner, stop: StopRule) -> Iterator[Progress]:
    """Yields each slice once, in rounds over the lanes; the steps of a round share batches where the device gains.

    A miss (see ``StopRule``) is held back until the next slices tell whether the object goes on (``Lane.hold``): then
    it is yielded as it is, and as absent if they end the direction. Prompted slices are yielded as they stand.
    Cancelled between any two slices, the lanes can be taken up again.
    """
    for lane in lanes:
        yield from _finished(lane)
    while any(lane.active for lane in lanes):
        yield from _prompted_ahead([lane for lane in lanes if lane.active])
        moving = [lane for lane in lanes if lane.active]
        limit = runner.context.batch_limit
        for start in range(0, len(moving), limit):
            yield from _advance(moving[start : start + limit], runner, stop)
    for lane in lanes:
        if not lane.stopped:
            lane.object_goes_on()
        yield from _finished(lane)


def is_miss(record: SliceRecord, rule: StopRule) -> bool:
    """Whether a tracked slice counts against its lane."""
    doubtful = record.object_score <= rule.object_score or record.predicted_iou <= rule.predicted_iou
    return doubtful or is_blank(record)


def is_blank(record: SliceRecord) -> bool:
    """Whether nothing of the object is seen on a slice."""
    return not bool((record.low_res_logits > 0).any())


def absent(record: SliceRecord) -> SliceRecord:
    """The same slice without the object."""
    return replace(record, low_res_logits=torch.full_like(record.low_res_logits, NOT_COMPUTED))


def _prompted_ahead(lanes: Sequence[Lane]) -> Iterator[Progress]:
    for lane in lanes:
        while lane.active:
            record = lane.tracker.record(lane.position)
            if record is None or not record.prompted:
                break
            emptied_end = lane.past_prompts
            lane.advance()
            if emptied_end:
                lane.end_of_object()
            else:
                lane.object_goes_on()
            lane.finished.append(record)
            yield from _finished(lane)


def _advance(lanes: Sequence[Lane], runner: NetworkRunner, stop: StopRule) -> Iterator[Progress]:
    going = [lane for lane in lanes if lane.active]  # a caller may have stopped some while they had our last slice
    steps = [lane.tracker.step(lane.position, lane.direction) for lane in going]
    for lane, step, outcome in zip(going, steps, runner.track(steps)):
        record = lane.tracker.accept(step, outcome)
        may_stop = stop.enabled and lane.past_prompts
        lane.advance()
        if may_stop:
            lane.hold(record, stop)
        else:
            lane.object_goes_on()
            lane.finished.append(record)
    for lane in going:
        yield from _finished(lane)


def _finished(lane: Lane) -> Iterator[Progress]:
    """Hands out what is done; a record leaves the lane before it is handed out, so that none comes twice."""
    while lane.finished:
        yield Progress(lane, lane.finished.popleft())
