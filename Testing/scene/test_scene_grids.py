"""Segmentations that are not on the volume's voxels: refused, and converted without losing one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from hypothesis import given, settings
from hypothesis import strategies as st
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.geometry import ijk_to_local_matrix, ijk_to_world_matrix
from MedSAM2SlicerLib.scene.grids import (
    check_segmentation,
    convert_segmentation,
    create_segmentation,
    follow_transform,
)
from MedSAM2SlicerLib.scene.segments import LABELMAP, add_segment, labelmap_of, segment_mask
from vtk.util.numpy_support import vtk_to_numpy

from MedSAM2Lib.errors import InputError
from SlicerHost.scene import start_core
from Testing.scene.ground import (
    SHAPE,
    add_bent_transform,
    add_transform,
    add_volume,
    block,
    rigid,
    two_touching_segments,
)
from Testing.scene.test_scene_geometry import angles, flips

MOVED = rigid((0.3, -0.2, 0.5), (1, 1, 1), (4, -3, 2), (1, 1, 1))


def refused(segmentation: Any, volume: Any) -> str:
    with pytest.raises(InputError) as problem:
        check_segmentation(segmentation, volume)
    return problem.value.code


def fill(segmentation: Any, volume: Any, masks: dict[str, np.ndarray]) -> None:
    committer = Committer(volume, segmentation)
    for segment_id, mask in masks.items():
        committer.commit(segment_id, mask)


def all_voxels(segmentation: Any, segment_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (i, j, k) of a segment's voxels on its own grid [n, 3], and that grid's IJK to local RAS."""
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    array, first = labelmap_of(segment)
    matrix = vtk.vtkMatrix4x4()
    segment.GetRepresentation(LABELMAP).GetImageToWorldMatrix(matrix)
    grid = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    return (np.argwhere(array == segment.GetLabelValue()) + first)[:, ::-1], grid


def test_a_new_segmentation_is_on_the_volumes_voxels_and_moves_with_it(scene: Any, volume: Any) -> None:
    volume.SetAndObserveTransformNodeID(add_transform(scene, MOVED).GetID())
    segmentation = create_segmentation(scene, volume, "New")
    liver = add_segment(segmentation, "Liver", (1, 0, 0))
    check_segmentation(segmentation, volume)
    mask = np.random.default_rng(0).random(SHAPE) > 0.5
    fill(segmentation, volume, {liver: mask})
    check_segmentation(segmentation, volume)
    assert np.array_equal(segment_mask(segmentation, liver, volume), mask)
    assert np.allclose(all_voxels(segmentation, liver)[1], ijk_to_local_matrix(volume))


def test_a_segmentation_without_voxels_takes_the_volumes_grid_and_transform(scene: Any, volume: Any) -> None:
    volume.SetAndObserveTransformNodeID(add_transform(scene, MOVED).GetID())
    segmentation, liver, _ = two_touching_segments(scene, add_volume(scene, (4, 5, 6), name="other"))
    check_segmentation(segmentation, volume)
    assert segmentation.GetTransformNodeID() == volume.GetTransformNodeID()
    mask = block(SHAPE, slice(0, 9), slice(3, 8), slice(1, 12))
    fill(segmentation, volume, {liver: mask})
    assert np.array_equal(segment_mask(segmentation, liver, volume), mask)


def test_checking_a_segmentation_that_fits_changes_nothing(scene: Any, volume: Any) -> None:
    segmentation, liver, _ = two_touching_segments(scene, volume)
    fill(segmentation, volume, {liver: block(SHAPE, slice(1, 3), slice(1, 3), slice(1, 3))})
    before = segmentation.GetMTime(), segmentation.GetSegmentation().GetMTime()
    check_segmentation(segmentation, volume)
    assert (segmentation.GetMTime(), segmentation.GetSegmentation().GetMTime()) == before


