"""Undo and redo: prompts, voxels and what the engine knows go back to what they were, together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from MedSAM2SlicerLib.session.core import Core, Open, text
from MedSAM2SlicerLib.session.engine_side import EngineSide
from MedSAM2SlicerLib.session.history import Step
from MedSAM2SlicerLib.session.prompting import PREVIEW, Prompting, show_previews
from MedSAM2SlicerLib.session.record import write_record
from MedSAM2SlicerLib.session.state import SliceTrust
from MedSAM2SlicerLib.session.stepper import Task


class Undoing:
    """Goes back and forth in the history.

    Args:
        core: shared with the other parts.
        prompting: previews again what was previewed then.
    """

    def __init__(self, core: Core, prompting: Prompting) -> None:
        self._core = core
        self._prompting = prompting

    def undo(self) -> bool:
        """One step back; False where there is none."""
        opened = self._core.opened()
        history = opened.history
        return self._go(opened, history.undo(), history.undone, opened.parts.commits.undo, "Undone: {label}.")

    def follow(self) -> None:
        """Prompts and engine go back over the last step, whose voxels somebody else has taken back already."""
        opened = self._core.opened()
        self._go(opened, opened.history.undo(), opened.history.undone, None, "Undone: {label}.")

    def redo(self) -> bool:
        """One step forward again; False where there is none."""
        opened = self._core.opened()
        history = opened.history
        return self._go(opened, history.redo(), history.redone, opened.parts.commits.redo, "Done again: {label}.")

    def _go(
        self,
        opened: Open,
        step: Step | None,
        keep: Callable[[Step], None],
        move_voxels: Callable[[], bool] | None,
        template: str,
    ) -> bool:
        """Over a step of the history, whose inverse is kept; without ``move_voxels`` these stay as they are."""
        if step is None:
            return False
        keep(self._inverse(opened, step))
        if move_voxels is not None:
            for _ in range(step.commits):
                move_voxels()
        self._back_at(opened, step, template)
        return True

    def _inverse(self, opened: Open, step: Step) -> Step:
        """The way from where the step leads back to here."""
        token = opened.history.new_token()
        self._core.stepper.stop(PREVIEW)
        here = tuple(dict.fromkeys((*opened.previews, *opened.to_preview)))
        opened.to_preview = []
        waiting, opened.to_remember = [*opened.to_remember, token], []
        side, segment_id = opened.side, step.segment_id
        remember = Task("remember", lambda: lambda: _remember(side, waiting, segment_id), on_error=self._failed)
        self._core.stepper.add(remember)
        flagged = opened.parts.segments.flagged(segment_id)
        return replace(step, prompts=opened.parts.prompts.snapshot(), previews=here, token=token, flagged=flagged)

    def _back_at(self, opened: Open, step: Step, template: str) -> None:
        opened.parts.prompts.restore(step.prompts)
        opened.parts.segments.flag(step.segment_id, step.flagged)
        if step.commits and step.segment_id == opened.segment_id:
            write_record(opened, self._core.state)
        opened.previews = {}
        show_previews(opened)
        side, axis = opened.side, self._core.state.axis or "k"

        def recalled() -> dict[object, SliceTrust]:
            side.recall(step.token, step.segment_id)
            return side.trusts(step.segment_id, axis)  # type: ignore[return-value]

        task = Task("recall", lambda: recalled)
        task.on_done = lambda slices: self._recalled(opened, step, slices)
        task.on_error = self._failed
        self._core.stepper.add(task)
        self._core.say_prompts(error=None, message=text(template, label=step.label), phase="encoding")
        if step.segment_id == opened.segment_id and step.previews:
            self._prompting.preview(step.previews, [])

    def _recalled(self, opened: Open, step: Step, slices: dict) -> None:
        if step.segment_id == opened.segment_id:
            self._core.say(slices=slices)
        if not self._core.stepper.busy:
            self._core.say(phase=self._core.rest_phase())

    def _failed(self, error: BaseException) -> None:
        self._core.lose_engine(error)
        self._core.fail(error, phase=self._core.rest_phase())


def _remember(side: EngineSide, tokens: list[int], segment_id: str) -> None:
    for token in tokens:
        side.remember(token, segment_id)
