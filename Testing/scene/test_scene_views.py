"""Slice views: which slice one shows, and which voxel a click on it means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from MedSAM2SlicerLib.scene.geometry import as_array, ijk_to_ras
from MedSAM2SlicerLib.scene.views import align_view, jump_to_slice, slice_key_of, view_axis, view_to_ijk

from MedSAM2Lib.errors import InputError, PromptError
from MedSAM2Lib.types import AXES, Axis, SliceKey, ijk_position
from Testing.scene.ground import SHAPE, add_transform, add_view, add_volume, rigid
from Testing.scene.test_scene_geometry import angles, flips, origins, spacings, voxels


def slice_to_ras(volume: Any, axis: Axis, ijk: Any, turn: float = 0.0, tilt: float = 0.0) -> np.ndarray:
    """A view of the slice of ``axis`` through a voxel, turned in its plane and tilted out of it, in radians."""
    corner = np.array(ijk_to_ras(volume, (0, 0, 0)))
    directions = [np.subtract(ijk_to_ras(volume, unit), corner) for unit in np.eye(3)]
    x, y = (directions[place] / np.linalg.norm(directions[place]) for place in range(3) if place != ijk_position(axis))
    normal = np.cross(x, y)
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    y, normal = np.cos(tilt) * y + np.sin(tilt) * normal, np.cos(tilt) * normal - np.sin(tilt) * y
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([x, y, normal], axis=1)
    matrix[:3, 3] = ijk_to_ras(volume, ijk)
    return matrix


def xy_of(view: Any, ras: Any) -> tuple[float, float]:
    x, y, z, _ = np.linalg.inv(as_array(view.GetXYToRAS())) @ [*ras, 1]
    assert abs(z) < 1e-6
    return x, y


@settings(max_examples=60, deadline=None)
@given(angles, spacings, origins, flips, angles, voxels, voxels, st.sampled_from(AXES), st.floats(-3, 3))
def test_a_click_means_the_voxel_under_it_under_any_geometry(
    turn: Any, spacing: Any, origin: Any, flip: Any, moved: Any, centre: Any, clicked: Any, axis: Axis, in_plane: float
) -> None:
    scene = slicer.vtkMRMLScene()
    volume = add_volume(scene, ijk_to_ras=rigid(turn, spacing, origin, flip))
    parent = add_transform(scene, rigid(moved, (1, 1, 1), origin, (1, 1, 1)))
    volume.SetAndObserveTransformNodeID(parent.GetID())
    along = ijk_position(axis)
    clicked = tuple(centre[place] if place == along else value for place, value in enumerate(clicked))
    view = add_view(scene, slice_to_ras(volume, axis, centre, in_plane))
    assert slice_key_of(view, volume) == SliceKey(axis, centre[along])
    assert view_to_ijk(view, xy_of(view, ijk_to_ras(volume, clicked)), volume) == tuple(map(float, clicked))
    nearly = np.add(clicked, 0.45 * np.array([place != along for place in range(3)]))
    assert view_to_ijk(view, xy_of(view, ijk_to_ras(volume, nearly)), volume) == tuple(map(float, clicked))


@settings(max_examples=60, deadline=None)
@given(angles, spacings, flips, voxels, st.sampled_from(AXES), st.floats(-3, 3), st.floats(-0.7, 0.7))
def test_an_aligned_view_lies_on_a_slice_and_turned_as_little_as_it_must(
    turn: Any, spacing: Any, flip: Any, centre: Any, axis: Axis, in_plane: float, tilt: float
) -> None:
    assume(abs(abs(in_plane) % (np.pi / 2) - np.pi / 4) > 0.05)
    scene = slicer.vtkMRMLScene()
    volume = add_volume(scene, ijk_to_ras=rigid(turn, spacing, (5, 6, 7), flip))
    view = add_view(scene, slice_to_ras(volume, axis, centre, in_plane, tilt))
    before = as_array(view.GetSliceToRAS())
    align_view(view, volume)
    after = as_array(view.GetSliceToRAS())
    assert view_axis(view, volume)[0] == axis
    assert view_axis(view, volume)[1] < 1e-3
    assert slice_key_of(view, volume) == SliceKey(axis, centre[ijk_position(axis)])
    assert np.allclose(after[:3, :3].T @ after[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(after[:3, :3]) * np.linalg.det(before[:3, :3]) > 0
    assert after[:3, 2] @ before[:3, 2] > 0.7
    assert after[:3, 0] @ before[:3, 0] > 0.45
    assert np.allclose(after[:3, 3], ijk_to_ras(volume, centre), atol=1e-6)


def test_a_tilted_view_is_refused_above_one_degree_and_aligning_is_offered(scene: Any, volume: Any) -> None:
    little = add_view(scene, slice_to_ras(volume, "k", (6, 5, 4), tilt=np.radians(0.9)))
    assert slice_key_of(little, volume) == SliceKey("k", 4)
    tilted = add_view(scene, slice_to_ras(volume, "j", (6, 5, 4), tilt=np.radians(8)))
    assert view_axis(tilted, volume) == ("j", pytest.approx(8, abs=1e-6))
    for call in (lambda: slice_key_of(tilted, volume), lambda: view_to_ijk(tilted, (200, 150), volume)):
        with pytest.raises(InputError) as problem:
            call()
        assert problem.value.code == "E_VIEW_OBLIQUE"
        assert "8 degrees" in str(problem.value)
        assert "align" in str(problem.value)


def test_slices_of_a_sheared_volume_are_told_by_their_planes(scene: Any, volume: Any) -> None:
    shear = np.array([[1, 0, 0.6, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    volume.SetAndObserveTransformNodeID(add_transform(scene, shear).GetID())
    view = add_view(scene, slice_to_ras(volume, "k", (6, 5, 4)))
    assert slice_key_of(view, volume) == SliceKey("k", 4)
    assert view_to_ijk(view, xy_of(view, ijk_to_ras(volume, (2, 9, 4))), volume) == (2, 9, 4)


def test_a_view_beside_the_volume_is_refused(scene: Any, volume: Any) -> None:
    beside = add_view(scene, slice_to_ras(volume, "k", (6, 5, 20)))
    with pytest.raises(InputError) as problem:
        slice_key_of(beside, volume)
    assert problem.value.code == "E_VIEW_OUTSIDE"


def test_a_click_outside_the_volume_is_refused(scene: Any, volume: Any) -> None:
    view = add_view(scene, slice_to_ras(volume, "k", (6, 5, 4)))
    with pytest.raises(PromptError) as problem:
        view_to_ijk(view, (2, 2), volume)
    assert problem.value.code == "E_CLICK_OUTSIDE"


def test_jumping_moves_the_views_of_that_axis_only_and_only_along_it(scene: Any, volume: Any) -> None:
    views = [add_view(scene, slice_to_ras(volume, axis, (6, 5, 4))) for axis in AXES]
    before = [as_array(view.GetSliceToRAS()) for view in views]
    assert jump_to_slice(views, volume, SliceKey("j", SHAPE[1] - 1)) == 1
    assert slice_key_of(views[1], volume) == SliceKey("j", SHAPE[1] - 1)
    assert np.allclose(as_array(views[1].GetSliceToRAS())[[0, 2], 3], before[1][[0, 2], 3])
    for place in (0, 2):
        assert np.array_equal(as_array(views[place].GetSliceToRAS()), before[place])


def test_a_slice_logic_serves_as_a_view(scene: Any, volume: Any) -> None:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(scene)
    node = add_view(scene, slice_to_ras(volume, "i", (6, 5, 4)))
    logic.SetSliceNode(node)
    assert slice_key_of(logic, volume) == SliceKey("i", 6)
    assert jump_to_slice([logic], volume, SliceKey("i", 2)) == 1
    assert slice_key_of(node, volume) == SliceKey("i", 2)
