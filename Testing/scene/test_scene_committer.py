"""Masks into segments: exact, undoable, and never at another segment's cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.segments import add_segment, segment_mask, set_status

from MedSAM2Lib.errors import InputError
from Testing.scene.ground import SHAPE, block, paint, two_touching_segments


@pytest.fixture
def ground(scene: Any, volume: Any) -> tuple[Any, str, str, Committer]:
    segmentation, liver, kidney = two_touching_segments(scene, volume)
    return segmentation, liver, kidney, Committer(volume, segmentation)


def test_a_committed_mask_is_in_the_segment_voxel_for_voxel(ground: tuple[Any, str, str, Committer]) -> None:
    _, liver, _, committer = ground
    mask = np.random.default_rng(1).random(SHAPE) > 0.7
    report = committer.commit(liver, mask)
    assert np.array_equal(committer.segment_mask(liver), mask)
    assert (report.added_voxels, report.removed_voxels) == (mask.sum(), 0)
    assert report.changed_voxels == mask.sum()
    other = np.random.default_rng(2).random(SHAPE) > 0.7
    report = committer.commit(liver, other, label="again")
    assert np.array_equal(committer.segment_mask(liver), other)
    assert (report.added_voxels, report.removed_voxels) == ((other & ~mask).sum(), (mask & ~other).sum())


def test_a_commit_within_a_box_leaves_every_other_slice(ground: tuple[Any, str, str, Committer]) -> None:
    _, liver, _, committer = ground
    before = np.random.default_rng(3).random(SHAPE) > 0.5
    committer.commit(liver, before)
    within = (slice(4, 6), slice(0, SHAPE[1]), slice(2, 9))
    new = np.random.default_rng(4).random((2, SHAPE[1], 7)) > 0.5
    committer.commit(liver, new, within)
    expected = before.copy()
    expected[within] = new
    assert np.array_equal(committer.segment_mask(liver), expected)
    whole = np.zeros(SHAPE, dtype=bool)
    committer.commit(liver, whole, within)
    expected[within] = False
    assert np.array_equal(committer.segment_mask(liver), expected)


def test_undo_and_redo_come_back_to_the_same_voxels_over_twenty_steps(
    ground: tuple[Any, str, str, Committer],
) -> None:
    _, liver, kidney, committer = ground
    random = np.random.default_rng(5)
    states = [(committer.segment_mask(liver), committer.segment_mask(kidney))]
    for step in range(24):
        committer.commit((liver, kidney)[step % 2], random.random(SHAPE) > 0.6, label=f"step {step}")
        states.append((committer.segment_mask(liver), committer.segment_mask(kidney)))
    for state in reversed(states[:-1]):
        assert committer.undo()
        assert all(np.array_equal(committer.segment_mask(each), mask) for each, mask in zip((liver, kidney), state))
    assert not committer.undo()
    assert committer.redo_label == "step 0"
    for state in states[1:]:
        assert committer.redo()
        assert all(np.array_equal(committer.segment_mask(each), mask) for each, mask in zip((liver, kidney), state))
    assert not committer.redo()
    assert committer.undo_label == "step 23"


def test_undo_keeps_what_others_did_since(ground: tuple[Any, str, str, Committer], volume: Any) -> None:
    segmentation, liver, kidney, committer = ground
    committer.commit(liver, block(SHAPE, slice(2, 5), slice(2, 5), slice(2, 5)))
    stroke = block(SHAPE, slice(6, 7), slice(6, 9), slice(6, 9))
    paint(segmentation, liver, stroke, volume)
    spleen = add_segment(segmentation, "Spleen")
    paint(segmentation, spleen, block(SHAPE, slice(0, 1), slice(0, 3), slice(0, 3)), volume)
    assert committer.undo()
    assert np.array_equal(committer.segment_mask(liver), stroke)
    assert committer.segment_mask(spleen).sum() == 9
    assert not committer.segment_mask(kidney).any()


def test_a_commit_that_changes_nothing_is_no_step(ground: tuple[Any, str, str, Committer]) -> None:
    _, liver, _, committer = ground
    mask = block(SHAPE, slice(1, 3), slice(1, 3), slice(1, 3))
    committer.commit(liver, mask)
    committer.undo()
    assert committer.commit(liver, np.zeros(SHAPE, dtype=bool)).changed_voxels == 0
    assert committer.can_redo
    assert not committer.can_undo


def test_locked_hidden_and_missing_segments_are_refused(ground: tuple[Any, str, str, Committer]) -> None:
    segmentation, liver, kidney, committer = ground
    mask = np.ones(SHAPE, dtype=bool)
    set_status(segmentation, liver, "completed")
    segmentation.GetDisplayNode().SetSegmentVisibility(kidney, False)
    for segment_id, code in ((liver, "E_SEGMENT_LOCKED"), (kidney, "E_SEGMENT_HIDDEN"), ("gone", "E_NO_SEGMENT")):
        with pytest.raises(InputError) as problem:
            committer.commit(segment_id, mask)
        assert problem.value.code == code
    assert not segment_mask(segmentation, liver, committer._volume).any()
