"""Other segments keep every voxel, and the Segment Editor's masks hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from hypothesis import given, settings
from hypothesis import strategies as st
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.geometry import volume_array
from MedSAM2SlicerLib.scene.masking import shared_editor_node
from MedSAM2SlicerLib.scene.segments import LABELMAP, add_segment

from SlicerHost.scene import start_core
from Testing.scene.ground import SHAPE, add_volume, block, paint, two_touching_segments

EditorNode = slicer.vtkMRMLSegmentEditorNode
Areas = slicer.vtkMRMLSegmentationNode

LEFT = block(SHAPE, slice(1, 8), slice(1, 10), slice(1, 6))
RIGHT = block(SHAPE, slice(1, 8), slice(1, 10), slice(6, 12))


@pytest.fixture
def editor(scene: Any, volume: Any) -> Any:
    """The node that the Segment Editor shares with everybody."""
    node = EditorNode()
    node.SetSingletonTag("SegmentEditor")
    return scene.AddNode(node)


@pytest.fixture
def ground(editor: Any, scene: Any, volume: Any) -> tuple[Any, str, str, Committer]:
    segmentation, liver, kidney = two_touching_segments(scene, volume)
    editor.SetAndObserveSegmentationNode(segmentation)
    editor.SetAndObserveSourceVolumeNode(volume)
    committer = Committer(volume, segmentation)
    committer.commit(liver, LEFT)
    committer.commit(kidney, RIGHT)
    return segmentation, liver, kidney, committer


def test_a_mask_over_another_segment_stops_at_it(ground: tuple[Any, str, str, Committer]) -> None:
    segmentation, liver, kidney, committer = ground
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    report = committer.commit(liver, np.ones(SHAPE, dtype=bool))
    assert np.array_equal(committer.segment_mask(kidney), RIGHT)
    assert np.array_equal(committer.segment_mask(liver), ~RIGHT)
    assert report.protected_voxels == RIGHT.sum()
    committer.undo()
    assert np.array_equal(committer.segment_mask(liver), LEFT)


def test_segments_overlap_where_the_user_allows_it_and_none_loses_a_voxel(
    ground: tuple[Any, str, str, Committer], editor: Any
) -> None:
    _, liver, kidney, committer = ground
    editor.SetOverwriteMode(EditorNode.OverwriteNone)
    report = committer.commit(liver, np.ones(SHAPE, dtype=bool))
    assert report.protected_voxels == 0
    assert committer.segment_mask(liver).all()
    assert np.array_equal(committer.segment_mask(kidney), RIGHT)
    committer.undo()
    committer.redo()
    assert committer.segment_mask(liver).all()
    assert np.array_equal(committer.segment_mask(kidney), RIGHT)


def test_where_visible_segments_are_overwritten_only_hidden_ones_may_be_overlapped(
    ground: tuple[Any, str, str, Committer], editor: Any
) -> None:
    segmentation, liver, kidney, committer = ground
    editor.SetOverwriteMode(EditorNode.OverwriteVisibleSegments)
    committer.commit(liver, np.ones(SHAPE, dtype=bool))
    assert np.array_equal(committer.segment_mask(liver), ~RIGHT)
    segmentation.GetDisplayNode().SetSegmentVisibility(kidney, False)
    committer.commit(liver, np.ones(SHAPE, dtype=bool))
    assert committer.segment_mask(liver).all()
    assert np.array_equal(committer.segment_mask(kidney), RIGHT)


def test_the_editors_settings_are_left_as_the_user_made_them(
    ground: tuple[Any, str, str, Committer], editor: Any
) -> None:
    _, liver, _, committer = ground
    before = editor.GetMTime()
    committer.commit(liver, np.ones(SHAPE, dtype=bool))
    committer.undo()
    assert editor.GetMTime() == before
    assert shared_editor_node(editor.GetScene()) is editor


def test_editing_inside_a_segment_stays_inside_and_gives_it_nothing(
    ground: tuple[Any, str, str, Committer], editor: Any
) -> None:
    """Slicer's own logic adds to that segment what another one loses."""
    segmentation, liver, kidney, committer = ground
    spleen = add_segment(segmentation, "Spleen")
    editor.SetOverwriteMode(EditorNode.OverwriteNone)
    editor.SetMaskMode(Areas.EditAllowedInsideSingleSegment)
    editor.SetMaskSegmentID(kidney)
    report = committer.commit(spleen, np.ones(SHAPE, dtype=bool))
    assert np.array_equal(committer.segment_mask(spleen), RIGHT)
    assert report.masked_voxels == (~RIGHT).sum()
    committer.commit(spleen, np.zeros(SHAPE, dtype=bool))
    assert not committer.segment_mask(spleen).any()
    assert np.array_equal(committer.segment_mask(kidney), RIGHT)
    assert np.array_equal(committer.segment_mask(liver), LEFT)


