"""What the engine knew at moments of the history, so that undo costs no new propagation; within a budget of bytes.

Moments differ in few slices. An array that an earlier moment has kept already is kept once.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.errors import InputError
from MedSAM2SlicerLib.session.answers import Known
from MedSAM2SlicerLib.session.ports import EngineSession, Rememberable

BUDGET_BYTES = 512 * 2**20
Mark = tuple[tuple[int, ...], str, int]
"""Shape, kind and check sum of an array."""


@dataclass(frozen=True, eq=False)
class _Kept:
    """What was known; ``arrays`` are those of the state, each by its mark."""

    known: Known
    state: dict[str, Any]
    arrays: dict[Mark, NDArray]


class KnowledgeStore:
    """States of segments by token. Over the budget the oldest go first: undo then begins anew from the prompts."""

    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        self._budget = budget
        self._kept: dict[int, _Kept] = {}

    @property
    def bytes(self) -> int:
        """Memory in use; an array that several moments share counts once."""
        arrays = {id(array): array.nbytes for one in self._kept.values() for array in one.arrays.values()}
        return sum(arrays.values())

    def keep(self, token: int, session: EngineSession, known: Known | None) -> None:
        """Keeps what a session knows of a segment; nothing where there is nothing, or the session cannot tell."""
        if known is None or not isinstance(session, Rememberable):
            return
        own = copy(known)
        own.prompts = list(known.prompts)
        self._kept[token] = self._sharing(own, session.object_state(known.object_id))
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

    def _sharing(self, known: Known, state: dict[str, Any]) -> _Kept:
        """The state with arrays of earlier moments in place of equal ones; a state holds its arrays in one list."""
        earlier = {mark: array for one in self._kept.values() for mark, array in one.arrays.items()}
        arrays: dict[Mark, NDArray] = {}
        shared = []
        for value in state["shared"]:
            if isinstance(value, np.ndarray):
                mark = _mark(value)
                same = arrays.get(mark, earlier.get(mark))
                value = same if same is not None and np.array_equal(same, value) else value
                arrays[mark] = value
            shared.append(value)
        return _Kept(known, {**state, "shared": shared}, arrays)


def _mark(array: NDArray) -> Mark:
    return array.shape, array.dtype.str, zlib.crc32(np.ascontiguousarray(array).tobytes())
