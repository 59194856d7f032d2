"""An evaluation from its options to its files: data, settings and models first, then rows, then table and plots."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from MedSAM2Lib import __version__
from MedSAM2Lib.commands.evaluate import EvaluateOptions, listed
from MedSAM2Lib.commands.outputs import check_folder
from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.evaluation.cases import CaseSource
from MedSAM2Lib.evaluation.comparison import groups_of
from MedSAM2Lib.evaluation.evaluating import Plan, evaluate
from MedSAM2Lib.evaluation.folders import FolderSource
from MedSAM2Lib.evaluation.plots import plot_differences, plot_values
from MedSAM2Lib.evaluation.results import ResultFile, Row
from MedSAM2Lib.evaluation.running import ReadyModel, engine_options
from MedSAM2Lib.evaluation.settings import MEMORIES, ORIENTATIONS, Setting, listed_settings, read_settings
from MedSAM2Lib.evaluation.synthetic import SyntheticSource
from MedSAM2Lib.evaluation.table import markdown
from MedSAM2Lib.evaluation.users import PromptingUser
from MedSAM2Lib.tracking.device import execution_context
from MedSAM2Lib.volume.io import replacing
from MedSAM2Lib.weights.loading import load_network

_EXIT_INTERRUPTED = 130
_DIGITS_OF_CHECKSUM = 12


def run_evaluation(options: EvaluateOptions) -> int:
    """Runs the evaluation of checked options; Ctrl-C keeps and tabulates the rows that are done."""
    plan = plan_from(options)
    reference = _reference(options.reference, plan.settings)
    models = load_models(plan.settings, options)
    results = ResultFile(made_folder(options.out) / "results.csv")
    rows: list[Row] = []
    interrupted = _collect(rows, evaluate(plan, models, results), plan.row_count)
    if rows:
        write_summary(rows, plan, reference, options.seed, about(plan, models), options.out)
    for sentence in dict.fromkeys(sentence for model in models.values() for sentence in model.context.notices):
        print(f"note: {sentence}", file=sys.stderr)
    cut = "interrupted: kept what was done, the same command goes on; " if interrupted else ""
    print(f"{cut}{len(rows)} rows in {results.path}; look at {options.out / 'table.md'}" if rows else f"{cut}no rows")
    return _EXIT_INTERRUPTED if interrupted else 0


def plan_from(options: EvaluateOptions) -> Plan:
    """What the options ask for; nothing is computed, no volume is read. Raises InputError."""
    source: CaseSource
    if options.synthetic is not None:
        source = SyntheticSource(options.synthetic, options.thick, options.seed)
    else:
        assert options.data is not None
        source = FolderSource.of(options.data)
    users = [
        PromptingUser(prompt, place, options.corrections, options.correct_by)
        for place in options.places
        for prompt in options.prompts
    ]
    settings = settings_from_options(options)
    return Plan(source, settings, users, options.metrics, options.tolerance_mm, options.limit, options.share_features)


def settings_from_options(options: EvaluateOptions) -> list[Setting]:
    """The settings of a file or of the lists; raises InputError."""
    if options.settings is not None:
        settings = read_settings(options.settings)
    else:
        orientations = listed(options.orientations, "--orientations", ORIENTATIONS)
        settings = listed_settings(listed(options.memories, "--memory", MEMORIES), orientations)
    return [replace(setting, model=setting.model or options.model) for setting in settings]


def load_models(settings: Sequence[Setting], options: EvaluateOptions) -> dict[str, ReadyModel]:
    """The model of each setting that needs one, by the setting's name; each is loaded once.

    Raises ModelError, DeviceError, and InputError for options that a model cannot have.
    """
    loaded: dict[str, ReadyModel] = {}
    for name in dict.fromkeys(str(setting.model) for setting in settings if setting.needs_model):
        context = execution_context(options.device, options.precision)
        loaded[name] = ReadyModel(load_network(name, device=context.device), context)
    models = {setting.name: loaded[str(setting.model)] for setting in settings if setting.needs_model}
    for setting in settings:
        if setting.name in models:
            engine_options(models[setting.name], setting)
    return models


def write_summary(rows: Sequence[Row], plan: Plan, reference: str, seed: int, about: str, folder: Path) -> None:
    """Writes table.md, and plots of the first and the last round: of Dice, or of the first metric without it."""
    groups = groups_of(rows)
    metric = "dice" if "dice" in plan.metrics else plan.metrics[0]
    with replacing(folder / "table.md") as partial:
        partial.write_text(markdown(groups, plan.settings, plan.metrics, reference, seed, about), encoding="utf-8")
    shown = [group for group in groups if group.round in (0, max(user.corrections for user in plan.users))]
    plot_values(shown, metric, folder / "values.png")
    if len(plan.settings) > 1:
        plot_differences(shown, metric, reference, seed, folder / "differences.png")


def _collect(rows: list[Row], found: Iterable[Row], total: int | None) -> bool:
    """Gathers rows; True where Ctrl-C ended it."""
    with tqdm(total=total, unit="row", desc="evaluate", disable=None, leave=False) as bar:
        try:
            for row in found:
                rows.append(row)
                bar.update()
        except KeyboardInterrupt:
            return True
    return False


def _reference(name: str | None, settings: Sequence[Setting]) -> str:
    names = [setting.name for setting in settings]
    if name is not None and name not in names:
        raise InputError(
            "E_REFERENCE", "There is no setting '{name}': --reference is one of {names}.", name=name, names=names
        )
    return name or names[0]


def made_folder(folder: Path) -> Path:
    """A folder for results, made if it is not there; raises OutputError where it cannot be."""
    if folder.exists() and not folder.is_dir():
        raise OutputError("E_OUT_IS_FILE", "{folder} is a file: give --out the name of a folder.", folder=folder)
    check_folder(folder if folder.is_dir() else folder.resolve().parent, folder)
    folder.mkdir(exist_ok=True)
    return folder


def about(plan: Plan, models: Mapping[str, ReadyModel]) -> str:
    """Where the numbers come from: data, models, versions."""
    unique = {model.loaded.checksum: model for model in models.values()}
    named = [
        f"{model.loaded.name} (sha256 {checksum[:_DIGITS_OF_CHECKSUM]}, image size {model.loaded.config.image_size}, "
        f"{model.context.device}, {str(model.context.dtype).removeprefix('torch.')})"
        for checksum, model in unique.items()
    ]
    limited = "" if plan.limit is None else f", the first {plan.limit}"
    surface = f" Surface Dice within {plan.tolerance_mm:g} mm." if "nsd" in plan.metrics else ""
    return (
        f"Data: {plan.source.description}{limited}. Model: {'; '.join(named) or 'none'}. "
        f"MedSAM2Slicer {__version__}, torch {torch.__version__}.{surface}"
    )
