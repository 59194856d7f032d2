"""The work of `medsam2 train`: what is asked for, checked against the folder; then weights, data, and the loop."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from MedSAM2Lib.commands.train import PackageOptions, TrainOptions
from MedSAM2Lib.commands.train_data import TrainingData, case_data, synthetic_data
from MedSAM2Lib.errors import InputError, MedSAM2Error, OutputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.tracking.device import choose_device, is_out_of_memory, no_memory
from MedSAM2Lib.training.configuration import TrainingConfig, override, read_settings, training_config
from MedSAM2Lib.training.cost import cost_of
from MedSAM2Lib.training.loop import Trainer, report_line
from MedSAM2Lib.training.package import package
from MedSAM2Lib.training.plots import plot_run
from MedSAM2Lib.training.run_folder import RunFolder, RunNotes
from MedSAM2Lib.training.run_lock import only_run
from MedSAM2Lib.training.starting import Start, fitting_start
from MedSAM2Lib.weights.catalogue import EMBEDDED
from MedSAM2Lib.weights.loading import load_network

INTERRUPTED = 130
MODEL_NAME = "model.safetensors"
LARGE_FROM = 512
"""Side of the input from which a checkpoint is trained in small batches."""


def run_packaging(options: PackageOptions) -> int:
    """Writes a run's model file; returns the exit code. Raises MedSAM2Error."""
    limit = {} if not options.any_size else {"limit": None}
    size = package(options.run, options.out, options.name, options.version, **limit)
    print(f"{options.out}: {size / 1e6:.1f} MB")
    return 0


def run_training(options: TrainOptions) -> int:
    """Trains to the end of the schedule; returns the exit code. Raises MedSAM2Error."""
    folder = RunFolder(options.out)
    device = choose_device(options.device)
    told = _told_before(folder, options)
    goes_on = told is not None and folder.checkpoint.exists()
    asked = options.start
    if told is not None:
        options = options.continuing(told.get("begun") or {})
    start = None if options.start is None or (goes_on and asked is None) else _start(options, options.start)
    settings = _settings(options, told, start)
    config = _resolved(training_config(settings), device)
    if options.data is not None and config.network is None and start is None and not goes_on:
        start = _start(options, EMBEDDED)
    network = _network(config, start, told)
    data = synthetic_data(config) if options.data is None else case_data(options.data)
    if told is not None:
        folder.check_same(config, network, start, data.told)
    if options.resume and told is None:
        report_line(f"nothing was saved in {options.out} yet: the run begins anew")
    _announce(network, config, device, start)
    begun = {"data": _text(options.data), "start": _lasting(options.start), "image_size": options.image_size}
    notes = RunNotes(options.command, data.told, settings, begun)
    with _made_folder(options.out), only_run(options.out):
        if told is None:
            folder.check_new()  # once more, now that no other run can write there
        goes_on = goes_on or (told is not None and folder.checkpoint.exists())
        return _train(options, config, network, start, data, notes, device, goes_on)


def _train(
    options: TrainOptions,
    config: TrainingConfig,
    network: NetworkConfig,
    start: Start | None,
    data: TrainingData,
    notes: RunNotes,
    device: torch.device,
    goes_on: bool,
) -> int:
    torch.set_num_threads(config.threads)
    torch.set_flush_denormal(True)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        maker, validator = data.make(config, network, report_line)
        trainer = Trainer(network, config, options.out, maker, validator, start, notes, device)
        if goes_on:
            trainer.resume()
        trainer.run()
    except KeyboardInterrupt:
        plot_run(options.out, report_line)
        report_line(_stopped(options.out))
        return INTERRUPTED
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise no_memory(device) from error
        if "DataLoader worker" in str(error):
            raise MedSAM2Error(
                "E_WORKER",
                "A process that makes batches was ended from outside, often for want of memory: give fewer --workers, "
                "and go on with --resume.",
            ) from error
        raise
    finally:
        torch.set_flush_denormal(False)  # it holds for the process, and others need tiny numbers
    model = options.out / MODEL_NAME
    package(options.out, model, options.out.name, "0", limit=None)
    report_line(f"done: {model}, for --model of the other commands")
    return 0


