"""The evaluation itself: every case with every setting and every user, one row a round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from MedSAM2Lib.evaluation.cases import Case, CaseSource
from MedSAM2Lib.evaluation.metrics import DEFAULT_TOLERANCE_MM, METRICS, measure
from MedSAM2Lib.evaluation.results import ResultFile, Row, result_hash
from MedSAM2Lib.evaluation.rounds import Round
from MedSAM2Lib.evaluation.running import ReadyModel, SharedFeatures, segment_case
from MedSAM2Lib.evaluation.settings import Setting
from MedSAM2Lib.evaluation.users import SimulatedUser

_DECIMALS = 6


@dataclass(frozen=True)
class Plan:
    """What is evaluated: cases, settings, users, metrics by name; ``limit`` takes the first cases only.

    ``share_features`` encodes the slices of a case once for all settings and users: the same masks, in other seconds.
    """

    source: CaseSource
    settings: Sequence[Setting]
    users: Sequence[SimulatedUser]
    metrics: Sequence[str] = tuple(METRICS)
    tolerance_mm: float = DEFAULT_TOLERANCE_MM
    limit: int | None = None
    share_features: bool = False

    @property
    def row_count(self) -> int | None:
        """How many rows will come, or None where the source cannot tell before it is read."""
        count = self.source.count
        if count is None:
            return None
        cases = count if self.limit is None else min(count, self.limit)
        return cases * len(self.settings) * sum(user.corrections + 1 for user in self.users)


def evaluate(plan: Plan, models: Mapping[str, ReadyModel], results: ResultFile) -> Iterator[Row]:
    """All rows of a plan, case by case; new ones are stored before they are yielded, those that are there are not made
    again.

    ``models`` are by setting's name; settings that need none may be missing. Raises InputError for a case that cannot
    be read or prompted, OutputError where a row cannot be stored.
    """
    for case in islice(plan.source.cases(), plan.limit):
        shared = SharedFeatures() if plan.share_features else None
        for setting in plan.settings:
            for user in plan.users:
                yield from _rounds(plan, models.get(setting.name), results, case, setting, user, shared)


def _rounds(
    plan: Plan,
    model: ReadyModel | None,
    results: ResultFile,
    case: Case,
    setting: Setting,
    user: SimulatedUser,
    shared: SharedFeatures | None,
) -> Iterator[Row]:
    keys = [(case.name, setting.name, user.name, number) for number in range(user.corrections + 1)]
    hash_ = _hash(plan, model, case, setting, user)
    if all(results.has(key, hash_, plan.metrics) for key in keys):
        yield from (results.rows[key] for key in keys)
        return
    for key, found in zip(keys, segment_case(model, case, setting, user, shared)):
        if not results.has(key, hash_, plan.metrics):
            results.add(_row(plan, case, setting, user, found, hash_))
        yield results.rows[key]


def _row(plan: Plan, case: Case, setting: Setting, user: SimulatedUser, found: Round, hash_: str) -> Row:
    measured = measure(plan.metrics, found.mask, case.truth, case.volume.spacing, plan.tolerance_mm)
    return Row(
        case=case.name,
        setting=setting.name,
        prompt=user.name,
        round=found.number,
        metrics={name: round(value, _DECIMALS) for name, value in measured.items()},
        seconds=round(found.seconds, 3),
        slices=found.slices,
        hash=hash_,
    )


def _hash(plan: Plan, model: ReadyModel | None, case: Case, setting: Setting, user: SimulatedUser) -> str:
    """All that a row follows from but the number of rounds; a setting without a network does not depend on one."""
    options = {name: value for name, value in setting.as_dict().items() if name != "model"}
    network = None if model is None else [model.loaded.checksum, model.loaded.config.image_size]
    precision = None if model is None else str(model.context.dtype)
    return result_hash(
        case=case.checksum,
        setting=options,
        user=user.as_dict(),
        network=network,
        precision=precision,
        tolerance_mm=plan.tolerance_mm,
    )
