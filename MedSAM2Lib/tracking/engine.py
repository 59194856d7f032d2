"""The SAM 2 engine: a loaded network and its options, ready to open sessions on volumes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.memory.bank import MemoryBank
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.memory.self_sorting import SelfSortingMemory
from MedSAM2Lib.memory.temporal import TemporalMemory
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.tracking.device import ExecutionContext, choose_device, execution_context
from MedSAM2Lib.tracking.features import DEFAULT_HOST_BYTES, FeatureCache
from MedSAM2Lib.tracking.identity import network_fingerprint
from MedSAM2Lib.tracking.runner import NetworkRunner
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.tracking.view import LETTERBOX, STRETCH, VolumeView
from MedSAM2Lib.types import SegmentationEngine, StopRule, VolumeData
from MedSAM2Lib.volume.intensity import Window, automatic_window
from MedSAM2Lib.volume.prompted_window import window_of_prompt
from MedSAM2Lib.volume.volume import Volume, replace_non_finite

TEMPORAL = "temporal"
SELF_SORTING = "self-sorting"
KEY_SLICE = "key-slice"
MEMORIES = (TEMPORAL, SELF_SORTING, KEY_SLICE)
OFF = "off"
AUTO = "auto"


@dataclass(frozen=True)
class EngineOptions:
    """How slices are shown and what is remembered.

    ``window`` None takes one from the voxels. ``zoom`` None shows whole slices, else the region of interest is that
    many times the object's larger side. ``fit`` is how a whole slice fills the square (``stretch`` or ``letterbox``).
    ``memory`` is ``temporal`` (SAM 2), ``self-sorting`` (Medical SAM 2, as ``self_sorting`` says; None takes the
    defaults with the model's capacity) or ``key-slice`` (prompted slices alone). ``seed_by`` is how further
    orientations are prompted from the first one's result: by its ``box`` or its ``mask``.
    """

    window: Window | None = None
    fit: str = STRETCH
    zoom: float | None = None
    memory: str = TEMPORAL
    self_sorting: SelfSortingOptions | None = None
    seed_by: str = "box"
    host_cache_bytes: int = DEFAULT_HOST_BYTES


def options_for(
    config: NetworkConfig,
    window: Window | None,
    fit: str | None,
    zoom: str,
    memory: str,
    self_sorting: SelfSortingOptions | None = None,
) -> EngineOptions:
    """Options where the user left something to the model.

    A zoom of ``auto`` is what the model was trained for: its configuration's factor, or whole slices for SAM 2's own
    checkpoints. ``fit`` None follows: stretch for whole slices of those, letterbox otherwise. Raises InputError for
    a zoom that is no factor and for stretch together with a zoom.
    """
    wanted = {AUTO: None if fit == STRETCH else config.zoom, OFF: None}
    factor = wanted[zoom] if zoom in wanted else _zoom_factor(zoom)
    if factor is not None and fit == STRETCH:
        raise InputError(
            "E_FIT_ZOOM",
            "--fit stretch shows whole slices and --zoom {zoom} a square part of them: use one of the two.",
            zoom=zoom,
        )
    return EngineOptions(window, fit or (LETTERBOX if factor is not None else config.fit), factor, memory, self_sorting)


def stop_rule_for(config: NetworkConfig, enabled: bool) -> StopRule:
    """The stop rule that the model's scores are good for."""
    return StopRule(enabled=enabled, predicted_iou=config.stop_predicted_iou)


class Sam2Engine(SegmentationEngine):
    """Opens sessions with one network.

    Args:
        network: in eval mode, on the context's device.
        context: device, precision, limits.
        options: how slices are shown and what is remembered.
    """

    def __init__(self, network: Sam2Network, context: ExecutionContext, options: EngineOptions) -> None:
        self.network = network
        self.context = context
        self.options = options

    def open(self, volume: VolumeData, features: FeatureCache | None = None) -> TrackingSession:
        """A session on a volume; voxels that are not finite are replaced, with a notice. Raises VolumeError.

        ``features`` are taken over from an earlier session: of the same network, volume and fit. Where the options
        name no window, the first positive prompt decides: see ``window_of_prompt``.
        """
        volume, replaced = replace_non_finite(Volume(volume.array, volume.ijk_to_world, volume.name))
        if replaced:
            what = "1 voxel is not a finite number" if replaced == 1 else f"{replaced} voxels are not finite numbers"
            self.context.notice(f"{what}: the lowest finite value stands in.")
        chosen = self.options.window
        window = chosen or automatic_window(volume)
        view = VolumeView(volume, window, self.options.fit, self.network.config.image_size)
        if features is None:
            features = FeatureCache(self.context.device, self.options.host_cache_bytes)
        runner = NetworkRunner(self.network, self.context, features.move_to_host)
        stop = stop_rule_for(self.network.config, enabled=True)
        options = self.options
        return TrackingSession(
            view,
            runner,
            features,
            self._new_bank,
            options.zoom,
            stop,
            options.seed_by,
            made_with=lambda: self.identity,
            choose_window=None if chosen else partial(window_of_prompt, volume, automatic=window),
        )

    def restore(self, volume: VolumeData, state: dict[str, Any]) -> TrackingSession:
        """A session that goes on from ``TrackingSession.state``; with its window, whatever the options say.

        Raises InputError ``E_STATE_FORMAT``, ``E_STATE_VOLUME`` or ``E_STATE_MODEL``, and VolumeError.
        """
        session = self.open(volume)
        session.restore(state)
        return session

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The network, its configuration and the options that results depend on, as plain data."""
        options = self.options
        bank = self._bank_options
        return {
            "weights": network_fingerprint(self.network),
            "configuration": json.loads(json.dumps(self.network.config.to_dict())),
            "memory": options.memory,
            "bank": None if bank is None else asdict(bank),
            "fit": options.fit,
            "zoom": options.zoom,
            "seed_by": options.seed_by,
        }

    @property
    def _bank_options(self) -> SelfSortingOptions | None:
        if self.options.memory == TEMPORAL:
            return None
        chosen = self.options.self_sorting or SelfSortingOptions(capacity=self.network.config.bank_capacity)
        return replace(chosen, capacity=0, shown=0, neighbour=False) if self.options.memory == KEY_SLICE else chosen

    def _new_bank(self) -> MemoryBank:
        config, chosen = self.network.config, self._bank_options
        sizes = (config.memory_map_count, config.max_object_pointers)
        return TemporalMemory(*sizes) if chosen is None else SelfSortingMemory(chosen, *sizes)


def small_on_cpu(config: NetworkConfig, device: torch.device) -> bool:
    """Whether a network is so small that bf16 only costs time on a CPU (measured for the embedded model)."""
    return device.type == "cpu" and config.model_dim < 256


def context_for(config: NetworkConfig, device: str, precision: str) -> ExecutionContext:
    """As ``execution_context``, but for ``auto``: a network so small that bf16 only costs time is not measured.

    Raises DeviceError.
    """
    settled = precision == "auto" and small_on_cpu(config, choose_device(device))
    return execution_context(device, "fp32" if settled else precision)


def _zoom_factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1.0 <= factor <= 100.0:
        raise InputError(
            "E_ZOOM", "--zoom '{zoom}' is not auto, off or a factor from 1 to 100: give for example 1.7.", zoom=text
        )
    return factor
