"""Voxels to the patient and back, and volumes that cannot be segmented."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from hypothesis import given, settings
from hypothesis import strategies as st
from MedSAM2SlicerLib.scene.geometry import (
    RAS_TO_LPS,
    check_volume,
    ijk_to_ras,
    nearest_voxel,
    ras_to_ijk,
    volume_data,
)

from MedSAM2Lib.errors import InputError, PromptError
from Testing.scene.ground import OBLIQUE, SHAPE, add_bent_transform, add_transform, add_volume, rigid

angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
spacings = st.tuples(*[st.floats(0.2, 6.0)] * 3)
origins = st.tuples(*[st.floats(-300, 300)] * 3)
flips = st.tuples(*[st.sampled_from((-1, 1))] * 3)
voxels = st.tuples(*[st.integers(0, size - 1) for size in reversed(SHAPE)])


@settings(max_examples=60, deadline=None)
@given(angles, spacings, origins, flips, angles, voxels)
def test_voxels_are_found_again_under_any_geometry_and_linear_transform(
    turn: Any, spacing: Any, origin: Any, flip: Any, moved: Any, ijk: Any
) -> None:
    scene = slicer.vtkMRMLScene()
    volume = add_volume(scene, ijk_to_ras=rigid(turn, spacing, origin, flip))
    parent = rigid(moved, (1.3, 1.0, 0.7), origin, (1, 1, 1)) @ np.array(
        [[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    volume.SetAndObserveTransformNodeID(add_transform(scene, parent).GetID())
    ras = ijk_to_ras(volume, ijk)
    assert np.allclose(ras_to_ijk(volume, ras), ijk, atol=1e-6)
    assert nearest_voxel(volume, ras_to_ijk(volume, ras)) == tuple(map(float, ijk))
    expected = parent @ rigid(turn, spacing, origin, flip) @ [*ijk, 1]
    assert np.allclose(ras, expected[:3], atol=1e-6)


def test_the_engine_sees_the_nodes_own_voxels_in_lps_with_the_parent_transforms(scene: Any) -> None:
    volume = add_volume(scene, ijk_to_ras=OBLIQUE, name="Thorax")
    inner = add_transform(scene, rigid((0.4, 0, 0), (1, 1, 1), (5, 6, 7), (1, 1, 1)))
    outer = add_transform(scene, rigid((0, 0.3, 0), (1, 1, 1), (-1, 0, 9), (1, 1, 1)))
    inner.SetAndObserveTransformNodeID(outer.GetID())
    volume.SetAndObserveTransformNodeID(inner.GetID())
    data = volume_data(volume)
    assert data.name == "Thorax"
    assert data.shape == SHAPE
    assert np.allclose(data.ijk_to_world[:3] @ [3, 2, 1, 1], RAS_TO_LPS[:3, :3] @ ijk_to_ras(volume, (3, 2, 1)))
    volume.GetImageData().SetScalarComponentFromDouble(3, 2, 1, 0, 77)
    assert data.array[1, 2, 3] == 77


def test_positions_up_to_half_a_voxel_outside_are_in_the_volume(volume: Any) -> None:
    assert nearest_voxel(volume, (-0.5, 10.5, 0.2)) == (0, 10, 0)
    for outside in ((-0.51, 0, 0), (0, 10.51, 0), (0, 0, 8.6), (float("nan"), 0, 0)):
        with pytest.raises(PromptError) as problem:
            nearest_voxel(volume, outside)
        assert problem.value.code == "E_CLICK_OUTSIDE"


def test_a_bent_transform_is_refused_and_the_fix_named(scene: Any, volume: Any) -> None:
    volume.SetAndObserveTransformNodeID(add_bent_transform(scene).GetID())
    for call in (check_volume, volume_data, lambda node: ijk_to_ras(node, (0, 0, 0))):
        with pytest.raises(InputError) as problem:
            call(volume)
        assert problem.value.code == "E_TRANSFORM_NONLINEAR"
    assert "harden" in str(problem.value)


def _label_map(scene: Any) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    node.SetAndObserveImageData(add_volume(scene).GetImageData())
    return node


def _colours(scene: Any) -> Any:
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    node.SetAndObserveImageData(image)
    return node


def _frame(scene: Any) -> Any:
    slicer.vtkSlicerSequencesLogic().SetMRMLScene(scene)
    volume = add_volume(scene)
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "beats")
    sequence.SetDataNodeAtValue(volume, "0")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "beating")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(volume, sequence, False)
    return volume


@pytest.mark.parametrize(
    "make",
    [
        _label_map,
        _colours,
        _frame,
        lambda scene: scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"),
        lambda scene: scene.AddNewNodeByClass("vtkMRMLModelNode", "model"),
    ],
)
def test_nodes_that_are_no_grey_volume_are_refused(scene: Any, make: Any) -> None:
    with pytest.raises(InputError) as problem:
        volume_data(make(scene))
    assert problem.value.code == "E_VOLUME_KIND"


def test_no_volume_and_a_deleted_one_are_told_apart(scene: Any, volume: Any) -> None:
    with pytest.raises(InputError) as problem:
        check_volume(None)
    assert problem.value.code == "E_NO_VOLUME"
    scene.RemoveNode(volume)
    with pytest.raises(InputError) as problem:
        check_volume(volume)
    assert problem.value.code == "E_NODE_GONE"
