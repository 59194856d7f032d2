"""`medsam2 evaluate`: settings side by side on volumes with known truth, from the prompts of a simulated user."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from MedSAM2Lib.commands.model_options import add_network_options
from MedSAM2Lib.errors import InputError

EPILOG = """
data
  DATA is a folder: ct1.nii.gz with ct1_label.nii.gz, ct1.nrrd with ct1.seg.nrrd, or sub-folders images and labels with
  equal names; or .npz files with imgs and gts (and spacing in mm along i, j, k, if known). Every label is an object.
  Names of labels are taken from .seg.nrrd, or from a dataset.json as nnU-Net writes it.
  --synthetic N makes N objects of bodies that training never saw, in voxels of 3 mm; --thick has slices of 5 mm.

settings
  --memory and --orientations take lists, every combination is a setting. A memory is temporal, self-sorting or
  key-slice; or what these must beat: none (each slice prompted by its neighbour's box), repeated (the true mask of the
  prompted slice on all slices), repeated-within (on the object's true extent). --settings FILE.json says more:
  [{"name": "SAM 2"}, {"name": "K = 8", "memory": "self-sorting", "self_sorting": {"rule": "code", "capacity": 8},
    "orientations": "auto", "stop": "off", "zoom": 1.7, "model": "embedded"}]

written to --out
  results.csv, one row for each object, setting, prompt and round, as they come; the same command goes on where it was
  stopped. table.md with means and paired differences; values.png and differences.png.
  surface Dice counts surface within --tolerance as right; HD95 of a lost object is the volume's diagonal.

examples
  medsam2 evaluate --synthetic 100 --memory temporal,none,repeated --prompt box,click --out compared
  medsam2 evaluate folder --settings settings.json --prompt click --corrections 5 --out corrected
"""

PROMPTS = ("box", "click", "mask")
PLACES = ("largest", "quarter")
METRICS = ("dice", "iou", "nsd", "hd95")
CORRECTIONS = ("click", "slice")


@dataclass(frozen=True)
class EvaluateOptions:
    """The options of ``medsam2 evaluate``, typed; ``data`` or ``synthetic`` is given, and ``settings`` or the lists."""

    data: Path | None
    synthetic: int | None
    thick: bool
    limit: int | None
    seed: int
    settings: Path | None
    memories: str
    orientations: str
    model: str
    device: str
    precision: str
    prompts: list[str]
    places: list[str]
    corrections: int
    correct_by: str
    metrics: list[str]
    tolerance_mm: float
    reference: str | None
    share_features: bool
    out: Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``evaluate`` to the command's parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="compare settings on volumes with known truth: CSV, tables, plots",
        description="A simulated user prompts each object; results are measured against the truth.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_data_options(parser)
    _add_setting_options(parser)
    _add_user_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--metric", default=",".join(METRICS), help=f"of {', '.join(METRICS)} (default all)")
    output.add_argument("--tolerance", type=float, default=2.0, metavar="MM", help="of the surface Dice (default 2)")
    output.add_argument("--reference", metavar="NAME", help="setting to compare the others with (default the first)")
    output.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made if it is not there")
    parser.set_defaults(run=run)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help="a folder of images and label maps")
    group = parser.add_argument_group("data")
    group.add_argument("--synthetic", type=int, metavar="N", help="N synthetic objects in place of DATA")
    group.add_argument("--thick", action="store_true", help="synthetic volumes with slices of 5 mm")
    group.add_argument("--limit", type=int, metavar="N", help="the first N objects only")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of synthetic data and intervals (default 0)")


def _add_setting_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings")
    group.add_argument("--settings", type=Path, metavar="FILE.json", help="settings with all their options")
    group.add_argument("--memory", metavar="M[,M...]", help="memories to compare (default temporal)")
    group.add_argument("--orientations", metavar="O[,O...]", help="of 1, 3 and auto (default 1)")
    add_network_options(group, precision="fp32")
    group.add_argument(
        "--share-features",
        action="store_true",
        help="encode each slice once for all settings: half the time; seconds are then no measure of a setting",
    )


def _add_user_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("simulated user")
    group.add_argument("--prompt", default="box", metavar="P[,P...]", help=f"of {', '.join(PROMPTS)} (default box)")
    group.add_argument("--at", default="largest", metavar="A[,A]", help=f"slice: {' or '.join(PLACES)} of the object")
    group.add_argument("--corrections", type=int, default=0, metavar="N", help="rounds after the first (default 0)")
    group.add_argument(
        "--correct-by",
        choices=CORRECTIONS,
        default="click",
        help="a click at the centre of the largest error, or the true mask of the worst slice (default click)",
    )


def run(options: argparse.Namespace) -> int:
    """Runs ``medsam2 evaluate``; returns the exit code."""
    checked = checked_options(options)
    from MedSAM2Lib.commands.evaluate_job import run_evaluation

    return run_evaluation(checked)


def checked_options(options: argparse.Namespace) -> EvaluateOptions:
    """The options as one typed object, after the checks that need no file and no torch. Raises InputError."""
    if (options.data is None) == (options.synthetic is None):
        raise InputError("E_EVALUATE_DATA", "Give either DATA, a folder with label maps, or --synthetic N.")
    if options.thick and options.synthetic is None:
        raise InputError("E_EVALUATE_THICK", "--thick is how synthetic volumes are made: give --synthetic N with it.")
    if options.settings is not None and (options.memory or options.orientations):
        raise InputError(
            "E_EVALUATE_SETTINGS",
            "--settings brings memories and orientations: write them in the file, not on the command line.",
        )
    for option, least in (("synthetic", 1), ("limit", 1), ("corrections", 0), ("tolerance", 0), ("seed", 0)):
        check_number(f"--{option}", getattr(options, option), least)
    metrics = listed(options.metric, "--metric", METRICS)
    check_packages(metrics)
    return EvaluateOptions(
        data=options.data,
        synthetic=options.synthetic,
        thick=options.thick,
        limit=options.limit,
        seed=options.seed,
        settings=options.settings,
        memories=options.memory or "temporal",
        orientations=options.orientations or "1",
        model=options.model,
        device=options.device,
        precision=options.precision,
        prompts=listed(options.prompt, "--prompt", PROMPTS),
        places=listed(options.at, "--at", PLACES),
        corrections=options.corrections,
        correct_by=options.correct_by,
        metrics=metrics,
        tolerance_mm=options.tolerance,
        reference=options.reference,
        share_features=options.share_features,
        out=options.out,
    )


def listed(text: str, option: str, known: tuple[str, ...]) -> list[str]:
    """A comma-separated list of known words, each once. Raises InputError."""
    words = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        raise InputError(
            "E_EVALUATE_LIST",
            "{option} '{text}' is not a list of {known}: separate words by commas.",
            option=option,
            text=text,
            known=", ".join(known),
        )
    return words


def check_number(option: str, value: float | None, least: int) -> None:
    """Raises InputError for a number below ``least``, or too large to count with."""
    if value is not None and not least <= value < 2**31:
        raise InputError(
            "E_EVALUATE_NUMBER",
            "{option} {value} is out of range: give {least} or more.",
            option=option,
            value=value,
            least=least,
        )


def check_packages(metrics: list[str]) -> None:
    """Raises InputError where a package is missing that the plots, or the metrics of surfaces, are made with."""
    packages = ["matplotlib", *(["monai"] if {"nsd", "hd95"} & set(metrics) else [])]
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise InputError(
            "E_EVALUATION_EXTRA",
            "medsam2 evaluate needs {missing}: pip install 'MedSAM2Slicer[evaluation]'.",
            missing=" and ".join(missing),
        )
