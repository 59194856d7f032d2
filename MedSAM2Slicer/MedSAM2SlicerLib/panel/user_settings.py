"""What belongs to the user and not to a scene, in Slicer's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt

from MedSAM2SlicerLib.setup.engine_factory import EngineSettings

GROUP = "MedSAM2Slicer"


class UserSettings:
    """Device, precision, models folder and measured speed; each is kept when it is set.

    Args:
        settings: a QSettings; the application's own by default.
    """

    def __init__(self, settings: Any = None) -> None:
        self._settings = settings or qt.QSettings()

    @property
    def device(self) -> str:
        """``auto``, ``cpu``, ``cuda:N`` or ``mps``."""
        return self._get("Device") or "auto"

    @device.setter
    def device(self, name: str) -> None:
        self._set("Device", name)

    @property
    def precision(self) -> str:
        """``auto``, ``fp32`` or ``bf16``."""
        return self._get("Precision") or "auto"

    @precision.setter
    def precision(self, name: str) -> None:
        self._set("Precision", name)

    @property
    def models_folder(self) -> Path | None:
        """Where downloaded models are kept; None for the default."""
        folder = self._get("ModelsFolder")
        return Path(folder) if folder else None

    @models_folder.setter
    def models_folder(self, folder: Path | None) -> None:
        self._set("ModelsFolder", "" if folder is None else str(folder))

    @property
    def training_folder(self) -> str:
        """The folder where training cases were saved last; empty if none were."""
        return self._get("TrainingFolder")

    @training_folder.setter
    def training_folder(self, folder: str) -> None:
        self._set("TrainingFolder", folder)

    @property
    def export_folder(self) -> str:
        """The folder that a DICOM-SEG was written into last; empty if none was."""
        return self._get("ExportFolder")

    @export_folder.setter
    def export_folder(self, folder: str) -> None:
        self._set("ExportFolder", folder)

    @property
    def seconds_per_slice(self) -> float | None:
        """As measured last on this machine; None before that."""
        try:
            return float(self._get("SecondsPerSlice"))
        except ValueError:
            return None

    @seconds_per_slice.setter
    def seconds_per_slice(self, seconds: float) -> None:
        self._set("SecondsPerSlice", repr(float(seconds)))

    def engine(self) -> EngineSettings:
        """What the engine factory asks for."""
        return EngineSettings(device=self.device, precision=self.precision, models_folder=self.models_folder)

    def _get(self, name: str) -> str:
        return str(self._settings.value(f"{GROUP}/{name}") or "")

    def _set(self, name: str, value: str) -> None:
        self._settings.setValue(f"{GROUP}/{name}", value)
