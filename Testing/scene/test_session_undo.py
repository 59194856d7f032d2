"""One history of prompts, masks and what the engine knows."""

from __future__ import annotations

import numpy as np
import pytest
from MedSAM2SlicerLib.session.history import LIMIT
from MedSAM2SlicerLib.session.scene_parts import MrmlScene

from MedSAM2Lib.types import PointPrompt, SliceKey
from Testing.scene.ground import paint
from Testing.scene.session_ground import MIDDLE, ORGAN, Bench


def undo(bench: Bench) -> None:
    assert bench.controller.undo()
    bench.run()


def redo(bench: Bench) -> None:
    assert bench.controller.redo()
    bench.run()


def one_slice(k: int, j: slice, i: slice) -> np.ndarray:
    mask = np.zeros_like(ORGAN)
    mask[k, j, i] = True
    return mask


def test_undo_and_redo_lead_back_to_the_same_voxels_prompts_and_previews(bench: Bench) -> None:
    moments = []

    def note() -> None:
        moments.append((bench.voxels(), bench.state.keyframes, bench.state.previewed, bench.preview()))

    note()
    bench.click()
    note()
    bench.propagate()
    note()
    bench.click((14.0, 13.0, 8.0))
    note()
    bench.controller.accept_slice()
    note()
    bench.propagate()
    note()
    for moment in moments[-2::-1]:
        undo(bench)
        assert_moment(bench, moment)
    assert not bench.controller.undo()
    for moment in moments[1:]:
        redo(bench)
        assert_moment(bench, moment)
    assert not bench.controller.redo()


def assert_moment(bench: Bench, moment: tuple) -> None:
    voxels, keyframes, previewed, preview = moment
    assert np.array_equal(bench.voxels(), voxels)
    assert bench.state.keyframes == keyframes
    assert bench.state.previewed == previewed
    assert np.array_equal(bench.preview(), preview)


def test_at_least_twenty_steps_can_be_taken_back(bench: Bench) -> None:
    for step in range(25):
        bench.click((14.0, 13.0, float(step % 20 + 3)), positive=True)
    assert LIMIT >= 25
    for _ in range(25):
        undo(bench)
    assert bench.state.keyframes == ()
    assert not bench.state.can_undo


def test_after_undo_of_a_correction_the_engine_computes_nothing_again(bench: Bench) -> None:
    bench.controller.set_orientations("1")
    bench.click()
    bench.propagate()
    committed = bench.voxels()
    bench.click((14.0, 13.0, 8.0))
    undo(bench)
    before = len(bench.tracked)
    bench.propagate()
    assert bench.tracked[before:] == []
    assert np.array_equal(bench.voxels(), committed)


def test_something_new_ends_redo(bench: Bench) -> None:
    bench.click()
    undo(bench)
    assert bench.state.can_redo
    bench.click((14.0, 13.0, 9.0))
    assert not bench.state.can_redo
    assert not bench.controller.redo()


def test_undo_of_a_drawn_slice_takes_the_drawing_back_and_redo_brings_it_again(bench: Bench) -> None:
    bench.click()
    bench.propagate()
    committed = bench.voxels()
    paint(bench.segmentation, bench.segment_id, one_slice(9, slice(0, 4), slice(0, 5)), bench.volume)
    drawn = bench.voxels()
    bench.controller.look_at_edits()
    assert bench.state.hand_drawn == (SliceKey("k", 9),)
    undo(bench)
    assert np.array_equal(bench.voxels(), committed)
    assert bench.state.hand_drawn == ()
    redo(bench)
    assert np.array_equal(bench.voxels(), drawn)
    assert bench.state.hand_drawn == (SliceKey("k", 9),)


def test_undo_leaves_alone_what_was_drawn_in_other_segments_since(bench: Bench) -> None:
    other = bench.add_segment()
    bench.click()
    bench.propagate()
    theirs = one_slice(3, slice(0, 4), slice(0, 5))
    paint(bench.segmentation, other, theirs, bench.volume)
    undo(bench)
    assert not bench.voxels().any()
    assert np.array_equal(bench.voxels(other), theirs)


def test_the_segment_editor_s_own_undo_of_a_commit_is_no_edit(bench: Bench) -> None:
    bench.click()
    bench.propagate()
    committed = bench.voxels()
    paint(bench.segmentation, bench.segment_id, committed, bench.volume, erase=True)
    bench.controller.look_at_edits()
    bench.run()
    assert bench.state.hand_drawn == ()
    assert bench.state.previewed == (SliceKey("k", 12),)
    redo(bench)
    assert np.array_equal(bench.voxels(), committed)


def test_a_dragged_prompt_can_be_taken_back(bench: Bench) -> None:
    bench.click()
    opened = bench.controller._core.open
    assert opened is not None
    (prompt_id,) = opened.prompts()
    bench.drag_points((14.0, 13.0, 9.0))
    assert opened.prompts() == {prompt_id: PointPrompt((14.0, 13.0, 9.0))}
    assert bench.state.previewed == (SliceKey("k", 9),)
    undo(bench)
    assert opened.prompts() == {prompt_id: PointPrompt(MIDDLE)}
    assert bench.state.previewed == (SliceKey("k", 12),)


def test_undo_while_a_preview_is_computed_shows_nothing_that_was_undone(bench: Bench) -> None:
    bench.controller.add_point(MIDDLE, "k")
    assert bench.controller.undo()
    bench.run()
    assert bench.state.keyframes == ()
    assert bench.state.previewed == ()
    assert not bench.preview().any()
    assert bench.state.phase == "ready"


def test_undo_while_propagating_does_nothing(bench: Bench) -> None:
    bench.click()
    bench.controller.propagate()
    assert not bench.controller.undo()
    bench.run()
    assert bench.voxels().any()


@pytest.mark.parametrize("budget", [0, 2**30])
def test_without_memory_for_what_the_engine_knew_undo_gives_the_same_voxels(bench: Bench, budget: int) -> None:
    opened = bench.controller._core.open
    assert opened is not None
    opened.side.memories._budget = budget
    bench.controller.set_orientations("1")
    bench.click()
    bench.propagate()
    committed = bench.voxels()
    bench.click((14.0, 13.0, 8.0))
    bench.propagate()
    undo(bench)
    undo(bench)
    bench.propagate()
    assert np.array_equal(bench.voxels(), committed)
    assert MrmlScene.segments(bench.volume, bench.segmentation).mask(bench.segment_id).any()
