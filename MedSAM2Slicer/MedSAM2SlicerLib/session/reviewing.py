"""Looking at what was found: the next doubtful slice, the suggested prompt, the memory, where orientations disagree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.types import Axis, SliceKey, Suggestion
from MedSAM2SlicerLib.session.core import Core, text
from MedSAM2SlicerLib.session.ports import Box
from MedSAM2SlicerLib.session.stepper import Task


class Reviewing:
    """Answers questions about the segment at hand.

    Args:
        core: shared with the other parts.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def next_doubtful(self, after: int | None) -> SliceKey | None:
        """The next slice above ``after`` that the engine doubts, from the lowest again after the last one.

        Where it doubts none, the least trusted one comes that the user neither prompted nor drew. None where nothing
        was propagated.
        """
        state = self._core.state
        slices = {key: one for key, one in state.slices.items() if one.found and key not in state.keyframes}
        if not slices:
            return None
        doubted = state.doubted
        if not doubted:
            return min(slices, key=lambda key: slices[key].predicted_iou)
        later = [key for key in doubted if after is not None and key.index > after]
        return (later or doubted)[0]

    def suggest(self) -> None:
        """Asks where the next prompt helps most; the answer comes in the state."""
        opened = self._core.opened()
        segment_id = opened.segment_id
        self._ask("suggest", lambda: opened.side.suggest(segment_id), self._suggested)

    def bank(self, axis: Axis) -> None:
        """Asks what the memory along an axis holds; the answer comes in the state."""
        opened = self._core.opened()
        segment_id = opened.segment_id
        self._ask("bank", lambda: opened.side.bank(segment_id, axis), lambda view: self._core.say(bank=view))

    def disagreement(self) -> tuple[Box, NDArray[np.uint8]] | None:
        """Where the orientations disagree, 0 to 255, and the part of the volume it is of; None before a propagation."""
        gathered = self._core.opened().gathered
        return None if gathered is None else (gathered.within, gathered.disagreement)

    def _ask(self, name: str, work: Callable[[], Any], on_done: Callable[[Any], None]) -> None:
        if not self._core.stepper.waiting(name):
            task = Task(name, lambda: work, on_done=on_done, on_error=self._core.fail)
            self._core.stepper.add(task)

    def _suggested(self, suggestion: Suggestion | None) -> None:
        if suggestion is None:
            self._core.say(suggestion=None, message=text("Nothing is in doubt."))
        else:
            self._core.say(suggestion=suggestion)
