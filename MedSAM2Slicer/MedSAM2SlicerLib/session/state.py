"""What runs, as one frozen value that the panel renders: the session writes it, nobody writes back."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2Lib.types import Axis, BankView, Orientations, SliceKey, Suggestion

DOUBTFUL = 0.75
"""Predicted IoU below which a slice is worth a look."""
DOUBTFUL_SHARE = 0.4
"""A segment is flagged where more than this share of the slices with the object is doubtful.

On 44 results of the embedded model on synthetic objects that flags .71 of those with Dice under .8 and .35 of the
others; a tenth flags nearly all of both.
"""

Phase = Literal["idle", "encoding", "ready", "propagating", "reviewing"]
"""No segment is open; a prompt is being computed; waiting for the user; slices come; what came was committed."""


@dataclass(frozen=True)
class Message:
    """A sentence for the user: an English template with fields, so that the panel may translate it."""

    template: str
    fields: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.template.format(**self.fields)


@dataclass(frozen=True)
class SessionError:
    """What went wrong: a code, a template with fields whose sentence says what to do, and the trace for a report.

    ``expected`` errors are the user's to mend; the others are defects, worth a report.
    """

    code: str
    template: str
    fields: Mapping[str, object] = field(default_factory=dict)
    trace: str = ""
    expected: bool = True
    cause: BaseException | None = field(default=None, compare=False)

    @property
    def sentence(self) -> str:
        return self.template.format(**self.fields)

    @staticmethod
    def of(error: BaseException) -> SessionError:
        """What the user is told of an exception."""
        trace = "".join(traceback.format_exception(error))
        if isinstance(error, MedSAM2Error):
            return SessionError(error.code, error.template, error.fields, trace, cause=error)
        if isinstance(error, MemoryError):
            return SessionError(
                "E_MEMORY", "There is not enough memory: close other programs or volumes.", {}, trace, cause=error
            )
        what = f"{type(error).__name__}: {error}".strip(": ")
        template = "The engine failed ({what}). The segmentation is as it was; please report this."
        return SessionError("E_ENGINE", template, {"what": what}, trace, expected=False, cause=error)


@dataclass(frozen=True)
class Progress:
    """Slices computed so far of about ``total``; slices per second, and seconds left (0.0 where not yet known)."""

    done: int
    total: int
    slices_per_second: float = 0.0
    seconds_left: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """What a propagation will take: slices ``first`` to ``last`` of the axis, network steps, and seconds.

    ``seconds`` is None where nothing has been measured or stored yet; ``measured`` says that this session's own steps
    gave it.
    """

    first: int
    last: int
    steps: int
    seconds: float | None
    measured: bool = False

    @property
    def slices(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class SliceTrust:
    """What the engine thinks of a slice: its predicted IoU (0 to 1), the object score (a logit), whether it was found.

    ``kept`` says that the user prompted or drew the slice.
    """

    predicted_iou: float
    object_score: float
    found: bool
    kept: bool = False


@dataclass(frozen=True)
class SessionState:
    """What the panel shows.

    ``slices`` holds the trust of every slice with a result along ``axis``, ``confidences`` the predicted IoU of those
    on which the object was found (1 where the user drew it). ``keyframes`` are all slices that the user prompted or
    drew, ``hand_drawn`` the latter. ``previewed`` slices are shown and not yet in the segmentation.

    ``range`` is inclusive along ``axis``; None before the first prompt. ``window`` are the grey values shown as black
    and white. ``outdated`` says that prompts have changed since the last propagation, ``edited`` that something was
    drawn by hand which ``SessionController.look_at_edits`` has not taken up yet.

    ``notices`` are sentences on what the engine did unasked. ``bank`` and ``suggestion`` are there once they were
    asked for.
    """

    phase: Phase = "idle"
    segment_id: str | None = None
    message: Message | None = None
    error: SessionError | None = None
    progress: Progress | None = None
    axis: Axis | None = None
    slice_count: int = 0
    range: tuple[int, int] | None = None
    orientations: Orientations = "3"
    memory: str = "self-sorting"
    model: str = ""
    device: str = ""
    window: tuple[float, float] | None = None
    slices: Mapping[SliceKey, SliceTrust] = field(default_factory=dict)
    keyframes: tuple[SliceKey, ...] = ()
    hand_drawn: tuple[SliceKey, ...] = ()
    previewed: tuple[SliceKey, ...] = ()
    outdated: bool = False
    edited: bool = False
    suggestion: Suggestion | None = None
    bank: BankView | None = None
    notices: tuple[str, ...] = ()
    seconds_per_slice: float | None = None
    can_undo: bool = False
    can_redo: bool = False

    @property
    def confidences(self) -> dict[SliceKey, float]:
        return {key: 1.0 if one.kept else one.predicted_iou for key, one in self.slices.items() if one.found}

    @property
    def doubted(self) -> tuple[SliceKey, ...]:
        """Slices with the object that the engine doubts and the user neither prompted nor drew, lowest index first."""
        kept = {*self.keyframes}
        doubted = [
            key
            for key, one in self.slices.items()
            if one.found and not one.kept and key not in kept and one.predicted_iou < DOUBTFUL
        ]
        return tuple(sorted(doubted, key=lambda key: key.index))

    @property
    def in_doubt(self) -> bool:
        """Whether more of the object is doubtful than ``DOUBTFUL_SHARE``."""
        return len(self.doubted) > DOUBTFUL_SHARE * sum(one.found for one in self.slices.values())

    @property
    def busy(self) -> bool:
        """Whether the engine is at work for the user."""
        return self.phase in ("encoding", "propagating")
