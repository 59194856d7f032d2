"""What cannot be worked on: one clear line in the panel, the button that mends it, and nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from PySide6.QtCore import QPointF

from MedSAM2Lib.errors import DeviceError, ModelError
from SlicerHost import testing
from SlicerHost.start import Host
from Testing.panel.panel_ground import PanelBench, middle_point, panel_bench
from Testing.panel.volumes import add_segmentation
from Testing.scene.session_ground import MIDDLE, ORGAN, GrowingEngine


def test_without_a_volume_a_click_says_so(bench: PanelBench) -> None:
    assert bench.line == "Load or choose a volume."
    view = testing.slice_view("Red")
    testing.click(view, QPointF(view.width / 2, view.height / 2))
    assert bench.error == "E_NO_VOLUME"
    assert bench.line == "There is no volume: choose the one to segment."


def test_a_colour_volume_is_refused_with_the_reason(bench: PanelBench) -> None:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    image = vtk.vtkImageData()
    image.SetDimensions(8, 8, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node.SetAndObserveImageData(image)
    testing.settle()
    bench.ui.volumeSelector.setCurrentNode(node)
    assert bench.error == "E_VOLUME_KIND"
    assert "colours" in bench.line and "convert it" in bench.line
    assert bench.state.phase == "idle" and not bench.ui.propagateButton.enabled


def test_a_label_map_is_refused_with_the_reason(bench: PanelBench) -> None:
    node = bench.show(ORGAN)
    labels = slicer.modules.volumes.logic().CreateAndAddLabelVolume(node, "Labels")
    testing.settle()
    bench.ui.volumeSelector.setCurrentNode(labels)
    assert bench.error == "E_VOLUME_KIND" and "label map" in bench.line


def test_one_frame_of_a_sequence_is_refused_with_the_reason(bench: PanelBench) -> None:
    node = bench.show(ORGAN)
    slicer.vtkSlicerSequencesLogic().SetMRMLScene(slicer.mrmlScene)
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Beating")
    sequence.SetDataNodeAtValue(node, "0")
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(node, sequence, False)
    bench.click(MIDDLE)
    assert bench.error == "E_VOLUME_KIND" and "sequence" in bench.line
    assert bench.segmentation is None


def test_a_click_outside_of_the_volume_says_so_and_leaves_no_prompt(bench: PanelBench) -> None:
    bench.show(ORGAN)
    view = testing.slice_view("Red")
    testing.click(view, QPointF(3, 3))
    bench.rest()
    assert bench.error == "E_CLICK_OUTSIDE"
    assert not bench.state.keyframes
    bench.click(MIDDLE)
    assert bench.error is None and bench.state.previewed


def test_a_tilted_view_offers_to_align_and_then_takes_the_click(bench: PanelBench) -> None:
    bench.show(ORGAN)
    node = testing.slice_view("Red").mrmlSliceNode()
    turn = vtk.vtkTransform()
    turn.RotateX(20)
    matrix = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Multiply4x4(turn.GetMatrix(), node.GetSliceToRAS(), matrix)
    node.GetSliceToRAS().DeepCopy(matrix)
    node.UpdateMatrices()
    testing.settle()
    bench.click(MIDDLE)
    assert bench.error == "E_VIEW_OBLIQUE" and not bench.state.keyframes
    assert bench.ui.fixButton.text == "Align the view"
    bench.press(bench.ui.fixButton)
    assert bench.error is None
    bench.click(MIDDLE)
    assert bench.error is None and bench.state.previewed


def test_a_segmentation_on_another_grid_is_converted_into_a_copy(bench: PanelBench) -> None:
    bench.show(ORGAN)
    other = slicer.util.addVolumeFromArray(np.zeros((48, 13, 14), np.int16), ijkToRAS=np.diag([-2.0, -2.0, 1.0, 1.0]))
    mask = np.zeros((48, 13, 14), np.uint8)
    mask[10:30, 3:9, 4:10] = 1
    segmentation = add_segmentation(other, mask)
    testing.settle()
    bench.ui.segmentationSelector.setCurrentNode(segmentation)
    assert bench.error == "E_GEOMETRY_MISMATCH"
    assert bench.ui.fixButton.text == "Convert a copy"
    bench.press(bench.ui.fixButton)
    assert bench.error is None
    assert bench.segmentation is not segmentation
    assert bench.voxels().sum() == mask.sum() * 2
    assert slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "box", other).sum() == mask.sum()


@pytest.mark.parametrize("button", ["fixButton", "secondFixButton"])
def test_a_transformed_volume_and_a_segmentation_that_is_not(bench: PanelBench, button: str) -> None:
    bench.show(ORGAN)
    segmentation = add_segmentation(bench.volume, ORGAN.astype(np.uint8))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 5.0)
    transform.SetMatrixTransformToParent(matrix)
    bench.volume.SetAndObserveTransformNodeID(transform.GetID())
    testing.settle()
    bench.ui.segmentationSelector.setCurrentNode(segmentation)
    assert bench.error == "E_TRANSFORM_MISMATCH"
    bench.press(getattr(bench.ui, button))
    assert bench.error is None and bench.panel.selection.is_open
    shift = 0 if button == "fixButton" else 5
    assert bench.voxels()[12, 13, 14 + shift] and bench.voxels().any()


def test_a_volume_under_a_curved_transform_names_the_fix_and_a_button_does_it(bench: PanelBench) -> None:
    bench.show(ORGAN)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    for points in (spline.SetSourceLandmarks, spline.SetTargetLandmarks):
        places = vtk.vtkPoints()
        for place in (
            (0, 0, 0),
            (0, 0, 40),
            (0, -20, 0),
            (-20, 0, 0),
            (-10, -10, 30 + (points == spline.SetTargetLandmarks)),
        ):
            places.InsertNextPoint(*place)
        points(places)
    transform.SetAndObserveTransformToParent(spline)
    bench.volume.SetAndObserveTransformNodeID(transform.GetID())
    bench.click(MIDDLE)
    assert bench.error == "E_TRANSFORM_NONLINEAR" and "harden" in bench.line
    bench.press(bench.ui.fixButton)
    assert bench.error is None and bench.volume.GetTransformNodeID() is None


def test_a_hidden_segment_is_shown_by_the_button(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    display = bench.segmentation.GetDisplayNode()
    display.SetSegmentVisibility(bench.panel.selection.segment_id, False)
    bench.enter()
    assert bench.error == "E_SEGMENT_HIDDEN" and not bench.voxels().any()
    bench.press(bench.ui.fixButton)
    assert bench.error is None and display.GetSegmentVisibility(bench.panel.selection.segment_id)
    bench.enter()
    assert np.array_equal(bench.voxels(), bench.expected(middle_point()))


def test_a_completed_segment_is_locked_until_it_is_marked_as_in_progress(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.ui.segmentStatusCombo.currentIndex = 3
    bench.enter()
    assert bench.error == "E_SEGMENT_LOCKED" and not bench.voxels().any()
    bench.press(bench.ui.fixButton)
    assert bench.error is None
    bench.enter()
    assert np.array_equal(bench.voxels(), bench.expected(middle_point()))


def test_enter_without_a_prompt_says_what_to_do(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.press(bench.ui.addSegmentButton)
    bench.enter()
    assert bench.error == "E_NO_PROMPT" and "click into the object" in bench.line


def test_a_box_that_was_only_clicked_says_how_a_box_is_drawn(bench: PanelBench) -> None:
    bench.show(ORGAN)
    bench.press(bench.ui.boxButton)
    bench.click(MIDDLE)
    assert bench.error == "E_BOX_SMALL" and not bench.state.keyframes


class Failing(GrowingEngine):
    """Fails as it is told, once for each entry of ``errors``, when a session is opened; afterwards it works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        super().__init__(self._fail)

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def failing(host: Host, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[PanelBench]:
    with panel_bench(host, monkeypatch, Failing(*request.param)) as made:
        yield made


ELSEWHERE = (18, 13, 12)
BROKEN = ModelError("E_MODEL_BROKEN", "The model {model} cannot be read: choose another one.", model="mine.pt")


@pytest.mark.parametrize(
    "failing",
    [[BROKEN], [DeviceError("E_DEVICE_MEMORY", "The GPU has no memory left: choose the CPU.")]],
    indirect=True,
)
def test_a_model_or_device_that_does_not_work_is_said_and_the_next_click_tries_again(failing: PanelBench) -> None:
    failing.show(ORGAN)
    failing.click(MIDDLE)
    assert failing.error in ("E_MODEL_BROKEN", "E_DEVICE_MEMORY")
    assert failing.ui.reportButton.isHidden()
    failing.click(ELSEWHERE)
    assert failing.error is None and failing.preview().any()


@pytest.mark.parametrize("failing", [[ZeroDivisionError("by nothing")]], indirect=True)
def test_an_exception_in_the_engine_leaves_the_scene_as_it_was_and_offers_a_report(failing: PanelBench) -> None:
    failing.show(ORGAN)
    failing.click(MIDDLE)
    assert failing.error == "E_ENGINE" and "ZeroDivisionError: by nothing" in failing.line
    assert not failing.voxels().any()
    failing.press(failing.ui.reportButton)
    report = slicer.app.clipboard().text()
    assert "ZeroDivisionError: by nothing" in report and "Traceback" in report
    assert "Device:" in report and "MedSAM2Slicer:" in report and "_fail" in report
    failing.click(ELSEWHERE)
    assert failing.error is None and failing.preview().any()


def test_what_a_slot_of_the_panel_raises_ends_in_the_line_with_a_report(
    bench: PanelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.show(ORGAN)

    def fail(*_: Any) -> None:
        raise KeyError("defect")

    monkeypatch.setattr(bench.panel.controller, "set_memory", fail)
    bench.ui.memoryCombo.currentIndex = 1
    assert bench.error == "E_ENGINE" and not bench.ui.reportButton.isHidden()


def test_an_exception_in_mid_propagation_commits_nothing_and_can_be_reported(
    bench: PanelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    runner = bench.engine.sessions[-1].runner
    works, count = runner.track, []

    def fail_later(steps: Any) -> Any:
        count.append(steps)
        if len(count) == 4:
            raise FloatingPointError("in slice four")
        return works(steps)

    monkeypatch.setattr(runner, "track", fail_later)
    bench.enter()
    assert bench.error == "E_ENGINE" and "FloatingPointError" in bench.line
    assert not bench.voxels().any() and bench.state.phase in ("ready", "reviewing")
    bench.press(bench.ui.reportButton)
    assert "in slice four" in slicer.app.clipboard().text()
    bench.enter()
    assert bench.error is None
    assert np.array_equal(bench.voxels(), bench.expected(middle_point()))


def test_another_volume_in_mid_propagation_keeps_what_is_done_and_offers_to_convert(bench: PanelBench) -> None:
    first = bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.key(testing.Qt.Key.Key_Return, rest=False)
    bench.rest(lambda: bench.state.progress is not None and bench.state.progress.done >= 4)
    second = slicer.util.addVolumeFromArray(np.zeros((10, 12, 14), np.int16), name="Other")
    bench.ui.volumeSelector.setCurrentNode(second)
    bench.rest()
    assert bench.error == "E_GEOMETRY_MISMATCH" and bench.state.phase == "idle"
    assert bench.voxels().any()
    bench.ui.volumeSelector.setCurrentNode(first)
    bench.rest()
    assert bench.error is None and bench.panel.selection.is_open