@pytest.mark.parametrize(
    ("area", "editable"),
    [
        (Areas.EditAllowedEverywhere, np.ones(SHAPE, dtype=bool)),
        (Areas.EditAllowedInsideAllSegments, LEFT | RIGHT),
        (Areas.EditAllowedInsideVisibleSegments, LEFT),
        (Areas.EditAllowedOutsideAllSegments, ~(LEFT | RIGHT)),
        (Areas.EditAllowedOutsideVisibleSegments, ~LEFT),
        (Areas.EditAllowedInsideSingleSegment, RIGHT),
    ],
)
def test_the_editable_area_holds_in_every_mode(
    ground: tuple[Any, str, str, Committer], editor: Any, area: int, editable: np.ndarray
) -> None:
    segmentation, _, kidney, committer = ground
    segmentation.GetDisplayNode().SetSegmentVisibility(kidney, False)
    spleen = add_segment(segmentation, "Spleen")
    editor.SetOverwriteMode(EditorNode.OverwriteNone)
    editor.SetMaskMode(area)
    editor.SetMaskSegmentID(kidney)
    within = (slice(2, 9), slice(0, 11), slice(3, 10))
    committer.commit(spleen, np.ones(SHAPE, dtype=bool), within)
    expected = np.zeros(SHAPE, dtype=bool)
    expected[within] = editable[within]
    assert np.array_equal(committer.segment_mask(spleen), expected)


def test_the_intensity_range_holds_for_what_is_added_and_for_what_is_removed(
    ground: tuple[Any, str, str, Committer], editor: Any, volume: Any
) -> None:
    _, liver, kidney, committer = ground
    editor.SetSourceVolumeIntensityMask(True)
    editor.SetSourceVolumeIntensityMaskRange(-100.0, 200.0)
    inside = (volume_array(volume) >= -100) & (volume_array(volume) <= 200)
    report = committer.commit(liver, ~LEFT)
    assert np.array_equal(committer.segment_mask(liver), (LEFT & ~inside) | (~LEFT & inside & ~RIGHT))
    assert report.masked_voxels == (~inside).sum()
    assert np.array_equal(committer.segment_mask(kidney), RIGHT)


def test_the_intensity_range_is_that_of_the_editors_own_source_volume(
    ground: tuple[Any, str, str, Committer], editor: Any, scene: Any
) -> None:
    segmentation, _, _, committer = ground
    spleen = add_segment(segmentation, "Spleen")
    other = add_volume(scene, name="MR", seed=9)
    editor.SetAndObserveSourceVolumeNode(other)
    editor.SetSourceVolumeIntensityMask(True)
    editor.SetSourceVolumeIntensityMaskRange(0.0, 1000.0)
    committer.commit(spleen, np.ones(SHAPE, dtype=bool))
    expected = (volume_array(other) >= 0) & ~LEFT & ~RIGHT
    assert np.array_equal(committer.segment_mask(spleen), expected)


def test_a_labelmap_that_two_segments_share_is_never_written_in_place(
    ground: tuple[Any, str, str, Committer], volume: Any
) -> None:
    segmentation, liver, kidney, committer = ground
    image = segmentation.GetSegmentation().GetSegment(kidney).GetRepresentation(LABELMAP)
    assert image is segmentation.GetSegmentation().GetSegment(liver).GetRepresentation(LABELMAP)
    paint(segmentation, kidney, block(SHAPE, slice(0, 9), slice(0, 11), slice(0, 13)), volume)
    assert not committer.segment_mask(liver).any(), "the editor's brush overwrites, as its settings say"
    committer.commit(liver, LEFT)
    assert committer.segment_mask(kidney).all()


boxes = st.tuples(
    *[
        st.tuples(st.integers(0, size - 1), st.integers(1, size)).map(
            lambda ends: slice(min(ends), max(*ends, min(ends) + 1))
        )
        for size in SHAPE
    ]
)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_is_committed_undone_and_redone_the_touching_segment_stays(data: st.DataObject) -> None:
    core = start_core()
    volume = add_volume(core.scene)
    segmentation, liver, kidney = two_touching_segments(core.scene, volume)
    committer = Committer(volume, segmentation)
    owner = block(SHAPE, *data.draw(boxes))
    committer.commit(kidney, owner)
    committer.close()
    committer = Committer(volume, segmentation)
    for _ in range(data.draw(st.integers(1, 8))):
        step = data.draw(st.sampled_from(("commit", "commit", "undo", "redo")))
        if step == "commit":
            within = data.draw(st.none() | boxes)
            mask = block(SHAPE, *data.draw(boxes)) & (
                np.random.default_rng(data.draw(st.integers(0, 9))).random(SHAPE) > 0.3
            )
            before = committer.segment_mask(liver)
            committer.commit(liver, mask, within)
            region = np.zeros(SHAPE, dtype=bool)
            region[within or (slice(None),) * 3] = True
            assert np.array_equal(committer.segment_mask(liver), np.where(region, mask & ~owner, before))
        else:
            getattr(committer, step)()
        assert np.array_equal(committer.segment_mask(kidney), owner)
        assert not (committer.segment_mask(liver) & owner).any()
