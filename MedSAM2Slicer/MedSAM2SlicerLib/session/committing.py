"""From what the engine says to the user's segment: one slice, or what a propagation has found. One undo step each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.types import Axis, BoolArray, Orientations, SliceKey, array_dimension
from MedSAM2SlicerLib.session.answers import Gathered
from MedSAM2SlicerLib.session.core import Core, Open, slice_box, text
from MedSAM2SlicerLib.session.history import Step
from MedSAM2SlicerLib.session.ports import Box
from MedSAM2SlicerLib.session.prompting import show_previews
from MedSAM2SlicerLib.session.record import write_record
from MedSAM2SlicerLib.session.state import Message


@dataclass(eq=False)
class Run:
    """A propagation: where it was to go, and the slices along its axis that are the engine's to say.

    ``step`` is the moment before it, ``update`` that only what was missing or outdated is computed, ``complete`` that
    it came to its end. ``count`` is the network's steps so far, ``expected`` about how many there will be.
    """

    step: Step
    axis: Axis
    first: int
    last: int
    orientations: Orientations
    expected: int
    computed: set[int] = field(default_factory=set)
    count: int = 0
    seconds: float = 0.0
    update: bool = False
    complete: bool = False
    other_axes_prompted: bool = False

    @property
    def region(self) -> tuple[int, int] | None:
        """First and last slice whose voxels it may have changed; None where it has come to nothing.

        All that was asked for, if it came to its end and began anew or looked along other axes at prompts of theirs.
        """
        if self.complete and (not self.update or self.other_axes_prompted):
            return self.first, self.last
        return (min(self.computed), max(self.computed)) if self.computed else None

    @property
    def replaces_all(self) -> bool:
        """Whether slices of the region that were not computed are without the object."""
        return self.complete and (not self.update or self.other_axes_prompted)


class Committing:
    """Writes into segments, and keeps history and provenance right.

    Args:
        core: shared with the other parts.
        take_up: takes up what was drawn by hand before anything is written.
    """

    def __init__(self, core: Core, take_up: Callable[[str], bool]) -> None:
        self._core = core
        self._take_up = take_up

    def accept(self, keys: list[SliceKey], label: str) -> int:
        """Commits previewed slices as they are shown; returns the voxels that changed.

        Raises InputError where the segment is locked, hidden or gone; the previews then stay.
        """
        opened = self._core.opened()
        opened.parts.segments.check(opened.segment_id)
        keys = [key for key in keys if key in opened.previews]
        if not keys:
            return 0
        step, changed, commits = self._core.step(label), 0, 0
        for key in keys:
            within = slice_box(key, opened.shape)
            mask = np.expand_dims(opened.previews[key], array_dimension(key.axis)).copy()
            self._keep(opened, mask, within, opened.hand_drawn())
            report = opened.parts.commits.commit(opened.segment_id, mask, within, label)
            changed += report.changed_voxels
            commits += report.changed_voxels > 0
            del opened.previews[key]
        opened.history.push(replace(step, commits=commits))
        opened.to_remember.append(step.token)
        write_record(opened, self._core.state)
        show_previews(opened)
        return changed

    def take(self, opened: Open, run: Run, gathered: Gathered) -> None:
        """Commits what a propagation has found. Where the scene refuses, it waits for a second try."""
        try:
            self._take(opened, run, gathered)
        except InputError as error:
            opened.unsaved = lambda: self._take(opened, run, gathered)
            self._core.fail(error, phase="ready", progress=None)

    def _take(self, opened: Open, run: Run, gathered: Gathered) -> None:
        opened.parts.segments.check(opened.segment_id)
        if self._take_up("Draw by hand"):
            run.step = replace(run.step, prompts=opened.snapshot)
        mask = gathered.mask.copy()
        kept = [] if run.replaces_all else self._not_computed(run, gathered)
        self._keep(opened, mask, gathered.within, (*kept, *opened.hand_drawn()))
        if opened.kept is not None:
            opened.kept.put_into(mask, gathered.within)
        report = opened.parts.commits.commit(run.step.segment_id, mask, gathered.within, run.step.label)
        opened.unsaved = None
        opened.released = set()
        opened.history.push(replace(run.step, commits=int(report.changed_voxels > 0)))
        opened.gathered = gathered
        opened.seconds += run.seconds
        covered = range(run.first, run.last + 1)
        opened.previews = {
            key: one for key, one in opened.previews.items() if key.axis != run.axis or key.index not in covered
        }
        show_previews(opened)
        self._core.say_prompts(
            phase="reviewing",
            error=None,
            slices=gathered.trusts,
            notices=gathered.notices,
            outdated=not run.complete,
            suggestion=None,
            bank=None,
            progress=None,
        )
        self._core.judge()
        message = _committed(run, gathered, report.changed_voxels, report.protected_voxels, opened)
        self._core.say(message=message or self._changed(opened, run, report.changed_voxels))
        write_record(opened, self._core.state)

    def _changed(self, opened: Open, run: Run, changed: int) -> Message:
        """What changed, and what that does to the segment's flag."""
        flagged, doubted = opened.parts.segments.flagged(opened.segment_id), len(self._core.state.doubted)
        if flagged:
            return text(
                "{changed} voxels changed. The segment is flagged: slices in doubt: {doubted}; N goes to the next one.",
                changed=changed,
                doubted=doubted,
            )
        if run.step.flagged:
            return text("{changed} voxels changed. The segment is flagged no more.", changed=changed)
        return text("{changed} voxels changed.", changed=changed)

    @staticmethod
    def _keep(opened: Open, mask: BoolArray, within: Box, keys: Sequence[SliceKey]) -> None:
        """Puts the segment's own voxels on slices into a mask of a part of the volume."""
        places = [place for place in (_place(within, key) for key in keys) if place is not None]
        if places:
            current = opened.parts.segments.mask(opened.segment_id, within)
            for place in places:
                mask[place] = current[place]

    @staticmethod
    def _not_computed(run: Run, gathered: Gathered) -> list[SliceKey]:
        where = gathered.within[array_dimension(run.axis)]
        return [SliceKey(run.axis, index) for index in range(where.start, where.stop) if index not in run.computed]


def _place(within: Box, key: SliceKey) -> tuple[slice | int, ...] | None:
    """Where a slice lies in a part of the volume; None where it does not reach it."""
    place: list[slice | int] = [slice(None)] * 3
    dimension = array_dimension(key.axis)
    if not within[dimension].start <= key.index < within[dimension].stop:
        return None
    place[dimension] = key.index - within[dimension].start
    return tuple(place)


def _committed(run: Run, gathered: Gathered, changed: int, protected: int, opened: Open) -> Message | None:
    """What matters more than that voxels changed, if anything does."""
    if protected:
        return text(
            "{changed} voxels changed; {protected} stayed with other segments.", changed=changed, protected=protected
        )
    ends = [index for index in (run.first, run.last) if 0 < index < opened.count(run.axis) - 1]
    trusts = [gathered.trusts.get(SliceKey(run.axis, index)) for index in ends]
    beyond = [index for index, one in zip(ends, trusts) if one is not None and one.found]
    if run.complete and beyond:
        return text("The object goes on beyond slice {index}: widen the range.", index=beyond[0])
    return None
