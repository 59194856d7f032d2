"""What goes to the engine's thread and what comes back: plain values, made by one side and read by the other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.types import Axis, BoolArray, Orientations, Prompt, SliceKey
from MedSAM2SlicerLib.session.ports import Box
from MedSAM2SlicerLib.session.state import SliceTrust


@dataclass(frozen=True, eq=False)
class Wanted:
    """What the engine shall know of a segment: its name and its prompts, in the order they were made."""

    segment_id: str
    name: str
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, eq=False)
class Telling:
    """What the engine shall hear: what it knows now is kept under ``tokens``, then forgotten with ``forget``.

    ``live`` are all tokens of the history: what others name is let go of.
    """

    wanted: Wanted
    tokens: tuple[int, ...]
    forget: bool
    live: frozenset[int]


@dataclass(frozen=True, eq=False)
class Told:
    """What became of prompts: those that a later one replaces, and those that do not fit, with the reason."""

    replaced: tuple[Prompt, ...] = ()
    rejected: tuple[tuple[Prompt, PromptError], ...] = ()


@dataclass(frozen=True, eq=False)
class Previewed:
    """A prompted slice: its mask [rows, columns], what the engine thinks of it, and how long it took in seconds."""

    key: SliceKey
    mask: BoolArray
    trust: SliceTrust
    seconds: float


@dataclass(frozen=True, eq=False)
class Tracked:
    """A slice of a propagation; ``remaining`` network steps are still to come on the axes it has reached."""

    key: SliceKey
    mask: BoolArray
    trust: SliceTrust
    remaining: int | None


@dataclass(frozen=True, eq=False)
class Gathered:
    """What all orientations say of a part of the volume: ``mask`` and ``disagreement`` (uint8) have its shape."""

    within: Box
    mask: BoolArray
    disagreement: NDArray[np.uint8]
    trusts: dict[SliceKey, SliceTrust]
    notices: tuple[str, ...]


@dataclass
class Known:
    """What the engine has been told of a segment, and with which axis and orientations it was propagated."""

    object_id: int
    prompts: list[Prompt] = field(default_factory=list)
    asked: tuple[Axis, Orientations] | None = None
