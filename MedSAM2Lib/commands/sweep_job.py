"""A sweep from its options to its files."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from MedSAM2Lib.commands.evaluate_job import about, made_folder
from MedSAM2Lib.commands.sweep import SweepOptions
from MedSAM2Lib.evaluation.evaluating import Plan, evaluate
from MedSAM2Lib.evaluation.results import ResultFile
from MedSAM2Lib.evaluation.running import ReadyModel
from MedSAM2Lib.evaluation.settings import Setting
from MedSAM2Lib.evaluation.sweep_report import plot_sweep, sweep_table, winner_file
from MedSAM2Lib.evaluation.sweeping import FACTORS, START, Scores, Stage, sweep
from MedSAM2Lib.evaluation.synthetic import SyntheticSource
from MedSAM2Lib.evaluation.users import PromptingUser
from MedSAM2Lib.tracking.device import execution_context
from MedSAM2Lib.volume.io import replacing
from MedSAM2Lib.weights.loading import load_network

_EXIT_INTERRUPTED = 130


class SyntheticMeasure:
    """Measures settings on the same synthetic objects, isotropic and thick; rows are kept in files.

    Args:
        options: objects, seed, prompts, places.
        model: the network of every setting.
        folder: where the rows are kept.
    """

    def __init__(self, options: SweepOptions, model: ReadyModel, folder: Path) -> None:
        users = [PromptingUser(prompt, place) for place in options.places for prompt in options.prompts]
        self.model = model
        self.plans = {
            name: Plan(SyntheticSource(options.objects, thick, options.seed), [], users, ["dice"], share_features=True)
            for name, thick in (("isotropic", False), ("thick", True))
        }
        self._files = {name: ResultFile(folder / f"results-{name}.csv") for name in self.plans}

    def __call__(self, settings: Sequence[Setting]) -> list[Scores]:
        """Mean Dice of each object over prompts, places and both kinds of voxels; slices are encoded once for all."""
        found: dict[str, dict[str, list[float]]] = {setting.name: {} for setting in settings}
        models = dict.fromkeys(found, self.model)
        for name, unset in self.plans.items():
            plan = replace(unset, settings=settings)
            rows = evaluate(plan, models, self._files[name])
            label = f"{', '.join(found)}, {name}"
            for row in tqdm(rows, total=plan.row_count, desc=label, unit="row", disable=None, leave=False):
                found[row.setting].setdefault(row.case, []).append(row.metrics["dice"])
        return [{case: float(np.mean(values)) for case, values in found[setting.name].items()} for setting in settings]


def run_sweep(options: SweepOptions) -> int:
    """Runs the sweep of checked options; after each stage table and plot say how far it has come."""
    context = execution_context(options.device, options.precision)
    model = ReadyModel(load_network(options.model, device=context.device), context)
    folder = made_folder(options.out)
    measure = SyntheticMeasure(options, model, folder)
    text = _about(measure, model)
    factors = [factor for factor in FACTORS if factor.name in options.factors]
    stages: list[Stage] = []
    try:
        for stage in sweep(replace(START, model=options.model), factors, measure, options.seed):
            stages.append(stage)
            _write(stages, text, folder, options.model)
            print(f"{stage.factor}: {stage.kept.label} (Dice {stage.kept.mean:.4f})", flush=True)
    except KeyboardInterrupt:
        print(f"interrupted after {len(stages)} stages: the same command goes on", file=sys.stderr)
        return _EXIT_INTERRUPTED
    print(f"look at {folder / 'sweep.md'} and {folder / 'sweep.png'}; the winner is in {folder / 'winner.json'}")
    return 0


def _write(stages: list[Stage], text: str, folder: Path, model: str) -> None:
    contents: Mapping[str, str] = {
        "sweep.md": sweep_table(stages, text),
        "winner.json": winner_file(stages, f"winner on {model}"),
    }
    for name, content in contents.items():
        with replacing(folder / name) as partial:
            partial.write_text(content, encoding="utf-8")
    plot_sweep(stages, folder / "sweep.png")


def _about(measure: SyntheticMeasure, model: ReadyModel) -> str:
    plan = measure.plans["isotropic"]
    users = ", ".join(user.name for user in plan.users)
    return f"{about(plan, {'all': model})} The same objects in slices of 5 mm as well. Prompts: {users}."
