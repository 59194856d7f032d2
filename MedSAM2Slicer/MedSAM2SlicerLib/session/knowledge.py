"""What the engine knew at moments of the history, so that undo costs no new propagation; within a budget of bytes."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from MedSAM2Lib.errors import InputError
from MedSAM2SlicerLib.session.ports import EngineSession, Rememberable

if TYPE_CHECKING:
    from MedSAM2SlicerLib.session.engine_side import Known

BUDGET_BYTES = 512 * 2**20


@dataclass(frozen=True, eq=False)
class _Kept:
    known: Known
    state: dict[str, Any]
    bytes: int


class KnowledgeStore:
    """States of segments by token. Over the budget the oldest go first: undo then begins anew from the prompts."""

    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        self._budget = budget
        self._kept: dict[int, _Kept] = {}

    @property
    def bytes(self) -> int:
        """Memory in use."""
        return sum(one.bytes for one in self._kept.values())

    def keep(self, token: int, session: EngineSession, known: Known | None) -> None:
        """Keeps what a session knows of a segment; nothing where there is nothing, or the session cannot tell."""
        if known is None or not isinstance(session, Rememberable):
            return
        state = session.object_state(known.object_id)
        own = copy(known)
        own.prompts = list(known.prompts)
        self._kept[token] = _Kept(own, state, _size(state))
        while self.bytes > self._budget and len(self._kept) > 1:
            del self._kept[min(self._kept)]

    def take(self, token: int, session: EngineSession, known: Known | None) -> Known | None:
        """Puts a session back to what it knew of a segment; None where that was not kept."""
        kept = self._kept.pop(token, None)
        if kept is None or not isinstance(session, Rememberable):
            return None
        if known is not None and known.object_id != kept.known.object_id:
            return None
        try:
            session.restore_object(kept.known.object_id, kept.state)
        except InputError:
            return None
        return kept.known

    def retain(self, tokens: Iterable[int]) -> None:
        """Lets go of all that no token names any more."""
        wanted = set(tokens)
        self._kept = {token: one for token, one in self._kept.items() if token in wanted}

    def clear(self) -> None:
        self._kept = {}


def _size(value: Any) -> int:
    """Bytes of all arrays in plain data."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_size, value))
    return int(getattr(value, "nbytes", 0))
