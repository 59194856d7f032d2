"""A stand-in for the network alone: it sees bright pixels and follows the parts that touch what it remembers.

Session, trackers, banks, propagation and fusion around it are the real ones, and what it finds is known beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from MedSAM2Lib.memory.bank import MemorySelection
from MedSAM2Lib.memory.temporal import TemporalMemory
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.features import FeatureCache
from MedSAM2Lib.tracking.runner import NetworkPrompts, NetworkRunner, SliceRecord, TrackOutcome, TrackStep
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.tracking.tracks import BankFactory
from MedSAM2Lib.tracking.view import VolumeView
from MedSAM2Lib.types import BoolArray, PointPrompt, StopRule
from MedSAM2Lib.volume.components import component_at, components_touching
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.volume import Volume

SIDE = 64
BRIGHT = 100
"""Grey value of what the stand-in sees; 0 is what it does not see."""


class GrowingRunner(NetworkRunner):
    """The runner's interface; ``tracked`` holds the indices of all tracked slices in the order they were computed."""

    def __init__(self) -> None:
        super().__init__(None, ExecutionContext(torch.device("cpu"), torch.float32), lambda: False)  # type: ignore[arg-type]
        self.tracked: list[int] = []

    def encode(self, image: Tensor) -> SliceFeatures:
        return SliceFeatures(image[None, None].clone(), (torch.zeros(1), torch.zeros(1)))

    def decode_prompts(
        self,
        index: int,
        features: SliceFeatures,
        prompts: NetworkPrompts,
        previous_logits: Tensor | None = None,
        memory: MemorySelection | None = None,
    ) -> SliceRecord:
        bright = _bright(features)
        if prompts.mask is not None:
            return _record(index, 0, prompts.mask.numpy() > 0.5, 1.0)
        mask = np.zeros_like(bright) if previous_logits is None else previous_logits[0, 0].numpy() > 0
        places = prompts.coordinates.numpy() + 0.5
        corners = [tuple(place) for place, label in zip(places, prompts.labels.tolist()) if label > 1]
        if corners:
            mask = bright & _inside_box(corners)
        for (x, y), label in zip(places, prompts.labels.tolist()):
            if label <= 1:
                part = component_at(bright, (_pixel(y), _pixel(x)))
                mask = mask | part if label == 1 else mask & ~part
        return _record(index, 0, mask, _trust(features, mask))

    def track(self, steps: Sequence[TrackStep]) -> list[TrackOutcome]:
        return [self._track(step) for step in steps]

    def encode_prompted_memory(self, features: SliceFeatures, record: SliceRecord) -> Tensor:
        return (record.low_res_logits > 0).to(torch.bfloat16)

    def _track(self, step: TrackStep) -> TrackOutcome:
        self.tracked.append(step.index)
        nearest = min((shown.entry for shown in step.selection.maps), key=lambda one: abs(one.slice_index - step.index))
        mask = components_touching(_bright(step.features), nearest.map[0, 0].float().numpy() > 0.5)
        record = _record(step.index, step.direction, mask, _trust(step.features, mask))
        return TrackOutcome(record, (record.low_res_logits > 0).to(torch.bfloat16))


def growing_session(
    volume: Volume,
    zoom: float | None = None,
    new_bank: BankFactory = TemporalMemory,
    stop: StopRule | None = None,
    seed_by: str = "box",
) -> TrackingSession:
    """A session with the stand-in; slices without a trace of the object end a direction."""
    view = VolumeView(volume, Window(0.0, float(BRIGHT)), "letterbox", SIDE)
    stop = stop or StopRule(predicted_iou=0.3)
    return TrackingSession(view, GrowingRunner(), FeatureCache(torch.device("cpu")), new_bank, zoom, stop, seed_by)


def dim_in_the_middle() -> tuple[TrackingSession, BoolArray]:
    """A bar along k, prompted below its middle, whose slices 10 to 12 are so dim that the stand-in gives up on them.

    Along the other axes every slice is bright enough.
    """
    bar = np.zeros((24, 26, 28), dtype=bool)
    bar[2:22, 8:18, 9:20] = True
    volume = volume_of(bar)
    volume.array[10:13] = volume.array[10:13] * 6 // 10
    session = growing_session(volume, stop=StopRule(predicted_iou=0.6))
    session.add_prompt(session.add_object("bar"), PointPrompt((14.0, 13.0, 6.0)))
    return session, bar


def tracked_of(session: TrackingSession) -> list[int]:
    """Indices of the slices that a session's stand-in has tracked, as they came."""
    assert isinstance(session.runner, GrowingRunner)
    return session.runner.tracked


def volume_of(mask: BoolArray, **geometry: object) -> Volume:
    """A volume in which the stand-in sees exactly ``mask``."""
    return Volume.from_array((mask * BRIGHT).astype(np.int16), **geometry)  # type: ignore[arg-type]


def mask_of(session: TrackingSession, object_id: int) -> BoolArray:
    """What all orientations together take for the object, [k, j, i]."""
    return np.asarray(session.fused(object_id, 0, session.view.volume.shape[0] - 1).probability > 0.5)


def _bright(features: SliceFeatures) -> BoolArray:
    return np.asarray(features.top[0, 0].numpy() > 0.5)


def _trust(features: SliceFeatures, mask: BoolArray) -> float:
    """The mean brightness of what was found, 0.9 at most: dim parts are doubtful."""
    return 0.9 * float(features.top[0, 0].numpy()[mask].mean()) if mask.any() else 0.1


def _inside_box(corners: Sequence[tuple[float, ...]]) -> BoolArray:
    (left, top), (right, bottom) = corners[:2]
    rows, columns = np.indices((SIDE, SIDE)) + 0.5
    return (rows >= top - 0.5) & (rows <= bottom + 0.5) & (columns >= left - 0.5) & (columns <= right + 0.5)


def _pixel(value: float) -> int:
    return min(max(int(value), 0), SIDE - 1)


def _record(index: int, direction: int, mask: BoolArray, trust: float) -> SliceRecord:
    logits = torch.from_numpy(np.where(mask, 8.0, -8.0).astype(np.float32))[None, None]
    score = 5.0 if mask.any() else -5.0
    return SliceRecord(index, direction, logits, trust, score, torch.zeros(1, 4))  # type: ignore[arg-type]
