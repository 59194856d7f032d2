"""Brings the prompts that an engine's session knows in line with those that the scene holds. Worker thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.types import MaskPrompt, Prompt, SliceKey
from MedSAM2SlicerLib.session.answers import Known, Told
from MedSAM2SlicerLib.session.ports import EngineSession


class Teller:
    """Tells a session what has changed about one segment.

    Args:
        session: the engine's.
        known: what it was told before; kept right.
    """

    def __init__(self, session: EngineSession, known: Known) -> None:
        self._session = session
        self._known = known
        self._rejected: list[tuple[Prompt, PromptError]] = []

    def tell(self, wanted: Sequence[Prompt]) -> Told:
        """Makes the session's prompts those wanted. Slices on which nothing changed are not touched."""
        replaced: list[Prompt] = []
        for key in dict.fromkeys(one.slice for one in (*self._known.prompts, *wanted)):
            if not _all_same(self._on(key), _on(key, wanted)):
                replaced += self._tell_slice(key, _on(key, wanted))
        return Told(tuple(replaced), tuple(self._rejected))

    def _tell_slice(self, key: SliceKey, wanted: Sequence[Prompt]) -> list[Prompt]:
        """Adds what is new on a slice; begins it anew where something has gone that nothing new replaces."""
        replaced = self._add([one for one in wanted if not _is_in(one, self._on(key))])
        if any(not _is_in(one, wanted) for one in self._on(key)):
            self._session.clear_prompts(self._known.object_id, key)
            self._known.prompts = [one for one in self._known.prompts if one.slice != key]
            rejected = {id(one) for one, _ in self._rejected}
            replaced = self._add([one for one in wanted if id(one) not in rejected])
        return [one for one in replaced if _is_in(one, wanted)]

    def _add(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Adds prompts one by one; returns the earlier ones that they replace."""
        replaced: list[Prompt] = []
        for prompt in prompts:
            try:
                gone = self._session.add_prompt(self._known.object_id, prompt)
            except PromptError as error:
                self._rejected.append((prompt, error))
                continue
            left = {id(one) for one in gone}
            self._known.prompts = [*(one for one in self._known.prompts if id(one) not in left), prompt]
            replaced += gone
        return replaced

    def _on(self, key: SliceKey) -> list[Prompt]:
        return _on(key, self._known.prompts)


def _on(key: SliceKey, prompts: Sequence[Prompt]) -> list[Prompt]:
    return [one for one in prompts if one.slice == key]


def _same(one: Prompt, other: Prompt) -> bool:
    if isinstance(one, MaskPrompt) and isinstance(other, MaskPrompt):
        return one.slice == other.slice and np.array_equal(one.mask, other.mask)
    return one == other


def _is_in(prompt: Prompt, prompts: Sequence[Prompt]) -> bool:
    return any(_same(prompt, one) for one in prompts)


def _all_same(some: Sequence[Prompt], others: Sequence[Prompt]) -> bool:
    return len(some) == len(others) and all(map(_same, some, others))
