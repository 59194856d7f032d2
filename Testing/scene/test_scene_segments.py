"""Segments: status, locks, names; and what a commit does to them when nodes go away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.nodes import Observers
from MedSAM2SlicerLib.scene.segments import (
    add_segment,
    check_editable,
    get_status,
    segment_ids,
    segment_mask,
    segment_name,
    set_status,
)

from MedSAM2Lib.errors import InputError
from Testing.scene.ground import SHAPE, block, two_touching_segments

FULL = np.ones(SHAPE, dtype=bool)


@pytest.fixture
def ground(scene: Any, volume: Any) -> tuple[Any, str, str]:
    return two_touching_segments(scene, volume)


@pytest.mark.parametrize("status", ["in progress", "flagged", "completed", "not started"])
def test_a_status_is_slicers_own_tag(ground: tuple[Any, str, str], status: Any) -> None:
    segmentation, liver, kidney = ground
    assert get_status(segmentation, liver) == "not started"
    set_status(segmentation, liver, status)
    assert get_status(segmentation, liver) == status
    assert get_status(segmentation, kidney) == "not started"


def test_the_first_commit_starts_a_segment_and_leaves_a_flag(ground: tuple[Any, str, str], volume: Any) -> None:
    segmentation, liver, kidney = ground
    committer = Committer(volume, segmentation)
    committer.commit(liver, block(SHAPE, slice(0, 2), slice(0, 2), slice(0, 2)))
    assert get_status(segmentation, liver) == "in progress"
    set_status(segmentation, kidney, "flagged")
    committer.commit(kidney, block(SHAPE, slice(4, 6), slice(0, 2), slice(0, 2)))
    assert get_status(segmentation, kidney) == "flagged"


def test_only_completed_and_hidden_segments_are_locked(ground: tuple[Any, str, str]) -> None:
    segmentation, liver, _ = ground
    for status in ("not started", "in progress", "flagged"):
        set_status(segmentation, liver, status)
        check_editable(segmentation, liver)
    set_status(segmentation, liver, "completed")
    with pytest.raises(InputError) as problem:
        check_editable(segmentation, liver)
    assert (problem.value.code, "Liver" in str(problem.value)) == ("E_SEGMENT_LOCKED", True)
    set_status(segmentation, liver, "in progress")
    segmentation.GetDisplayNode().SetVisibility(False)
    with pytest.raises(InputError) as problem:
        check_editable(segmentation, liver)
    assert problem.value.code == "E_SEGMENT_HIDDEN"
    segmentation.GetScene().RemoveNode(segmentation.GetDisplayNode())
    check_editable(segmentation, liver)


def test_segments_without_a_name_get_slicers(ground: tuple[Any, str, str]) -> None:
    segmentation, liver, kidney = ground
    first, second = add_segment(segmentation), add_segment(segmentation, "Spleen", (0.25, 0.5, 0.75))
    assert segment_ids(segmentation) == [liver, kidney, first, second]
    assert segment_name(segmentation, first)
    assert segmentation.GetSegmentation().GetSegment(second).GetColor() == (0.25, 0.5, 0.75)


def test_the_editor_is_told_before_every_change_and_of_nothing_else(ground: tuple[Any, str, str], volume: Any) -> None:
    segmentation, liver, _ = ground
    filled: list[int] = []
    committer = Committer(
        volume,
        segmentation,
        before_change=lambda: filled.append(int(segment_mask(segmentation, liver, volume).sum())),
    )
    committer.commit(liver, FULL)
    committer.commit(liver, FULL)
    committer.undo()
    committer.redo()
    assert filled == [0, FULL.size, 0]


def test_a_step_of_a_removed_segment_is_passed_over(ground: tuple[Any, str, str], volume: Any) -> None:
    segmentation, liver, kidney = ground
    committer = Committer(volume, segmentation)
    committer.commit(liver, block(SHAPE, slice(0, 2), slice(0, 2), slice(0, 2)))
    committer.commit(kidney, block(SHAPE, slice(4, 6), slice(0, 2), slice(0, 2)))
    segmentation.GetSegmentation().RemoveSegment(kidney)
    assert committer.undo()
    assert committer.segment_mask(liver).any()
    assert committer.undo()
    assert not committer.segment_mask(liver).any()
    assert not committer.undo()


def test_undo_does_not_take_voxels_that_another_segment_got_meanwhile(
    ground: tuple[Any, str, str], volume: Any
) -> None:
    segmentation, liver, kidney = ground
    committer = Committer(volume, segmentation)
    committer.commit(liver, FULL)
    half = block(SHAPE, slice(0, 9), slice(0, 11), slice(0, 6))
    committer.commit(liver, half)
    other = Committer(volume, segmentation)
    other.commit(kidney, ~half)
    committer.undo()
    assert np.array_equal(committer.segment_mask(kidney), ~half)
    assert np.array_equal(committer.segment_mask(liver), half)


@pytest.mark.parametrize("end", ["close scene", "delete segmentation", "delete volume"])
def test_after_the_end_a_committer_says_so_and_closes_quietly(
    ground: tuple[Any, str, str], scene: Any, volume: Any, end: str
) -> None:
    segmentation, liver, _ = ground
    committer = Committer(volume, segmentation)
    committer.commit(liver, FULL)
    if end == "close scene":
        scene.Clear(False)
    else:
        scene.RemoveNode(segmentation if end == "delete segmentation" else volume)
    for call in (committer.undo, lambda: committer.commit(liver, ~FULL), lambda: committer.segment_mask(liver)):
        with pytest.raises(InputError) as problem:
            call()
        assert problem.value.code == "E_NODE_GONE"
    assert committer.can_undo
    committer.close()
    committer.close()
    assert not committer.undo()


def test_a_mask_of_another_shape_is_refused_and_nothing_changes(ground: tuple[Any, str, str], volume: Any) -> None:
    segmentation, liver, _ = ground
    committer = Committer(volume, segmentation)
    with pytest.raises(ValueError, match="must be"):
        committer.commit(liver, np.ones((3, 3, 3), dtype=bool))
    assert not committer.segment_mask(liver).any()


def test_observers_are_gone_after_closing_and_with_their_owner(volume: Any) -> None:
    class Owner:
        def __init__(self) -> None:
            self.calls = 0
            self.observers = Observers()
            self.observers.observe(volume, "ModifiedEvent", self.count)

        def count(self, _caller: Any, _event: str) -> None:
            self.calls += 1

    owner = Owner()
    volume.Modified()
    assert owner.calls == 1
    owner.observers.close()
    volume.Modified()
    assert owner.calls == 1
    forgotten = Owner()
    seen = forgotten.__dict__
    del forgotten
    volume.Modified()
    assert seen["calls"] == 0
