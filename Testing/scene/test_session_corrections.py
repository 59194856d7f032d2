"""Corrections: slices drawn by hand are kept, and only what lies between keyframes is computed again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedSAM2Lib.types import MaskPrompt, Orientations, PointPrompt, SliceKey
from Testing.scene.ground import paint
from Testing.scene.session_ground import MIDDLE, ORGAN, SHAPE, Bench, bench_of


def drawn(k: int, j: slice = slice(11, 15), i: slice = slice(12, 17)) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[k, j, i] = True
    return mask


def redraw(bench: Bench, k: int) -> np.ndarray:
    """Slice k is erased and drawn anew, as by the segment editor; returns it [rows, columns]."""
    whole = np.zeros(SHAPE, dtype=bool)
    whole[k] = True
    paint(bench.segmentation, bench.segment_id, whole, bench.volume, erase=True)
    paint(bench.segmentation, bench.segment_id, drawn(k), bench.volume)
    return drawn(k)[k]


@pytest.mark.parametrize("orientations", ["1", "3"])
def test_a_drawn_slice_stays_and_only_its_interval_is_computed_again(bench: Bench, orientations: Orientations) -> None:
    bench.controller.set_orientations("1")
    bench.click()
    bench.click((14.0, 13.0, 8.0))
    bench.controller.whole_volume()
    bench.controller.set_orientations(orientations)
    bench.propagate()
    mine = redraw(bench, 16)
    assert bench.state.edited
    before, steps = bench.voxels(), len(bench.tracked)
    bench.propagate()
    assert bench.state.hand_drawn == (SliceKey("k", 16),)
    assert np.array_equal(bench.voxels()[16], mine)
    assert np.array_equal(bench.voxels()[:13], before[:13])
    if orientations == "1":
        assert set(bench.tracked[steps:]) <= set(range(13, 24)) - {16}
        assert bench.tracked[steps:]


def test_what_is_computed_after_a_correction_is_what_the_engine_gives_for_all_prompts(bench: Bench) -> None:
    bench.controller.set_orientations("1")
    bench.click()
    bench.controller.whole_volume()
    bench.propagate()
    mine = redraw(bench, 16)
    bench.propagate()
    prompts = (PointPrompt(MIDDLE), MaskPrompt(SliceKey("k", 16), mine))
    assert np.array_equal(bench.voxels(), bench.expected("1", *prompts))


def test_an_emptied_slice_is_a_keyframe_and_ends_the_object_there(bench: Bench) -> None:
    bench.click()
    bench.controller.whole_volume()
    bench.propagate()
    whole = np.zeros(SHAPE, dtype=bool)
    whole[19] = True
    paint(bench.segmentation, bench.segment_id, whole, bench.volume, erase=True)
    bench.propagate()
    assert bench.state.hand_drawn == (SliceKey("k", 19),)
    assert not bench.voxels()[19:].any()
    assert bench.voxels()[18].any()


def test_a_point_on_a_tracked_slice_is_previewed_and_computes_its_interval(bench: Bench) -> None:
    bench.controller.set_orientations("1")
    bench.click()
    bench.controller.whole_volume()
    bench.propagate()
    steps = len(bench.tracked)
    bench.click((14.0, 13.0, 16.0))
    assert bench.state.outdated
    assert bench.tracked[steps:] == []
    bench.propagate()
    assert set(bench.tracked[steps:]) == set(range(13, 22)) - {16} | (set(bench.tracked[steps:]) & {22, 23})
    assert not bench.state.outdated


def test_a_point_on_a_drawn_slice_takes_its_place(bench: Bench) -> None:
    bench.click()
    bench.propagate()
    redraw(bench, 16)
    bench.click((14.0, 13.0, 16.0))
    assert bench.state.hand_drawn == ()
    assert np.array_equal(bench.preview()[16] > 0, ORGAN[16] & (bench.preview()[16] > 0))
    bench.propagate()
    assert np.count_nonzero(bench.voxels()[16]) > np.count_nonzero(drawn(16)[16])


def test_drawing_while_slices_come_is_kept_too(bench: Bench) -> None:
    bench.click()
    bench.controller.propagate()
    bench.run(lambda: len(bench.state.slices) >= 4)
    paint(bench.segmentation, bench.segment_id, drawn(9, slice(0, 3), slice(0, 3)), bench.volume)
    bench.run()
    assert bench.state.hand_drawn == (SliceKey("k", 9),)
    assert np.array_equal(bench.voxels()[9], drawn(9, slice(0, 3), slice(0, 3))[9])
    assert bench.voxels()[10].any()
    assert bench.controller.undo()
    bench.run()
    assert np.array_equal(bench.voxels(), drawn(9, slice(0, 3), slice(0, 3)))


def test_a_slice_drawn_in_another_orientation_is_kept_as_that_slice(bench: Bench) -> None:
    bench.click()
    bench.propagate()
    sagittal = np.zeros(SHAPE, dtype=bool)
    sagittal[8:16, 2:5, 14] = True
    paint(bench.segmentation, bench.segment_id, sagittal, bench.volume)
    mine = bench.voxels()[:, :, 14]
    bench.click((14.0, 13.0, 8.0))
    bench.propagate()
    assert bench.state.hand_drawn == (SliceKey("i", 14),)
    assert np.array_equal(bench.voxels()[:, :, 14], mine)


def test_painting_one_slice_first_and_pressing_enter_is_enough(bench: Bench) -> None:
    paint(bench.segmentation, bench.segment_id, ORGAN & drawn(12, slice(None), slice(None)), bench.volume)
    bench.controller.set_orientations("1")
    bench.propagate()
    assert np.array_equal(bench.voxels()[12], ORGAN[12])
    assert bench.voxels()[8].any()


def test_a_segment_emptied_as_a_whole_begins_anew(bench: Bench) -> None:
    bench.click()
    bench.propagate()
    committed = bench.voxels()
    redraw(bench, 16)
    bench.controller.look_at_edits()
    paint(bench.segmentation, bench.segment_id, np.ones(SHAPE, dtype=bool), bench.volume, erase=True)
    bench.controller.look_at_edits()
    assert bench.state.hand_drawn == ()
    bench.propagate()
    assert np.array_equal(bench.voxels(), committed)


def test_released_slices_are_computed_again(bench: Bench) -> None:
    bench.click()
    bench.propagate()
    committed = bench.voxels()
    redraw(bench, 16)
    bench.controller.release_keyframes()
    assert bench.state.hand_drawn == ()
    bench.propagate()
    assert np.array_equal(bench.voxels(), committed)


def test_removing_a_prompt_leaves_the_rest_as_if_it_had_never_been(bench: Bench) -> None:
    bench.controller.set_orientations("1")
    bench.click()
    bench.click((14.0, 13.0, 8.0))
    opened = bench.controller._core.open
    assert opened is not None
    bench.controller.remove_prompt(list(opened.prompts())[1])
    bench.run()
    assert bench.state.keyframes == (SliceKey("k", 12),)
    assert bench.state.previewed == (SliceKey("k", 12),)
    bench.controller.whole_volume()
    bench.propagate()
    assert np.array_equal(bench.voxels(), bench.expected("1"))


def test_slices_drawn_before_the_segment_was_opened_are_keyframes(bench: Bench) -> None:
    other = bench.add_segment()
    paint(bench.segmentation, other, drawn(9) | drawn(15), bench.volume)
    bench.open(other)
    assert bench.state.hand_drawn == (SliceKey("k", 9), SliceKey("k", 15))
    bench.click()
    bench.propagate()
    assert np.array_equal(bench.voxels()[9], drawn(9)[9])
    assert np.array_equal(bench.voxels()[15], drawn(15)[15])
    assert bench.voxels()[12].any()


def test_an_organ_from_elsewhere_loses_no_voxel_and_gets_what_is_found(bench: Bench) -> None:
    other = bench.add_segment()
    theirs = np.zeros(SHAPE, dtype=bool)
    theirs[2:23, 1:9, 1:9] = True
    paint(bench.segmentation, other, theirs, bench.volume)
    bench.open(other)
    assert bench.state.hand_drawn == ()
    assert bench.state.message is not None
    bench.click()
    bench.controller.whole_volume()
    bench.propagate()
    assert np.array_equal(bench.voxels(), theirs | bench.expected("3"))
    bench.controller.release_keyframes()
    bench.click((14.0, 13.0, 10.0))
    bench.controller.set_orientations("1")
    bench.propagate()
    assert not (bench.voxels() & theirs & ~ORGAN).any()


def test_what_a_commit_left_is_no_edit_at_the_next_opening_and_what_others_drew_since_is(bench: Bench) -> None:
    other, first = bench.add_segment(), bench.segment_id
    bench.click()
    bench.propagate()
    bench.open(other)
    bench.open(first)
    assert bench.state.hand_drawn == ()
    bench.open(other)
    paint(bench.segmentation, first, drawn(9, slice(0, 3), slice(0, 3)), bench.volume)
    bench.open(first)
    assert bench.state.hand_drawn == (SliceKey("k", 9),)


def test_after_undo_the_next_opening_finds_no_edit(bench: Bench) -> None:
    other, first = bench.add_segment(), bench.segment_id
    bench.click()
    bench.propagate()
    bench.controller.undo()
    bench.run()
    bench.controller.remove_prompt(next(iter(bench.prompts())))
    bench.run()
    bench.open(other)
    bench.open(first)
    assert bench.state.hand_drawn == ()


def test_the_next_doubtful_slice_goes_round_and_leaves_out_keyframes(scene: Any) -> None:
    bar = np.zeros(SHAPE, dtype=bool)
    bar[2:22, 8:18, 9:20] = True
    with bench_of(scene, bar) as bench:
        voxels = bench.array()
        voxels[8] = voxels[8] * 6 // 10
        voxels[15] = voxels[15] * 7 // 10
        bench.controller.set_orientations("1")
        bench.click()
        bench.propagate()
        assert bench.controller.next_doubtful() == SliceKey("k", 8)
        assert bench.controller.next_doubtful(8) == SliceKey("k", 15)
        assert bench.controller.next_doubtful(15) == SliceKey("k", 8)
        bench.controller.suggest()
        bench.run()
        assert bench.state.suggestion is not None
        assert bench.state.suggestion.slice == SliceKey("k", 8)
        bench.click((14.0, 13.0, 8.0))
        assert bench.controller.next_doubtful(0) == SliceKey("k", 15)


def test_the_memory_and_the_disagreement_can_be_looked_at(bench: Bench) -> None:
    bench.click()
    bench.propagate()
    bench.controller.look_at_bank("k")
    bench.run()
    assert bench.state.bank is not None
    assert 12 in [one.index for one in bench.state.bank.slices]
    found = bench.controller.disagreement()
    assert found is not None
    within, disagreement = found
    assert disagreement.dtype == np.uint8
    assert disagreement.shape == tuple(one.stop - one.start for one in within)
