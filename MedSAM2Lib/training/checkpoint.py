"""A run's last checkpoint: it is replaced only by a complete one, and read without running code from it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.training.files import DAMAGED, reason_of, replacing_whole

CHECKPOINT_NAME = "last.ckpt"
TABLES = ("objective", "optimizer", "average")
COUNTS = ("step", "frames")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes the state; the checkpoint before stays until this one is complete and on the disk.

    Raises OutputError ``E_CHECKPOINT_NOT_SAVED``, for example where the disk is full; nothing half-written stays.
    """
    try:
        with replacing_whole(path) as part, part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch tells a failed write as a RuntimeError
        kept = "the checkpoint before it is kept" if path.exists() else "there is none before it"
        raise OutputError(
            "E_CHECKPOINT_NOT_SAVED",
            "The checkpoint {path} could not be saved ({reason}); {kept}. Make room or check the folder, then go on "
            "with --resume.",
            path=path,
            reason=reason_of(error),
            kept=kept,
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state, on the CPU. Raises InputError ``E_NO_CHECKPOINT`` or ``E_CHECKPOINT_BROKEN``."""
    if not path.exists():
        raise InputError(
            "E_NO_CHECKPOINT",
            "There is no checkpoint {path} to resume from: leave out --resume, or give the run's own folder.",
            path=path,
        )
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch compares no checksums
                raise _broken(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED as error:
        raise _broken(path) from error
    if not _is_state(state):
        raise _broken(path)
    return state


def _is_state(state: Any) -> bool:
    if not isinstance(state, dict):
        return False
    tables = all(isinstance(state.get(name), dict) for name in TABLES)
    return tables and all(type(state.get(name)) is int and state[name] >= 0 for name in COUNTS)


def _broken(path: Path) -> InputError:
    return InputError(
        "E_CHECKPOINT_BROKEN",
        "{path} is no checkpoint of a training run, or is damaged: start the run again in another folder.",
        path=path,
    )
