"""The models on this machine and in the catalogue: their state, and removing them. No torch is imported."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from MedSAM2Lib.weights.catalogue import ModelEntry, default_models_folder, find_entry, model_path, read_catalogue
from MedSAM2Lib.weights.download import remove_model, stored_files

PERMISSIVE_LICENCES = ("Apache-2.0", "MIT")


@dataclass(frozen=True)
class ModelState:
    """One model of the catalogue on this machine.

    ``stored_bytes`` is what it takes on the disk, an interrupted download included; ``removable`` whether that can be
    removed from here. ``restricted`` says that its licence does not allow every use.
    """

    entry: ModelEntry
    path: Path
    installed: bool
    stored_bytes: int

    @property
    def removable(self) -> bool:
        return not self.entry.is_embedded and self.stored_bytes > 0

    @property
    def restricted(self) -> bool:
        return self.entry.licence not in PERMISSIVE_LICENCES


@dataclass(frozen=True)
class ModelsState:
    """All models in the catalogue's order, the folder of downloaded ones, and the free bytes of its disk."""

    models: tuple[ModelState, ...]
    folder: Path
    free_bytes: int

    @property
    def installed(self) -> tuple[ModelState, ...]:
        """Those that can be used now."""
        return tuple(each for each in self.models if each.installed)

    @property
    def stored_bytes(self) -> int:
        """What removing every downloaded model would free."""
        return sum(each.stored_bytes for each in self.models if each.removable)


def models_state(folder: Path | None = None) -> ModelsState:
    """What is there now. ``folder`` is that of downloaded models, the user's default one if None; it need not exist.

    Raises ModelError where the catalogue is missing or broken.
    """
    folder = folder or default_models_folder()
    models = tuple(_model_state(entry, folder) for entry in read_catalogue())
    return ModelsState(models, folder, free_bytes(folder))


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk that a folder is on, or would be on; 0 where that cannot be told."""
    for place in (folder, *folder.parents):
        if place.is_dir():
            return shutil.disk_usage(place).free
    return 0


def remove(name: str, folder: Path | None = None) -> list[Path]:
    """Removes a downloaded model and what is left of interrupted downloads; returns the removed files.

    Raises ModelError ``E_MODEL_UNKNOWN`` or ``E_MODEL_NOT_REMOVABLE``.
    """
    return remove_model(find_entry(name, read_catalogue()), folder or default_models_folder())


def _model_state(entry: ModelEntry, folder: Path) -> ModelState:
    path = model_path(entry, folder)
    stored = sum(file.stat().st_size for file in stored_files(entry, folder)) if not entry.is_embedded else 0
    return ModelState(entry, path, path.is_file(), stored)
