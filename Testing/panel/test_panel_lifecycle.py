"""The panel in the life of a scene: deletions, closing, saving, leaving, coming back, keys that step aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from PySide6 import QtWidgets

from SlicerHost import testing
from Testing.panel.panel_ground import PanelBench, middle_point
from Testing.panel.volumes import add_segmentation
from Testing.scene.session_ground import MIDDLE, ORGAN

RETURN, ESCAPE = testing.Qt.Key.Key_Return, testing.Qt.Key.Key_Escape


def start_propagation(bench: PanelBench) -> None:
    """Under way, some slices done."""
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.press(bench.ui.wholeButton)
    bench.key(RETURN, rest=False)
    bench.rest(lambda: bench.state.progress is not None and bench.state.progress.done >= 3)


def test_deleting_the_volume_in_mid_propagation_leaves_an_idle_panel_that_works_again(bench: PanelBench) -> None:
    start_propagation(bench)
    slicer.mrmlScene.RemoveNode(bench.volume)
    bench.rest()
    assert bench.state.phase == "idle"
    assert bench.ui.volumeSelector.currentNode() is None
    assert not bench.ui.propagateButton.enabled and not bench.ui.stopButton.enabled
    bench.panel.selection.choose_segmentation(None)
    bench.show(ORGAN, name="Second")
    bench.click(MIDDLE)
    assert bench.error is None and bench.preview().any()


def test_deleting_the_segmentation_leaves_an_idle_panel_and_the_next_click_makes_another(bench: PanelBench) -> None:
    start_propagation(bench)
    slicer.mrmlScene.RemoveNode(bench.segmentation)
    bench.rest()
    assert bench.state.phase == "idle" and bench.segmentation is None
    assert list(bench.ui.segmentsTable.selectedSegmentIDs()) == []
    bench.click(MIDDLE)
    assert bench.error is None and bench.preview().any()


def at_rest(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.enter()


@pytest.mark.parametrize("moment", [at_rest, start_propagation])
@pytest.mark.parametrize("spacing", [2.0, 3.0])
def test_when_the_volume_is_deleted_slicers_selector_goes_to_another_one_and_the_line_fits_that(
    bench: PanelBench, moment: Any, spacing: float
) -> None:
    moment(bench)
    kept, segmentation = bench.voxels(), bench.segmentation
    array, matrix = slicer.util.arrayFromVolume(bench.volume).copy(), np.diag([-1.0, -1.0, spacing, 1.0])
    other = slicer.util.addVolumeFromArray(array, ijkToRAS=matrix, name="Other")
    slicer.mrmlScene.RemoveNode(bench.volume)
    assert bench.state.phase in ("idle", "ready"), "the engine's step is not waited for"
    bench.rest()
    assert bench.ui.volumeSelector.currentNode() is other and bench.panel.selection.volume is other
    assert bench.segmentation is segmentation
    bench.volume = other
    if spacing == 2.0 or not kept.any():
        assert bench.error is None and bench.state.phase == "ready"
        assert np.array_equal(bench.voxels(), kept), "what was found before is kept, and nothing of what was under way"
        assert "deleted" not in bench.line
    else:
        assert bench.error == "E_GEOMETRY_MISMATCH" and bench.ui.fixButton.text == "Convert a copy"
        assert bench.state.phase == "idle" and not bench.ui.propagateButton.enabled
        bench.press(bench.ui.fixButton)
    slicer.app.coreIOManager().show(other)
    testing.settle()
    bench.click((14, 13, 10))
    assert bench.error is None and bench.state.previewed, bench.line


@pytest.mark.parametrize("moment", [at_rest, start_propagation])
def test_when_the_segmentation_is_deleted_the_other_one_is_worked_on(bench: PanelBench, moment: Any) -> None:
    moment(bench)
    other = add_segmentation(bench.volume, ORGAN.astype(np.uint8))
    testing.settle()
    slicer.mrmlScene.RemoveNode(bench.segmentation)
    bench.rest()
    assert bench.segmentation is other and bench.error is None and bench.state.phase == "ready"
    assert np.array_equal(bench.voxels(), ORGAN)
    bench.click((2, 2, 12))
    assert bench.error is None and bench.state.previewed


def test_deleting_the_segment_at_hand_leaves_the_others_and_the_panel_alive(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.enter()
    first = bench.panel.selection.segment_id
    kept = bench.voxels()
    bench.press(bench.ui.addSegmentButton)
    second = bench.panel.selection.segment_id
    assert second != first and bench.state.segment_id == second
    bench.segmentation.GetSegmentation().RemoveSegment(second)
    bench.rest()
    assert bench.panel.selection.segment_id == "" and bench.error is None
    assert np.array_equal(bench.voxels(first), kept)
    bench.ui.segmentsTable.setSelectedSegmentIDs([first])
    bench.rest()
    assert bench.state.segment_id == first


def test_closing_the_scene_in_mid_propagation_and_loading_another_volume(bench: PanelBench) -> None:
    start_propagation(bench)
    slicer.mrmlScene.Clear(False)
    bench.rest()
    assert bench.state.phase == "idle" and bench.error is None
    assert bench.panel.selection.volume is None and bench.line == "Load or choose a volume."
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.enter()
    assert np.array_equal(bench.voxels(), bench.expected(middle_point()))


def test_saving_the_scene_commits_the_preview_first_and_the_scene_goes_on_where_it_was(
    bench: PanelBench, tmp_path: Path
) -> None:
    bench.show(ORGAN)
    bench.ui.orientationsCombo.currentIndex = 1
    bench.click(MIDDLE)
    preview = bench.preview()
    file = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(file))
    bench.rest()
    assert np.array_equal(bench.voxels(), preview) and "before the scene was saved" in bench.line
    slicer.mrmlScene.Clear(False)
    bench.rest()
    slicer.util.loadScene(str(file))
    bench.rest()
    bench.volume = bench.panel.selection.volume
    assert bench.volume is not None and bench.panel.selection.is_open
    assert np.array_equal(bench.voxels(), preview)
    assert [key.index for key in bench.state.keyframes] == [12]
    assert bench.state.orientations == "1" and bench.ui.orientationsCombo.currentIndex == 1
    bench.press(bench.ui.wholeButton)
    bench.enter()
    assert np.array_equal(bench.voxels(), bench.expected(middle_point(), orientations="1"))


def test_what_selectors_do_while_a_scene_comes_is_no_choice(bench: PanelBench, tmp_path: Path) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(False)
    bench.rest()
    seen = []

    def empty_the_selector(_scene: object, _event: str) -> None:
        seen.append(bench.panel.selection.segmentation)
        bench.ui.segmentationSelector.setCurrentNode(seen[-1])
        bench.ui.segmentationSelector.setCurrentNode(None)
        seen.append(bench.panel.selection.segmentation)

    tag = slicer.mrmlScene.AddObserver(slicer.mrmlScene.EndImportEvent, empty_the_selector)
    slicer.util.loadScene(str(path))
    slicer.mrmlScene.RemoveObserver(tag)
    bench.rest()
    assert seen[0] is not None and seen[1] is seen[0]
    assert bench.panel.selection.segmentation is seen[0] and bench.ui.segmentationSelector.currentNode() is seen[0]


def test_leaving_the_module_commits_the_preview_and_gives_mouse_and_keys_back(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    preview = bench.preview()
    bench.host.window.moduleSelector().selectModule("")
    bench.rest()
    assert np.array_equal(bench.voxels(), preview)
    before = bench.state.keyframes
    bench.click((18, 13, 12))
    bench.key(RETURN)
    assert bench.state.keyframes == before and bench.state.phase != "reviewing"
    bench.host.window.moduleSelector().selectModule("MedSAM2Slicer")
    bench.rest()
    bench.enter()
    assert np.array_equal(bench.voxels(), bench.expected(middle_point()))


def test_leaving_in_mid_propagation_stops_it_and_keeps_what_is_done(bench: PanelBench) -> None:
    start_propagation(bench)
    bench.host.window.moduleSelector().selectModule("")
    bench.rest()
    assert bench.state.phase == "reviewing"
    assert 0 < bench.voxels().any(axis=(1, 2)).sum() < 19


def test_changing_the_segment_commits_the_preview_of_the_one_before(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    first, preview = bench.panel.selection.segment_id, bench.preview()
    bench.press(bench.ui.addSegmentButton)
    assert np.array_equal(bench.voxels(first), preview)
    assert not bench.voxels().any() and not bench.state.keyframes
    bench.ui.segmentsTable.setSelectedSegmentIDs([first])
    bench.rest()
    assert [key.index for key in bench.state.keyframes] == [12]


def test_keys_do_nothing_while_the_user_types_and_work_again_after(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    field = QtWidgets.QLineEdit(bench.host.window)
    field.show()
    bench.host.window.activateWindow()
    field.setFocus()
    testing.settle()
    bench.enter()
    assert bench.state.phase == "ready"
    field.clearFocus()
    field.hide()
    field.deleteLater()
    testing.settle()
    bench.enter()
    assert bench.state.phase == "reviewing"


def test_escape_drops_a_drag_and_then_puts_the_tool_away(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.press(bench.ui.boxButton)
    view = testing.slice_view("Red")
    start = testing.widget_position("Red", testing.world_of(bench.volume, (5, 6, 12)))
    end = testing.widget_position("Red", testing.world_of(bench.volume, (20, 20, 12)), jump=False)
    count = view.renderer().GetViewProps().GetNumberOfItems()
    testing.send_mouse(view, "MouseButtonPress", start)
    testing.send_mouse(view, "MouseMove", end)
    assert view.renderer().GetViewProps().GetNumberOfItems() == count + 1
    bench.key(ESCAPE)
    assert view.renderer().GetViewProps().GetNumberOfItems() == count
    testing.send_mouse(view, "MouseButtonRelease", end)
    bench.rest()
    assert not bench.state.keyframes and bench.ui.boxButton.checked
    bench.key(ESCAPE)
    assert not bench.ui.boxButton.checked and bench.panel.selection.parameters.tool == ""


@pytest.mark.parametrize("button", ["RightButton", "MiddleButton"])
def test_with_a_tool_in_hand_the_mouse_zooms_pans_and_scrolls_as_always(bench: PanelBench, button: str) -> None:
    bench.show(ORGAN)
    node = testing.slice_view("Red").mrmlSliceNode()
    view = testing.slice_view("Red")
    start = testing.widget_position("Red", testing.world_of(bench.volume, MIDDLE))
    before = (node.GetFieldOfView(), node.GetXYZOrigin(), node.GetSliceOffset())
    testing.drag(
        view, start, start + (start - testing.QtCore.QPointF(0, 0)) * 0.2, getattr(testing.Qt.MouseButton, button)
    )
    testing.settle()
    assert (node.GetFieldOfView(), node.GetXYZOrigin()) != before[:2]
    testing.wheel(view, 2)
    assert node.GetSliceOffset() != before[2]
    assert not bench.state.keyframes


def test_the_panel_stands_without_a_main_window(bench: PanelBench, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedSAM2SlicerLib.panel.widget import MedSAM2Panel

    with monkeypatch.context() as patch:
        patch.setattr(slicer.util, "mainWindow", lambda: None)
        patch.setattr(slicer.app, "_layout_manager", None)
        panel = MedSAM2Panel()
        panel.enter()
        assert panel.ui.statusText.text == "Load or choose a volume."
        panel.exit()
        panel.close()
