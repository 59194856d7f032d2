"""A segment that the engine doubts is flagged, until corrections have settled it; what the user set by hand stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from MedSAM2SlicerLib.scene.flags import choose_status, flag, is_flagged
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.scene.segments import get_status, set_status

from MedSAM2Lib.types import SliceKey
from Testing.scene.ground import open_bundle, save_bundle
from Testing.scene.session_ground import SHAPE, Bench, bench_of

DIM = (4, 5, 6, 8, 10, 15, 16, 18, 20)
"""Nine of the bar's twenty slices, that the stand-in doubts: more than two fifths, and eight of them are not."""


@pytest.fixture
def bench(scene: Any) -> Iterator[Bench]:
    bar = np.zeros(SHAPE, dtype=bool)
    bar[2:22, 8:18, 9:20] = True
    with bench_of(scene, bar) as made:
        voxels = made.array()
        for index in DIM:
            voxels[index] = voxels[index] * 6 // 10
        made.controller.set_orientations("1")
        made.click()
        yield made


def status(bench: Bench) -> str:
    return get_status(bench.segmentation, bench.segment_id)


def draw(bench: Bench, index: int) -> None:
    """The user draws a slice as it should be."""
    mask = np.zeros(SHAPE[1:], dtype=bool)
    mask[8:18, 9:20] = True
    bench.controller.draw_slice(SliceKey("k", index), mask)
    bench.run()


def test_doubt_after_a_propagation_flags_and_says_so(bench: Bench) -> None:
    assert status(bench) == "not started"
    bench.propagate()
    assert [key.index for key in bench.state.doubted] == list(DIM)
    assert status(bench) == "flagged"
    assert "flagged: slices in doubt: 9" in str(bench.state.message)


def test_a_correction_that_settles_the_doubt_takes_the_flag_away_and_undo_brings_it_back(bench: Bench) -> None:
    bench.propagate()
    draw(bench, DIM[0])
    assert len(bench.state.doubted) == len(DIM) - 1 and status(bench) == "in progress"
    bench.controller.undo()
    bench.run()
    assert status(bench) == "flagged"
    bench.controller.redo()
    bench.run()
    assert status(bench) == "in progress"
    bench.propagate()
    assert status(bench) == "in progress"


def test_a_prompt_on_a_doubtful_slice_settles_it_too(bench: Bench) -> None:
    bench.propagate()
    bench.click((14.0, 13.0, float(DIM[0])))
    assert status(bench) == "in progress"


def test_a_propagation_that_leaves_nothing_in_doubt_takes_the_flag_away_and_says_so(bench: Bench) -> None:
    bench.propagate()
    bench.controller.undo()
    bench.run()
    assert status(bench) != "flagged" and not bench.voxels().any()
    bench.controller.redo()
    bench.run()
    assert status(bench) == "flagged"
    bench.array()[:] = bench.array().max(axis=0)
    bench.controller.set_window(0.0, 120.0)
    bench.propagate()
    assert bench.state.doubted == () and status(bench) == "in progress"
    assert "flagged no more" in str(bench.state.message)


def test_a_flag_that_the_user_took_away_does_not_come_back_until_the_segment_is_not_started(bench: Bench) -> None:
    bench.propagate()
    set_status(bench.segmentation, bench.segment_id, "in progress")
    bench.controller.undo()
    bench.run()
    bench.propagate()
    assert bench.state.in_doubt and status(bench) == "in progress"
    bench.controller.undo()
    bench.run()
    choose_status(bench.segmentation, bench.segment_id, "not started")
    bench.propagate()
    assert status(bench) == "flagged"


@pytest.mark.parametrize("chosen", ["in progress", "flagged", "completed"])
def test_a_status_set_by_hand_stays_whatever_the_engine_thinks(bench: Bench, chosen: Any) -> None:
    choose_status(bench.segmentation, bench.segment_id, chosen)
    for doubted in (True, False):
        flag(bench.segmentation, bench.segment_id, doubted)
        assert status(bench) == chosen and not is_flagged(bench.segmentation, bench.segment_id)


@pytest.mark.parametrize("chosen", ["flagged", "completed"])
def test_a_status_that_slicers_own_list_was_given_stays_too(bench: Bench, chosen: Any) -> None:
    set_status(bench.segmentation, bench.segment_id, chosen)
    for doubted in (True, False):
        flag(bench.segmentation, bench.segment_id, doubted)
        assert status(bench) == chosen


def test_a_segment_that_was_completed_while_it_was_flagged_stays_completed(bench: Bench) -> None:
    bench.propagate()
    set_status(bench.segmentation, bench.segment_id, "completed")
    flag(bench.segmentation, bench.segment_id, False)
    assert status(bench) == "completed"
    set_status(bench.segmentation, bench.segment_id, "flagged")
    flag(bench.segmentation, bench.segment_id, False)
    assert status(bench) == "flagged"


def test_whose_the_flag_is_is_known_in_a_saved_scene(bench: Bench, tmp_path: Path) -> None:
    bench.propagate()
    other = bench.add_segment()
    choose_status(bench.segmentation, other, "flagged")
    scene, segment_id = bench.scene, bench.segment_id
    save_bundle(scene, tmp_path / "scene.mrb")
    scene.Clear(False)
    open_bundle(scene, tmp_path / "scene.mrb", tmp_path / "read")
    (segmentation,) = nodes_of(scene, "vtkMRMLSegmentationNode")
    assert is_flagged(segmentation, segment_id) and not is_flagged(segmentation, other)
    for each in (segment_id, other):
        flag(segmentation, each, False)
    assert (get_status(segmentation, segment_id), get_status(segmentation, other)) == ("in progress", "flagged")
