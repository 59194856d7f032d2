"""Prompts and Markups are one thing: drawn, dragged, deleted, hidden, undone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from hypothesis import given, settings
from hypothesis import strategies as st
from MedSAM2SlicerLib.scene.geometry import ijk_to_local_matrix, ijk_to_ras
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.scene.prompts import PromptStore

from MedSAM2Lib.errors import InputError, PromptError
from MedSAM2Lib.types import AXES, Axis, BoxPrompt, MaskPrompt, PointPrompt, SliceKey, ijk_position
from SlicerHost.scene import start_core
from Testing.scene.ground import OBLIQUE, add_transform, add_volume, rigid, two_touching_segments
from Testing.scene.test_scene_geometry import angles, flips, spacings, voxels

POINTS, BOXES = "vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsROINode"
Markups = slicer.vtkMRMLMarkupsNode


class Ground:
    def __init__(self, scene: Any, volume: Any) -> None:
        self.scene, self.volume = scene, volume
        self.segmentation, self.liver, self.kidney = two_touching_segments(scene, volume)
        self.store = PromptStore(scene, volume, self.segmentation)
        self.seen: list[str] = []
        self.store.changed = self.seen.append

    def local(self, ijk: Any) -> Any:
        return (ijk_to_local_matrix(self.volume) @ [*ijk, 1])[:3]

    def prompts(self, segment_id: str) -> list[Any]:
        return list(self.store.prompts(segment_id).values())

    def points_node(self, positive: bool = True) -> Any:
        return next(node for node in nodes_of(self.scene, POINTS) if ("+" in node.GetName()) == positive)


@pytest.fixture
def ground(scene: Any, volume: Any) -> Ground:
    return Ground(scene, volume)


@settings(max_examples=40, deadline=None)
@given(angles, spacings, flips, angles, voxels, voxels, st.sampled_from(AXES))
def test_prompts_come_back_from_their_marks_to_the_voxel_under_any_geometry(
    turn: Any, spacing: Any, flip: Any, moved: Any, first: Any, last: Any, axis: Axis
) -> None:
    core = start_core()
    scene = core.scene
    volume = add_volume(scene, ijk_to_ras=rigid(turn, spacing, (7, -8, 9), flip))
    volume.SetAndObserveTransformNodeID(add_transform(scene, rigid(moved, (1, 1, 1), (1, 2, 3), (1, 1, 1))).GetID())
    ground = Ground(scene, volume)
    along = ijk_position(axis)
    last = tuple(first[place] if place == along else value for place, value in enumerate(last))
    made = [PointPrompt(first, axis), PointPrompt(last, axis, False), BoxPrompt(first, last, axis)]
    for prompt in made:
        ground.store.add(ground.liver, prompt)
    again = PromptStore(scene, volume, ground.segmentation)
    assert list(again.prompts(ground.liver).values()) == made
    world = [0.0, 0.0, 0.0]
    ground.points_node().GetNthControlPointPositionWorld(0, world)
    assert np.allclose(world, ijk_to_ras(volume, first), atol=1e-6)


def test_polarity_is_told_by_shape_label_and_colour(ground: Ground) -> None:
    ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    ground.store.add(ground.liver, PointPrompt((4, 2, 3), positive=False))
    plus, minus = ground.points_node(True), ground.points_node(False)
    assert (plus.GetNthControlPointLabel(0), minus.GetNthControlPointLabel(0)) == ("+", "-")
    assert plus.GetDisplayNode().GetGlyphType() != minus.GetDisplayNode().GetGlyphType()
    assert plus.GetDisplayNode().GetSelectedColor() != minus.GetDisplayNode().GetSelectedColor()


def test_a_box_is_drawn_flat_around_whole_voxels(scene: Any) -> None:
    ground = Ground(scene, add_volume(scene, ijk_to_ras=rigid((0.3, 0.4, 0.5), (0.5, 1.5, 3), (1, 2, 3), (1, -1, 1))))
    ground.store.add(ground.liver, BoxPrompt((2, 3, 4), (8, 5, 4), "k"))
    (box,) = nodes_of(scene, BOXES)
    assert np.allclose(box.GetSize(), (7 * 0.5, 3 * 1.5, 3.0))
    assert np.allclose(box.GetCenter(), ground.local((5, 4, 4)))


def test_moving_a_point_in_the_scene_is_reported_once_at_the_end_of_the_drag(ground: Ground) -> None:
    prompt_id = ground.store.add(ground.liver, PointPrompt((1, 2, 3), "j"))
    ground.store.add(ground.kidney, PointPrompt((5, 5, 5)))
    node = ground.points_node()
    node.InvokeEvent(Markups.PointStartInteractionEvent)
    for i in (2, 3, 4):
        node.SetNthControlPointPosition(0, *ground.local((i + 0.3, 2, 3)))
    assert ground.seen == []
    node.InvokeEvent(Markups.PointEndInteractionEvent)
    assert ground.seen == [ground.liver]
    assert ground.store.prompts(ground.liver) == {prompt_id: PointPrompt((4.0, 2.0, 3.0), "j")}


def test_moving_a_point_within_its_voxel_is_no_change(ground: Ground) -> None:
    ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    ground.points_node().SetNthControlPointPosition(0, *ground.local((1.3, 1.8, 3.2)))
    assert ground.seen == []


def test_a_point_that_is_dragged_out_of_the_volume_stays_at_its_edge(ground: Ground) -> None:
    ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    ground.points_node().SetNthControlPointPosition(0, *ground.local((-7, 2, 40)))
    assert ground.prompts(ground.liver) == [PointPrompt((0.0, 2.0, 8.0))]


def test_a_box_that_is_moved_and_resized_stays_flat_on_the_slice_it_is_now_on(ground: Ground) -> None:
    ground.store.add(ground.liver, BoxPrompt((2, 3, 4), (8, 5, 4), "k"))
    (box,) = nodes_of(ground.scene, BOXES)
    box.SetCenter(ground.local((6, 4, 6.3)))
    assert ground.prompts(ground.liver) == [BoxPrompt((3.0, 3.0, 6.0), (9.0, 5.0, 6.0), "k")]
    width, height, _ = box.GetSize()
    box.SetSize(width, height + 2, 30)
    assert ground.prompts(ground.liver) == [BoxPrompt((3.0, 2.0, 6.0), (9.0, 6.0, 6.0), "k")]
    assert np.allclose(box.GetSize(), (7, 5, 2.5)), "drawn flat again, around whole voxels"
    assert set(ground.seen) == {ground.liver}


def test_points_and_nodes_that_are_deleted_in_the_scene_are_reported(ground: Ground) -> None:
    first = ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    second = ground.store.add(ground.liver, PointPrompt((2, 2, 3)))
    box = ground.store.add(ground.liver, BoxPrompt((2, 3, 4), (8, 5, 4)))
    other = ground.store.add(ground.kidney, PointPrompt((3, 3, 3)))
    ground.points_node().RemoveNthControlPoint(0)
    assert (list(ground.store.prompts(ground.liver)), ground.seen) == ([second, box], [ground.liver])
    assert ground.store.segment_of(first) is None
    ground.scene.RemoveNode(nodes_of(ground.scene, BOXES)[0])
    assert (list(ground.store.prompts(ground.liver)), ground.seen) == ([second], [ground.liver] * 2)
    ground.scene.RemoveNode(ground.points_node())
    assert (ground.store.prompts(ground.liver), ground.seen) == ({}, [ground.liver] * 3)
    assert list(ground.store.prompts(ground.kidney)) == [other]
    ground.store.remove(second)
    ground.store.add(ground.liver, PointPrompt((4, 4, 4)))
    assert ground.prompts(ground.liver) == [PointPrompt((4.0, 4.0, 4.0))]


def test_a_point_that_somebody_placed_in_the_scene_becomes_a_prompt(ground: Ground) -> None:
    ground.store.add(ground.liver, PointPrompt((1, 2, 3), positive=False))
    ground.points_node(False).AddControlPoint(*ground.local((6, 7, 8)))
    assert set(ground.seen) == {ground.liver}
    assert ground.prompts(ground.liver)[1] == PointPrompt((6.0, 7.0, 8.0), "k", False)
    again = PromptStore(ground.scene, ground.volume, ground.segmentation)
    assert again.prompts(ground.liver) == ground.store.prompts(ground.liver)


def test_own_writes_are_never_reported(ground: Ground) -> None:
    prompt_id = ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    ground.store.add(ground.liver, BoxPrompt((2, 3, 4), (8, 5, 4)))
    snapshot = ground.store.snapshot()
    ground.store.remove(prompt_id)
    ground.store.restore(snapshot)
    ground.store.clear(ground.liver)
    ground.store.set_active_segment(ground.kidney)
    assert ground.seen == []
    assert not nodes_of(ground.scene, "vtkMRMLMarkupsNode")
    assert not nodes_of(ground.scene, "vtkMRMLMarkupsDisplayNode")


def test_prompts_that_are_gone_leave_no_item_in_the_subject_hierarchy(ground: Ground) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(ground.scene)
    items = hierarchy.GetNumberOfItems()
    ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    ground.store.add(ground.liver, BoxPrompt((2, 3, 4), (8, 5, 4)))
    assert hierarchy.GetNumberOfItems() == items + 2
    ground.store.clear(ground.liver)
    assert hierarchy.GetNumberOfItems() == items


def test_restoring_brings_back_prompts_keyframes_and_ids(ground: Ground) -> None:
    for prompt in (
        PointPrompt((1, 2, 3), "i"),
        BoxPrompt((2, 3, 4), (2, 6, 8), "i"),
        PointPrompt((4, 5, 6), "k", False),
    ):
        ground.store.add(ground.liver, prompt)
    ground.store.set_mask_keyframe(ground.liver, SliceKey("i", 2))
    before, prompts = ground.store.snapshot(), ground.store.prompts(ground.liver)
    ground.points_node().SetNthControlPointPosition(0, *ground.local((9, 9, 1)))
    ground.scene.RemoveNode(nodes_of(ground.scene, BOXES)[0])
    ground.store.add(ground.kidney, PointPrompt((7, 7, 7)))
    ground.store.drop_mask_keyframe(ground.liver, SliceKey("i", 2))
    after = ground.store.snapshot()
    ground.store.restore(before)
    assert ground.store.prompts(ground.liver) == prompts
    assert ground.store.prompts(ground.kidney) == {}
    assert ground.store.mask_keyframes(ground.liver) == [SliceKey("i", 2)]
    assert PromptStore(ground.scene, ground.volume, ground.segmentation).snapshot() == before
    ground.store.restore(after)
    assert ground.store.snapshot() == after


def test_prompts_of_other_segments_are_hidden(ground: Ground) -> None:
    ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    ground.store.set_active_segment(ground.kidney)
    ground.store.add(ground.kidney, BoxPrompt((2, 3, 4), (8, 5, 4)))
    ground.store.add(ground.liver, PointPrompt((1, 2, 3), positive=False))

    def visible(class_name: str) -> list[bool]:
        return [bool(node.GetDisplayNode().GetVisibility()) for node in nodes_of(ground.scene, class_name)]

    assert (visible(POINTS), visible(BOXES)) == ([False, False], [True])
    ground.store.set_active_segment(ground.liver)
    assert (visible(POINTS), visible(BOXES)) == ([True, True], [False])
    ground.store.set_active_segment(None)
    assert (visible(POINTS), visible(BOXES)) == ([False, False], [False])


def test_prompts_keep_their_voxels_when_the_volume_is_moved_or_hardened(ground: Ground) -> None:
    ground.store.add(ground.liver, PointPrompt((1, 2, 3), "j"))
    ground.store.add(ground.liver, BoxPrompt((2, 3, 4), (8, 5, 4)))
    prompts = ground.store.prompts(ground.liver)
    matrix = rigid((0.3, 0.2, 0.1), (1, 1, 1), (4, 5, 6), (1, 1, 1))
    ground.volume.SetAndObserveTransformNodeID(add_transform(ground.scene, matrix).GetID())
    assert ground.store.prompts(ground.liver) == prompts
    ground.volume.HardenTransform()
    assert ground.volume.GetParentTransformNode() is None
    assert ground.store.prompts(ground.liver) == prompts
    world = [0.0, 0.0, 0.0]
    ground.points_node().GetNthControlPointPositionWorld(0, world)
    assert np.allclose(world, ijk_to_ras(ground.volume, (1, 2, 3)))
    again = PromptStore(ground.scene, ground.volume, ground.segmentation)
    assert again.prompts(ground.liver) == prompts
    assert ground.seen == []


def test_prompts_on_another_volume_are_hidden_and_stay(ground: Ground, scene: Any) -> None:
    ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    ground.store.close()
    other = PromptStore(scene, add_volume(scene, ijk_to_ras=OBLIQUE), ground.segmentation)
    assert other.prompts(ground.liver) == {}
    assert not ground.points_node().GetDisplayNode().GetVisibility()
    other.close()
    again = PromptStore(scene, ground.volume, ground.segmentation)
    assert list(again.prompts(ground.liver).values()) == [PointPrompt((1.0, 2.0, 3.0))]
    assert ground.points_node().GetDisplayNode().GetVisibility()


def test_points_between_voxels_are_drawn_at_their_centres(ground: Ground) -> None:
    ground.store.add(ground.liver, PointPrompt((1.4, 2.6, 3.5)))
    assert ground.prompts(ground.liver) == [PointPrompt((1.0, 3.0, 4.0))]


def test_a_mask_is_a_keyframe_and_no_mark(ground: Ground) -> None:
    with pytest.raises(PromptError) as problem:
        ground.store.add(ground.liver, MaskPrompt(SliceKey("k", 1), np.ones((11, 13), dtype=bool)))
    assert problem.value.code == "E_PROMPT_KIND"
    for key in (SliceKey("i", 3), SliceKey("k", 8), SliceKey("k", 1), SliceKey("k", 1)):
        ground.store.set_mask_keyframe(ground.liver, key)
    assert ground.store.mask_keyframes(ground.liver) == [SliceKey("k", 1), SliceKey("k", 8), SliceKey("i", 3)]
    assert ground.store.mask_keyframes(ground.kidney) == []
    ground.store.clear(ground.liver)
    assert ground.store.mask_keyframes(ground.liver) == []


def test_deleting_the_segmentation_takes_its_prompts_along(ground: Ground) -> None:
    ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    ground.store.add(ground.liver, BoxPrompt((2, 3, 4), (8, 5, 4)))
    ground.scene.RemoveNode(ground.segmentation)
    assert not nodes_of(ground.scene, POINTS) + nodes_of(ground.scene, BOXES)
    assert (ground.seen, ground.store.prompts(ground.liver)) == ([], {})
    with pytest.raises(InputError) as problem:
        ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    assert problem.value.code == "E_NODE_GONE"
    ground.store.close()


@pytest.mark.parametrize("end", ["close scene", "delete volume"])
def test_after_the_end_writing_is_one_clear_error_and_nothing_is_called(ground: Ground, end: str) -> None:
    prompt_id = ground.store.add(ground.liver, PointPrompt((1, 2, 3)))
    snapshot = ground.store.snapshot()
    if end == "close scene":
        ground.scene.Clear(False)
    else:
        ground.scene.RemoveNode(ground.volume)
        ground.points_node().SetNthControlPointPosition(0, 1, 1, 1)
    for call in (
        lambda: ground.store.add(ground.liver, PointPrompt((1, 2, 3))),
        lambda: ground.store.restore(snapshot),
    ):
        with pytest.raises(InputError) as problem:
            call()
        assert problem.value.code == "E_NODE_GONE"
    assert (ground.seen, ground.store.prompts(ground.liver)) == ([], {})
    ground.store.remove(prompt_id)
    ground.store.set_active_segment(None)
    ground.store.close(remove=True)
    ground.store.close()


def test_a_prompt_for_a_segment_that_is_gone_is_refused(ground: Ground) -> None:
    ground.segmentation.GetSegmentation().RemoveSegment(ground.kidney)
    with pytest.raises(InputError) as problem:
        ground.store.add(ground.kidney, PointPrompt((1, 2, 3)))
    assert problem.value.code == "E_NO_SEGMENT"
