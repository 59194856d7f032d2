"""A run's curves as one picture."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SMOOTHED_STEPS = 50


def plot_run(folder: Path) -> Path | None:
    """Draws ``curve.png`` from the run's two tables; None where matplotlib or the curve is missing.

    Left the training loss (pale) and its running mean, right what validation reached.
    """
    rows = _columns(folder / "curve.csv")
    if find_spec("matplotlib") is None or not rows:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores = figure.subplots(1, 2)
    losses.plot(rows["frames"], rows["loss"], color="tab:blue", alpha=0.25, linewidth=0.7)
    losses.plot(rows["frames"], _smoothed(rows["loss"]), color="tab:blue")
    losses.set(xlabel="frames", ylabel="training loss")
    found = _columns(folder / "validation.csv")
    for name in [name for name in found if name not in ("step", "frames")]:
        scores.plot(found["frames"], found[name], marker=".", label=name)
    scores.set(xlabel="frames", ylabel="validation")
    if found:
        scores.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    path = folder / "curve.png"
    part = folder / "curve.part.png"
    figure.savefig(part, dpi=110)
    part.replace(path)
    return path


def _columns(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]} if rows else {}


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each value and up to 49 before it; values that are no numbers do not count."""
    good = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(good, values, 0))])
    counts = np.concatenate([[0], np.cumsum(good)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - SMOOTHED_STEPS, 0)
    return np.asarray((sums[ends] - sums[starts]) / np.maximum(counts[ends] - counts[starts], 1))
