"""Saved sessions as files: an .npz archive of arrays and one JSON text; nothing in it is ever executed."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.volume.io import replacing

_TEXT = "state"
_ARRAY = "array"


def save_state(state: dict[str, Any], path: Path) -> None:
    """Writes what ``TrackingSession.state`` gave; the file appears whole or not at all. Raises OutputError."""
    members: dict[str, Any] = {}
    shared = []
    for place, one in enumerate(state["shared"]):
        if isinstance(one, np.ndarray):
            members[f"{_ARRAY}{place}"] = one
        shared.append({_ARRAY: place} if isinstance(one, np.ndarray) else one)
    members[_TEXT] = np.frombuffer(json.dumps({**state, "shared": shared}).encode("utf-8"), dtype=np.uint8)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **members)


def load_state(path: Path) -> dict[str, Any]:
    """What ``save_state`` wrote, for ``Sam2Engine.restore``.

    Raises InputError ``E_STATE_MISSING`` for a file that cannot be opened, ``E_STATE_FORMAT`` for one that is no
    saved session.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            state = json.loads(archive[_TEXT].tobytes().decode("utf-8"))
            state["shared"] = [
                archive[f"{_ARRAY}{one[_ARRAY]}"] if isinstance(one, dict) and _ARRAY in one else one
                for one in state["shared"]
            ]
    except OSError as error:
        raise InputError(
            "E_STATE_MISSING",
            "The saved session {path} cannot be read: {reason}.",
            path=path,
            reason=error.strerror or error,
        ) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RuntimeError,
    ) as error:
        raise InputError(
            "E_STATE_FORMAT", "{path} is no saved session, or is damaged: choose another file.", path=path
        ) from error
    return dict(state)
