"""Review and correction: ribbon, next doubtful slice, suggestion, disagreement, drawing by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from PySide6.QtCore import QPointF

from MedSAM2Lib.types import SliceKey
from SlicerHost import testing
from Testing.engine.growing_network import BRIGHT
from Testing.engine.phantoms import ellipsoid
from Testing.panel.panel_ground import PanelBench, middle_point
from Testing.scene.session_ground import MIDDLE, ORGAN, SHAPE

DIM = slice(15, 18)
"""Slices of the organ, along k, that the stand-in sees but doubts."""
DIM_MOST = slice(13, 21)
"""Eight of its nineteen."""


def offset_index(bench: PanelBench, view: str = "Red") -> int:
    """The slice that a view shows, from its position in mm."""
    from MedSAM2SlicerLib.scene.view_places import slice_index_of

    index = slice_index_of(testing.slice_view(view).mrmlSliceNode(), bench.volume)
    assert index is not None
    return index


def propagated(bench: PanelBench, dim: slice | None = None) -> None:
    bench.show(ORGAN)
    if dim is not None:
        array = slicer.util.arrayFromVolume(bench.volume)
        array[dim] = array[dim] * 6 // 10
        slicer.util.arrayFromVolumeModified(bench.volume)
    bench.ui.orientationsCombo.currentIndex = 1
    bench.click(MIDDLE)
    bench.press(bench.ui.wholeButton)
    bench.enter()
    assert bench.state.phase == "reviewing"


def test_a_click_in_the_ribbon_shows_that_slice(bench: PanelBench) -> None:
    propagated(bench)
    label = bench.ui.ribbonLabel
    testing.click(label, QPointF((20 + 0.5) * label.width / SHAPE[0], label.height / 2))
    assert offset_index(bench) == 20
    bench.key(testing.Qt.Key.Key_Left)
    testing.press_key(label, testing.Qt.Key.Key_Left)
    assert offset_index(bench) == 19


def test_every_slice_has_its_column_and_the_pixel_of_a_column_means_its_slice(bench: PanelBench) -> None:
    from MedSAM2SlicerLib.panel.ribbon import Scale, bars

    propagated(bench)
    for width in (10, 24, 333):
        columns = bars(bench.state, width)
        assert [index for bar in columns for index in range(bar.first, bar.last + 1)] == list(range(24))
        scale = Scale(24, width)
        for bar in columns:
            assert bar.first <= scale.slice_at(scale.left(bar.first)) <= bar.last
        assert scale.slice_at(width - 1) == 23 and scale.slice_at(0) <= columns[0].last
    (prompted,) = [bar for bar in bars(bench.state, 333) if bar.prompted]
    assert (prompted.first, prompted.drawn) == (12, False)


def test_a_doubted_column_looks_different_by_pattern_and_not_by_colour_alone(bench: PanelBench) -> None:
    from MedSAM2SlicerLib.panel.ribbon import Scale, bars, draw_ribbon

    propagated(bench, DIM)
    doubted = [bar.first for bar in bars(bench.state, 480) if bar.doubted]
    assert {15, 16, 17} <= set(doubted) and 12 not in doubted
    image = draw_ribbon(bench.state, 480, 60, bench.ui.ribbonLabel.palette, None).toImage()
    scale = Scale(24, 480)

    def greys(index: int) -> set[int]:
        left = scale.left(index)
        return {image.pixelColor(x, y).lightness() for x in range(left + 2, left + 16) for y in range(45, 52)}

    assert len(greys(13)) == 1 and len(greys(16)) > 1


def test_n_goes_from_one_doubtful_slice_to_the_next_and_around(bench: PanelBench) -> None:
    propagated(bench, DIM)
    bench.panel.views.show_slice(bench.volume, SliceKey("k", 12))
    testing.settle()
    seen = []
    for _ in range(4):
        bench.key(testing.Qt.Key.Key_N)
        seen.append(offset_index(bench))
    assert seen[:3] == [15, 16, 17] and seen[3] != 17
    bench.press(bench.ui.doubtfulButton)
    assert offset_index(bench) != seen[3] or len(set(seen)) == 1


def test_the_suggestion_comes_on_request_and_all_views_show_its_place(bench: PanelBench) -> None:
    propagated(bench, DIM)
    assert bench.ui.suggestionText.isHidden()
    bench.press(bench.ui.suggestButton)
    suggestion = bench.state.suggestion
    assert suggestion is not None
    assert str(suggestion.slice.index) in bench.ui.suggestionText.text
    i, j, k = (round(value) for value in suggestion.ijk)
    assert (offset_index(bench, "Yellow"), offset_index(bench, "Green"), offset_index(bench)) == (i, j, k)


def test_the_disagreement_is_laid_over_the_views_and_taken_away_again(bench: PanelBench) -> None:
    bench.show(ORGAN)
    array = slicer.util.arrayFromVolume(bench.volume)
    array[:] += (ellipsoid(SHAPE, (12, 13, 24), (2, 9, 2)) & ~ORGAN).astype(np.int16) * BRIGHT
    slicer.util.arrayFromVolumeModified(bench.volume)
    bench.click(MIDDLE)
    bench.press(bench.ui.wholeButton)
    bench.enter()
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    before = composite.GetForegroundVolumeID()
    bench.ui.disagreementCheck.click()
    shown = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID())
    _within, values = bench.panel.controller.disagreement()
    assert np.array_equal(slicer.util.arrayFromVolume(shown), values)
    assert not shown.GetSaveWithScene() and shown.GetHideFromEditors()
    bench.ui.disagreementCheck.click()
    assert composite.GetForegroundVolumeID() == before
    assert shown.GetScene() is None


def paint(bench: PanelBench, button: Any, first: Any, last: Any) -> None:
    bench.press(button)
    bench.drag(first, last)
    button.click()
    bench.rest(lambda: not bench.state.edited and not bench.panel.controller.busy)


def test_a_painted_slice_becomes_a_keyframe_and_stays_as_it_was_drawn(bench: PanelBench) -> None:
    propagated(bench)
    before = bench.voxels()
    paint(bench, bench.panel.editing.editor.erase_button, (8, 13, 15), (20, 13, 15))
    drawn = bench.voxels()
    assert drawn[15].sum() < before[15].sum()
    assert np.array_equal(np.delete(drawn, 15, 0), np.delete(before, 15, 0))
    assert bench.state.hand_drawn == (SliceKey("k", 15),)
    assert "drawn by hand" in bench.line
    bench.enter()
    assert np.array_equal(bench.voxels()[15], drawn[15])
    assert set(bench.state.keyframes) == {SliceKey("k", 12), SliceKey("k", 15)}
    bench.press(bench.ui.undoButton)
    bench.press(bench.ui.undoButton)
    assert np.array_equal(bench.voxels(), before)


def test_painting_takes_no_voxel_of_another_segment(bench: PanelBench) -> None:
    propagated(bench)
    first, kept = bench.panel.selection.segment_id, bench.voxels()
    bench.press(bench.ui.addSegmentButton)
    paint(bench, bench.panel.editing.editor.paint_button, (2, 13, 12), (26, 13, 12))
    assert np.array_equal(bench.voxels(first), kept)
    assert bench.voxels().any() and not (bench.voxels() & kept).any()


def test_while_the_brush_is_in_hand_clicks_are_its_own_and_our_keys_step_aside(bench: PanelBench) -> None:
    propagated(bench)
    bench.press(bench.panel.editing.editor.paint_button)
    assert bench.panel.editing.active and not bench.panel.shortcuts.active
    before = bench.state.keyframes
    bench.click((25, 2, 12))
    assert not any(
        one.slice.index == 12 and one.ijk[0] == 25 for one in bench.panel.controller._core.open.prompts().values()
    )
    assert before == bench.state.keyframes or bench.state.hand_drawn
    bench.panel.editing.editor.paint_button.click()
    testing.settle()
    assert bench.panel.shortcuts.active


def test_the_estimate_names_all_slices_and_those_of_the_range(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.ui.rangeWidget.setValues(6, 17)
    bench.rest()
    assert bench.state.range == (6, 17)
    text = bench.ui.estimateText.text
    assert text.startswith("24 slices: about ") and "slices 6 to 17: about " in text
    bench.ui.rangeWidget.setValues(15, 20)
    bench.rest()
    assert bench.state.range == (12, 20), "a range holds its prompts"
    assert (bench.ui.rangeWidget.minimumValue, bench.ui.rangeWidget.maximumValue) == (12, 20)


@pytest.mark.parametrize(("row", "memory"), [(1, "temporal"), (2, "key-slice")])
def test_the_memory_that_was_chosen_is_asked_for_and_kept_with_the_scene(
    bench: PanelBench, row: int, memory: str
) -> None:
    bench.show(ORGAN)
    bench.ui.memoryCombo.currentIndex = row
    bench.click(MIDDLE)
    assert bench.choices[-1].memory == memory
    assert bench.panel.selection.parameters.memory == memory


def test_the_window_is_the_display_s_at_the_first_prompt_and_changes_on_request(bench: PanelBench) -> None:
    bench.show(ORGAN)
    display = bench.volume.GetDisplayNode()
    assert bench.ui.windowText.text == "taken at the first prompt"
    bench.click(MIDDLE)
    assert bench.ui.windowText.text == "0 to 100"
    display.SetWindowLevel(60, 50)
    assert bench.ui.windowText.text == "0 to 100"
    bench.press(bench.ui.windowButton)
    assert bench.ui.windowText.text == "20 to 80"
    bench.click((18, 13, 12))
    assert bench.choices[-1].window == (20.0, 80.0)


def test_the_status_that_is_chosen_is_the_segment_s(bench: PanelBench) -> None:
    from MedSAM2SlicerLib.scene.segments import get_status

    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.ui.segmentStatusCombo.currentIndex = 2
    assert get_status(bench.segmentation, bench.panel.selection.segment_id) == "flagged"
    assert np.array_equal(bench.expected_slice(middle_point()), bench.preview()[12])


def test_a_doubted_segment_is_flagged_in_words_until_it_is_corrected_or_the_user_says_otherwise(
    bench: PanelBench,
) -> None:
    propagated(bench, DIM_MOST)
    combo, legend = bench.ui.segmentStatusCombo, bench.ui.ribbonLegend
    assert combo.currentIndex == 2
    assert "The segment is flagged: slices in doubt:" in bench.line
    assert "The segment is flagged for that." in legend.text
    for key in bench.state.doubted:
        bench.panel.views.show_slice(bench.volume, key)
        testing.settle()
        bench.click((14, 13, key.index))
    assert not bench.state.doubted and combo.currentIndex == 1
    assert "flagged" not in legend.text
    for _ in range(20):
        if combo.currentIndex != 2:
            bench.press(bench.ui.undoButton)
    assert combo.currentIndex == 2
    combo.currentIndex = 1
    testing.settle()
    assert "flagged" not in legend.text
    bench.enter()
    assert combo.currentIndex == 1, "what the user chose stays"


def test_a_shown_surface_is_put_away_by_a_change_and_made_again_after_a_pause(bench: PanelBench) -> None:
    propagated(bench)
    bench.ui.surfaceCheck.click()
    segmentation = bench.segmentation.GetSegmentation()
    assert segmentation.ContainsRepresentation("Closed surface")
    bench.key(testing.Qt.Key.Key_Z, testing.Qt.KeyboardModifier.ControlModifier)
    assert not bench.voxels().any()
    bench.key(testing.Qt.Key.Key_Y, testing.Qt.KeyboardModifier.ControlModifier)
    assert bench.voxels().any() and bench.ui.surfaceCheck.checked
    bench.rest(lambda: segmentation.ContainsRepresentation("Closed surface"))
    surface = bench.segmentation.GetClosedSurfaceInternalRepresentation(bench.panel.selection.segment_id)
    assert surface.GetNumberOfPoints() > 100
    bench.ui.surfaceCheck.click()
    assert not segmentation.ContainsRepresentation("Closed surface")
