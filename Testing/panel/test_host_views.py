"""The host's views: real pictures, and real clicks that arrive where they were made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from SlicerHost import testing
from SlicerHost.start import Host
from Testing.panel.volumes import UPRIGHT, add_segmentation, add_volume, box_mask, oblique

VIEWS = ("Red", "Yellow", "Green")


def pixels(view: Any) -> np.ndarray:
    """[rows, columns, RGB] of what a view shows."""
    import qt

    testing.settle()
    image = view.image().convertToFormat(qt.QImage.Format.Format_RGB888)
    return (
        np.array(image.constBits(), np.uint8)
        .reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()]
        .reshape(image.height(), image.width(), 3)
    )


class ClickRecorder:
    """Observes a view as the module does, and keeps where clicks were, in voxel coordinates."""

    def __init__(self, name: str, volume: Any) -> None:
        self.view, self.volume = testing.slice_view(name), volume
        self.ijk: list[tuple[float, ...]] = []
        self.control: list[bool] = []
        self.tag = self.view.interactor().AddObserver("LeftButtonPressEvent", self.on_press, 10.0)

    def on_press(self, interactor: Any, _event: str) -> None:
        x, y = interactor.GetEventPosition()
        to_ijk = self.view.sliceLogic().GetBackgroundLayer().GetXYToIJKTransform()
        self.ijk.append(to_ijk.TransformPoint(x, y, 0))
        self.control.append(bool(interactor.GetControlKey()))

    def close(self) -> None:
        self.view.interactor().RemoveObserver(self.tag)


@pytest.mark.parametrize("ijk_to_ras", [UPRIGHT, oblique()], ids=["upright", "oblique"])
def test_a_volume_shows_in_all_three_slice_views(host: Host, ijk_to_ras: np.ndarray) -> None:
    empty = {name: pixels(testing.slice_view(name)).max() for name in VIEWS}
    add_volume(ijk_to_ras)
    for name in VIEWS:
        shown = pixels(testing.slice_view(name))
        assert shown.max() > 200 > empty[name]
        assert 0.1 < (shown[..., 0] > 20).mean() < 1.0


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("ijk_to_ras", [UPRIGHT, oblique()], ids=["upright", "oblique"])
def test_a_click_arrives_at_the_voxel_it_was_made_on(host: Host, name: str, ijk_to_ras: np.ndarray) -> None:
    volume = add_volume(ijk_to_ras)
    recorder = ClickRecorder(name, volume)
    wanted = (13, 21, 9)
    testing.click_ijk(name, volume, wanted)
    recorder.close()
    assert len(recorder.ijk) == 1
    np.testing.assert_allclose(recorder.ijk[0], wanted, atol=0.5)


@pytest.mark.parametrize("name", VIEWS)
def test_a_click_under_a_parent_transform_arrives_at_the_voxel(host: Host, name: str) -> None:
    volume = add_volume()
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    for row, shift in enumerate((20, -10, 5)):
        matrix.SetElement(row, 3, shift)
    moved.SetMatrixTransformToParent(matrix)
    volume.SetAndObserveTransformNodeID(moved.GetID())
    slicer.app.layoutManager().resetSliceViews()
    recorder = ClickRecorder(name, volume)
    testing.click_ijk(name, volume, (13, 21, 9))
    recorder.close()
    np.testing.assert_allclose(recorder.ijk[0], (13, 21, 9), atol=0.5)


def test_a_click_with_control_says_so(host: Host) -> None:
    import qt

    volume = add_volume()
    recorder = ClickRecorder("Red", volume)
    testing.click_ijk("Red", volume, (13, 21, 9), modifiers=qt.Qt.KeyboardModifier.ControlModifier)
    testing.click_ijk("Red", volume, (13, 21, 9))
    recorder.close()
    assert recorder.control == [True, False]


def test_slicers_own_place_mode_puts_a_point_where_the_click_was(host: Host) -> None:
    volume = add_volume()
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.CreateDefaultDisplayNodes()
    slicer.modules.markups.logic().StartPlaceMode(False)
    ras = testing.world_of(volume, (13, 21, 9))
    testing.click_ras("Green", ras)
    assert points.GetNumberOfDefinedControlPoints() == 1
    spacing = 1.5
    np.testing.assert_allclose(points.GetNthControlPointPositionWorld(0), ras, atol=spacing)


def test_the_wheel_turns_one_slice_and_a_right_drag_zooms(host: Host) -> None:
    import qt

    add_volume()
    view = testing.slice_view("Red")
    before = view.sliceLogic().GetSliceOffset()
    testing.wheel(view, 1)
    assert abs(view.sliceLogic().GetSliceOffset() - before) == pytest.approx(2.5)
    width = view.mrmlSliceNode().GetFieldOfView()[0]
    start, end = qt.QPointF(60, 60), qt.QPointF(60, 120)
    testing.drag(view, start, end, button=qt.Qt.MouseButton.RightButton)
    assert view.mrmlSliceNode().GetFieldOfView()[0] != pytest.approx(width, rel=0.05)


def test_an_arrow_key_in_a_view_moves_to_the_next_slice(host: Host) -> None:
    import qt

    add_volume()
    view = testing.slice_view("Red")
    before = view.sliceLogic().GetSliceOffset()
    testing.press_key(view, qt.Qt.Key.Key_Right)
    assert abs(view.sliceLogic().GetSliceOffset() - before) == pytest.approx(2.5)


def test_a_segment_shows_in_its_colour_in_slices_and_in_3d(host: Host) -> None:
    volume = add_volume()
    node = add_segmentation(volume, box_mask())
    node.CreateClosedSurfaceRepresentation()
    slicer.app.layoutManager().resetThreeDViews()

    def red_pixels(view: Any) -> int:
        shown = pixels(view).astype(int)
        return int((shown[..., 0] > shown[..., 1] + 40).sum())

    for name in VIEWS:
        assert red_pixels(testing.slice_view(name)) > 500
    assert red_pixels(slicer.app.layoutManager().threeDWidget(0).threeDView()) > 500


def test_a_paused_view_renders_once_when_it_is_resumed(host: Host) -> None:
    volume = add_volume()
    view = testing.slice_view("Red")
    renders = []
    tag = view.renderWindow().AddObserver("EndEvent", lambda *_: renders.append(1))
    with slicer.util.RenderBlocker():
        volume.GetDisplayNode().SetWindowLevel(10, 30)
        testing.settle()
        assert not renders
    testing.settle()
    view.renderWindow().RemoveObserver(tag)
    assert renders


def test_views_come_back_after_the_scene_was_closed(host: Host) -> None:
    add_volume()
    host.clear()
    assert pixels(testing.slice_view("Red")).max() < 200
    add_volume(oblique())
    assert pixels(testing.slice_view("Red")).max() > 200