def test_a_volume_that_was_moved_without_its_segmentation_is_refused_and_both_fixes_keep_every_voxel(
    scene: Any, volume: Any
) -> None:
    segmentation, liver, _ = two_touching_segments(scene, volume)
    mask = np.random.default_rng(1).random(SHAPE) > 0.4
    fill(segmentation, volume, {liver: mask})
    volume.SetAndObserveTransformNodeID(
        add_transform(scene, rigid((0, 0, 0), (1, 1, 1), (-3, 0, 5), (1, 1, 1))).GetID()
    )
    assert refused(segmentation, volume) == "E_TRANSFORM_MISMATCH"
    with pytest.raises(InputError):
        Committer(volume, segmentation).commit(liver, ~mask)
    assert all_voxels(segmentation, liver)[0].shape[0] == mask.sum()

    copy = convert_segmentation(segmentation, volume)
    check_segmentation(copy, volume)
    voxels, _ = all_voxels(copy, liver)
    assert sorted(map(tuple, voxels)) == sorted(tuple(voxel) for voxel in np.argwhere(mask)[:, ::-1] + [-3, 0, -2])

    follow_transform(segmentation, volume)
    check_segmentation(segmentation, volume)
    assert np.array_equal(segment_mask(segmentation, liver, volume), mask)


def test_different_transform_nodes_that_say_the_same_are_one_place(scene: Any, volume: Any) -> None:
    segmentation, liver, _ = two_touching_segments(scene, volume)
    fill(segmentation, volume, {liver: block(SHAPE, slice(1, 3), slice(1, 3), slice(1, 3))})
    for node in (volume, segmentation):
        node.SetAndObserveTransformNodeID(add_transform(scene, MOVED).GetID())
    check_segmentation(segmentation, volume)


def test_a_segmentation_under_a_bent_transform_is_refused(scene: Any, volume: Any) -> None:
    segmentation, liver, _ = two_touching_segments(scene, volume)
    fill(segmentation, volume, {liver: block(SHAPE, slice(1, 3), slice(1, 3), slice(1, 3))})
    segmentation.SetAndObserveTransformNodeID(add_bent_transform(scene).GetID())
    assert refused(segmentation, volume) == "E_TRANSFORM_NONLINEAR"


@settings(max_examples=25, deadline=None)
@given(angles, flips, st.integers(0, 1000), st.booleans())
def test_a_converted_segment_is_the_original_looked_up_at_every_voxel(
    turn: Any, flip: Any, seed: int, transformed: bool
) -> None:
    core = start_core()
    scene = core.scene
    random = np.random.default_rng(seed)
    other = add_volume(scene, (7, 8, 6), rigid(turn, (1.1, 0.9, 2.3), random.uniform(-4, 4, 3), flip), "other")
    segmentation, liver, kidney = two_touching_segments(scene, other)
    labels = random.integers(0, 3, (7, 8, 6))
    fill(segmentation, other, {liver: labels == 1, kidney: labels == 2})
    volume = add_volume(scene, (12, 14, 13), rigid((0.1, 0.2, 0.3), (0.8, 1.2, 1.0), (-6, -7, -8), (1, 1, 1)))
    if transformed:
        volume.SetAndObserveTransformNodeID(add_transform(scene, MOVED).GetID())
    assert refused(segmentation, volume) in ("E_GEOMETRY_MISMATCH", "E_TRANSFORM_MISMATCH")

    copy = convert_segmentation(segmentation, volume)
    check_segmentation(copy, volume)
    to_other = np.linalg.inv(ijk_to_world_matrix(other)) @ ijk_to_world_matrix(volume)
    voxels = np.stack(np.meshgrid(*[np.arange(size) for size in (13, 14, 12)], indexing="ij"), axis=-1).reshape(-1, 3)
    places = voxels @ to_other[:3, :3].T + to_other[:3, 3]
    clear = (np.abs(places - np.floor(places) - 0.5) > 1e-4).all(axis=1)
    nearest = np.floor(places + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < [6, 8, 7])).all(axis=1)
    for value, segment_id in ((1, liver), (2, kidney)):
        expected = np.zeros((12, 14, 13), dtype=bool)
        i, j, k = voxels[inside].T
        expected[k, j, i] = labels[tuple(nearest[inside].T[::-1])] == value
        compared = np.zeros((12, 14, 13), dtype=bool)
        i, j, k = voxels[clear].T
        compared[k, j, i] = True
        found = segment_mask(copy, segment_id, volume)
        assert np.array_equal(found[compared], expected[compared])
        assert np.array_equal(segment_mask(segmentation, segment_id, other), labels == value)


