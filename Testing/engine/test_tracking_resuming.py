"""A propagation cut off anywhere and taken up again ends as one run does, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import FloatArray, MaskPrompt, Orientations, PointPrompt, PropagationRequest, SliceKey, StopRule
from Testing.engine.growing_network import dim_in_the_middle, growing_session, mask_of, volume_of
from Testing.engine.phantoms import ellipsoid, small_engine, two_organs_volume

CLICK = PointPrompt((11.0, 14.0, 10.0))
CORRECTION = PointPrompt((11.0, 13.0, 14.0))
EVERY_SLICE = StopRule(enabled=False)

cuts = st.lists(st.integers(1, 50), max_size=4)


def opened(memory: str, zoom: float | None) -> TrackingSession:
    options = EngineOptions(fit="letterbox", memory=memory, zoom=zoom, self_sorting=SelfSortingOptions(capacity=4))
    session = small_engine(options).open(two_organs_volume()[0])
    session.add_prompt(session.add_object("organ"), CLICK)
    return session


def state(session: TrackingSession) -> tuple[dict[SliceKey, FloatArray], FloatArray, FloatArray]:
    slab = session.fused(1, 0, session.view.volume.shape[0] - 1)
    return {one.key: one.logits for one in session.results(1)}, slab.probability, slab.disagreement


def identical(first: TrackingSession, second: TrackingSession) -> bool:
    (one, *one_fused), (other, *other_fused) = state(first), state(second)
    return (
        one.keys() == other.keys()
        and all(np.array_equal(one[key], other[key]) for key in one)
        and all(map(np.array_equal, one_fused, other_fused))
    )


def run_in_parts(session: TrackingSession, request: PropagationRequest, steps: list[int]) -> None:
    """Asks for some results at a time, each time anew, and in the end for the rest."""
    for count in steps:
        running = iter(session.propagate(request))
        for _ in range(count):
            next(running, None)
    list(session.propagate(request))


@pytest.mark.parametrize(
    ("memory", "orientations", "zoom"),
    [
        ("temporal", "1", None),
        pytest.param("self-sorting", "1", 1.7, marks=pytest.mark.long),
        pytest.param("temporal", "3", 1.7, marks=pytest.mark.long),
        ("self-sorting", "3", None),
    ],
)
def test_a_first_run_and_a_correction_in_parts_are_the_same_as_whole(
    memory: str, orientations: Orientations, zoom: float | None
) -> None:
    request = PropagationRequest("k", stop=EVERY_SLICE, orientations=orientations, update=True)
    first_whole, corrected_whole = opened(memory, zoom), opened(memory, zoom)
    for session in (first_whole, corrected_whole):
        list(session.propagate(request))
    corrected_whole.add_prompt(1, CORRECTION)
    list(corrected_whole.propagate(request))

    @settings(max_examples=2, deadline=None, derandomize=True)
    @given(cuts, cuts)
    def check(first: list[int], second: list[int]) -> None:
        session = opened(memory, zoom)
        run_in_parts(session, request, first)
        assert identical(session, first_whole)
        session.add_prompt(1, CORRECTION)
        run_in_parts(session, request, second)
        assert identical(session, corrected_whole)

    check()


def returning() -> TrackingSession:
    """The first axis loses the object and the others bring it back."""
    return dim_in_the_middle()[0]


def outgrown() -> TrackingSession:
    """The object is larger than the region of its prompt."""
    session = growing_session(volume_of(ellipsoid((40, 60, 60), (20, 30, 30), (16, 22, 22))), zoom=1.1)
    mask = ellipsoid((1, 60, 60), (0, 30, 30), (1, 12, 12))[0]
    session.add_prompt(session.add_object("large"), MaskPrompt(SliceKey("k", 6), mask))
    return session


def emptied() -> TrackingSession:
    """A correction has taken the object from the only slice between two keyframes, and from the other axes there."""
    organ = ellipsoid((24, 26, 28), (12, 13, 14), (9, 8, 10))
    session = growing_session(volume_of(organ))
    object_id = session.add_object("organ")
    session.add_prompt(object_id, PointPrompt((14.0, 13.0, 12.0)))
    for index in (16, 18):
        session.add_prompt(object_id, MaskPrompt(SliceKey("k", index), organ[index]))
    list(session.propagate(PropagationRequest("k", orientations="3")))
    session.add_prompt(object_id, PointPrompt((14.0, 13.0, 17.0), positive=False))
    return session


@pytest.mark.parametrize("make", [returning, outgrown, emptied])
def test_returns_refits_and_losses_in_parts_are_the_same_as_whole(make: Callable[[], TrackingSession]) -> None:
    request = PropagationRequest("k", orientations="3", update=True)
    whole = make()
    list(whole.propagate(request))
    assert mask_of(whole, 1).any()

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(st.lists(st.integers(1, 70), max_size=4))
    def check(steps: list[int]) -> None:
        session = make()
        run_in_parts(session, request, steps)
        assert identical(session, whole)

    check()


def test_a_return_that_is_cut_off_is_not_looked_for_again() -> None:
    request = PropagationRequest("k", orientations="3", update=True)
    whole = returning()
    count = len(list(whole.propagate(request)))
    (interval,) = whole.objects[1].updates[0].returning or []
    for left in range(1, len(interval) + 2):
        session = returning()
        run_in_parts(session, request, [count - left])
        assert identical(session, whole)


def test_results_held_back_by_the_stop_rule_survive_a_cut() -> None:
    request = PropagationRequest("k", update=True)
    whole = returning()
    list(whole.propagate(request))
    for count in range(1, 16):
        session = returning()
        run_in_parts(session, request, [count])
        assert identical(session, whole)


def test_a_run_begun_anew_after_a_refit_is_the_first_run_again() -> None:
    session = outgrown()
    request = PropagationRequest("k", orientations="3")
    runs = []
    for _ in range(2):
        list(session.propagate(request))
        runs.append(state(session))
    assert runs[0][0].keys() == runs[1][0].keys()
    assert all(np.array_equal(runs[0][0][key], runs[1][0][key]) for key in runs[0][0])
