"""A slice that the user emptied is a keyframe: it stays empty, and at the object's end it ends the object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.tracking.ending import object_span
from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.tracking.stand_in import RegionGrowingEngine
from MedSAM2Lib.tracking.state_file import load_state, save_state
from MedSAM2Lib.types import (
    AXES,
    Axis,
    BoolArray,
    BoxPrompt,
    MaskPrompt,
    Orientations,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SliceKey,
    array_dimension,
)
from Testing.engine.growing_network import growing_session, mask_of, tracked_of, volume_of
from Testing.engine.keyframe_ground import add, click, held, opened, run
from Testing.engine.phantoms import ellipsoid, small_engine, two_organs_volume

ORGAN = ellipsoid((24, 26, 28), (12, 13, 14), (9, 8, 10))
MIDDLE = (14.0, 13.0, 12.0)


def emptied(axis: Axis, index: int, shape: tuple[int, int, int] = (24, 26, 28)) -> MaskPrompt:
    sides = [size for place, size in enumerate(shape) if place != array_dimension(axis)]
    return MaskPrompt(SliceKey(axis, index), np.zeros(sides, dtype=bool))


def leaking() -> BoolArray:
    shape = ORGAN.copy()
    shape[15:, 12:15, 12:17] = True
    return shape


@pytest.mark.parametrize("orientations", ["1", "3"])
def test_emptying_the_first_slice_of_a_leak_takes_the_whole_leak_away(orientations: Orientations) -> None:
    session = growing_session(volume_of(leaking()))
    object_id = add(session, PointPrompt(MIDDLE))
    list(session.propagate(PropagationRequest("k", orientations=orientations)))
    assert mask_of(session, object_id)[22].any()
    before = held(session)
    steps = len(tracked_of(session))
    add(session, emptied("k", 21))
    list(session.propagate(PropagationRequest("k", orientations=orientations, update=True)))
    mask = mask_of(session, object_id)
    assert not mask[21:].any()
    assert np.array_equal(mask[:13], leaking()[:13])
    assert mask[19].any()
    if orientations == "1":
        assert tracked_of(session)[steps:] == list(range(13, 21))
    below = [key for key in before if key.axis == "k" and key.index <= 12]
    assert all(np.array_equal(held(session)[key], before[key]) for key in below)


@pytest.mark.parametrize("axis", AXES)
def test_emptied_slices_at_both_ends_hold_on_every_axis(axis: Axis) -> None:
    session = growing_session(volume_of(ORGAN))
    dimension = array_dimension(axis)
    middle = (12, 13, 14)[dimension]
    object_id = add(session, PointPrompt(MIDDLE, axis), emptied(axis, middle - 4), emptied(axis, middle + 5))
    list(session.propagate(PropagationRequest(axis, orientations="3")))
    kept = np.moveaxis(mask_of(session, object_id), dimension, 0)
    truth = np.moveaxis(ORGAN, dimension, 0)
    assert np.array_equal(kept[middle - 3 : middle + 5], truth[middle - 3 : middle + 5])
    assert not kept[: middle - 3].any()
    assert not kept[middle + 5 :].any()


def test_an_emptied_slice_between_prompts_stays_empty_and_ends_nothing() -> None:
    session = growing_session(volume_of(ORGAN))
    object_id = add(session, PointPrompt(MIDDLE), emptied("k", 14), PointPrompt((14.0, 13.0, 16.0)))
    list(session.propagate(PropagationRequest("k")))
    mask = mask_of(session, object_id)
    assert not mask[14].any()
    assert mask[16:20].any(axis=(1, 2)).all()


def test_an_emptied_slice_taken_back_gives_back_what_was_there() -> None:
    session = growing_session(volume_of(leaking()))
    object_id = add(session, PointPrompt(MIDDLE))
    list(session.propagate(PropagationRequest("k", orientations="3")))
    before = mask_of(session, object_id)
    add(session, emptied("k", 17))
    list(session.propagate(PropagationRequest("k", orientations="3", update=True)))
    session.clear_prompts(object_id, SliceKey("k", 17))
    list(session.propagate(PropagationRequest("k", orientations="3", update=True)))
    assert np.array_equal(mask_of(session, object_id), before)


def test_a_positive_prompt_beyond_an_emptied_end_makes_the_object_return() -> None:
    session = growing_session(volume_of(leaking()))
    object_id = add(session, PointPrompt(MIDDLE), emptied("k", 17))
    list(session.propagate(PropagationRequest("k")))
    add(session, PointPrompt((14.0, 13.0, 20.0)))
    list(session.propagate(PropagationRequest("k", update=True)))
    mask = mask_of(session, object_id)
    assert not mask[17].any()
    assert mask[19:24].any(axis=(1, 2)).all()


@pytest.mark.parametrize("memory", ["temporal", "self-sorting"])
@pytest.mark.parametrize("zoom", [None, 1.7])
def test_the_network_keeps_emptied_slices_empty_also_when_saved(
    memory: str, zoom: float | None, tmp_path: Path
) -> None:
    session = opened(memory, zoom)
    add(session, click("k", 8), emptied("k", 14, (20, 28, 32)))
    came = run(session, orientations="3")
    assert 14 in came
    assert not session.fused(1, 14, 19).probability.any()
    record = session.objects[1].axes["k"].tracker.record(14)
    assert record is not None and record.object_score < 0 and not (record.low_res_logits > 0).any()
    save_state(session.state(), tmp_path / "session.npz")
    again = small_engine(EngineOptions(fit="letterbox", memory=memory, zoom=zoom)).restore(
        two_organs_volume()[0], load_state(tmp_path / "session.npz")
    )
    assert np.array_equal(again.fused(1, 0, 19).probability, session.fused(1, 0, 19).probability)


ENGINES: list[Callable[[], object]] = [small_engine, RegionGrowingEngine]


@pytest.mark.parametrize("engine", ENGINES, ids=["network", "stand-in"])
def test_emptied_slices_alone_say_nothing_of_where_the_object_is(engine: Callable[[], object]) -> None:
    session: TrackingSession = engine().open(two_organs_volume()[0])  # type: ignore[attr-defined]
    object_id = session.add_object("organ")
    session.add_prompt(object_id, emptied("k", 3, (20, 28, 32)))
    with pytest.raises(PromptError) as refused:
        session.preview(object_id, SliceKey("k", 3))
    assert refused.value.code == "E_ONLY_EMPTY"
    session.add_prompt(object_id, PointPrompt((11.0, 14.0, 10.0), "j"))
    with pytest.raises(PromptError) as refused:
        session.propagate(PropagationRequest("k"))
    assert refused.value.code == "E_NO_PROMPT"


def test_the_stand_in_ends_at_an_emptied_slice_too() -> None:
    session = RegionGrowingEngine(tolerance=10).open(volume_of(ORGAN))
    object_id = session.add_object("organ")
    for prompt in (emptied("k", 9), PointPrompt(MIDDLE)):
        session.add_prompt(object_id, prompt)
    assert sorted(one.key.index for one in session.propagate(PropagationRequest("k"))) == list(range(10, 22))


COORDINATES = st.integers(0, 19).map(float)
PROMPTS = st.one_of(
    st.builds(
        lambda i, j, k, axis: PointPrompt((i, j, k), axis), COORDINATES, COORDINATES, COORDINATES, st.sampled_from(AXES)
    ),
    st.builds(
        lambda i, j, k: BoxPrompt((i, j, k), (min(19.0, i + 3), min(19.0, j + 3), k)),
        COORDINATES,
        COORDINATES,
        COORDINATES,
    ),
    st.builds(lambda axis, index: emptied(axis, index, (20, 20, 20)), st.sampled_from(AXES), st.integers(0, 19)),
)


@given(st.lists(PROMPTS, max_size=8), st.sampled_from(AXES))
def test_no_positive_prompt_lies_outside_the_span_and_no_emptied_end_inside(prompts: list[Prompt], axis: Axis) -> None:
    span = object_span(prompts, axis, 20)
    positions = [
        round(value)
        for prompt in prompts
        if not isinstance(prompt, MaskPrompt)
        for value in ([prompt.ijk] if isinstance(prompt, PointPrompt) else [prompt.first, prompt.last])
        for value in [value[2 - array_dimension(axis)]]
    ]
    ends = [one.slice.index for one in prompts if isinstance(one, MaskPrompt) and one.axis == axis]
    if not positions:
        assert (span.first, span.last) == (0, 19)
        return
    assert all(index in span for index in positions)
    assert not [index for index in ends if index in span and not min(positions) <= index <= max(positions)]
    assert all(edge in ends or edge in (-1, 20) for edge in (span.first - 1, span.last + 1))
