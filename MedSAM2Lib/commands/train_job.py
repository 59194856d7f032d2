"""The work of `medsam2 train`: configuration, starting weights, bodies, and the loop."""

from __future__ import annotations

from pathlib import Path

import torch

from MedSAM2Lib.commands.train import TrainOptions
from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.training.configuration import PRECISIONS, TrainingConfig, override, read_settings, training_config
from MedSAM2Lib.training.loop import RunConfig, Trainer
from MedSAM2Lib.training.pool import HELD_OUT_FROM, fill_pool, load_body
from MedSAM2Lib.training.sampling import Body
from MedSAM2Lib.training.starting import Start, fitting_start
from MedSAM2Lib.weights.loading import load_network


def run_training(options: TrainOptions) -> int:
    """Trains to the end of the schedule; returns the exit code. Raises MedSAM2Error."""
    settings = read_settings(options.config)
    override(settings, options.changes)
    config = training_config(settings)
    start = None if options.start is None else Start.of(load_network(options.start))
    network = _network(config, start)
    torch.set_num_threads(config.threads)
    torch.set_flush_denormal(True)
    options.out.mkdir(parents=True, exist_ok=True)
    pool = Path(config.pool)
    trainer = Trainer(
        network_config=network,
        config=_run_config(options, config),
        bodies=_bodies(pool, range(config.bodies)),
        held_out=_bodies(pool, range(HELD_OUT_FROM, HELD_OUT_FROM + config.held_out)),
        start=start,
    )
    if options.resume:
        trainer.resume()
    trainer.run()
    return 0


def _network(config: TrainingConfig, start: Start | None) -> NetworkConfig:
    if config.network is None and start is None:
        raise InputError("E_NO_NETWORK", "The configuration names no network: give one, or starting weights by --from.")
    if start is None:
        assert config.network is not None
        return config.network
    return fitting_start(config.network or start.config, start)


def _run_config(options: TrainOptions, config: TrainingConfig) -> RunConfig:
    return RunConfig(
        out=options.out,
        schedule=config.schedule,
        seed=config.seed,
        checkpoint_every=config.checkpoint_every,
        checkpoint_minutes=config.checkpoint_minutes,
        validate_every=config.validate_every,
        report_every=config.report_every,
        gradient_limit=config.gradient_limit,
        accelerator=options.device,
        precision=PRECISIONS[config.precision],
        command=options.command,
    )


def _bodies(folder: Path, seeds: range) -> list[Body]:
    """The synthetic bodies of these seeds, made where they are missing."""
    return [Body.of(load_body(path)) for path in fill_pool(folder, seeds)]
