"""From a setting to masks: the one place that turns a setting into a session of the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from MedSAM2Lib.evaluation.baselines import NeighbourChain, RepeatedSlice
from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.evaluation.rounds import Outcome, Round, Segmenter, rounds
from MedSAM2Lib.evaluation.settings import NO_MEMORY, REPEATED_WITHIN, Setting
from MedSAM2Lib.evaluation.users import SimulatedUser
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.engine import TEMPORAL, EngineOptions, Sam2Engine, options_for, stop_rule_for
from MedSAM2Lib.tracking.features import FeatureCache
from MedSAM2Lib.types import Prompt, PropagationRequest, SegmentationSession, StopRule
from MedSAM2Lib.weights.loading import LoadedModel

_SLAB = 32


@dataclass(frozen=True)
class ReadyModel:
    """A model with the device and precision that it runs with."""

    loaded: LoadedModel
    context: ExecutionContext


class SharedFeatures:
    """Image features of one case, made once for all settings that show it to a network in the same way."""

    def __init__(self) -> None:
        self._caches: dict[tuple[str, int, str, str], FeatureCache] = {}

    def of(self, model: ReadyModel, options: EngineOptions) -> FeatureCache:
        """The cache of a network and a fit; all settings take the window from the case's voxels."""
        network = model.loaded
        key = (network.checksum, network.config.image_size, str(model.context.dtype), options.fit)
        return self._caches.setdefault(key, FeatureCache(model.context.device, options.host_cache_bytes))


def segment_case(
    model: ReadyModel | None, case: Case, setting: Setting, user: SimulatedUser, shared: SharedFeatures | None = None
) -> Iterator[Round]:
    """The result of each of the user's rounds, computed when it is asked for.

    ``model`` may be None for settings that need none; ``shared`` are features of this case. Raises PromptError for
    prompts that the volume cannot take (a slice one pixel wide has no box).
    """
    return rounds(_segmenter(model, case, setting, user, shared), case, user)


def engine_options(model: ReadyModel, setting: Setting) -> EngineOptions:
    """The options with which a setting's sessions are opened. Raises InputError for a zoom that is none."""
    memory = TEMPORAL if setting.memory == NO_MEMORY else setting.memory
    return options_for(model.loaded.config, None, None, setting.zoom, memory, setting.self_sorting)


def _segmenter(
    model: ReadyModel | None, case: Case, setting: Setting, user: SimulatedUser, shared: SharedFeatures | None
) -> Segmenter:
    if not setting.needs_model:
        return RepeatedSlice(case.truth, user.axis, setting.memory == REPEATED_WITHIN)
    if model is None:
        raise ValueError(f"the setting '{setting.name}' needs a model")
    options = engine_options(model, setting)
    features = None if shared is None else shared.of(model, options)
    session = Sam2Engine(model.loaded.network, model.context, options).open(case.volume, features)
    stop = _stop_rule(model, setting)
    if setting.memory == NO_MEMORY:
        return NeighbourChain(session, user.axis, case.truth.shape, stop)
    request = PropagationRequest(user.axis, stop=stop, orientations=setting.orientations)
    return _Propagation(session, request, case.truth.shape)


def _stop_rule(model: ReadyModel, setting: Setting) -> StopRule:
    rule = stop_rule_for(model.loaded.config, setting.stop == "auto")
    if setting.stop_predicted_iou is not None:
        rule = replace(rule, predicted_iou=setting.stop_predicted_iou)
    return rule if setting.stop_misses is None else replace(rule, misses=setting.stop_misses)


class _Propagation:
    """The engine itself: prompts in, a propagation through the whole volume, a mask out.

    A correction computes what it outdates and nothing else.
    """

    def __init__(self, session: SegmentationSession, request: PropagationRequest, shape: tuple[int, ...]) -> None:
        self._session = session
        self._request = request
        self._shape = shape
        self._object = session.add_object("object")

    def add(self, prompts: Sequence[Prompt]) -> Outcome:
        for prompt in prompts:
            self._session.add_prompt(self._object, prompt)
        computed = sum(1 for _ in self._session.propagate(self._request))
        self._request = replace(self._request, update=True)
        mask = np.zeros(self._shape, dtype=bool)
        for start in range(0, len(mask), _SLAB):
            slab = self._session.fused(self._object, start, min(start + _SLAB, len(mask)) - 1)
            mask[start : start + len(slab.probability)] = slab.probability > 0.5
        return Outcome(mask, computed)
