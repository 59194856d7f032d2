"""Prompts that contradict each other: refused together, the later one holds in a session; keyframes at odds with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.tracking.conflicts import check_together, replacement_sentence
from MedSAM2Lib.tracking.stand_in import RegionGrowingEngine
from MedSAM2Lib.types import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    SegmentationSession,
    SliceKey,
)
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


def test_a_replacement_is_said_in_one_sentence() -> None:
    assert replacement_sentence(CLICK, ()) is None
    said = replacement_sentence(MASK, (BOX, CLICK, PointPrompt((12.0, 14.0, 10.0))))
    assert said == (
        "The mask on slice 10 of axis k holds: it replaces the box and the 2 points of the same object there."
    )
    said = replacement_sentence(CLICK, (SAME_PIXEL,))
    assert said is not None
    assert said.startswith("The point on slice 10 of axis k holds: it replaces the negative point")


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
        session.add_prompt(object_id, MaskPrompt(KEY, np.zeros_like(MASK.mask)))
    assert np.array_equal(session.voxel_logits(session.preview(object_id, KEY)) > 0, MASK.mask)
