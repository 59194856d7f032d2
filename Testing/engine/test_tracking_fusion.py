"""Fusion: the mean by confidence, where orientations disagree, what users said on top, and the same in any slabs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.fusion import fused_slab
from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.objects import SegmentedObject, StoredSlice, Update
from MedSAM2Lib.tracking.runner import SliceRecord
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.tracking.words import ABSENT_WEIGHT, DENIAL_WEIGHT, confidence, probabilities
from MedSAM2Lib.types import (
    AXES,
    NOT_COMPUTED,
    Axis,
    FusedSlab,
    MaskPrompt,
    PointPrompt,
    PropagationRequest,
    SliceFrame,
    SliceKey,
    StopRule,
    array_dimension,
)
from MedSAM2Lib.volume.slices import rows_to_voxels, to_voxels
from Testing.engine.growing_network import growing_session, mask_of, volume_of
from Testing.engine.phantoms import ellipsoid, small_engine, two_organs_volume

SHAPE = (4, 5, 6)

PARTS = [(-1.0, -1.0, 7.0, 7.0), (1.0, 1.0, 4.0, 3.5), (2.2, -3.0, 2.4, 9.0)]
"""Parts of a slice: more than all of it, some, and one between the centres of its rows."""


def stored(axis: Axis, index: int, logits: float | np.ndarray, iou: float = 0.8, score: float = 2.0) -> StoredSlice:
    """A slice that shows the whole of itself voxel for voxel."""
    shape = tuple(size for place, size in enumerate(SHAPE) if place != array_dimension(axis))
    values = np.broadcast_to(np.asarray(logits, dtype=np.float32), shape).copy()
    frame = SliceFrame(SliceKey(axis, index), (shape[0], shape[1]), 0.0, 0.0, float(shape[0]), float(shape[1]))
    record = SliceRecord(index, 1, torch.from_numpy(values)[None, None], iou, score, torch.zeros(1, 4))
    return StoredSlice(frame, record)


def seen(*slices: StoredSlice, interval: Interval | None = None) -> SegmentedObject:
    """An object with one propagation along k, done, that has these slices."""
    update = Update(interval or Interval("k", 0, SHAPE[0] - 1), {one.frame.key: one for one in slices}, done=True)
    return SegmentedObject("object", updates=[update])


def fused(segmented: SegmentedObject) -> FusedSlab:
    return fused_slab(segmented, SHAPE, 0, SHAPE[0] - 1)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.7, 1.0]))
def test_one_orientation_alone_comes_out_as_it_is_and_disagrees_with_nobody(seed: int, iou: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 4, SHAPE).astype(np.float32)
    slab = fused(seen(*(stored("k", index, logits[index], iou) for index in range(4))))
    assert np.array_equal(slab.probability, probabilities(logits))
    assert np.array_equal(slab.probability > 0.5, logits > 0)
    assert not slab.disagreement.any()


def test_the_mean_is_weighted_by_confidence() -> None:
    along_k, along_j = stored("k", 1, 3.0, 0.9, 4.0), stored("j", 3, 0.5, 0.6, 1.0)
    assert confidence(along_k) == pytest.approx(0.9 * sigmoid(4.0))
    assert confidence(along_j) == pytest.approx(0.6 * sigmoid(1.0))
    k, j = confidence(along_k), confidence(along_j)
    expected = (k * sigmoid(3.0) + j * sigmoid(0.5)) / (k + j)
    slab = fused(seen(along_k, along_j))
    assert slab.probability[1, 3] == pytest.approx(np.full(6, expected), abs=1e-6)
    assert (slab.disagreement[1, 3] > 0.1).all()


def test_orientations_that_contradict_each_other_disagree_and_equal_ones_do_not() -> None:
    half = np.where(np.arange(6) < 3, 9.0, -9.0)
    slab = fused(seen(stored("k", 1, 9.0), stored("j", 2, half)))
    assert (slab.disagreement[1, 2, 3:] > 0.9).all()
    assert not slab.disagreement[1, 2, :3].any()


def test_of_two_results_the_newer_one_holds_in_its_interval_and_the_older_one_outside() -> None:
    segmented = seen(*(stored("k", index, 4.0) for index in range(4)), stored("i", 3, 4.0))
    segmented.updates.append(Update(Interval("k", 2, 2), {SliceKey("k", 2): stored("k", 2, -4.0)}, done=True))
    segmented.updates[-1].slices[SliceKey("i", 3)] = stored("i", 3, -4.0)
    mask = fused(segmented).probability > 0.5
    assert mask[[0, 1, 3], :, 3].all()
    assert not mask[2].any()


def test_an_orientation_that_joined_later_says_nothing_where_it_was_not_asked() -> None:
    segmented = seen(*(stored("k", index, 4.0, iou=0.3) for index in range(4)))
    alone = fused(segmented)
    late = {SliceKey("j", 2): stored("j", 2, 4.0), SliceKey("i", 3): stored("i", 3, 4.0)}
    segmented.updates.append(Update(Interval("k", 3, 3), late, done=True))
    slab = fused(segmented)
    assert np.array_equal(slab.probability[:3], alone.probability[:3])
    assert not slab.disagreement[:3].any()
    assert (slab.probability[3] < alone.probability[3]).any()


def test_outside_its_region_an_orientation_counts_as_one_that_did_not_look() -> None:
    sure = stored("k", 1, 9.0, iou=1.0, score=20.0)
    part = SliceFrame(sure.frame.key, (5, 6), 0.0, 0.0, 5.0, 3.0)
    unseen = fused(seen(stored("j", 2, 2.0)))
    slab = fused(seen(StoredSlice(part, sure.record), stored("k", 0, NOT_COMPUTED), stored("j", 2, 2.0)))
    assert slab.probability[1, 2, 4] == pytest.approx(slab.probability[0, 2, 4])
    assert slab.probability[1, 2, 1] > unseen.probability[1, 2, 1] > slab.probability[1, 2, 4]


def test_a_result_without_the_object_weighs_the_same_however_sure_it_is() -> None:
    sure = fused(seen(stored("k", 1, -30.0, 0.9, 9.0), stored("j", 2, 2.0)))
    unsure = fused(seen(stored("k", 1, NOT_COMPUTED, 0.1, -9.0), stored("j", 2, 2.0)))
    np.testing.assert_allclose(sure.probability, unsure.probability, atol=1e-6)
    assert 0 < confidence(stored("k", 1, 1.0, 0.0, -30.0)) < 1e-3


def test_where_the_prompted_orientation_saw_nothing_one_other_is_outvoted_and_two_are_not() -> None:
    nothing = stored("k", 1, NOT_COMPUTED)
    one = fused(seen(nothing, stored("j", 2, 9.0)))
    two = fused(seen(nothing, stored("j", 2, 9.0), stored("i", 3, 9.0)))
    assert one.probability[1, 2, 3] < 0.5 < two.probability[1, 2, 3]


def held_by(update: Update) -> np.ndarray:
    indices = np.indices(SHAPE)[array_dimension(update.interval.axis)]
    return (indices >= update.interval.first) & (indices <= update.interval.last)


def absent_weight(update: Update, axis: Axis) -> float:
    return DENIAL_WEIGHT if update.interval.axis == axis else ABSENT_WEIGHT


def plainly_fused(segmented: SegmentedObject) -> np.ndarray:
    """The weighted mean in double precision, slice by slice over the whole volume."""
    total, weights = np.zeros(SHAPE), np.zeros(SHAPE)
    for axis in AXES:
        probability, weight = np.zeros(SHAPE), np.zeros(SHAPE)
        for update in (one for one in segmented.updates if one.took_part(axis)):
            weight[held_by(update)] = absent_weight(update, axis)
        for update in segmented.updates:
            for key, one in ((key, one) for key, one in update.slices.items() if key.axis == axis):
                place = tuple(key.index if name == axis else slice(None) for name in AXES)
                here = held_by(update)[place]
                logits = to_voxels(one.frame, one.record.low_res_logits[0, 0].numpy())
                found = (logits > NOT_COMPUTED) & bool((one.record.low_res_logits > 0).any())
                probability[place][here] = probabilities(logits)[here]
                weight[place][here] = np.where(found, confidence(one), absent_weight(update, axis))[here]
        total += probability * weight
        weights += weight
    return np.divide(total, weights, out=np.zeros(SHAPE), where=weights > 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_slices_shown_in_any_parts_and_updates_of_any_axis_are_fused_as_slice_by_slice(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    updates = []
    for interval in (Interval("k", 0, 3), data.draw(st.sampled_from([Interval("k", 1, 2), Interval("i", 2, 4)]))):
        keys = [SliceKey(axis, index) for axis in AXES for index in range(SHAPE[array_dimension(axis)])]
        slices = {}
        for key in data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=12, unique=True)):
            whole = stored(key.axis, key.index, 0.0, rng.random())
            rows, columns = whole.frame.shape
            frame = SliceFrame(key, (rows, columns), *data.draw(st.sampled_from(PARTS)))
            logits = np.full((rows, columns), NOT_COMPUTED) if rng.random() < 0.2 else rng.normal(0, 3, (rows, columns))
            whole.record.low_res_logits.copy_(torch.from_numpy(logits))
            slices[key] = StoredSlice(frame, whole.record)
        updates.append(Update(interval, slices, done=True))
    segmented = SegmentedObject("object", updates=updates)
    whole = fused(segmented)
    np.testing.assert_allclose(whole.probability, plainly_fused(segmented), atol=1e-5)
    each = [fused_slab(segmented, SHAPE, index, index) for index in range(SHAPE[0])]
    assert np.array_equal(np.concatenate([one.probability for one in each]), whole.probability)
    assert np.array_equal(np.concatenate([one.disagreement for one in each]), whole.disagreement)


def propagated(zoom: float | None = None) -> TrackingSession:
    session = small_engine(EngineOptions(fit="letterbox", zoom=zoom)).open(two_organs_volume()[0])
    session.add_prompt(session.add_object("organ"), PointPrompt((11.0, 14.0, 10.0)))
    list(session.propagate(PropagationRequest("k", stop=StopRule(enabled=False), orientations="3")))
    return session


def test_slab_by_slab_is_the_whole_however_it_is_split() -> None:
    session = propagated(zoom=1.7)
    session.add_prompt(1, PointPrompt((11.0, 14.0, 13.0), "j"))
    list(session.propagate(PropagationRequest("k", orientations="3", update=True)))
    drawn = np.random.default_rng(0).random((20, 28)) > 0.5
    session.add_prompt(1, MaskPrompt(SliceKey("i", 9), drawn))
    list(session.propagate(PropagationRequest("k", orientations="3", update=True)))
    whole = session.fused(1, 0, 19)

    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(st.sets(st.integers(1, 19), max_size=6))
    def check(cuts: set[int]) -> None:
        edges = [0, *sorted(cuts), 20]
        parts = [session.fused(1, first, stop - 1) for first, stop in itertools.pairwise(edges)]
        assert [part.first for part in parts] == edges[:-1]
        assert np.array_equal(np.concatenate([part.probability for part in parts]), whole.probability)
        assert np.array_equal(np.concatenate([part.disagreement for part in parts]), whole.disagreement)

    check()


@pytest.mark.parametrize("axis", AXES)
def test_drawn_slices_come_back_voxel_for_voxel_even_before_they_are_propagated(axis: Axis) -> None:
    session = propagated()
    dimension = array_dimension(axis)
    drawn = np.random.default_rng(1).random(np.take(np.empty((20, 28, 32)), 7, axis=dimension).shape) > 0.5
    session.add_prompt(1, MaskPrompt(SliceKey(axis, 7), drawn))
    for _ in range(2):
        for slab, rows in ((session.fused(1, 0, 19), slice(None)), (session.fused(1, 5, 9), slice(5, 10))):
            place = 7 - slab.first if axis == "k" else 7
            expected = drawn if axis == "k" else drawn[rows]
            assert np.array_equal(np.take(slab.probability, place, axis=dimension), expected)
            assert not np.take(slab.disagreement, place, axis=dimension).any()
        list(session.propagate(PropagationRequest("k", orientations="3", update=True)))


def test_where_drawn_slices_cross_the_later_one_holds() -> None:
    session = propagated()
    shape = session.view.volume.shape
    session.add_prompt(1, MaskPrompt(SliceKey("j", 5), np.ones((shape[0], shape[2]), dtype=bool)))
    corner = np.zeros(shape[1:], dtype=bool)
    corner[0, 0] = True
    session.add_prompt(1, MaskPrompt(SliceKey("k", 4), corner))
    mask = session.fused(1, 0, 19).probability > 0.5
    assert np.array_equal(mask[4], corner)
    assert mask[[3, 5], 5].all()


def test_stopped_among_the_other_orientations_what_was_found_stays() -> None:
    truth = ellipsoid((24, 26, 28), (12, 13, 14), (9, 8, 10))
    session = growing_session(volume_of(truth))
    session.add_prompt(session.add_object("organ"), PointPrompt((14.0, 13.0, 12.0)))
    came: set[Axis] = set()
    for result in session.propagate(PropagationRequest("k", orientations="3")):
        if "k" not in came and result.key.axis != "k":
            assert np.array_equal(mask_of(session, 1), truth)
        elif result.key.axis != "k":
            assert (mask_of(session, 1) ^ truth).sum() <= 2
        if result.key.axis != "k":
            came.add(result.key.axis)
    assert len(came) == 2


@given(st.data())
def test_some_rows_of_a_slice_are_those_of_the_whole(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    top, left = data.draw(st.floats(-9, 20)), data.draw(st.floats(-9, 20))
    height, width = data.draw(st.floats(0.3, 30)), data.draw(st.floats(0.3, 30))
    logits = np.random.default_rng(data.draw(st.integers(0, 9))).normal(size=(7, 9)).astype(np.float32)
    frame = SliceFrame(SliceKey("k", 0), (rows, columns), top, left, top + height, left + width)
    first = data.draw(st.integers(0, rows - 1))
    last = data.draw(st.integers(first, rows - 1))
    part, whole = rows_to_voxels(frame, logits, range(first, last + 1)), to_voxels(frame, logits)[first : last + 1]
    np.testing.assert_allclose(part, whole, atol=1e-5)
    assert np.array_equal(part == NOT_COMPUTED, whole == NOT_COMPUTED)
