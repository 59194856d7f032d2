"""Slices that the user drew with the segment editor or by anything else: they become keyframes and are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from MedSAM2Lib.types import AXES, Axis, BoolArray, SliceKey, array_dimension
from MedSAM2SlicerLib.session.core import Core, Open, slice_box, text
from MedSAM2SlicerLib.session.history import Step
from MedSAM2SlicerLib.session.ports import Change


class Corrections:
    """Notices edits and takes them up.

    Args:
        core: shared with the other parts.
        follow_undo: goes back over the last step of the history, whose voxels somebody else has taken back already.
    """

    def __init__(self, core: Core, follow_undo: Callable[[], None]) -> None:
        self._core = core
        self._follow_undo = follow_undo

    def edited(self, segment_id: str) -> None:
        """Something else changed a segment; what exactly is looked up when it matters, and by the panel when idle."""
        opened = self._core.open
        if opened is not None and segment_id == opened.segment_id and not opened.edited:
            opened.edited = True
            self._core.say(edited=True)

    def take_up(self, label: str) -> bool:
        """Slices edited since the last look become keyframes, as one step of the history; says whether there were any.

        A commit that was taken back by the segment editor's own undo is no edit, and a segment that was emptied as a
        whole begins anew.
        """
        opened = self._core.opened()
        if not opened.edited:
            return False
        opened.edited = False
        change = opened.parts.edits.edit_of(opened.segment_id)
        last = opened.history.last
        if change is None:
            self._core.say(edited=False)
        elif last is not None and last.commits == 1 and opened.parts.commits.taken_back_by_others(change):
            opened.parts.edits.accept(opened.segment_id)
            self._follow_undo()
            self._core.say(edited=False)
        else:
            self._keep(opened, change, label)
        return change is not None

    def draw(self, key: SliceKey, mask: BoolArray, label: str) -> None:
        """Writes a drawn mask [rows, columns] into the segment's slice, which is a keyframe then.

        Raises InputError where the segment is locked, hidden or gone.
        """
        opened = self._core.opened()
        opened.parts.segments.check(opened.segment_id)
        step = self._core.step(label)
        within = slice_box(key, opened.shape)
        drawn = np.expand_dims(mask, array_dimension(key.axis))
        report = opened.parts.commits.commit(opened.segment_id, drawn, within, label)
        opened.history.push(replace(step, commits=int(report.changed_voxels > 0)))
        opened.to_remember.append(step.token)
        self._become_keyframes(opened, [key])

    def release(self, keys: tuple[SliceKey, ...] | None, label: str) -> None:
        """Drawn slices, all or some, are keyframes no more; their voxels stay until they are computed again.

        With all of them, voxels from before the segment was opened may be replaced too.
        """
        opened = self._core.opened()
        released = [key for key in opened.hand_drawn() if keys is None or key in keys]
        if keys is None:
            opened.kept = None
        if released:
            opened.history.push(self._core.step(label))
            for key in released:
                opened.parts.prompts.drop_mask_keyframe(opened.segment_id, key)
            opened.released.update(released)
            sentence = text("{count} slices may be computed again.", count=len(released))
            self._core.say_prompts(outdated=bool(self._core.state.slices), message=sentence)
            self._core.judge()

    def _keep(self, opened: Open, change: Change, label: str) -> None:
        step = self._core.step(label)
        commits = int(opened.parts.commits.record(change, label))
        opened.parts.edits.accept(opened.segment_id)
        opened.history.push(replace(step, commits=commits))
        opened.to_remember.append(step.token)
        if opened.parts.segments.mask(opened.segment_id).any():
            self._become_keyframes(opened, edited_slices(change, self._core.state.axis or "k"))
        else:
            self._begin_anew(opened, step)

    def _become_keyframes(self, opened: Open, keys: list[SliceKey]) -> None:
        store = opened.parts.prompts
        for prompt_id, prompt in opened.prompts().items():
            if prompt.slice in keys:
                store.remove(prompt_id)
        for key in keys:
            store.set_mask_keyframe(opened.segment_id, key)
            opened.released.discard(key)
            opened.previews.pop(key, None)
        axis = self._core.state.axis or keys[0].axis
        self._core.say_prompts(
            edited=False,
            axis=axis,
            slice_count=opened.count(axis),
            outdated=bool(self._core.state.slices),
            message=text("{count} slices drawn by hand are kept as they are.", count=len(keys)),
        )
        self._core.judge()

    def _begin_anew(self, opened: Open, step: Step) -> None:
        for key in opened.hand_drawn():
            opened.parts.prompts.drop_mask_keyframe(opened.segment_id, key)
        opened.to_forget = True
        opened.parts.segments.flag(opened.segment_id, False)
        opened.gathered, opened.kept = None, None
        self._core.say_prompts(
            edited=False, slices={}, outdated=False, message=text("The segment was emptied: it begins anew.")
        )


def edited_slices(change: Change, preferred: Axis) -> list[SliceKey]:
    """The slices of a change along the axis on which they are fewest; along ``preferred`` where that is no worse."""
    edited = np.asarray(change.added | change.removed)
    best: list[SliceKey] | None = None
    for axis in (preferred, *(other for other in AXES if other != preferred)):
        dimension = array_dimension(axis)
        places = np.flatnonzero(edited.any(axis=tuple(other for other in range(3) if other != dimension)))
        if best is None or len(places) < len(best):
            best = [SliceKey(axis, change.box[dimension].start + int(place)) for place in places]
    return best or []