def _stopped(out: Path) -> str:
    """What was kept of an interrupted run, and how it goes on."""
    if RunFolder(out).described() is None:
        return "interrupted before the first step: give the same command again"
    return f"interrupted; what was saved last is kept. Go on with: medsam2 train --resume --out {out}"


def _told_before(folder: RunFolder, options: TrainOptions) -> dict[str, Any] | None:
    """What the run in the folder was begun with, for one that goes on. Raises InputError.

    A run that was stopped before it wrote anything begins anew, if what it begins with is given once more.
    """
    if not options.resume:
        folder.check_new()
        return None
    told = folder.described()
    if told is None and (folder.found() or not (options.config or options.data or options.start)):
        raise InputError(
            "E_NO_CHECKPOINT",
            "There is no training run in {folder} to resume: leave out --resume, or give the run's own folder.",
            folder=folder.path,
        )
    return told


def _start(options: TrainOptions, name: str) -> Start:
    """The starting weights of that name, or from that file."""
    return Start.of(load_network(name, image_size=options.image_size))


def _settings(options: TrainOptions, told: dict[str, Any] | None, start: Start | None) -> dict[str, Any]:
    kept = None if told is None else told.get("settings")
    if options.config is None and kept is not None:
        settings = dict(kept)
    else:
        settings = read_settings(options.config or _usual_config(options, start))
    override(settings, options.changes)
    return settings


def _usual_config(options: TrainOptions, start: Start | None) -> str:
    if options.data is None:
        return "embedded"
    return "finetune-large" if start is not None and start.config.image_size >= LARGE_FROM else "finetune"


def _resolved(config: TrainingConfig, device: torch.device) -> TrainingConfig:
    """``auto`` and -1 as what they mean on this machine."""
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "fp32"
    workers = config.workers if config.workers >= 0 else max(1, (os.cpu_count() or 2) - 1)
    return replace(config, precision=precision, workers=workers)


def _network(config: TrainingConfig, start: Start | None, told: dict[str, Any] | None) -> NetworkConfig:
    if start is not None:
        return fitting_start(config.network or start.config, start)
    if config.network is not None:
        return config.network
    if told is not None:
        return NetworkConfig.from_dict(told["network"])
    raise InputError("E_NO_NETWORK", "The configuration names no network: give one, or starting weights by --from.")


@contextmanager
def _made_folder(folder: Path) -> Iterator[None]:
    """The folder is there for the block; what was made for it and is still empty at the end is removed."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        _make_folder(folder)
        yield
    finally:
        for each in made:
            with suppress(OSError):  # not empty
                each.rmdir()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(
            "E_OUT_IS_FILE", "{folder} is a file: give --out the name of a folder.", folder=folder
        ) from error
    if not os.access(folder, os.W_OK):
        raise OutputError("E_OUT_WRITE", "{folder} cannot be written to: check your permissions.", folder=folder)


def _announce(network: NetworkConfig, config: TrainingConfig, device: torch.device, start: Start | None) -> None:
    """Says what learns, what is frozen, and what a step takes, before anything is computed."""
    cost = cost_of(network, config)
    begin = "" if start is None else f", from {start.name}"
    report_line(
        f"{cost.weights / 1e6:.1f} million parameters at {network.image_size} pixels{begin}; "
        f"{cost.trained / 1e6:.1f} million learn; frozen: {', '.join(config.frozen) or 'nothing'}"
    )
    halves = " (fp32; bf16 takes about half)" if config.precision == "bf16" else ""
    report_line(f"the largest step takes about {cost.gigabytes:.1f} GB of memory on {device}{halves}, estimated")
    if device.type == "cpu":
        seconds = cost.cpu_seconds(config.threads)
        steps = math.ceil(config.schedule.frames / cost.frames)
        report_line(
            f"about {seconds:.1f} s a step on {config.threads} processor core{'s' * (config.threads > 1)}, estimated: "
            f"{seconds * steps / 3600:.1f} hours for {steps} steps"
        )


def _lasting(start: str | None) -> str | None:
    """Starting weights so that they are found from any working folder: a name stays, a file gets its whole path."""
    if start is None:
        return None
    path = Path(start).expanduser()
    return str(path.resolve()) if path.is_file() else start


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())
