"""A sweep: one factor after the other, each choice measured on the same objects, the best one kept for what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from MedSAM2Lib.evaluation.settings import Setting
from MedSAM2Lib.evaluation.statistics import PairedDifference, paired_difference

Scores = Mapping[str, float]
"""Mean Dice of a setting on each object, by the object's name."""

Measure = Callable[[Sequence[Setting]], Sequence[Scores]]
"""The scores of settings, in their order, all on the same objects; the settings of a stage come together."""


@dataclass(frozen=True)
class Choice:
    """One value of a factor: what it changes in a setting, and in the bank's options."""

    label: str
    setting: Mapping[str, Any] = field(default_factory=dict)
    bank: Mapping[str, Any] = field(default_factory=dict)

    def applied(self, to: Setting, factor: str) -> Setting:
        """The setting with this choice, named after it."""
        bank = replace(to.self_sorting, **self.bank)
        return replace(to, name=f"{factor}: {self.label}", self_sorting=bank, **self.setting)


@dataclass(frozen=True)
class Factor:
    """What is varied in one stage, and its choices."""

    name: str
    choices: Sequence[Choice]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A choice as measured; ``difference`` is to the setting held before the stage, None for that one itself."""

    label: str
    setting: Setting
    scores: Scores
    difference: PairedDifference | None

    @property
    def mean(self) -> float:
        """Mean Dice over objects."""
        return float(np.mean(list(self.scores.values())))


@dataclass(frozen=True, eq=False)
class Stage:
    """One factor: all candidates, and which one is kept."""

    factor: str
    candidates: Sequence[Candidate]
    kept: Candidate


def bank_choices(name: str, values: Sequence[Any]) -> Factor:
    """A factor of the bank's options."""
    return Factor(name, [Choice(str(value), bank={name: value}) for value in values])


FACTORS: tuple[Factor, ...] = (
    bank_choices("rule", ("paper", "code")),
    bank_choices("capacity", (4, 8, 16, 32)),
    bank_choices("least_iou", (0.3, 0.5, 0.7)),
    bank_choices("margin", (0.0, 0.1, 0.3)),
    bank_choices("shown", (3, 6, 12)),
    bank_choices("resampling", ("most-similar", "drawn")),
    Factor("neighbour", [Choice("on", bank={"neighbour": True}), Choice("off", bank={"neighbour": False})]),
    Factor(
        "memory",
        [Choice(memory, {"memory": memory}) for memory in ("self-sorting", "temporal", "key-slice")],
    ),
    Factor("orientations", [Choice(count, {"orientations": count}) for count in ("1", "3", "auto")]),
    Factor("stop_predicted_iou", [Choice(str(value), {"stop_predicted_iou": value}) for value in (0.2, 0.3, 0.4, 0.5)]),
    Factor("stop_misses", [Choice(str(value), {"stop_misses": value}) for value in (1, 2, 3)]),
)
"""The bank first, on its own; then whether it is the memory to use; then what holds for every memory."""

START = Setting("self-sorting", memory="self-sorting")


def sweep(start: Setting, factors: Sequence[Factor], measure: Measure, seed: int = 0) -> Iterator[Stage]:
    """Goes through the factors in turn; each stage starts from what the ones before kept.

    A choice that changes nothing is the held setting itself. ``seed`` is of the bootstrap.
    """
    held, (scores,) = start, measure([start])
    for factor in factors:
        settings = {choice.label: choice.applied(held, factor.name) for choice in factor.choices}
        others = {label: setting for label, setting in settings.items() if setting.as_dict() != held.as_dict()}
        measured = dict(zip(others, measure(list(others.values()))))
        candidates = [
            Candidate(label, setting, measured[label], _difference(measured[label], scores, seed))
            if label in others
            else Candidate(label, held, scores, None)
            for label, setting in settings.items()
        ]
        if all(candidate.difference is not None for candidate in candidates):
            candidates.append(Candidate("as before", held, scores, None))
        kept = _kept(candidates)
        yield Stage(factor.name, candidates, kept)
        held, scores = kept.setting, kept.scores


def _kept(candidates: Sequence[Candidate]) -> Candidate:
    """The best of those whose whole interval is above 0, so that defaults do not follow noise; else the held one."""
    incumbent = next(candidate for candidate in candidates if candidate.difference is None)
    ahead = [one for one in candidates if one.difference is not None and one.difference.low > 0]
    return max(ahead, key=lambda candidate: candidate.mean, default=incumbent)


def _difference(found: Scores, held: Scores, seed: int) -> PairedDifference:
    shared = [name for name in found if name in held]
    return paired_difference([found[name] for name in shared], [held[name] for name in shared], seed=seed)
