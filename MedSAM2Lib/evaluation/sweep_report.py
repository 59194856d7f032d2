"""A sweep as a table and as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from MedSAM2Lib.evaluation.settings import Setting
from MedSAM2Lib.evaluation.sweeping import Candidate, Stage
from MedSAM2Lib.volume.io import replacing

_WIDTH, _ROW_HEIGHT, _DPI = 7.0, 0.32, 120


def sweep_table(stages: Sequence[Stage], about: str) -> str:
    """All stages in one Markdown table, and the setting that was kept at the end."""
    lines = [
        "# Sweep",
        "",
        about,
        "",
        "Each stage starts from what the ones before kept. Dice is the mean over objects; differences are to the "
        "setting held before the stage, paired over objects, with 95 % intervals. A choice is kept if its whole "
        "interval is above 0.",
        "",
        "| factor | choice | n | Dice | difference | 95 % interval | kept |",
        "|---|---|---|---|---|---|---|",
    ]
    for stage in stages:
        lines += [_line(stage, candidate) for candidate in stage.candidates]
    kept = stages[-1].kept.setting
    return "\n".join([*lines, "", "## Winner", "", "```json", *_described(kept), "```", ""])


def winner_file(stages: Sequence[Stage], name: str) -> str:
    """The kept setting as ``medsam2 evaluate --settings`` reads it."""
    kept = stages[-1].kept.setting
    return json.dumps([{"name": name, **kept.as_dict()}], indent=2) + "\n"


def plot_sweep(stages: Sequence[Stage], path: Path) -> None:
    """One panel a factor: the difference of each choice with its interval; a PNG file. Raises OutputError."""
    heights = [len(stage.candidates) + 1.5 for stage in stages]
    figure = Figure(figsize=(_WIDTH, _ROW_HEIGHT * sum(heights) + 0.6), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(stages), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for panel, stage in zip(panels, stages):
        for place, candidate in enumerate(stage.candidates):
            found = candidate.difference
            mean = 0.0 if found is None else found.mean
            colour = "tab:green" if candidate is stage.kept else "tab:blue"
            if found is not None:
                panel.plot([found.low, found.high], [place, place], "-", color=colour, linewidth=2)
            panel.plot([mean], [place], "o", color=colour)
        labels = [f"{one.label} (kept)" if one is stage.kept else one.label for one in stage.candidates]
        panel.set_yticks(range(len(labels)), labels, parse_math=False)
        panel.set_ylim(len(labels) - 0.4, -0.6)
        panel.axvline(0.0, color="grey", linewidth=1, linestyle=":")
        panel.set_title(stage.factor, fontsize=9, loc="left", parse_math=False)
    panels[-1].set_xlabel("difference in Dice to the setting held before")
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def _line(stage: Stage, candidate: Candidate) -> str:
    found = candidate.difference
    difference, interval = "-", "-"
    if found is not None:
        difference = f"{found.mean:+.4f}"
        interval = "-" if math.isnan(found.low) else f"{found.low:+.4f} to {found.high:+.4f}"
    kept = "yes" if candidate is stage.kept else ""
    cells = [stage.factor, candidate.label, str(len(candidate.scores)), f"{candidate.mean:.4f}", difference, interval]
    return "| " + " | ".join([*cells, kept]) + " |"


def _described(setting: Setting) -> list[str]:
    return json.dumps(setting.as_dict(), indent=2).splitlines()
