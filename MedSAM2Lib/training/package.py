"""From a run's last checkpoint to a model file that can be shipped: averaged weights in fp16, with their configuration.

``python -m MedSAM2Lib.training.package --run runs/embedded --out Resources/medsam2-embedded.safetensors``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.loop import CHECKPOINT_NAME, RUN_NAME
from MedSAM2Lib.weights.saving import save_network

LARGEST_BYTES = 15_000_000
FILE_FORMAT = "medsam2slicer"


def averaged_network(run: Path) -> tuple[Sam2Network, dict[str, Any]]:
    """The averaged network of a run's last checkpoint, and how it was trained.

    Returns:
        The network in evaluation mode; and ``command``, ``seed``, ``frames`` (so far), ``steps``, and ``plans``: the
        run's planned length in frames, and every change of it.

    Raises:
        InputError: ``E_NO_RUN`` where the folder holds no run.
    """
    if not (run / CHECKPOINT_NAME).exists() or not (run / RUN_NAME).exists():
        raise InputError(
            "E_NO_RUN",
            "There is no training run in {folder}: give the folder that --out of training named.",
            folder=run,
        )
    described = json.loads((run / RUN_NAME).read_text())
    state = torch.load(run / CHECKPOINT_NAME, map_location="cpu", weights_only=True)
    network = Sam2Network(NetworkConfig.from_dict(described["network"]))
    network.load_state_dict(state["average"])
    training = {
        "command": described["command"],
        "seed": described["seed"],
        "frames": int(state["frames"]),
        "plans": described["plans"],
        "steps": int(state["step"]),
    }
    return network.eval(), training


def package(run: Path, out: Path, name: str, version: str) -> int:
    """Write the model file of a run; returns its size in bytes.

    The metadata hold ``format``, ``config`` (JSON of ``NetworkConfig.to_dict``), ``name``, ``version`` and ``training``
    (JSON of what ``averaged_network`` returns). Raises InputError ``E_NO_RUN``; OutputError ``E_MODEL_TOO_LARGE`` for
    more than 15 MB.
    """
    network, training = averaged_network(run)
    expected = 2 * sum(tensor.numel() for tensor in network.state_dict().values())
    if expected > LARGEST_BYTES:
        raise OutputError(
            "E_MODEL_TOO_LARGE",
            "The model would take {megabytes:.1f} MB, a shipped one may take {limit:.0f} MB: train a smaller one.",
            megabytes=expected / 1e6,
            limit=LARGEST_BYTES / 1e6,
        )
    notes = {
        "format": FILE_FORMAT,
        "name": name,
        "version": version,
        "training": json.dumps(training),
    }
    save_network(network, out, torch.float16, notes)
    return out.stat().st_size


def main(arguments: list[str] | None = None) -> None:
    """Package a run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m MedSAM2Lib.training.package", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--name", default="medsam2-embedded")
    parser.add_argument("--version", default="0.1.0")
    options = parser.parse_args(arguments)
    print(f"{options.out}: {package(options.run, options.out, options.name, options.version) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
