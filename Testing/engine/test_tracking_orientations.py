"""Three orientations: which take part, one mask wherever the voxels lie, limbs that return, objects that outgrow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.orientations import ObjectBox, axes_beside, box_of
from MedSAM2Lib.types import (
    AXES,
    Axis,
    BoolArray,
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PropagationRequest,
    SliceKey,
    StopRule,
    array_dimension,
)
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.growing_network import dim_in_the_middle, growing_session, mask_of, volume_of
from Testing.engine.phantoms import ellipsoid, small_engine, two_organs_volume

THREE = PropagationRequest("k", orientations="3")


def dice(found: BoolArray, truth: BoolArray) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def box_along(spans: tuple[int, int, int]) -> ObjectBox:
    return ObjectBox((0, 0, 0), tuple(span - 1 for span in spans))  # type: ignore[arg-type]


@pytest.mark.parametrize("spacing_of_k", [3.0, 3.01])
@pytest.mark.parametrize("span", [7, 8])
def test_auto_takes_axes_of_8_slices_and_a_spacing_ratio_of_3(span: int, spacing_of_k: float) -> None:
    volume = Volume.from_array(np.zeros((20, 20, 20), np.int16), (1.0, 1.0, spacing_of_k))
    for first in AXES:
        others = [axis for axis in AXES if axis != first]
        for axis in others:
            spans = tuple(span if name == axis else 20 for name in AXES)
            taken = axes_beside(volume, box_along(spans), first, "auto", [])  # type: ignore[arg-type]
            worth = span >= 8 and (spacing_of_k <= 3.0 or axis == "k")
            assert (axis in taken) == worth
            assert axis in axes_beside(volume, box_along(spans), first, "3", [])  # type: ignore[arg-type]
            assert axis in axes_beside(volume, box_along(spans), first, "auto", [axis])  # type: ignore[arg-type]
            assert axes_beside(volume, box_along(spans), first, "1", []) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("length", "spacing", "axes"), [(7, 1.0, "k"), (8, 1.0, "kji"), (8, 3.5, "k")])
def test_auto_in_a_session(length: int, spacing: float, axes: str) -> None:
    bar = np.zeros((16, 20, 22), dtype=bool)
    bar[2:13, 4 : 4 + length, 5 : 5 + length] = True
    session = growing_session(volume_of(bar, spacing=(1.0, 1.0, spacing)))
    session.add_prompt(session.add_object("bar"), PointPrompt((8.0, 7.0, 6.0)))
    came = list(session.propagate(PropagationRequest("k", orientations="auto")))
    assert {result.key.axis for result in came} == set(axes)


@given(arrays(bool, (4, 5, 6), elements=st.booleans()))
def test_the_box_of_a_mask_holds_it_and_nothing_to_spare(mask: BoolArray) -> None:
    box = box_of(mask)
    if box is None:
        assert not mask.any()
        return
    places = np.argwhere(mask)
    assert box.lower == tuple(places.min(axis=0))
    assert box.upper == tuple(places.max(axis=0))
    for axis in AXES:
        wide, tight = box.span_with_margin(axis, mask.shape[array_dimension(axis)]), box.span(axis)
        assert wide.holds(tight)
        assert wide.first >= 0 and wide.last < mask.shape[array_dimension(axis)]


@pytest.mark.parametrize("shape", [(1, 30, 30), (30, 1, 30), (20, 24, 1)])
def test_an_axis_of_one_slice_leaves_the_others_without_pictures(shape: tuple[int, int, int]) -> None:
    disc = ellipsoid(shape, tuple(size / 2 - 0.5 for size in shape), (9, 9, 9))
    flat = AXES[shape.index(1)]
    session = growing_session(volume_of(disc))
    middle = tuple(float(size // 2) for size in shape[::-1])
    session.add_prompt(session.add_object("disc"), PointPrompt(middle, flat))  # type: ignore[arg-type]
    came = list(session.propagate(PropagationRequest(flat, orientations="3")))
    assert [result.key for result in came] == [SliceKey(flat, 0)]
    assert np.array_equal(mask_of(session, 1), disc)


def world_of(volume: Volume, mask: BoolArray) -> np.ndarray:
    """World positions [n, 3] of the marked voxels, in array order."""
    kji = np.argwhere(mask)
    return (volume.ijk_to_world @ np.c_[kji[:, ::-1], np.ones(len(kji))].T).T[:, :3]


@pytest.mark.parametrize("axis", AXES)
def test_an_oblique_mirrored_anisotropic_twin_gets_the_same_mask_in_the_world(axis: Axis) -> None:
    volume, _ = two_organs_volume(spacing=(0.8, 1.1, 2.5), origin=(-10.0, 4.0, 7.0))
    turned = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0] @ np.diag([1.0, -1.0, 1.0])
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turned, (12.0, -45.0, 230.0)
    found = []
    for one in (volume, Volume(volume.array, motion @ volume.ijk_to_world, "twin")):
        session = small_engine(EngineOptions(fit="letterbox", zoom=1.7)).open(one)
        session.add_prompt(session.add_object("organ"), BoxPrompt(*_box_on(axis), axis))
        list(session.propagate(PropagationRequest(axis, orientations="3", stop=StopRule(enabled=False))))
        session.add_prompt(1, PointPrompt((11.0, 14.0, 12.0)))
        session.add_prompt(1, PointPrompt((13.0, 16.0, 12.0), axis))
        list(session.propagate(PropagationRequest(axis, orientations="3", update=True)))
        mask = mask_of(session, 1)
        assert 0 < mask.sum() < mask.size
        found.append(world_of(one, mask))
    moved = (motion @ np.c_[found[0], np.ones(len(found[0]))].T).T[:, :3]
    np.testing.assert_allclose(moved, found[1], atol=1e-9)


def _box_on(axis: Axis) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    lower, upper = [7.0, 9.0, 5.0], [15.0, 19.0, 15.0]
    lower[2 - array_dimension(axis)] = upper[2 - array_dimension(axis)] = [10.0, 14.0, 11.0][array_dimension(axis)]
    return (lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2])


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("axis", AXES)
def test_voxels_stored_the_other_way_round_get_the_mirrored_mask(axis: Axis, flips: tuple[int, ...]) -> None:
    truth = ellipsoid((18, 24, 26), (8, 11, 14), (6, 8, 9)) & ~ellipsoid((18, 24, 26), (3, 16, 20), (4, 4, 4))
    places = np.array([(8, 11, 14), (10, 12, 16)])
    mirrored = np.where([d in flips for d in range(3)], np.array(truth.shape) - 1 - places, places)
    found = []
    for mask, clicked in ((truth, places), (np.flip(truth, flips), mirrored)):
        session = growing_session(volume_of(mask, spacing=(1.0, 1.2, 2.0)))
        object_id = session.add_object("organ")
        for k, j, i in clicked.astype(float):
            session.add_prompt(object_id, PointPrompt((i, j, k), axis))
            list(session.propagate(PropagationRequest(axis, orientations="3", update=True)))
        assert len(session.objects[object_id].keyframes(axis)) == 2
        found.append(mask_of(session, object_id))
    assert dice(found[0], truth) > 0.99
    assert dice(np.flip(found[1], flips), found[0]) > 0.99


def test_objects_together_are_what_each_is_alone() -> None:
    prompts = [PointPrompt((11.0, 14.0, 10.0)), BoxPrompt((18, 10, 8), (24, 18, 8))]
    request = PropagationRequest("k", orientations="3", stop=StopRule(enabled=False))
    options = EngineOptions(fit="letterbox", zoom=1.7)
    together = small_engine(options).open(two_organs_volume()[0])
    for prompt in prompts:
        together.add_prompt(together.add_object("organ"), prompt)
    list(together.propagate(request))
    for object_id, prompt in enumerate(prompts, 1):
        alone = small_engine(options).open(two_organs_volume()[0])
        alone.add_prompt(alone.add_object("organ"), prompt)
        list(alone.propagate(request))
        slabs = [alone.fused(1, 0, 19), together.fused(object_id, 0, 19)]
        assert np.array_equal(slabs[0].probability, slabs[1].probability)
        assert np.array_equal(slabs[0].disagreement, slabs[1].disagreement)


def test_a_range_holds_for_what_all_orientations_say() -> None:
    session = growing_session(volume_of(ellipsoid((24, 26, 28), (12, 13, 14), (9, 8, 10))))
    session.add_prompt(session.add_object("organ"), PointPrompt((14.0, 13.0, 12.0)))
    list(session.propagate(PropagationRequest("k", first=9, last=14, orientations="3")))
    mask = mask_of(session, 1)
    assert [index for index in range(24) if mask[index].any()] == list(range(9, 15))
    list(session.propagate(PropagationRequest("k", orientations="3", update=True)))
    assert dice(mask_of(session, 1), ellipsoid((24, 26, 28), (12, 13, 14), (9, 8, 10))) > 0.99


def horseshoe() -> BoolArray:
    """Two limbs along k joined below: from a slice of one limb, the other is reached only through the arch."""
    shape = np.zeros((26, 28, 30), dtype=bool)
    shape[3:22, 10:18, 4:11] = True
    shape[3:22, 10:18, 19:26] = True
    shape[3:7, 10:18, 4:26] = True
    return shape


def test_the_second_limb_of_a_horseshoe_is_found_through_the_other_orientations() -> None:
    masks = []
    for orientations in ("1", "3"):
        session = growing_session(volume_of(horseshoe()))
        session.add_prompt(session.add_object("kidney"), PointPrompt((7.0, 14.0, 14.0)))
        list(session.propagate(PropagationRequest("k", orientations=orientations)))  # type: ignore[arg-type]
        masks.append(mask_of(session, 1))
    assert not masks[0][10:20, :, 19:].any()
    assert dice(masks[1], horseshoe()) > 0.98


def test_the_first_axis_follows_the_limb_beside_its_own_once_the_others_have_shown_it() -> None:
    session = growing_session(volume_of(horseshoe()))
    session.add_prompt(session.add_object("kidney"), PointPrompt((7.0, 14.0, 14.0)))
    list(session.propagate(THREE))
    along_k = {one.key.index: session.voxel_logits(one) > 0 for one in session.results(1) if one.key.axis == "k"}
    for index in (*range(7, 13), *range(17, 22)):
        assert along_k[index][10:18, 4:11].all()
        assert along_k[index][10:18, 19:26].all()
    assert not along_k[14][:, 19:].any()  # the user's own slice stays as prompted
    assert dice(mask_of(session, 1), horseshoe()) > 0.98


def test_another_organ_that_no_orientation_reaches_seeds_nothing() -> None:
    apart = horseshoe()
    apart[3:7, :, 11:19] = False
    session = growing_session(volume_of(apart))
    session.add_prompt(session.add_object("left"), PointPrompt((7.0, 14.0, 14.0)))
    list(session.propagate(THREE))
    assert session.objects[1].axes["k"].seeds == set()
    assert not mask_of(session, 1)[:, :, 11:].any()


def test_an_object_that_the_first_axis_loses_is_tracked_again_where_the_others_see_it() -> None:
    session, truth = dim_in_the_middle()
    seen = {}
    for orientations in ("1", "3"):
        list(session.propagate(PropagationRequest("k", orientations=orientations)))  # type: ignore[arg-type]
        along_k = [result for result in session.results(1) if result.key.axis == "k"]
        seen[orientations] = {result.key.index for result in along_k if (result.logits > 0).any()}
    assert seen == {"1": set(range(2, 10)), "3": set(range(2, 22))}
    assert np.array_equal(mask_of(session, 1), truth)


def test_no_return_is_seeded_on_a_slice_that_the_user_prompted() -> None:
    session, truth = dim_in_the_middle()
    session.add_prompt(1, PointPrompt((14.0, 13.0, 21.0), positive=False))
    list(session.propagate(THREE))
    track = session.objects[1].axes["k"]
    assert track.seeds == {20}
    assert track.tracker.record(21) is track.keyframes[21].record
    mask = mask_of(session, 1)
    assert not mask[21].any()
    assert np.array_equal(mask[:21], truth[:21])


def test_an_object_that_outgrows_its_region_is_refitted_once_and_its_prompts_are_carried_over() -> None:
    truth = ellipsoid((40, 60, 60), (20, 30, 30), (16, 22, 22))
    session = growing_session(volume_of(truth), zoom=1.1)
    drawn = ellipsoid((1, 60, 60), (0, 30, 30), (1, 14, 14))[0]
    session.add_prompt(session.add_object("large"), MaskPrompt(SliceKey("k", 8), drawn))
    narrow = session.preview(1, SliceKey("k", 8)).frame.region
    came = [result.key for result in session.propagate(PropagationRequest("k"))]
    wide = session.objects[1].axes["k"].region
    assert wide is not None
    assert wide[2] - wide[0] == pytest.approx(1.3 * (narrow[2] - narrow[0]))
    assert max(came.count(key) for key in came) == 2
    kept = {result.key.index: result.frame.region for result in session.results(1)}
    assert kept.pop(8) == narrow
    assert set(kept.values()) == {wide}
    mask = mask_of(session, 1)
    assert np.array_equal(mask[8], drawn)
    rows = np.flatnonzero(mask[20].any(axis=1))
    assert wide[0] - 1 <= rows[0] < narrow[0] - 2
    assert narrow[2] + 2 < rows[-1] <= wide[2]
    assert session.objects[1].axes["k"].tracker.prompted_slices == [8]
