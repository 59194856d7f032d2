"""Rounds of prompts and results: a simulated user on one side, whatever segments on the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.evaluation.users import SimulatedUser
from MedSAM2Lib.types import BoolArray, Prompt


@dataclass(frozen=True, eq=False)
class Outcome:
    """The mask [k, j, i] that all prompts so far give, and how many slices were computed for it."""

    mask: BoolArray
    slices: int


@dataclass(frozen=True, eq=False)
class Round:
    """One result: 0 after the first prompts, then one for each correction; ``seconds`` from prompts to mask."""

    number: int
    mask: BoolArray
    seconds: float
    slices: int


class Segmenter(Protocol):
    """Segments one object; prompts add up."""

    def add(self, prompts: Sequence[Prompt]) -> Outcome:
        """Takes more prompts and computes; raises PromptError for prompts that do not fit."""
        ...


def rounds(segmenter: Segmenter, case: Case, user: SimulatedUser) -> Iterator[Round]:
    """One round more than the user's corrections; a user who is content leaves the result as it is, at no cost."""
    given: list[Prompt] = []
    outcome: Outcome | None = None
    for number in range(user.corrections + 1):
        prompts = user.first(case) if outcome is None else user.correct(case, outcome.mask, given)
        given += prompts
        start = time.perf_counter()
        outcome = segmenter.add(prompts) if prompts or outcome is None else Outcome(outcome.mask, 0)
        yield Round(number, outcome.mask, time.perf_counter() - start, outcome.slices)
