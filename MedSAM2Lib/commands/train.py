"""`medsam2 train`: train a network on synthetic anatomy, from nothing or from any SAM 2 checkpoint."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from MedSAM2Lib.errors import InputError

EPILOG = """
configuration
  --config is a JSON file or a name (embedded). Its keys are those of the run; --set changes one of them, --frames and
  --seed the two that change most. Bodies that the pool lacks are made first.

written to --out
  run.json (what was asked for), last.ckpt (all that is needed to go on), curve.csv and validation.csv.
  A run that was stopped goes on with the same command and --resume.

example
  medsam2 train --config embedded --from embedded --frames 400000 --seed 2 --out runs/second
"""


@dataclass(frozen=True)
class TrainOptions:
    """The options of ``medsam2 train``, typed; ``changes`` are KEY=VALUE for the configuration."""

    config: str
    changes: tuple[str, ...]
    start: str | None
    device: str
    resume: bool
    out: Path

    @property
    def command(self) -> str:
        """The command that repeats this run."""
        changes = "".join(f" --set {change}" for change in self.changes)
        start = f" --from {self.start}" if self.start else ""
        return f"medsam2 train --config {self.config}{changes}{start} --device {self.device} --out {self.out}"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``train`` to the command's parser."""
    parser = subparsers.add_parser(
        "train",
        help="train a model on synthetic anatomy, from nothing or from a checkpoint",
        description="Trains a network on procedurally made anatomy.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", default="embedded", metavar="NAME|FILE", help="configuration (default embedded)")
    parser.add_argument("--frames", type=int, metavar="N", help="slices to train on in all")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of everything random")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a key, repeatable"
    )
    parser.add_argument("--from", dest="start", metavar="MODEL", help="starting weights: a name or a checkpoint")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default auto)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made if it is not there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs ``medsam2 train``; returns the exit code."""
    if find_spec("lightning") is None:
        raise InputError("E_TRAINING_EXTRA", "medsam2 train needs lightning: pip install 'MedSAM2Slicer[training]'.")
    checked = checked_options(options)
    from MedSAM2Lib.commands.train_job import run_training

    return run_training(checked)


def checked_options(options: argparse.Namespace) -> TrainOptions:
    """The options as one typed object."""
    given = [(name, getattr(options, name)) for name in ("frames", "seed")]
    return TrainOptions(
        config=options.config,
        changes=(*(f"{name}={value}" for name, value in given if value is not None), *options.changes),
        start=options.start,
        device=options.device,
        resume=options.resume,
        out=options.out,
    )
