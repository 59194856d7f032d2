"""What tests of keyframes share: small sessions, prompts on any axis, and whether results are the same bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import (
    Axis,
    FloatArray,
    MaskPrompt,
    Orientations,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SliceKey,
    StopRule,
    array_dimension,
)
from Testing.engine.phantoms import small_engine, two_organs_volume

EVERY_SLICE = StopRule(enabled=False)
SHAPE = (20, 28, 32)

Logits = dict[SliceKey, FloatArray]


def opened(memory: str = "temporal", zoom: float | None = None) -> TrackingSession:
    return small_engine(EngineOptions(fit="letterbox", memory=memory, zoom=zoom)).open(two_organs_volume()[0])


def add(session: TrackingSession, *prompts: Prompt) -> int:
    object_id = max(session.objects, default=0) or session.add_object("organ")
    for prompt in prompts:
        session.add_prompt(object_id, prompt)
    return object_id


def run(session: TrackingSession, axis: Axis = "k", orientations: Orientations = "1", update: bool = True) -> list[int]:
    """Indices of the slices that came, in order; on all axes."""
    request = PropagationRequest(axis, stop=EVERY_SLICE, orientations=orientations, update=update)
    return [result.key.index for result in session.propagate(request)]


def held(session: TrackingSession) -> Logits:
    return {result.key: result.logits for result in session.results(1)}


def same(
    first: Logits, second: Logits, but: Callable[[SliceKey], bool] = lambda key: False, within: float = 0.0
) -> bool:
    keys = [key for key in {*first, *second} if not but(key)]
    return all(bool((np.abs(first[key] - second[key]) <= within).all()) for key in keys)


def click(axis: Axis, index: int) -> PointPrompt:
    place = [11.0, 14.0, 10.0]
    place[2 - array_dimension(axis)] = float(index)
    return PointPrompt((place[0], place[1], place[2]), axis)


def masked(axis: Axis, index: int) -> MaskPrompt:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[6:15, 9:20, 7:15] = True
    section = np.take(mask, [10, 14, 11][array_dimension(axis)], axis=array_dimension(axis))
    return MaskPrompt(SliceKey(axis, index), section)
