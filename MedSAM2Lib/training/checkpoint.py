"""A run's last checkpoint: it is replaced only by a complete one, and read without running code from it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from MedSAM2Lib.errors import InputError, OutputError

CHECKPOINT_NAME = "last.ckpt"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes the state; the checkpoint before stays until this one is complete and on the disk.

    Raises OutputError ``E_CHECKPOINT_NOT_SAVED``, for example where the disk is full; nothing half-written stays.
    """
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch tells a failed write as a RuntimeError
        _remove(part)
        reason = (error.strerror or error) if isinstance(error, OSError) else str(error).splitlines()[0]
        kept = "the checkpoint before it is kept" if path.exists() else "there is none before it"
        raise OutputError(
            "E_CHECKPOINT_NOT_SAVED",
            "The checkpoint {path} could not be saved ({reason}); {kept}. Make room or check the folder, then go on "
            "with --resume.",
            path=path,
            reason=reason,
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
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise _broken(path) from error
    if not isinstance(state, dict) or not {"objective", "optimizer", "average", "step", "frames"} <= state.keys():
        raise _broken(path)
    return state


def _broken(path: Path) -> InputError:
    return InputError(
        "E_CHECKPOINT_BROKEN",
        "{path} is no checkpoint of a training run, or is damaged: start the run again in another folder.",
        path=path,
    )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