def test_converting_onto_a_part_of_the_volume_keeps_what_lies_outside_of_it(scene: Any, volume: Any) -> None:
    segmentation, liver, kidney = two_touching_segments(scene, volume)
    labels = np.random.default_rng(2).integers(0, 3, SHAPE)
    fill(segmentation, volume, {liver: labels == 1, kidney: labels == 2})
    grid = ijk_to_local_matrix(volume)
    grid[:3, 3] = (grid @ [4, 3, 2, 1])[:3]
    part = add_volume(scene, (4, 5, 6), grid, "part")
    assert refused(segmentation, part) == "E_GEOMETRY_MISMATCH"
    copy = convert_segmentation(segmentation, part)
    check_segmentation(copy, part)
    for value, segment_id in ((1, liver), (2, kidney)):
        assert np.array_equal(segment_mask(copy, segment_id, part), labels[2:6, 3:8, 4:10] == value)
        assert len(all_voxels(copy, segment_id)[0]) == (labels == value).sum()
    Committer(part, copy).commit(liver, np.zeros((4, 5, 6), dtype=bool))
    assert len(all_voxels(copy, liver)[0]) == (labels == 1).sum() - (labels[2:6, 3:8, 4:10] == 1).sum()


def test_a_converted_segmentation_keeps_ids_names_colours_tags_and_leaves_the_original(scene: Any, volume: Any) -> None:
    other = add_volume(scene, (5, 6, 7), np.diag([2.0, 2.0, 2.0, 1.0]), "other")
    segmentation, liver, empty = two_touching_segments(scene, other)
    original = segmentation.GetSegmentation().GetSegment(liver)
    original.SetName("Leber")
    original.SetColor(0.25, 0.5, 0.75)
    original.SetTag("Segmentation.Status", "flagged")
    fill(segmentation, other, {liver: np.ones((5, 6, 7), dtype=bool)})
    nodes = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    copy = convert_segmentation(segmentation, volume)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == nodes + 1
    converted = copy.GetSegmentation().GetSegment(liver)
    assert (converted.GetName(), converted.GetColor()) == ("Leber", (0.25, 0.5, 0.75))
    assert converted.GetTerminology() == original.GetTerminology()
    assert slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(converted) == 3
    assert not segment_mask(copy, empty, volume).any()
    assert segment_mask(segmentation, liver, other).all()


def test_surfaces_are_refused_and_filled_where_they_are(core: Any, scene: Any) -> None:
    volume = add_volume(scene, (20, 20, 20), rigid((0.2, 0, 0.3), (1, 1, 1), (-10, -10, -10), (1, 1, 1)))
    volume.SetAndObserveTransformNodeID(add_transform(scene, MOVED).GetID())
    centre = ijk_to_world_matrix(volume) @ [9, 10, 11, 1]
    ball = vtk.vtkSphereSource()
    ball.SetCenter(*centre[:3])
    ball.SetRadius(5)
    ball.SetPhiResolution(40)
    ball.SetThetaResolution(40)
    ball.Update()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "Ball", [1, 0, 0], "ball")
    segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")
    assert refused(segmentation, volume) in ("E_GEOMETRY_MISMATCH", "E_TRANSFORM_MISMATCH")
    copy = convert_segmentation(segmentation, volume)
    check_segmentation(copy, volume)
    mask = segment_mask(copy, "ball", volume)
    k, j, i = np.indices(mask.shape)
    distance = np.sqrt((i - 9.0) ** 2 + (j - 10.0) ** 2 + (k - 11.0) ** 2)
    assert mask[distance < 4.2].all()
    assert not mask[distance > 5.8].any()


def test_no_segmentation_and_a_deleted_one_are_told_apart(scene: Any, volume: Any) -> None:
    assert refused(None, volume) == "E_NO_SEGMENTATION"
    segmentation, _, _ = two_touching_segments(scene, volume)
    scene.RemoveNode(segmentation)
    assert refused(segmentation, volume) == "E_NODE_GONE"


def test_slicers_own_bounds_of_a_labelmap_do_not_matter(scene: Any, volume: Any) -> None:
    segmentation, liver, _ = two_touching_segments(scene, volume)
    mask = block(SHAPE, slice(3, 5), slice(3, 5), slice(3, 5))
    fill(segmentation, volume, {liver: mask})
    array = vtk_to_numpy(
        segmentation.GetSegmentation().GetSegment(liver).GetRepresentation(LABELMAP).GetPointData().GetScalars()
    )
    assert array.size < mask.size
    assert np.array_equal(segment_mask(segmentation, liver, volume), mask)
    box = (slice(4, 9), slice(0, 4), slice(4, 6))
    assert np.array_equal(segment_mask(segmentation, liver, volume, box), mask[box])
