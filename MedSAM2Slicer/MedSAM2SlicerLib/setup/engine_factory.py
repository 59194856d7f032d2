"""From a model's name, a device and options to an engine: what a session calls on its worker thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import MedSAM2Lib
from MedSAM2SlicerLib.session.ports import EngineChoice, ReadyEngine
from MedSAM2SlicerLib.setup.device import imported_torch
from MedSAM2SlicerLib.setup.errors import SetupError

if TYPE_CHECKING:
    from MedSAM2Lib.tracking.device import ExecutionContext
    from MedSAM2Lib.weights.loading import LoadedModel


@dataclass(frozen=True)
class EngineSettings:
    """What belongs to the user and not to a session.

    ``device`` is ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``, ``precision`` ``fp32``, ``bf16`` or ``auto``.
    ``models_folder`` None is the user's default, ``image_size`` None the model's own, ``seed`` that of all drawing.
    """

    device: str = "auto"
    precision: str = "auto"
    models_folder: Path | None = None
    image_size: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class _Kept:
    """A network on its device, the precision chosen for it, and what it was loaded for."""

    model: str
    settings: EngineSettings
    loaded: LoadedModel
    context: ExecutionContext


class EngineFactory:
    """Makes engines as `medsam2 segment` does, and keeps the last network: another window or memory costs no loading.

    Call it on the engine's thread only: it imports torch, reads the model, and moves it to the device.

    Args:
        settings: asked at every call.
    """

    def __init__(self, settings: Callable[[], EngineSettings] = EngineSettings) -> None:
        self._settings = settings
        self._kept: _Kept | None = None

    def __call__(self, choice: EngineChoice) -> ReadyEngine:
        """An engine for a model, a window and a memory.

        Raises:
            SetupError: ``E_TORCH_MISSING``, ``E_TORCH_BROKEN``, ``E_PACKAGES_MISSING``.
            ModelError: as ``load_network`` raises for a model that is unknown, missing, changed or broken.
            DeviceError: a device that is not there, or without memory.
            InputError: a window that is none.
        """
        settings = self._settings()
        torch = imported_torch()
        try:
            return self._made(choice, settings, torch.__version__)
        except ModuleNotFoundError as error:
            raise SetupError(
                "E_PACKAGES_MISSING",
                "The package {name} is not installed; install it on the module's page Setup first.",
                name=error.name,
            ) from error

    def forget(self) -> None:
        """Lets go of the network, and of a GPU's memory that nothing uses any more."""
        self._kept = None
        torch = imported_torch()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _made(self, choice: EngineChoice, settings: EngineSettings, torch_version: str) -> ReadyEngine:
        from MedSAM2Lib.memory.options import SelfSortingOptions
        from MedSAM2Lib.tracking.engine import AUTO, Sam2Engine, options_for
        from MedSAM2Lib.volume.intensity import Window

        window = Window(*choice.window) if choice.window is not None else None
        if self._kept is None or (self._kept.model, self._kept.settings) != (choice.model, settings):
            self._kept = None
            self._kept = _load(choice.model, settings)
        loaded, found = self._kept.loaded, self._kept.context
        context = replace(found, notices=[])
        bank = SelfSortingOptions(capacity=loaded.config.bank_capacity, seed=settings.seed)
        options = options_for(loaded.config, window, None, AUTO, choice.memory, bank)
        return ReadyEngine(
            engine=Sam2Engine(loaded.network, context, options),
            model=loaded.name,
            checksum=loaded.checksum,
            device=f"{context.device} {'bf16' if 'bfloat16' in str(context.dtype) else 'fp32'}",
            versions={"MedSAM2Slicer": MedSAM2Lib.__version__, "torch": torch_version},
            notices=lambda: tuple(context.notices),
        )


def _load(model: str, settings: EngineSettings) -> _Kept:
    import torch

    from MedSAM2Lib.tracking.device import choose_device, telling_no_memory
    from MedSAM2Lib.tracking.engine import context_for
    from MedSAM2Lib.weights.loading import load_network

    torch.manual_seed(settings.seed)
    device = choose_device(settings.device)
    with telling_no_memory(device):
        loaded = load_network(
            model, image_size=settings.image_size, device=device, models_folder=settings.models_folder
        )
    return _Kept(model, settings, loaded, context_for(loaded.config, settings.device, settings.precision))
