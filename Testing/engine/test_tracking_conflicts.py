"""Prompts that contradict each other: refused together, the later one holds in a session; keyframes at odds with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.tracking.conflicts import check_together
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.tracking.stand_in import RegionGrowingEngine
from MedSAM2Lib.types import (
    AXES,
    Axis,
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SegmentationSession,
    SliceKey,
    StopRule,
    array_dimension,
    ijk_position,
)
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.phantoms import small_engine, two_organs_volume

KEY = SliceKey("k", 10)
CLICK = PointPrompt((11.0, 14.0, 10.0))
SAME_PIXEL = PointPrompt((11.3, 13.8, 10.0), positive=False)
ELSEWHERE = PointPrompt((20.0, 14.0, 10.0), positive=False)
BOX = BoxPrompt((7, 9, 10), (15, 19, 10))
LARGER_BOX = BoxPrompt((6, 8, 10), (16, 20, 10))
MASK = MaskPrompt(KEY, two_organs_volume()[1][10])
OTHER_MASK = MaskPrompt(KEY, two_organs_volume()[1][7])
OTHER_SLICE = PointPrompt((11.0, 14.0, 12.0), positive=False)

CASES: list[tuple[str, list[Prompt], Prompt, list[Prompt]]] = [
    ("a mask replaces everything", [CLICK, ELSEWHERE, BOX], MASK, [CLICK, ELSEWHERE, BOX]),
    ("a mask replaces a mask", [MASK], OTHER_MASK, [MASK]),
    ("a point replaces a mask", [MASK], CLICK, [MASK]),
    ("a negative point replaces a mask", [MASK], ELSEWHERE, [MASK]),
    ("a box replaces a mask", [MASK], BOX, [MASK]),
    ("a box replaces a box and leaves points", [CLICK, BOX], LARGER_BOX, [BOX]),
    ("a point of the other sign in the same pixel", [CLICK, BOX], SAME_PIXEL, [CLICK]),
    ("and the other way round", [BOX, SAME_PIXEL], CLICK, [SAME_PIXEL]),
    ("a point of the same sign in the same pixel", [CLICK], PointPrompt((11.2, 14.1, 10.0)), []),
    ("points in different pixels", [CLICK], ELSEWHERE, []),
    ("a point beside a box", [BOX], CLICK, []),
    ("another slice", [MASK], OTHER_SLICE, []),
    ("the slice of another axis through the same voxel", [CLICK], PointPrompt(CLICK.ijk, "j", positive=False), []),
]

EACH_CASE = pytest.mark.parametrize(
    ("earlier", "later", "replaced"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
ENGINES = pytest.mark.parametrize("engine", [small_engine, RegionGrowingEngine], ids=["network", "stand-in"])


def session_with(engine: Callable[[], object], prompts: Sequence[Prompt]) -> tuple[SegmentationSession, int]:
    session = engine().open(two_organs_volume()[0])  # type: ignore[attr-defined]
    object_id = session.add_object("organ")
    for prompt in prompts:
        assert session.add_prompt(object_id, prompt) == ()
    return session, object_id


@ENGINES
@pytest.mark.parametrize(
    ("earlier", "later", "replaced"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_later_prompt_holds_and_says_what_it_replaced(
    engine: Callable[[], object], earlier: list[Prompt], later: Prompt, replaced: list[Prompt]
) -> None:
    session, object_id = session_with(engine, earlier)
    gone = session.add_prompt(object_id, later)
    assert [id(prompt) for prompt in gone] == [id(prompt) for prompt in replaced]
    kept = [prompt for prompt in earlier if prompt not in replaced]
    alike, other_id = session_with(engine, [*kept, later])
    if any(isinstance(one, (BoxPrompt, MaskPrompt)) or one.positive for one in [*kept, later]):
        found = session.preview(object_id, later.slice).logits
        assert np.array_equal(found, alike.preview(other_id, later.slice).logits)


@pytest.mark.parametrize(
    ("earlier", "later", "replaced"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_given_together_they_are_refused(earlier: list[Prompt], later: Prompt, replaced: list[Prompt]) -> None:
    if not replaced:
        check_together([*earlier, later])
        return
    with pytest.raises(PromptError, match="Slice 10 of axis k has") as caught:
        check_together([*earlier, later])
    assert caught.value.code == "E_PROMPT_CONFLICT"


def test_a_mask_that_a_click_replaced_still_goes_in_as_a_dense_prompt() -> None:
    session, object_id = session_with(small_engine, [MASK])
    session.preview(object_id, KEY)
    assert session.add_prompt(object_id, CLICK) == (MASK,)
    corrected = session.preview(object_id, KEY)
    alone, alone_id = session_with(small_engine, [CLICK])
    assert not np.array_equal(corrected.logits, alone.preview(alone_id, KEY).logits)
    assert not np.array_equal(session.voxel_logits(corrected) > 0, MASK.mask)


def test_a_mask_drawn_over_clicks_is_the_slice_voxel_for_voxel() -> None:
    session, object_id = session_with(small_engine, [CLICK, ELSEWHERE])
    session.preview(object_id, KEY)
    assert len(session.add_prompt(object_id, MASK)) == 2
    assert np.array_equal(session.voxel_logits(session.preview(object_id, KEY)) > 0, MASK.mask)


@ENGINES
def test_a_prompt_that_is_refused_replaces_nothing(engine: Callable[[], object]) -> None:
    session, object_id = session_with(engine, [MASK])
    with pytest.raises(PromptError):
        session.add_prompt(object_id, MaskPrompt(KEY, MASK.mask[:-1]))
    assert np.array_equal(session.voxel_logits(session.preview(object_id, KEY)) > 0, MASK.mask)


EVERY_SLICE = StopRule(enabled=False)


def propagated(request: PropagationRequest, *prompts: Prompt) -> tuple[TrackingSession, int]:
    session = small_engine().open(two_organs_volume()[0])
    object_id = session.add_object("organ")
    for prompt in prompts:
        session.add_prompt(object_id, prompt)
    list(session.propagate(request))
    return session, object_id


def point(index: int, positive: bool = True) -> PointPrompt:
    return PointPrompt((11.0, 14.0, float(index)), positive=positive)


def contents(session: TrackingSession, object_id: int) -> dict[SliceKey, bytes]:
    return {one.key: one.logits.tobytes() for one in session.results(object_id)}


@pytest.mark.parametrize("update", [False, True])
def test_a_keyframe_outside_the_range_is_refused_and_nothing_is_lost(update: bool) -> None:
    within = PropagationRequest("k", first=8, last=13, stop=EVERY_SLICE)
    session, object_id = propagated(within, point(10))
    before = contents(session, object_id)
    session.add_prompt(object_id, point(15))
    with pytest.raises(PromptError, match="slice 15 lies outside the range 8 to 13") as caught:
        session.propagate(replace(within, update=update))
    assert caught.value.code == "E_RANGE_PROMPT"
    assert contents(session, object_id) == before
    found = list(session.propagate(PropagationRequest("k", first=8, last=16, stop=EVERY_SLICE, update=update)))
    assert {14, 15, 16} <= {one.key.index for one in found} <= set(range(8, 17))
    assert {one.key.index for one in session.results(object_id)} == set(range(8, 17))


def test_a_correction_on_an_object_without_a_prompt_is_its_first_prompt() -> None:
    session, _ = propagated(PropagationRequest("k", stop=EVERY_SLICE), point(10))
    second = session.add_object("second")
    for attempt in (
        lambda: session.preview(second, KEY),
        lambda: session.propagate(PropagationRequest("k", [second], update=True)),
        lambda: session.propagate(PropagationRequest("j", [1], update=True)),
    ):
        with pytest.raises(PromptError) as caught:
            attempt()
        assert caught.value.code == "E_NO_PROMPT"
    assert session.results(second) == []
    assert session.add_prompt(second, point(5)) == ()
    corrected = list(session.propagate(PropagationRequest("k", [second], stop=EVERY_SLICE, update=True)))
    alone, alone_id = propagated(PropagationRequest("k", stop=EVERY_SLICE), point(5))
    assert len(corrected) == 20
    assert contents(session, second) == contents(alone, alone_id)


def test_a_correction_that_only_says_where_the_object_is_not_needs_another_prompt() -> None:
    session, _ = session_with(small_engine, [point(10, positive=False)])
    with pytest.raises(PromptError) as caught:
        session.propagate(PropagationRequest("k", update=True))
    assert caught.value.code == "E_ONLY_NEGATIVE"


def test_an_object_that_has_lost_its_last_prompt_is_refused_and_begins_anew_with_another() -> None:
    request = PropagationRequest("k", stop=EVERY_SLICE, orientations="3", update=True)
    session, object_id = propagated(request, point(10))
    session.clear_prompts(object_id, KEY)
    assert session.results(object_id) == []
    with pytest.raises(PromptError) as caught:
        session.propagate(request)
    assert caught.value.code == "E_NO_PROMPT"
    session.add_prompt(object_id, point(6))
    list(session.propagate(request))
    fresh, fresh_id = propagated(request, point(6))
    assert contents(session, object_id) == contents(fresh, fresh_id)


@pytest.mark.parametrize("thin", AXES)
@pytest.mark.parametrize("looked_along", AXES)
def test_an_orientation_of_one_slice_is_left_out(thin: Axis, looked_along: Axis) -> None:
    array = two_organs_volume()[0].array
    middle = [slice(None)] * 3
    middle[array_dimension(thin)] = slice(10, 11)
    volume = Volume.from_array(array[tuple(middle)])
    session = small_engine().open(volume)
    object_id = session.add_object("organ")
    ijk = [11.0, 14.0, 10.0]
    ijk[ijk_position(thin)] = 0.0
    session.add_prompt(object_id, PointPrompt((ijk[0], ijk[1], ijk[2]), looked_along))
    request = PropagationRequest(looked_along, stop=EVERY_SLICE, orientations="3")
    found = list(session.propagate(request))
    assert {one.key.axis for one in found} == {looked_along}
    assert len(found) == volume.slice_count(looked_along)
    slab = session.fused(object_id, 0, volume.shape[0] - 1)
    assert slab.probability.shape == volume.shape
    assert not slab.disagreement.any()


def test_between_adjacent_keyframes_nothing_is_computed_and_nothing_changes() -> None:
    session, object_id = propagated(PropagationRequest("k", stop=EVERY_SLICE), point(9), point(10), point(11))
    before = contents(session, object_id)
    session.add_prompt(object_id, PointPrompt((13.0, 14.0, 10.0)))
    again = list(session.propagate(PropagationRequest("k", stop=EVERY_SLICE, update=True)))
    assert [one.key for one in again] == [KEY]
    after = contents(session, object_id)
    assert {key for key in after if after[key] != before[key]} == {KEY}
    assert list(session.propagate(PropagationRequest("k", stop=EVERY_SLICE, update=True))) == []
