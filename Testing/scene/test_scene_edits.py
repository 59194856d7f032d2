"""Edits by anything else are noticed, slice by slice; own commits are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.edits import EditWatcher
from MedSAM2SlicerLib.scene.segments import LABELMAP, segment_mask
from vtk.util.numpy_support import vtk_to_numpy

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.types import AXES, SliceKey
from SlicerHost.scene import start_core
from Testing.scene.ground import SHAPE, add_volume, block, paint, two_touching_segments


class Ground:
    """Two segments that touch, a watcher that accepted both, a committer that tells it of its own changes."""

    def __init__(self, scene: Any, volume: Any) -> None:
        self.scene, self.volume = scene, volume
        self.segmentation, self.liver, self.kidney = two_touching_segments(scene, volume)
        self.watcher = EditWatcher(volume, self.segmentation)
        self.committer = Committer(volume, self.segmentation, watcher=self.watcher)
        self.committer.commit(self.liver, block(SHAPE, slice(2, 6), slice(2, 8), slice(1, 6)))
        self.committer.commit(self.kidney, block(SHAPE, slice(2, 6), slice(2, 8), slice(6, 11)))
        self.seen: list[str] = []
        self.watcher.changed = self.seen.append
        self.watcher.accept(self.liver)
        self.watcher.accept(self.kidney)

    def paint(self, segment_id: str, mask: np.ndarray, erase: bool = False) -> None:
        paint(self.segmentation, segment_id, mask, self.volume, erase)


@pytest.fixture
def ground(scene: Any, volume: Any) -> Ground:
    return Ground(scene, volume)


def test_a_brush_stroke_is_reported_with_its_slices_on_the_axis_asked(ground: Ground) -> None:
    ground.paint(ground.liver, block(SHAPE, slice(7, 8), slice(3, 5), slice(2, 4)))
    assert ground.seen == [ground.liver]
    after = segment_mask(ground.segmentation, ground.liver, ground.volume)
    for axis, indices in zip(AXES, ([7], [3, 4], [2, 3])):
        changed = ground.watcher.changed_slices(ground.liver, axis)
        assert list(changed) == [SliceKey(axis, index) for index in indices]
        for key, mask in changed.items():
            assert np.array_equal(mask, after.take(key.index, axis=AXES.index(axis)))
    assert not ground.watcher.changed_slices(ground.kidney, "k")


def test_a_slice_that_was_emptied_is_told_with_an_empty_mask(ground: Ground) -> None:
    ground.paint(ground.liver, block(SHAPE, slice(3, 4), slice(0, 11), slice(0, 13)), erase=True)
    changed = ground.watcher.changed_slices(ground.liver, "k")
    assert list(changed) == [SliceKey("k", 3)]
    assert changed[SliceKey("k", 3)].shape == SHAPE[1:]
    assert not changed[SliceKey("k", 3)].any()


def test_a_brush_that_takes_voxels_from_another_segment_is_an_edit_of_both(ground: Ground) -> None:
    ground.paint(ground.liver, block(SHAPE, slice(4, 5), slice(4, 5), slice(5, 8)))
    assert sorted(ground.seen) == sorted([ground.liver, ground.kidney])
    assert list(ground.watcher.changed_slices(ground.kidney, "k")) == [SliceKey("k", 4)]


def test_a_segment_that_shares_the_labelmap_with_an_edited_one_is_not_reported(ground: Ground) -> None:
    assert ground.segmentation.GetSegmentation().GetNumberOfLayers() == 1
    ground.paint(ground.kidney, block(SHAPE, slice(8, 9), slice(0, 2), slice(0, 2)))
    assert ground.seen == [ground.kidney]


def test_voxels_written_in_place_by_another_program_are_noticed(ground: Ground) -> None:
    image = ground.segmentation.GetSegmentation().GetSegment(ground.liver).GetRepresentation(LABELMAP)
    array = vtk_to_numpy(image.GetPointData().GetScalars())
    array[array == ground.segmentation.GetSegmentation().GetSegment(ground.liver).GetLabelValue()] = 0
    image.Modified()
    assert ground.seen == [ground.liver]
    assert len(ground.watcher.changed_slices(ground.liver, "k")) == 4


def test_own_commits_undo_and_redo_are_no_edits(ground: Ground) -> None:
    ground.committer.commit(ground.liver, block(SHAPE, slice(0, 9), slice(0, 3), slice(0, 4)))
    ground.committer.undo()
    ground.committer.redo()
    ground.committer.commit(ground.kidney, np.zeros(SHAPE, dtype=bool), (slice(3, 4), slice(0, 11), slice(0, 13)))
    assert ground.seen == []
    for segment_id in (ground.liver, ground.kidney):
        assert not any(ground.watcher.changed_slices(segment_id, axis) for axis in AXES)


def test_an_edit_is_still_known_after_an_own_commit_elsewhere_and_gone_when_accepted(ground: Ground) -> None:
    ground.paint(ground.liver, block(SHAPE, slice(7, 8), slice(3, 5), slice(2, 4)))
    ground.committer.commit(ground.liver, np.ones((1, 11, 13), dtype=bool), (slice(0, 1), slice(0, 11), slice(0, 13)))
    assert list(ground.watcher.changed_slices(ground.liver, "k")) == [SliceKey("k", 7)]
    ground.watcher.accept(ground.liver)
    assert not ground.watcher.changed_slices(ground.liver, "k")


def test_an_edit_that_is_taken_back_is_told_twice_and_leaves_no_slice(ground: Ground) -> None:
    stroke = block(SHAPE, slice(7, 8), slice(3, 5), slice(2, 4))
    ground.paint(ground.liver, stroke)
    ground.paint(ground.liver, stroke, erase=True)
    assert ground.seen == [ground.liver, ground.liver]
    assert not ground.watcher.changed_slices(ground.liver, "k")


def test_renaming_and_colouring_a_segment_is_no_edit(ground: Ground) -> None:
    segment = ground.segmentation.GetSegmentation().GetSegment(ground.liver)
    segment.SetName("Leber")
    segment.SetColor(0, 1, 0)
    assert ground.seen == []


def test_a_removed_segment_and_a_deleted_segmentation_give_one_clear_error(ground: Ground) -> None:
    ground.segmentation.GetSegmentation().RemoveSegment(ground.kidney)
    with pytest.raises(InputError) as problem:
        ground.watcher.changed_slices(ground.kidney, "k")
    assert problem.value.code == "E_NO_SEGMENT"
    assert ground.seen == []
    ground.scene.RemoveNode(ground.segmentation)
    for call in (ground.watcher.accept, lambda segment_id: ground.watcher.changed_slices(segment_id, "k")):
        with pytest.raises(InputError) as problem:
            call(ground.liver)
        assert problem.value.code == "E_NODE_GONE"
    ground.watcher.close()
    ground.watcher.close()


def test_nothing_is_reported_after_closing(ground: Ground) -> None:
    ground.watcher.close()
    ground.paint(ground.liver, np.ones(SHAPE, dtype=bool))
    assert ground.seen == []


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 1000)), min_size=1, max_size=6))
def test_between_commits_and_strokes_the_edits_are_exactly_the_voxels_of_the_strokes(
    steps: list[tuple[bool, bool, int]],
) -> None:
    core = start_core()
    ground = Ground(core.scene, add_volume(core.scene))
    ours = segment_mask(ground.segmentation, ground.liver, ground.volume)
    for own, erase, seed in steps:
        random = np.random.default_rng(seed)
        before = segment_mask(ground.segmentation, ground.liver, ground.volume)
        if own:
            k = int(random.integers(0, SHAPE[0]))
            ground.committer.commit(
                ground.liver, random.random((1, *SHAPE[1:])) > 0.5, (slice(k, k + 1), slice(0, 11), slice(0, 13))
            )
            after = segment_mask(ground.segmentation, ground.liver, ground.volume)
            ours[before != after] = after[before != after]
        else:
            ground.paint(ground.liver, random.random(SHAPE) > 0.95, erase)
        now = segment_mask(ground.segmentation, ground.liver, ground.volume)
        for axis in AXES:
            changed = ground.watcher.changed_slices(ground.liver, axis)
            differing = np.flatnonzero(
                (now != ours).any(axis=tuple(other for other in range(3) if AXES[other] != axis))
            )
            assert [key.index for key in changed] == differing.tolist()
