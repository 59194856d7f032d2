"""One object's knowledge, kept and given back while other objects of the session go on."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAM2Lib.errors import InputError, PromptError
from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import PointPrompt, PropagationRequest, StopRule
from Testing.engine.growing_network import mask_of
from Testing.engine.phantoms import small_engine, two_organs_volume

VOLUME, _ = two_organs_volume()
REQUEST = PropagationRequest("k", [1], stop=StopRule(enabled=False), update=True)
OTHER = PropagationRequest("k", [2], stop=StopRule(enabled=False), update=True)


def opened() -> TrackingSession:
    session = small_engine(EngineOptions(fit="letterbox")).open(VOLUME)
    session.add_prompt(session.add_object("organ"), PointPrompt((11.0, 14.0, 6.0)))
    session.add_prompt(session.add_object("other"), PointPrompt((20.0, 14.0, 10.0)))
    return session


def test_an_object_goes_back_to_what_it_was_and_others_stay_as_they_are() -> None:
    session = opened()
    list(session.propagate(REQUEST))
    before = mask_of(session, 1)
    state = session.object_state(1)
    session.add_prompt(1, PointPrompt((11.0, 14.0, 9.0)))
    list(session.propagate(REQUEST))
    list(session.propagate(OTHER))
    others = mask_of(session, 2)
    session.restore_object(1, state)
    assert np.array_equal(mask_of(session, 1), before)
    assert np.array_equal(mask_of(session, 2), others)
    assert list(session.propagate(REQUEST)) == []
    assert list(session.propagate(OTHER)) == []


def test_a_restored_object_goes_on_as_one_that_was_never_changed() -> None:
    session, twin = opened(), opened()
    for each in (session, twin):
        list(each.propagate(REQUEST))
    state = session.object_state(1)
    session.add_prompt(1, PointPrompt((11.0, 14.0, 9.0)))
    list(session.propagate(REQUEST))
    session.restore_object(1, state)
    for each in (session, twin):
        each.add_prompt(1, PointPrompt((12.0, 13.0, 10.0)))
        list(each.propagate(REQUEST))
    assert np.array_equal(mask_of(session, 1), mask_of(twin, 1))


def test_a_state_of_another_object_or_of_none_is_refused_and_nothing_changes() -> None:
    session = opened()
    state = session.object_state(1)
    with pytest.raises(PromptError):
        session.restore_object(2, state)
    with pytest.raises(PromptError):
        session.object_state(7)
    with pytest.raises(InputError):
        session.restore_object(1, {"format": "something else"})
    assert [prompt.slice.index for prompt in session.objects[1].prompts] == [6]
