"""Rows side by side: by what was prompted and in which round, then by setting, on the cases that settings share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from MedSAM2Lib.evaluation.metrics import METRICS
from MedSAM2Lib.evaluation.results import Row
from MedSAM2Lib.evaluation.statistics import PairedDifference, paired_difference


@dataclass(frozen=True)
class Group:
    """The rows of one user's prompts in one round, by setting and case, in the order in which they came."""

    prompt: str
    round: int
    rows: dict[str, dict[str, Row]]

    @property
    def title(self) -> str:
        """What was prompted, and after how many corrections."""
        corrections = {0: "", 1: ": after 1 correction"}.get(self.round, f": after {self.round} corrections")
        return self.prompt + corrections

    def values(self, setting: str, metric: str) -> list[float]:
        """A metric of one setting over its cases."""
        return [row.metrics[metric] for row in self.rows[setting].values()]

    def difference(self, setting: str, reference: str, metric: str, seed: int) -> PairedDifference | None:
        """How a setting differs from a reference on the cases that both have; None where they share none."""
        ours, theirs = self.rows[setting], self.rows.get(reference, {})
        shared = [case for case in ours if case in theirs]
        if not shared:
            return None
        return paired_difference(
            [ours[case].metrics[metric] for case in shared],
            [theirs[case].metrics[metric] for case in shared],
            METRICS[metric].higher_is_better,
            seed,
        )


def groups_of(rows: Sequence[Row]) -> list[Group]:
    """The rows by prompt and round."""
    groups: dict[tuple[str, int], Group] = {}
    for row in rows:
        group = groups.setdefault((row.prompt, row.round), Group(row.prompt, row.round, {}))
        group.rows.setdefault(row.setting, {})[row.case] = row
    return list(groups.values())
