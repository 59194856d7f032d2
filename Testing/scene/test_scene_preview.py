"""The preview layer: exact, private, and gone without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.scene.preview import SEGMENT_ID, PreviewLayer
from MedSAM2SlicerLib.scene.segments import segment_mask

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.types import AXES, SliceKey
from Testing.scene.ground import (
    OBLIQUE,
    SHAPE,
    add_transform,
    add_volume,
    open_bundle,
    save_bundle,
    two_touching_segments,
)


@pytest.fixture
def layer(scene: Any, volume: Any) -> PreviewLayer:
    return PreviewLayer(scene, volume, None)


def shown(layer: PreviewLayer, volume: Any) -> np.ndarray:
    return segment_mask(layer.node, SEGMENT_ID, volume)


def test_slices_of_every_axis_are_shown_voxel_for_voxel(layer: PreviewLayer, volume: Any) -> None:
    random = np.random.default_rng(0)
    expected = np.zeros(SHAPE, dtype=bool)
    for axis, index in zip(AXES, (3, 10, 0)):
        dimension = AXES.index(axis)
        mask = random.random([size for place, size in enumerate(SHAPE) if place != dimension]) > 0.5
        layer.show_slice(SliceKey(axis, index), mask)
        place = tuple(index if other == dimension else slice(None) for other in range(3))
        expected[place] = mask
    assert np.array_equal(shown(layer, volume), expected)
    slab = random.random((4, *SHAPE[1:])) > 0.5
    layer.show_slab(5, slab)
    expected[5:9] = slab
    assert np.array_equal(shown(layer, volume), expected)
    assert layer.array.dtype == np.uint8


def test_bounds_are_those_of_what_is_shown(layer: PreviewLayer) -> None:
    assert layer.bounds() is None
    mask = np.zeros(SHAPE[1:], dtype=bool)
    mask[4:6, 7:10] = True
    layer.show_slice(SliceKey("k", 2), mask)
    layer.show_slice(SliceKey("k", 6), mask)
    assert layer.bounds() == (7, 9, 4, 5, 2, 6)
    layer.show_slice(SliceKey("k", 6), np.zeros_like(mask))
    assert layer.bounds() == (7, 9, 4, 5, 2, 2)
    layer.array[8, 10, 12] = 1
    layer.touch()
    assert layer.bounds() == (7, 12, 4, 10, 2, 8)
    layer.clear()
    assert layer.bounds() is None
    assert not layer.array.any()


def test_views_are_told_of_every_change(layer: PreviewLayer) -> None:
    told = []
    segmentation = layer.node.GetSegmentation()
    segmentation.AddObserver(segmentation.SourceRepresentationModified, lambda caller, event: told.append(event))
    layer.show_slice(SliceKey("k", 2), np.ones(SHAPE[1:], dtype=bool))
    layer.clear()
    assert len(told) == 2


def test_the_layer_lies_where_the_volume_lies(scene: Any) -> None:
    volume = add_volume(scene, ijk_to_ras=OBLIQUE)
    volume.SetAndObserveTransformNodeID(add_transform(scene, np.diag([1.0, 1.0, 1.0, 1.0])).GetID())
    layer = PreviewLayer(scene, volume)
    assert layer.node.GetTransformNodeID() == volume.GetTransformNodeID()
    box = np.zeros(6)
    layer.show_slice(SliceKey("k", 0), np.ones(SHAPE[1:], dtype=bool))
    layer.node.GetRASBounds(box)
    corners = [OBLIQUE @ [i, j, k, 1] for i in (-0.5, 12.5) for j in (-0.5, 10.5) for k in (-0.5, 8.5)]
    assert np.allclose(box[::2], np.min(corners, axis=0)[:3], atol=0.1)


def test_users_segments_and_undo_are_untouched(scene: Any, volume: Any, layer: PreviewLayer) -> None:
    segmentation, liver, _ = two_touching_segments(scene, volume)
    mask = np.random.default_rng(1).random(SHAPE) > 0.5
    Committer(volume, segmentation).commit(liver, mask)
    before = segmentation.GetSegmentation().GetMTime()
    layer.show_slab(0, np.ones(SHAPE, dtype=bool))
    layer.clear()
    assert segmentation.GetSegmentation().GetMTime() == before
    assert np.array_equal(segment_mask(segmentation, liver, volume), mask)


def test_the_layer_is_in_no_list_and_in_no_saved_scene(scene: Any, volume: Any, tmp_path: Path) -> None:
    nodes = scene.GetNumberOfNodes()
    layer = PreviewLayer(scene, volume)
    layer.show_slab(0, np.ones(SHAPE, dtype=bool))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert hierarchy.GetItemByDataNode(volume)
    assert not hierarchy.GetItemByDataNode(layer.node)
    assert layer.node.GetHideFromEditors()
    save_bundle(scene, tmp_path / "scene.mrb")
    layer.close()
    assert scene.GetNumberOfNodes() == nodes + 1, "the volume's storage node, made by saving"
    open_bundle(scene, tmp_path / "scene.mrb", tmp_path)
    assert not nodes_of(scene, "vtkMRMLSegmentationNode")
    assert not nodes_of(scene, "vtkMRMLSegmentationDisplayNode")


def test_colour_and_visibility_are_the_callers(layer: PreviewLayer) -> None:
    layer.set_color((0.5, 0.25, 0.125))
    assert layer.node.GetSegmentation().GetSegment(SEGMENT_ID).GetColor() == (0.5, 0.25, 0.125)
    layer.set_visible(False)
    assert not layer.node.GetDisplayNode().GetVisibility()


def test_after_the_scene_was_closed_drawing_is_refused_and_closing_is_quiet(scene: Any, layer: PreviewLayer) -> None:
    layer.show_slab(0, np.ones(SHAPE, dtype=bool))
    scene.Clear(False)
    for call in (
        lambda: layer.show_slice(SliceKey("k", 0), np.ones(SHAPE[1:], dtype=bool)),
        lambda: layer.show_slab(0, np.ones((1, *SHAPE[1:]), dtype=bool)),
        lambda: layer.set_color((1, 0, 0)),
    ):
        with pytest.raises(InputError) as problem:
            call()
        assert problem.value.code == "E_NODE_GONE"
    layer.clear()
    layer.close()
    layer.close()
