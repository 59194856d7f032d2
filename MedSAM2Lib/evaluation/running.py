"""From a setting to masks: the one place that turns a setting into a session of the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.evaluation.baselines import NeighbourChain, RepeatedSlice
from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.evaluation.rounds import Outcome, Round, Segmenter, rounds
from MedSAM2Lib.evaluation.settings import NO_MEMORY, REPEATED_WITHIN, Setting
from MedSAM2Lib.evaluation.users import SimulatedUser
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.engine import TEMPORAL, EngineOptions, Sam2Engine, options_for, stop_rule_for
from MedSAM2Lib.types import (
    Prompt,
    PropagationRequest,
    SegmentationSession,
    StopRule,
    array_dimension,
)
from MedSAM2Lib.weights.loading import LoadedModel

WITH_A_MODEL = (TEMPORAL, NO_MEMORY)
"""Memories that are wired here; another one is added together with its options in ``engine_options``."""


@dataclass(frozen=True)
class ReadyModel:
    """A model with the device and precision that it runs with."""

    loaded: LoadedModel
    context: ExecutionContext


def segment_case(model: ReadyModel | None, case: Case, setting: Setting, user: SimulatedUser) -> Iterator[Round]:
    """The result of each of the user's rounds, computed when it is asked for.

    ``model`` may be None for settings that need none. Raises InputError as ``check_setting`` does, and PromptError for
    prompts that the volume cannot take (a slice one pixel wide has no box).
    """
    return rounds(_segmenter(model, case, setting, user), case, user)


def check_setting(setting: Setting) -> None:
    """Raises InputError ``E_NOT_YET`` for what the engine does not offer."""
    if setting.needs_model and setting.memory not in WITH_A_MODEL:
        raise InputError(
            "E_NOT_YET",
            "The setting '{name}' asks for --memory {memory}, which this version does not have: use {known}.",
            name=setting.name,
            memory=setting.memory,
            known=" or ".join(WITH_A_MODEL),
        )
    if setting.needs_model and setting.orientations != "1":
        raise InputError(
            "E_NOT_YET",
            "The setting '{name}' asks for --orientations {orientations}, and this version propagates in one only: "
            "leave it out.",
            name=setting.name,
            orientations=setting.orientations,
        )


def engine_options(model: ReadyModel, setting: Setting) -> EngineOptions:
    """The options with which a setting's sessions are opened. Raises InputError for a zoom that is none."""
    memory = TEMPORAL if setting.memory == NO_MEMORY else setting.memory
    return options_for(model.loaded.config, None, None, setting.zoom, memory)


def _segmenter(model: ReadyModel | None, case: Case, setting: Setting, user: SimulatedUser) -> Segmenter:
    check_setting(setting)
    if not setting.needs_model:
        return RepeatedSlice(case.truth, user.axis, setting.memory == REPEATED_WITHIN)
    if model is None:
        raise ValueError(f"the setting '{setting.name}' needs a model")
    engine = Sam2Engine(model.loaded.network, model.context, engine_options(model, setting))
    session = engine.open(case.volume)
    stop = _stop_rule(model, setting)
    if setting.memory == NO_MEMORY:
        return NeighbourChain(session, user.axis, case.truth.shape, stop)
    return _Propagation(session, PropagationRequest(user.axis, stop=stop), case.truth.shape)


def _stop_rule(model: ReadyModel, setting: Setting) -> StopRule:
    rule = stop_rule_for(model.loaded.config, setting.stop == "auto")
    if setting.stop_predicted_iou is not None:
        rule = replace(rule, predicted_iou=setting.stop_predicted_iou)
    return rule if setting.stop_misses is None else replace(rule, misses=setting.stop_misses)


class _Propagation:
    """The engine itself: prompts in, a propagation through the whole volume, a mask out."""

    def __init__(self, session: SegmentationSession, request: PropagationRequest, shape: tuple[int, ...]) -> None:
        self._session = session
        self._request = request
        self._shape = shape
        self._object = session.add_object("object")

    def add(self, prompts: Sequence[Prompt]) -> Outcome:
        for prompt in prompts:
            self._session.add_prompt(self._object, prompt)
        mask = np.zeros(self._shape, dtype=bool)
        slices = np.moveaxis(mask, array_dimension(self._request.axis), 0)
        computed = 0
        for result in self._session.propagate(self._request):
            slices[result.key.index] = self._session.voxel_logits(result) > 0
            computed += 1
        return Outcome(mask, computed)
