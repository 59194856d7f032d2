"""``python -m MedSAM2Lib.training --config-name embedded --frames N --out runs/embedded [--resume]``."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from MedSAM2Lib.training.loop import RunConfig, Trainer
from MedSAM2Lib.training.pool import HELD_OUT_FROM, fill_pool, load_body
from MedSAM2Lib.training.presets import network_preset
from MedSAM2Lib.training.sampling import Body
from MedSAM2Lib.training.schedule import ScheduleConfig


def parser() -> argparse.ArgumentParser:
    """The options of a training run."""
    result = argparse.ArgumentParser(prog="python -m MedSAM2Lib.training", description=__doc__)
    result.add_argument("--config-name", default="embedded", help="the network to train (default: embedded)")
    result.add_argument("--frames", type=int, required=True, help="how many slices to train on in all")
    result.add_argument("--out", type=Path, required=True, help="folder for checkpoints and curves")
    result.add_argument("--pool", type=Path, default=Path("runs/pool"), help="folder of the synthetic bodies")
    result.add_argument("--bodies", type=int, default=300, help="how many bodies to train on; missing ones are made")
    result.add_argument("--held-out", type=int, default=24, help="how many further bodies to validate on")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    result.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    return result


def load_bodies(folder: Path, seeds: range) -> list[Body]:
    """The bodies of these seeds, made where they are missing."""
    return [Body.of(load_body(path)) for path in fill_pool(folder, seeds)]


def _command(options: argparse.Namespace) -> str:
    """The command that repeats this run."""
    return (
        f"python -m MedSAM2Lib.training --config-name {options.config_name} --frames {options.frames}"
        f" --bodies {options.bodies} --seed {options.seed} --out {options.out}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Train to the end of the schedule."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    trainer = Trainer(
        network_config=network_preset(options.config_name),
        config=RunConfig(options.out, ScheduleConfig(options.frames), options.seed, command=_command(options)),
        bodies=load_bodies(options.pool, range(options.bodies)),
        held_out=load_bodies(options.pool, range(HELD_OUT_FROM, HELD_OUT_FROM + options.held_out)),
    )
    if options.resume:
        trainer.resume()
    trainer.run()


if __name__ == "__main__":
    main()
