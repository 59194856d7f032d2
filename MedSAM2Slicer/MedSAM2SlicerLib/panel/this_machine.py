"""This machine as the pages want it: its models, its devices, its packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from MedSAM2Lib.weights.catalogue import ModelEntry, default_models_folder
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.session.ports import EngineChoice, EngineFactory
from MedSAM2SlicerLib.setup import dependencies, device
from MedSAM2SlicerLib.setup.dependencies import DependencyState
from MedSAM2SlicerLib.setup.device import DeviceState
from MedSAM2SlicerLib.setup.model_download import ModelDownload, Observer, Timer
from MedSAM2SlicerLib.setup.models import ModelsState, models_state, remove


class InstalledModels:
    """Looks at the models folder, removes from it, and downloads into it.

    Args:
        folder: asked at every call; None is the default folder.
        timer: polls a download's process.
    """

    def __init__(self, folder: Callable[[], Path | None], timer: Timer) -> None:
        self._folder = folder
        self._timer = timer

    def state(self) -> ModelsState:
        """Raises ModelError where the catalogue is missing or broken."""
        return models_state(self._folder())

    def remove(self, name: str) -> list[Path]:
        """Raises ModelError ``E_MODEL_UNKNOWN`` or ``E_MODEL_NOT_REMOVABLE``."""
        return remove(name, self._folder())

    def download(self, entry: ModelEntry, accepted_licence: str | None, observer: Observer) -> ModelDownload:
        """A download that has not started yet."""
        folder = self._folder() or default_models_folder()
        return ModelDownload(entry, folder, self._timer, observer, accepted_licence)


class EngineMachine:
    """Answers on the engine's thread, where its methods belong.

    Args:
        factory: makes the engine that is measured.
        model: name of the model at hand.
    """

    def __init__(self, factory: EngineFactory, model: Callable[[], str]) -> None:
        self._factory = factory
        self._model = model

    def devices(self) -> tuple[DeviceState, ...]:
        """Raises SetupError ``E_TORCH_MISSING`` or ``E_TORCH_BROKEN``."""
        return device.devices()

    def seconds_per_slice(self) -> float:
        """Raises what the factory and the engine raise."""
        return device.seconds_per_slice(self._factory(EngineChoice(model=self._model())).engine)


class PackageInstaller:
    """Slicer's Python and its extensions; main thread only."""

    def state(self) -> DependencyState:
        """Quick, and changes nothing."""
        return dependencies.dependency_state()

    def install_missing(self, state: DependencyState) -> None:
        """Raises SetupError."""
        dependencies.install_missing(state)

    def install_pytorch_extension(self) -> None:
        """Raises SetupError."""
        dependencies.install_pytorch_extension()

    def restart(self) -> None:
        """Ends Slicer and starts it again."""
        application.restart()
