"""The models this engine knows by name, and which of them are on this machine. No torch is imported here."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from MedSAM2Lib.errors import ModelError
from MedSAM2Lib.resources import MARKER, resources_dir

EMBEDDED = "embedded"
"""Name of the model that ships with the engine and needs no download."""

FOLDER_VARIABLE = "MEDSAM2_MODELS"
"""Environment variable with the folder of downloaded models."""


@dataclass(frozen=True)
class ModelEntry:
    """One model of the catalogue.

    ``repository`` and ``file`` are its place on the Hugging Face hub (``repository`` is None for the embedded
    model), ``image_size`` the side in pixels it was trained for, ``megabytes`` its size in 10^6 bytes,
    ``architecture`` as ``weights.architecture.architecture_name`` calls it, ``sha256`` None where it is not known
    beforehand: the hub's own checksum is then kept at download.
    """

    name: str
    title: str
    purpose: str
    repository: str | None
    file: str
    licence: str
    licence_url: str | None
    source: str
    image_size: int
    megabytes: float
    sam_version: str
    architecture: str
    sha256: str | None

    @property
    def is_embedded(self) -> bool:
        return self.repository is None


def read_catalogue(path: Path | None = None) -> tuple[ModelEntry, ...]:
    """All models of ``Resources/models.json``, in its order.

    Raises:
        ModelError: ``E_RESOURCES_MISSING``, or ``E_CATALOGUE_BROKEN`` where the file cannot be understood.
    """
    path = path or resources_dir() / MARKER
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return tuple(ModelEntry(**entry) for entry in document["models"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "E_CATALOGUE_BROKEN",
            "The model catalogue {path} cannot be read ({reason}); install MedSAM2Slicer again.",
            path=path,
            reason=error,
        ) from error


def find_entry(name: str, entries: Iterable[ModelEntry]) -> ModelEntry:
    """The entry called ``name``; raises ModelError ``E_MODEL_UNKNOWN`` with the nearest names."""
    by_name = {entry.name: entry for entry in entries}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=3, cutoff=0.6)
    raise ModelError(
        "E_MODEL_UNKNOWN",
        "There is no model called {name}{near}: `medsam2 models list` shows all; a checkpoint is given by its path.",
        name=name,
        near=f" (did you mean {' or '.join(near)}?)" if near else "",
    )


def default_models_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where downloaded models are kept: ``$MEDSAM2_MODELS``, or the platform's folder for an application's data.

    That is ``~/.cache/medsam2slicer/models`` (or below ``$XDG_CACHE_HOME``) on Linux, ``~/Library/Caches/...`` on
    macOS, ``%LOCALAPPDATA%/...`` on Windows. The folder need not exist.
    """
    chosen = environment.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "medsam2slicer" / "models"


def model_path(entry: ModelEntry, models_folder: Path) -> Path:
    """Where the model's file is, or would be after a download."""
    return (resources_dir() if entry.is_embedded else models_folder) / entry.file


def installed_models(entries: Iterable[ModelEntry], models_folder: Path) -> tuple[ModelEntry, ...]:
    """The entries whose file is on this machine."""
    return tuple(entry for entry in entries if model_path(entry, models_folder).is_file())


def as_plain_data(entry: ModelEntry, models_folder: Path) -> dict[str, object]:
    """The entry for JSON, with ``installed`` and ``path`` added."""
    path = model_path(entry, models_folder)
    return {**dataclasses.asdict(entry), "installed": path.is_file(), "path": str(path)}
