"""The flow that users live in, on the real panel and views: click, preview, Enter, commit, correct, undo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedSAM2Lib.types import Axis, BoxPrompt, PointPrompt, SliceKey, array_dimension
from SlicerHost import testing
from Testing.engine.phantoms import ellipsoid
from Testing.panel.panel_ground import VIEW_OF_AXIS, PanelBench, middle_point
from Testing.scene.session_ground import MIDDLE, ORGAN, SHAPE

TWO = ORGAN | ellipsoid(SHAPE, (12, 4, 4), (2, 2, 2))
"""An organ, and something beside it on its middle slice that touches it nowhere."""

CONTROL = testing.Qt.KeyboardModifier.ControlModifier


def slice_of(array: Any, axis: Axis, index: int) -> Any:
    return np.take(array, index, axis=array_dimension(axis))


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_a_click_in_each_view_previews_its_slice_and_enter_commits_the_engine_s_voxels(
    bench: PanelBench, axis: Axis
) -> None:
    bench.show(ORGAN)
    index = int(MIDDLE["ijk".index(axis)])
    bench.click(MIDDLE, VIEW_OF_AXIS[axis])
    assert bench.state.previewed == (SliceKey(axis, index),)
    shown = bench.preview()
    assert np.array_equal(slice_of(shown, axis, index), bench.expected_slice(middle_point(axis)))
    assert shown.sum() == slice_of(shown, axis, index).sum() > 0
    assert not bench.voxels().any()
    bench.press(bench.ui.wholeButton)
    bench.enter()
    assert bench.state.phase == "reviewing" and bench.error is None
    assert bench.voxels().any()
    assert np.array_equal(bench.voxels(), bench.expected(middle_point(axis)))
    assert not bench.preview().any()


def test_the_first_click_makes_a_segmentation_on_the_volume_s_grid_and_a_segment(bench: PanelBench) -> None:
    bench.show(ORGAN)
    assert bench.segmentation is None
    bench.click(MIDDLE)
    assert bench.segmentation is not None
    assert bench.segmentation.GetSegmentation().GetNumberOfSegments() == 1
    assert bench.ui.segmentationSelector.currentNode() is bench.segmentation
    assert list(bench.ui.segmentsTable.selectedSegmentIDs()) == [bench.panel.selection.segment_id]


def test_a_dragged_box_is_that_box(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.press(bench.ui.boxButton)
    bench.drag((5, 6, 12), (23, 20, 12))
    (prompt,) = bench.panel.controller._core.open.prompts().values()
    assert isinstance(prompt, BoxPrompt)
    assert (prompt.first, prompt.last, prompt.axis) == ((5, 6, 12), (23, 20, 12), "k")
    assert np.array_equal(bench.preview()[12], bench.expected_slice(prompt))


def test_a_box_that_is_dragged_out_of_the_volume_ends_at_its_edge(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.press(bench.ui.boxButton)
    bench.drag((5, 6, 12), (60, 13, 12))
    (prompt,) = bench.panel.controller._core.open.prompts().values()
    assert prompt.last == (SHAPE[2] - 1, 13, 12)


@pytest.mark.parametrize("how", ["button", "control"])
def test_a_negative_point_takes_a_part_away(bench: PanelBench, how: str) -> None:
    bench.show(TWO)
    bench.press(bench.ui.boxButton)
    bench.drag((1, 1, 12), (26, 24, 12))
    both = bench.preview()[12]
    assert both[4, 4] and both[13, 14]
    if how == "button":
        bench.press(bench.ui.negativeButton)
        bench.click((4, 4, 12))
    else:
        bench.press(bench.ui.pointButton)
        bench.click((4, 4, 12), modifiers=CONTROL)
    prompts = list(bench.panel.controller._core.open.prompts().values())
    assert prompts[-1] == PointPrompt((4, 4, 12), "k", positive=False)
    assert bench.preview()[12][13, 14] and not bench.preview()[12][4, 4]


def test_shift_enter_accepts_the_previewed_slice_only(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    expected = bench.preview()
    bench.key(testing.Qt.Key.Key_Return, testing.Qt.KeyboardModifier.ShiftModifier)
    assert np.array_equal(bench.voxels(), expected)
    assert not bench.preview().any()


def test_escape_in_mid_propagation_keeps_what_is_done(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.press(bench.ui.wholeButton)
    bench.key(testing.Qt.Key.Key_Return, rest=False)
    bench.rest(lambda: bench.state.progress is not None and bench.state.progress.done >= 4)
    assert bench.ui.stopButton.enabled and not bench.ui.progressBar.isHidden()
    assert bench.preview().any()
    bench.key(testing.Qt.Key.Key_Escape)
    done = sorted(key.index for key in bench.state.slices if key.axis == "k")
    assert 4 <= len(done) < 20
    assert bench.voxels().any(axis=(1, 2)).sum() == len(done)
    assert bench.state.outdated and bench.ui.progressBar.isHidden()
    bench.enter()
    assert np.array_equal(bench.voxels(), bench.expected(middle_point()))


def test_a_dragged_point_changes_the_preview_and_undo_brings_it_back(bench: PanelBench) -> None:
    bench.show(TWO)
    bench.click(MIDDLE)
    before = bench.preview()
    bench.press(bench.ui.pointButton)
    bench.drag(MIDDLE, (4, 4, 12))
    (prompt,) = bench.panel.controller._core.open.prompts().values()
    assert prompt == PointPrompt((4, 4, 12), "k")
    moved = bench.preview()
    assert moved[12][4, 4] and not moved[12][13, 14]
    bench.key(testing.Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(bench.preview(), before)
    bench.key(testing.Qt.Key.Key_Y, CONTROL)
    assert np.array_equal(bench.preview(), moved)


def test_undo_and_redo_go_through_prompts_and_voxels_together(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    preview = bench.preview()
    bench.enter()
    committed = bench.voxels()
    bench.press(bench.ui.undoButton)
    assert not bench.voxels().any() and np.array_equal(bench.preview(), preview)
    bench.press(bench.ui.undoButton)
    assert not bench.state.keyframes and not bench.preview().any()
    assert not bench.ui.undoButton.enabled
    bench.press(bench.ui.redoButton)
    bench.press(bench.ui.redoButton)
    assert np.array_equal(bench.voxels(), committed)
    assert not bench.ui.redoButton.enabled


def test_a_preview_is_seen_in_the_views_and_no_longer_seen_when_it_is_gone(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.panel.views.show_voxel(bench.volume, MIDDLE)
    before = [picture_of(view) for view in ("Red", "Green")]
    bench.click(MIDDLE)
    first = picture_of("Red")
    yellow = (first != before[0]).any(axis=-1) & (first[..., 2] < first[..., 0])
    assert yellow.mean() > 0.1
    bench.press(bench.ui.wholeButton)
    bench.key(testing.Qt.Key.Key_Return, rest=False)
    bench.rest(lambda: bench.state.progress is not None and bench.state.progress.done >= 12)
    assert ((picture_of("Green") != before[1]).any(axis=-1)).mean() > 0.05
    bench.key(testing.Qt.Key.Key_Escape)
    bench.press(bench.ui.undoButton)
    bench.press(bench.ui.undoButton)
    assert np.array_equal(picture_of("Red"), before[0])


def picture_of(name: str) -> Any:
    """What a view shows, uint8 [rows, columns, red green blue]."""
    testing.settle()
    image = testing.slice_view(name).image()
    rows, line = image.height(), image.bytesPerLine()
    return np.array(image.constBits(), np.uint8).reshape(rows, line // 4, 4)[:, : image.width(), :3]
