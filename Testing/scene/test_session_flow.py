"""The flow that users live in: click, preview, Enter, and what is then in the segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedSAM2Lib.types import Axis, Orientations, PointPrompt, PropagationRequest, SliceKey
from Testing.engine.growing_network import growing_session, mask_of, volume_of
from Testing.scene.ground import paint
from Testing.scene.session_ground import MIDDLE, ORGAN, Bench, bench_of


def test_a_click_shows_the_engine_s_mask_on_that_slice_and_commits_nothing(bench: Bench) -> None:
    bench.click()
    session = growing_session(volume_of(ORGAN))
    session.add_prompt(session.add_object("organ"), PointPrompt(MIDDLE))
    expected = np.zeros_like(ORGAN)
    expected[12] = session.voxel_logits(session.preview(1, SliceKey("k", 12))) > 0
    assert expected[12].any()
    assert np.array_equal(bench.preview() > 0, expected)
    assert not bench.voxels().any()
    assert (bench.state.phase, bench.state.previewed, bench.state.keyframes) == (
        "ready",
        (SliceKey("k", 12),),
        (SliceKey("k", 12),),
    )


@pytest.mark.parametrize("orientations", ["1", "3"])
def test_enter_commits_voxel_for_voxel_what_the_engine_gives(bench: Bench, orientations: Orientations) -> None:
    bench.controller.set_orientations(orientations)
    bench.click()
    bench.controller.whole_volume()
    bench.propagate()
    session = growing_session(volume_of(ORGAN))
    session.add_prompt(session.add_object("organ"), PointPrompt(MIDDLE))
    session.preview(1, SliceKey("k", 12))
    list(session.propagate(PropagationRequest("k", orientations=orientations)))
    assert bench.voxels().any()
    assert np.array_equal(bench.voxels(), mask_of(session, 1))
    assert bench.state.phase == "reviewing"
    assert not bench.preview().any()


def test_a_box_is_a_prompt_and_its_mask_is_the_preview(bench: Bench) -> None:
    bench.controller.add_box((9.0, 9.0, 12.0), (18.0, 17.0, 12.0), "k")
    bench.run()
    shown = bench.preview()[12] > 0
    assert shown.any()
    assert not (shown & ~ORGAN[12]).any()
    assert not shown[:9].any()
    assert not shown[18:].any()


def test_a_negative_point_takes_a_part_away_again(scene: Any) -> None:
    two = ORGAN.copy()
    two[:, 12:15] = False
    with bench_of(scene, two) as bench:
        bench.click((14.0, 10.0, 12.0))
        bench.controller.add_box((4.0, 4.0, 12.0), (24.0, 22.0, 12.0), "k")
        bench.run()
        assert bench.preview()[12, 16:].any()
        bench.click((14.0, 17.0, 12.0), positive=False)
        assert not bench.preview()[12, 15:].any()
        assert bench.preview()[12, :12].any()


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_a_click_on_any_axis_is_previewed_and_propagated_along_it(bench: Bench, axis: Axis) -> None:
    bench.click(axis=axis)
    assert bench.state.axis == axis
    assert bench.state.previewed == (PointPrompt(MIDDLE, axis).slice,)
    bench.controller.whole_volume()
    bench.propagate()
    overlap = np.count_nonzero(bench.voxels() & ORGAN)
    assert 2 * overlap / (np.count_nonzero(bench.voxels()) + np.count_nonzero(ORGAN)) > 0.95


def test_shift_enter_commits_the_previewed_slice_only(bench: Bench) -> None:
    bench.click()
    shown = bench.preview() > 0
    bench.controller.accept_slice()
    assert np.array_equal(bench.voxels(), shown)
    assert bench.state.previewed == ()
    assert not bench.preview().any()


def test_a_stopped_propagation_commits_what_it_has_and_goes_on_later(bench: Bench) -> None:
    bench.controller.set_orientations("1")
    bench.click()
    bench.controller.whole_volume()
    bench.controller.propagate()
    bench.run(lambda: len(bench.state.slices) >= 5)
    assert bench.controller.stop()
    bench.run()
    some = bench.voxels()
    filled = np.flatnonzero(some.any(axis=(1, 2)))
    assert 5 <= len(filled) < len(np.flatnonzero(ORGAN.any(axis=(1, 2))))
    assert bench.state.outdated
    before = len(bench.tracked)
    bench.propagate()
    assert not set(bench.tracked[before:]) & set(filled.tolist())
    assert np.array_equal(bench.voxels(), bench.expected("1"))


def test_a_click_during_a_propagation_stops_it_and_comes_after_its_commit(bench: Bench) -> None:
    bench.click()
    bench.controller.propagate()
    bench.run(lambda: len(bench.state.slices) >= 3)
    bench.controller.add_point((14.0, 13.0, 9.0), "k")
    bench.run()
    assert bench.voxels().any()
    assert bench.state.phase == "ready"
    assert bench.state.previewed == (SliceKey("k", 9),)
    assert {key.index for key in bench.state.keyframes} == {9, 12}


def test_the_states_of_a_propagation_tell_progress_and_trust(bench: Bench) -> None:
    bench.click()
    bench.propagate()
    running = [state for state in bench.states if state.phase == "propagating" and state.progress is not None]
    done = [state.progress.done for state in running if state.progress]
    assert done == sorted(done)
    assert done[-1] >= 15
    assert all(state.progress.total >= state.progress.done for state in running if state.progress)
    assert running[-1].progress is not None
    assert running[-1].progress.slices_per_second > 0
    assert {key.axis for key in bench.state.slices} == {"k"}
    assert all(0 < trust <= 1 for trust in bench.state.confidences.values())
    assert set(bench.state.confidences) == {SliceKey("k", k) for k in np.flatnonzero(bench.voxels().any(axis=(1, 2)))}


def test_the_window_is_the_display_s_at_the_first_prompt_and_stays_until_asked_for_another(bench: Bench) -> None:
    display = bench.volume.GetDisplayNode()
    display.SetWindowLevel(80.0, 60.0)
    bench.click()
    assert bench.state.window == (20.0, 100.0)
    display.SetWindowLevel(200.0, 100.0)
    bench.click((14.0, 13.0, 10.0))
    assert [choice.window for choice in bench.choices] == [(20.0, 100.0)]
    bench.controller.use_current_window()
    bench.click((14.0, 13.0, 11.0))
    assert [choice.window for choice in bench.choices] == [(20.0, 100.0), (0.0, 200.0)]
    assert bench.state.window == (0.0, 200.0)


def test_a_commit_is_written_down_in_the_scene(bench: Bench) -> None:
    bench.click()
    bench.propagate()
    record = bench.record()
    assert (record["model"], record["checksum"], record["window"]) == ("stand-in", "0" * 64, [0.0, 100.0])
    assert record["prompts"] == [{"kind": "point", "ijk": [14.0, 13.0, 12.0], "axis": "k", "positive": True}]
    assert record["slices_corrected"] == []
    assert record["seconds"] > 0
    assert set(record["versions"]) >= {"MedSAM2Slicer", "torch"}


def test_other_segments_keep_what_they_have(bench: Bench) -> None:
    other = bench.add_segment()
    theirs = np.zeros_like(ORGAN)
    theirs[8:16, 10:16, 10:20] = True
    paint(bench.segmentation, other, theirs, bench.volume)
    bench.click()
    bench.propagate()
    assert np.array_equal(bench.voxels(other), theirs)
    assert not (bench.voxels() & theirs).any()
    assert bench.voxels().any()
    assert bench.state.message is not None
    assert "other segments" in str(bench.state.message)


def test_an_object_that_goes_on_beyond_the_range_is_said_so(bench: Bench) -> None:
    bench.click()
    bench.controller.set_range(9, 14)
    bench.propagate()
    assert np.flatnonzero(bench.voxels().any(axis=(1, 2))).tolist() == list(range(9, 15))
    assert str(bench.state.message) == "The object goes on beyond slice 9: widen the range."


def test_the_range_always_holds_every_prompt(bench: Bench) -> None:
    bench.click()
    bench.click((14.0, 13.0, 6.0))
    bench.controller.set_range(10, 14)
    assert bench.state.range == (6, 14)
    bench.controller.whole_volume()
    assert bench.state.range == (0, 23)


def test_nothing_runs_where_nothing_is_pending(bench: Bench) -> None:
    bench.click()
    assert not bench.ticker.active
    bench.controller.propagate()
    assert bench.ticker.active
    bench.run()
    assert not bench.ticker.active
