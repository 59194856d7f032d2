"""An evaluation as pictures: a metric by setting, and its paired differences with intervals. Needs no display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from MedSAM2Lib.evaluation.comparison import Group
from MedSAM2Lib.evaluation.metrics import METRICS
from MedSAM2Lib.volume.io import replacing

_WIDTH, _ROW_HEIGHT, _LEAST_HEIGHT, _DPI = 7.0, 0.35, 1.6, 120
_SCATTER = 0.12


def plot_values(groups: Sequence[Group], metric: str, path: Path) -> None:
    """Box plots of a metric by setting, one panel a group, each case a dot; a PNG file. Raises OutputError."""
    figure, panels = _panels(groups, max(len(group.rows) for group in groups))
    rng = np.random.default_rng(0)
    for panel, group in zip(panels, groups):
        values = [group.values(setting, metric) for setting in group.rows]
        panel.boxplot(values, orientation="horizontal", showfliers=False, widths=0.6)
        for place, found in enumerate(values, start=1):
            panel.plot(found, place + rng.uniform(-_SCATTER, _SCATTER, len(found)), ".", alpha=0.35, markersize=4)
        _label(panel, group, list(group.rows), METRICS[metric].title)
    _save(figure, path)


def plot_differences(groups: Sequence[Group], metric: str, reference: str, seed: int, path: Path) -> None:
    """Mean paired differences to a reference with 95 % intervals, one panel a group; a PNG file. Raises OutputError."""
    figure, panels = _panels(groups, max(len(group.rows) for group in groups) - 1)
    for panel, group in zip(panels, groups):
        shown = []
        for setting in group.rows:
            found = None if setting == reference else group.difference(setting, reference, metric, seed)
            if found is None:
                continue
            shown.append(setting)
            place = len(shown)
            panel.plot([found.low, found.high], [place, place], "-", color="tab:blue", linewidth=2)
            panel.plot([found.mean], [place], "o", color="tab:blue")
        panel.axvline(0.0, color="grey", linewidth=1, linestyle=":")
        _label(panel, group, shown, f"{METRICS[metric].title}: difference to {reference}")
    _save(figure, path)


def _panels(groups: Sequence[Group], settings: int) -> tuple[Figure, list[Any]]:
    height = len(groups) * max(_LEAST_HEIGHT, 1.0 + _ROW_HEIGHT * settings)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(len(groups), 1, squeeze=False, sharex=True)[:, 0])


def _label(panel: Any, group: Group, settings: Sequence[str], quantity: str) -> None:
    """Setting names from top to bottom, in the order of the table; names are shown as they are written."""
    places = range(1, len(settings) + 1)
    panel.set_yticks(places, settings, parse_math=False)
    panel.set_ylim(len(settings) + 0.6, 0.4)
    panel.set_xlabel(quantity, parse_math=False)
    panel.set_title(group.title, fontsize=10, parse_math=False)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as partial:
        figure.savefig(partial, format="png")
