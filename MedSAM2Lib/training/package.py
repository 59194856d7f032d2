"""From a run's last checkpoint to a model file: averaged weights in fp16, with what they are and how they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.checkpoint import load_checkpoint
from MedSAM2Lib.training.run_folder import RunFolder
from MedSAM2Lib.weights.saving import save_network

LARGEST_BYTES = 15_000_000
FILE_FORMAT = "medsam2slicer"
TOLD = ("command", "seed", "data", "start", "plans", "settings")


def averaged_network(run: Path) -> tuple[Sam2Network, dict[str, Any]]:
    """The averaged network of a run's last checkpoint, and how it was trained.

    Returns:
        The network in evaluation mode; and ``command``, ``seed``, ``frames`` (so far), ``steps``, ``data``, ``start``
        (name and SHA-256 of the starting weights, or None), ``settings`` (the configuration as it was given), and
        ``plans``: the run's planned length in frames, and every change of it.

    Raises:
        InputError: ``E_NO_RUN`` where the folder holds no run, ``E_CHECKPOINT_BROKEN``, ``E_CHECKPOINT_NETWORK``.
    """
    folder = RunFolder(run)
    described = folder.described()
    if described is None or not folder.checkpoint.exists():
        raise InputError(
            "E_NO_RUN",
            "There is no training run with a checkpoint in {folder}: give the folder that --out of training named.",
            folder=run,
        )
    state = load_checkpoint(folder.checkpoint)
    try:
        network = Sam2Network(NetworkConfig.from_dict(described["network"]))
        network.load_state_dict(state["average"])
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            "E_CHECKPOINT_NETWORK",
            "The checkpoint in {folder} is of another network than its run.json tells: the folder is damaged.",
            folder=run,
        ) from error
    training = {name: described.get(name) for name in TOLD}
    return network.eval(), {**training, "frames": int(state["frames"]), "steps": int(state["step"])}


def package(run: Path, out: Path, name: str, version: str, limit: int | None = LARGEST_BYTES) -> int:
    """Write the model file of a run; returns its size in bytes.

    The metadata hold ``format``, ``config`` (JSON of ``NetworkConfig.to_dict``), ``name``, ``version`` and ``training``
    (JSON of what ``averaged_network`` returns). Raises InputError as that does; OutputError ``E_MODEL_TOO_LARGE`` for
    more than ``limit`` bytes (None: any), ``E_MODEL_WEIGHTS`` for weights that fp16 cannot hold, or where the file
    cannot be written.
    """
    network, training = averaged_network(run)
    expected = 2 * sum(tensor.numel() for tensor in network.state_dict().values())
    if limit is not None and expected > limit:
        raise OutputError(
            "E_MODEL_TOO_LARGE",
            "The model would take {megabytes:.1f} MB, a shipped one may take {limit:.0f} MB: train a smaller one, or "
            "package it with --any-size.",
            megabytes=expected / 1e6,
            limit=limit / 1e6,
        )
    notes = {
        "format": FILE_FORMAT,
        "name": name,
        "version": version,
        "training": json.dumps(training),
    }
    try:
        save_network(network, out, torch.float16, notes)
    except ValueError as error:
        raise OutputError(
            "E_MODEL_WEIGHTS", "The model of {run} cannot be packaged in fp16: {reason}.", run=run, reason=error
        ) from error
    return out.stat().st_size
