"""An evaluation as Markdown: means, and paired differences to a reference with their intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

import numpy as np

from MedSAM2Lib.evaluation.comparison import Group
from MedSAM2Lib.evaluation.metrics import METRICS
from MedSAM2Lib.evaluation.settings import Setting
from MedSAM2Lib.evaluation.statistics import RESAMPLES, PairedDifference


def markdown(
    groups: Sequence[Group], settings: Sequence[Setting], metrics: Sequence[str], reference: str, seed: int, about: str
) -> str:
    """The tables of all groups.

    Args:
        groups: rows by prompt and round.
        settings: what was compared; written out in full at the end.
        metrics: names of the columns.
        reference: name of the setting that the others are compared with.
        seed: of the bootstrap.
        about: a paragraph on where the numbers come from.
    """
    lines = ["# Evaluation", "", about, ""]
    for group in groups:
        lines += [f"## {_plain(group.title)}", "", *_means(group, metrics), ""]
        if len(group.rows) > 1 and reference in group.rows:
            lines += [
                f"Differences to **{_plain(reference)}** on the same objects, with 95 % intervals "
                f"(paired bootstrap over objects, {RESAMPLES:,} resamples):",
                "",
                *_differences(group, metrics, reference, seed),
                "",
            ]
    lines += ["## Settings", "", "```json", *_described(settings), "```", ""]
    return "\n".join(lines)


def _means(group: Group, metrics: Sequence[str]) -> Iterator[str]:
    yield _line(["setting", "n", *(METRICS[name].title for name in metrics), "seconds", "slices"])
    yield _rule(len(metrics) + 4)
    for setting, rows in group.rows.items():
        means = [f"{np.mean(group.values(setting, name)):.{_decimals(name)}f}" for name in metrics]
        seconds = np.mean([row.seconds for row in rows.values()])
        slices = np.mean([row.slices for row in rows.values()])
        yield _line([_plain(setting), str(len(rows)), *means, f"{seconds:.2f}", f"{slices:.1f}"])


def _differences(group: Group, metrics: Sequence[str], reference: str, seed: int) -> Iterator[str]:
    yield _line(["setting", "metric", "n", "difference", "95 % interval", "better", "worse"])
    yield _rule(7)
    for setting in group.rows:
        for name in metrics if setting != reference else ():
            found = group.difference(setting, reference, name, seed)
            if found is not None:
                yield _line([_plain(setting), METRICS[name].title, *_difference(found, _decimals(name))])


def _difference(found: PairedDifference, decimals: int) -> list[str]:
    interval = "-" if math.isnan(found.low) else f"{found.low:+.{decimals}f} to {found.high:+.{decimals}f}"
    return [str(found.n), f"{found.mean:+.{decimals}f}", interval, str(found.wins), str(found.losses)]


def _decimals(metric: str) -> int:
    return 3 if METRICS[metric].higher_is_better else 1


def _described(settings: Sequence[Setting]) -> list[str]:
    described = [{"name": setting.name, **setting.as_dict()} for setting in settings]
    return json.dumps(described, indent=2, ensure_ascii=False).splitlines()


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(count: int) -> str:
    return "|" + "---|" * count


def _plain(text: str) -> str:
    """Text that cannot end a cell or a line."""
    return " ".join(text.replace("|", "\\|").split())
