"""`medsam2 train`: train a network on synthetic anatomy or on your own cases, from nothing or from a checkpoint."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from MedSAM2Lib.errors import InputError

EPILOG = """
configuration
  --config is a JSON file or a name: embedded, embedded-warm (for weights that are trained already), embedded-long (the
  image encoder frozen, clips of 16 slices), embedded-gpu, finetune, finetune-large, or a recipe. Its keys are those of
  the run; --set changes one (--set schedule.peak_rate=1e-4), --frames, --seed and --workers the usual ones.

your own cases
  --finetune DATA: a folder with one folder a case, each with image.nrrd, mask.seg.nrrd (every segment is an object)
  and perhaps provenance.json, as the Slicer module saves them; or what `medsam2 evaluate` reads. Clips run along all
  three axes. A fifth of the cases is held out for validation. A SAM 2 checkpoint at 512 or 1024 pixels wants a GPU:
  memory, and on a CPU time, are estimated and printed before it starts.

recipes, as the released code of Medical SAM 2 (arXiv 2408.00874) trains; memory as measured with SAM 2 small at 1024
pixels in fp32 on a CPU
  medical-sam2-3d  clips of 2 slices, a box on every second one. Frozen: image encoder, prompt encoder, learned
                   tokens. The mask decoder learns at 1e-4; memory attention, memory encoder and pointers at 1e-8.
                   4.3 GB.
  medical-sam2-2d  batches of 4 images, a click in every fifth batch, one bank of 16 memories for all. Frozen: prompt
                   encoder, memory encoder and pointers. The rest learns at 1e-4. 12.7 GB.

written to --out
  run.json (what was asked for), last.ckpt (all that is needed to go on), curve.csv, validation.csv, curve.png, and at
  the end model.safetensors, which --model takes. A run that was stopped goes on by: medsam2 train --resume --out FOLDER
  With its first options, --resume begins anew where nothing was saved yet. A folder takes one run at a time.

examples
  medsam2 train --config embedded-warm --from embedded --frames 400000 --seed 2 --out runs/second
  medsam2 train --config embedded-gpu --device cuda --out runs/gpu
  medsam2 train --finetune cases --out runs/mine
  medsam2 train --finetune cases --recipe medical-sam2-3d --from sam2-hiera-small --device cuda --out runs/published
  medsam2 train --package runs/second --out model.safetensors
"""

USUAL_KEYS = ("frames", "seed", "workers")
RECIPES = ("medical-sam2-3d", "medical-sam2-2d")


@dataclass(frozen=True)
class TrainOptions:
    """The options of ``medsam2 train``, typed; ``changes`` are KEY=VALUE for the configuration."""

    config: str | None
    changes: tuple[str, ...]
    data: Path | None
    start: str | None
    image_size: int | None
    device: str
    resume: bool
    out: Path

    @property
    def command(self) -> str:
        """The command that repeats this run."""
        words = ["medsam2 train"]
        words += [] if self.config is None else [f"--config {self.config}"]
        words += [] if self.data is None else [f"--finetune {self.data}"]
        words += [] if self.start is None else [f"--from {self.start}"]
        words += [] if self.image_size is None else [f"--image-size {self.image_size}"]
        for change in self.changes:
            name, _, value = change.partition("=")
            words.append(f"--{name} {value}" if name in USUAL_KEYS else f"--set {change}")
        return " ".join([*words, f"--device {self.device} --out {self.out}"])

    def continuing(self, told: dict[str, str | int | None]) -> TrainOptions:
        """With what the run was begun with, where nothing else is said now."""
        data, start, size = (told.get(name) for name in ("data", "start", "image_size"))
        return replace(
            self,
            data=self.data or (Path(str(data)) if data else None),
            start=self.start or (str(start) if start else None),
            image_size=self.image_size or (int(size) if size else None),
        )


@dataclass(frozen=True)
class PackageOptions:
    """The options of ``medsam2 train --package``."""

    run: Path
    out: Path
    name: str
    version: str
    any_size: bool


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``train`` to the command's parser."""
    parser = subparsers.add_parser(
        "train",
        help="train a model on synthetic anatomy or on your own cases",
        description="Trains a network, from nothing or from any SAM 2 checkpoint.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to train")
    what.add_argument("--config", metavar="NAME|FILE", help="configuration (default embedded, or finetune with cases)")
    what.add_argument("--recipe", choices=RECIPES, help="a published way to train, in place of --config")
    what.add_argument("--from", dest="start", metavar="MODEL", help="starting weights: a name or a checkpoint file")
    what.add_argument("--image-size", type=int, metavar="S", help="side of the input where the checkpoint tells none")
    what.add_argument("--finetune", type=Path, metavar="DATA", help="your own cases in place of synthetic anatomy")
    run_group = parser.add_argument_group("the run")
    run_group.add_argument("--frames", type=int, metavar="N", help="slices to train on in all")
    run_group.add_argument("--seed", type=int, metavar="N", help="seed of everything random")
    run_group.add_argument("--workers", type=int, metavar="N", help="processes that make batches (-1: one a processor)")
    run_group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help="change a key, repeatable"
    )
    run_group.add_argument("--device", default="auto", help="cpu, cuda, cuda:N, mps or auto (default auto)")
    run_group.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    run_group.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made if it is not there")
    packaging = parser.add_argument_group("packaging")
    packaging.add_argument("--package", type=Path, metavar="RUN", help="write a run's model to --out FILE instead")
    packaging.add_argument("--name", default="medsam2-embedded", help="noted in the file (default medsam2-embedded)")
    packaging.add_argument("--model-version", default="0.1.0", metavar="V", help="noted in the file (default 0.1.0)")
    packaging.add_argument("--any-size", action="store_true", help="also more than the 15 MB of a shipped model")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs ``medsam2 train``; returns the exit code."""
    checked = checked_options(options)
    check_training_packages()
    from MedSAM2Lib.commands.train_job import run_packaging, run_training

    return run_packaging(checked) if isinstance(checked, PackageOptions) else run_training(checked)


def check_training_packages() -> None:
    """Raises InputError where what training is made with is missing."""
    if find_spec("lightning") is None:
        raise InputError("E_TRAINING_EXTRA", "medsam2 train needs lightning: pip install 'MedSAM2Slicer[training]'.")


def checked_options(options: argparse.Namespace) -> TrainOptions | PackageOptions:
    """The options as one typed object, after the checks that need no file and no torch. Raises InputError."""
    if options.package is not None:
        _check_alone(options)
        return PackageOptions(options.package, options.out, options.name, options.model_version, options.any_size)
    if options.recipe and options.config:
        raise InputError("E_TRAIN_RECIPE", "--recipe is a configuration: leave out --config, or change keys by --set.")
    if options.image_size is not None and options.start is None:
        raise InputError("E_TRAIN_SIZE", "--image-size is that of starting weights: give --from with it.")
    given = [(name, getattr(options, name)) for name in USUAL_KEYS]
    return TrainOptions(
        config=options.recipe or options.config,
        changes=(*options.changes, *(f"{name}={value}" for name, value in given if value is not None)),
        data=options.finetune,
        start=options.start,
        image_size=options.image_size,
        device=options.device,
        resume=options.resume,
        out=options.out,
    )


def _check_alone(options: argparse.Namespace) -> None:
    others = ("config", "recipe", "start", "finetune", "frames", "seed", "resume")
    given = [name for name in others if getattr(options, name)]
    if given:
        raise InputError(
            "E_PACKAGE_ALONE", "--package writes a run's model and trains nothing: leave out --{name}.", name=given[0]
        )
