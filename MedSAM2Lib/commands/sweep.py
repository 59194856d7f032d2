"""`medsam2 sweep`: which memory, bank options, orientations and stop rule serve best, and by how much."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from MedSAM2Lib.commands.evaluate import PLACES, PROMPTS, check_number, check_packages, listed
from MedSAM2Lib.commands.model_options import add_network_options

EPILOG = """
One factor after the other is varied, each stage from what the ones before kept: the bank's rule, capacity, threshold,
margin, maps shown, resampling, neighbour; then the memory; then orientations and the stop rule. Every choice is
measured on the same objects, once in voxels of 3 mm and once in slices of 5 mm, by every prompt.

written to --out
  results-isotropic.csv and results-thick.csv, rows as they come: the same command goes on where it was stopped.
  sweep.md, sweep.png; winner.json, which `medsam2 evaluate --settings` reads, for other data.

example, the one that the defaults come from (with version 0.1.0 of the embedded model)
  medsam2 sweep --objects 32 --seed 1 --out swept
"""

FACTOR_NAMES = (
    "rule",
    "capacity",
    "least_iou",
    "margin",
    "shown",
    "resampling",
    "neighbour",
    "memory",
    "orientations",
    "stop_predicted_iou",
    "stop_misses",
)


@dataclass(frozen=True)
class SweepOptions:
    """The options of ``medsam2 sweep``, typed."""

    objects: int
    seed: int
    prompts: list[str]
    places: list[str]
    factors: list[str]
    model: str
    device: str
    precision: str
    out: Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``sweep`` to the command's parser."""
    parser = subparsers.add_parser(
        "sweep",
        help="find the memory, bank options, orientations and stop rule that serve best",
        description="Varies one option after the other on synthetic objects and keeps the best: table, plot, winner.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--objects", type=int, default=60, metavar="N", help="synthetic objects (default 60)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the objects and intervals (default 1)")
    parser.add_argument(
        "--prompt", default="box,click", metavar="P[,P...]", help=f"of {', '.join(PROMPTS)} (default box,click)"
    )
    parser.add_argument(
        "--at", default="largest,quarter", metavar="A[,A]", help="slice of the object (default largest,quarter)"
    )
    parser.add_argument(
        "--factors",
        default=",".join(FACTOR_NAMES),
        metavar="F[,F...]",
        help=f"of {', '.join(FACTOR_NAMES)}; always in this order (default all)",
    )
    add_network_options(parser, precision="fp32")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made if it is not there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs ``medsam2 sweep``; returns the exit code."""
    check_number("--objects", options.objects, 2)
    check_number("--seed", options.seed, 0)
    check_packages([])
    checked = SweepOptions(
        objects=options.objects,
        seed=options.seed,
        prompts=listed(options.prompt, "--prompt", PROMPTS),
        places=listed(options.at, "--at", PLACES),
        factors=listed(options.factors, "--factors", FACTOR_NAMES),
        model=options.model,
        device=options.device,
        precision=options.precision,
        out=options.out,
    )
    from MedSAM2Lib.commands.sweep_job import run_sweep

    return run_sweep(checked)
