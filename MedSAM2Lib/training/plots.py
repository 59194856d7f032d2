"""A run's curves as one picture."""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.training.files import reason_of, replacing_whole

PICTURE_NAME = "curve.png"
SMOOTHED_STEPS = 50


def plot_run(folder: Path, report: Callable[[str], None]) -> Path | None:
    """Draws ``curve.png`` from the run's two tables; None where matplotlib or the curve is missing.

    Left the training loss (pale) and its running mean, right what validation reached. A picture that cannot be written
    ends no run: None, and why is reported.
    """
    try:
        return _drawn(folder)
    except OSError as error:
        report(f"{folder / PICTURE_NAME} could not be written ({reason_of(error)}): the run goes on without it")
        return None


def _drawn(folder: Path) -> Path | None:
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
    path = folder / PICTURE_NAME
    with replacing_whole(path) as part:
        figure.savefig(part, dpi=110)
    return path


def _columns(path: Path) -> dict[str, NDArray[np.float64]]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([_number(row[name]) for row in rows]) for name in rows[0]} if rows else {}


def _number(text: str | None) -> float:
    """NaN for what a killed run left of a number."""
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each value and up to 49 before it; values that are no numbers do not count."""
    good = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(good, values, 0))])
    counts = np.concatenate([[0], np.cumsum(good)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - SMOOTHED_STEPS, 0)
    return np.asarray((sums[ends] - sums[starts]) / np.maximum(counts[ends] - counts[starts], 1))
