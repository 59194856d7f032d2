"""One history of what the user did to prompts and masks together. It holds what things were like before each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from MedSAM2Lib.types import SliceKey

LIMIT = 50


@dataclass(frozen=True, eq=False)
class Step:
    """What is needed to go back over one step.

    ``prompts`` is the prompt store's snapshot from before it, ``previews`` the slices that were previewed then,
    ``token`` names what the engine knew, ``commits`` counts the committer's own undo steps that belong to it, and
    ``flagged`` says whether the segment was flagged then.
    """

    label: str
    segment_id: str
    prompts: Any
    previews: tuple[SliceKey, ...]
    token: int
    commits: int = 0
    flagged: bool = False


class History:
    """Undo and redo, at most ``limit`` steps; tokens count from 1 and are never given twice."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._undo: list[Step] = []
        self._redo: list[Step] = []
        self._token = 0

    @property
    def can_undo(self) -> bool:
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        return bool(self._redo)

    @property
    def last(self) -> Step | None:
        """The step that an undo would go back over."""
        return self._undo[-1] if self._undo else None

    @property
    def tokens(self) -> list[int]:
        """Tokens still in use, those needed soonest first."""
        undo, redo = self._undo[::-1], self._redo[::-1]
        order = sorted([*enumerate(undo), *enumerate(redo)], key=lambda pair: pair[0])
        return [step.token for _, step in order]

    def new_token(self) -> int:
        """A name for what the engine knows at a moment."""
        self._token += 1
        return self._token

    def push(self, step: Step) -> None:
        """Something was done: it can be undone, and what had been undone cannot be redone any more."""
        self._undo = [*self._undo, step][-self._limit :]
        self._redo = []

    def undo(self) -> Step | None:
        """The step to go back over; its inverse goes to ``undone``."""
        return self._undo.pop() if self._undo else None

    def redo(self) -> Step | None:
        """The step to do again; its inverse goes to ``redone``."""
        return self._redo.pop() if self._redo else None

    def undone(self, inverse: Step) -> None:
        """What leads forward again."""
        self._redo.append(inverse)

    def redone(self, inverse: Step) -> None:
        """What leads back again."""
        self._undo.append(inverse)

    def clear(self) -> None:
        """Forgets everything; tokens go on."""
        self._undo, self._redo = [], []
