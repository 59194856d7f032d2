"""Sessions: prompts on any slice of any axis, previews, several objects, nothing computed twice, nothing lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.tracking.stand_in import RegionGrowingEngine
from MedSAM2Lib.types import (
    AXES,
    Axis,
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SegmentationSession,
    SliceKey,
    StopRule,
    array_dimension,
)
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.phantoms import small_engine, two_organs_volume

CLICK = PointPrompt((11.0, 14.0, 10.0))
EVERY_SLICE = StopRule(enabled=False)


def opened(options: EngineOptions | None = None) -> TrackingSession:
    volume, _ = two_organs_volume()
    return small_engine(options).open(volume)


def prompted(session: SegmentationSession, *prompts: Prompt) -> int:
    object_id = session.add_object("organ")
    for prompt in prompts:
        session.add_prompt(object_id, prompt)
    return object_id


def masks(session: SegmentationSession, request: PropagationRequest, shape: tuple[int, ...]) -> np.ndarray:
    """The masks of all objects together, [k, j, i]."""
    found = np.zeros(shape, dtype=bool)
    for result in session.propagate(request):
        place = [slice(None)] * 3
        place[array_dimension(result.key.axis)] = result.key.index  # type: ignore[call-overload]
        found[tuple(place)] |= session.voxel_logits(result) > 0
    return found


def test_no_slice_is_encoded_twice_for_a_correction_a_second_object_or_the_other_direction() -> None:
    session = opened()
    first = prompted(session, CLICK)
    request = PropagationRequest("k", stop=EVERY_SLICE)
    list(session.propagate(request))
    assert session.features.counts.encoded == 20
    session.add_prompt(first, PointPrompt((20.0, 14.0, 4.0), positive=False))
    second = prompted(session, BoxPrompt((18, 10, 8), (24, 18, 8)))
    list(session.propagate(PropagationRequest("k", [second], stop=EVERY_SLICE)))
    list(session.propagate(request))
    assert session.features.counts.encoded == 20


def test_propagating_again_gives_the_same_logits_bit_for_bit() -> None:
    session = opened()
    prompted(session, CLICK)
    runs = [
        {result.key.index: result.logits for result in session.propagate(PropagationRequest("k"))} for _ in range(2)
    ]
    assert runs[0].keys() == runs[1].keys()
    assert all(np.array_equal(runs[0][index], runs[1][index]) for index in runs[0])


def test_several_objects_together_are_what_each_is_alone() -> None:
    box = BoxPrompt((18, 10, 8), (24, 18, 8))
    together = opened()
    ids = [prompted(together, CLICK), prompted(together, box)]
    found = {(r.object_id, r.key.index): r.logits for r in together.propagate(PropagationRequest("k"))}
    for object_id, prompt in zip(ids, (CLICK, box)):
        alone = opened()
        prompted(alone, prompt)
        for result in alone.propagate(PropagationRequest("k")):
            assert np.array_equal(result.logits, found[(object_id, result.key.index)])


def test_batches_of_slices_and_directions_change_nothing_that_matters() -> None:
    one, many = opened(), opened()
    many.runner.context.batch_limit = 8
    for session in (one, many):
        prompted(session, CLICK)
        prompted(session, BoxPrompt((18, 10, 8), (24, 18, 8)))
    request = PropagationRequest("k", stop=EVERY_SLICE)
    expected = {(r.object_id, r.key.index): r.logits for r in one.propagate(request)}
    for result in many.propagate(request):
        np.testing.assert_allclose(result.logits, expected[(result.object_id, result.key.index)], atol=2e-3)


@pytest.mark.parametrize("axis", AXES)
def test_every_slice_of_every_axis_comes_once_and_on_the_volumes_voxels(axis: Axis) -> None:
    session = opened()
    volume = session.view.volume
    prompted(session, PointPrompt((11.0, 14.0, 10.0), axis))
    results = list(session.propagate(PropagationRequest(axis, stop=EVERY_SLICE)))
    assert sorted(result.key.index for result in results) == list(range(volume.slice_count(axis)))
    assert all(session.voxel_logits(result).shape == volume.slice(axis, 0).shape for result in results)
    assert [result.key.index for result in results if result.prompted] == [CLICK.ijk[2 - AXES.index(axis)]]


def test_a_preview_computes_its_slice_only_and_is_what_propagation_starts_from() -> None:
    session = opened()
    object_id = prompted(session, CLICK)
    preview = session.preview(object_id, CLICK.slice)
    assert session.features.counts.encoded == 1
    again = session.preview(object_id, CLICK.slice)
    assert np.array_equal(preview.logits, again.logits)
    first = next(iter(session.propagate(PropagationRequest("k"))))
    assert np.array_equal(first.logits, preview.logits)


def test_a_new_prompt_changes_the_preview_and_clearing_it_brings_the_first_one_back() -> None:
    session = opened()
    object_id = prompted(session, CLICK)
    before = session.preview(object_id, CLICK.slice).logits
    session.add_prompt(object_id, PointPrompt((14.0, 14.0, 10.0), positive=False))
    assert not np.array_equal(session.preview(object_id, CLICK.slice).logits, before)
    session.clear_prompts(object_id, CLICK.slice)
    with pytest.raises(PromptError):
        session.preview(object_id, CLICK.slice)
    session.add_prompt(object_id, CLICK)
    assert np.array_equal(session.preview(object_id, CLICK.slice).logits, before)


def test_a_mask_prompt_comes_back_voxel_for_voxel_and_its_neighbours_are_tracked() -> None:
    session = opened(EngineOptions(fit="letterbox", zoom=1.7))
    _, truth = two_organs_volume()
    object_id = prompted(session, MaskPrompt(SliceKey("k", 10), truth[10]))
    results = {result.key.index: result for result in session.propagate(PropagationRequest("k", stop=EVERY_SLICE))}
    assert np.array_equal(session.voxel_logits(results[10]) > 0, truth[10])
    assert len(results) == 20
    assert session.preview(object_id, SliceKey("k", 10)).predicted_iou == 1.0


def test_a_range_is_kept_and_a_prompt_outside_it_is_refused() -> None:
    session = opened()
    prompted(session, CLICK)
    results = list(session.propagate(PropagationRequest("k", first=8, last=13, stop=EVERY_SLICE)))
    assert sorted(result.key.index for result in results) == list(range(8, 14))
    for first, last, code in ((11, 13, "E_RANGE_PROMPT"), (13, 8, "E_RANGE"), (0, 20, "E_RANGE"), (-1, 12, "E_RANGE")):
        with pytest.raises(PromptError) as caught:
            session.propagate(PropagationRequest("k", first=first, last=last))
        assert caught.value.code == code


def test_a_cancelled_propagation_can_be_run_again_and_ends_the_same() -> None:
    session, fresh = opened(), opened()
    for one in (session, fresh):
        prompted(one, CLICK)
    running = iter(session.propagate(PropagationRequest("k")))
    for _ in range(5):
        next(running)
    running.close()  # type: ignore[attr-defined]
    expected = {result.key.index: result.logits for result in fresh.propagate(PropagationRequest("k"))}
    found = {result.key.index: result.logits for result in session.propagate(PropagationRequest("k"))}
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[index], expected[index]) for index in expected)


def test_a_zoomed_region_holds_the_box_and_logits_outside_it_are_not_object() -> None:
    session = opened(EngineOptions(fit="letterbox", zoom=1.7))
    object_id = prompted(session, BoxPrompt((7, 9, 10), (15, 19, 10)))
    result = session.preview(object_id, SliceKey("k", 10))
    top, left, bottom, right = result.frame.region
    assert top < 9
    assert left < 7
    assert bottom > 20
    assert right > 16
    assert (bottom - top) == pytest.approx(right - left)
    assert (session.voxel_logits(result)[:, 28:] <= -1000).all()


def test_a_single_slice_volume_is_segmented() -> None:
    volume, _ = two_organs_volume()
    session = small_engine().open(Volume.from_array(volume.array[10:11], name="one slice"))
    prompted(session, PointPrompt((11.0, 14.0, 0.0)))
    assert [result.key.index for result in session.propagate(PropagationRequest("k"))] == [0]


def test_voxels_that_are_not_finite_are_replaced_and_said() -> None:
    volume, _ = two_organs_volume()
    array = volume.array.astype(np.float32)
    array[0, 0, 0], array[1, 1, 1] = np.nan, np.inf
    session = small_engine().open(Volume.from_array(array))
    assert "2 voxels are not finite numbers" in session.runner.context.notices[0]
    prompted(session, CLICK)
    assert all(np.isfinite(result.logits).all() for result in session.propagate(PropagationRequest("k")))


def test_a_constant_volume_runs_through() -> None:
    session = small_engine().open(Volume.from_array(np.full((5, 20, 20), 7, dtype=np.int16)))
    prompted(session, PointPrompt((10.0, 10.0, 2.0)))
    results = list(session.propagate(PropagationRequest("k", stop=EVERY_SLICE)))
    assert len(results) == 5
    assert all(np.isfinite(result.logits).all() for result in results)


def test_features_and_results_in_bf16_are_close_to_fp32() -> None:
    volume, _ = two_organs_volume()
    engines = [small_engine(), small_engine()]
    engines[1].context.dtype = torch.bfloat16
    logits = []
    for engine in engines:
        session = engine.open(volume)
        prompted(session, CLICK)
        logits.append(next(iter(session.propagate(PropagationRequest("k")))).logits)
    spread = np.abs(logits[0]).max()
    assert np.abs(logits[0] - logits[1]).max() < 0.05 * spread


ZOOMED = EngineOptions(fit="letterbox", zoom=1.7)


def test_the_region_holds_every_prompted_slice_and_does_not_depend_on_their_order() -> None:
    _, truth = two_organs_volume()
    prompts = [MaskPrompt(SliceKey("k", index), truth[index]) for index in (6, 10, 14)]
    regions = set()
    for order in (prompts, prompts[::-1]):
        session = opened(ZOOMED)
        object_id = prompted(session, *order)
        session.preview(object_id, order[0].slice)
        regions.add(session.frame(object_id, order[0].slice).region)
    assert len(regions) == 1
    top, left, bottom, right = regions.pop()
    rows, columns = np.nonzero(truth.any(axis=0))
    assert top <= rows.min()
    assert bottom > rows.max()
    assert left <= columns.min()
    assert right > columns.max()


@pytest.mark.parametrize("later", [BoxPrompt((26, 20, 12), (30, 26, 12)), PointPrompt((30.0, 26.0, 10.0))])
def test_a_later_prompt_outside_the_region_is_shown_too(later: Prompt) -> None:
    session = opened(ZOOMED)
    object_id = prompted(session, BoxPrompt((4, 4, 10), (9, 9, 10)))
    session.preview(object_id, SliceKey("k", 10))
    session.add_prompt(object_id, later)
    result = session.preview(object_id, later.slice)
    row, column = (26, 30)
    assert session.voxel_logits(result)[row, column] > -1000
    assert sum(one.prompted for one in session.propagate(PropagationRequest("k"))) == len({10, later.slice.index})


def test_a_negative_click_outside_the_region_changes_nothing() -> None:
    session = opened(ZOOMED)
    object_id = prompted(session, BoxPrompt((4, 4, 10), (9, 9, 10)))
    before = session.preview(object_id, SliceKey("k", 10))
    other = opened(ZOOMED)
    object_id = prompted(other, BoxPrompt((4, 4, 10), (9, 9, 10)), PointPrompt((31.0, 27.0, 10.0), positive=False))
    assert np.array_equal(other.preview(object_id, SliceKey("k", 10)).logits, before.logits)


def test_corrections_after_a_propagation_never_fail_and_see_the_memory() -> None:
    session = opened()
    object_id = prompted(session, CLICK)
    list(session.propagate(PropagationRequest("k", stop=EVERY_SLICE)))
    session.add_prompt(object_id, PointPrompt((13.0, 14.0, 10.0)))
    session.preview(object_id, CLICK.slice)
    key = SliceKey("k", 13)
    session.add_prompt(object_id, PointPrompt((11.0, 14.0, 13.0)))
    first = session.preview(object_id, key)
    fresh = opened()
    fresh_id = prompted(fresh, PointPrompt((11.0, 14.0, 13.0)))
    assert not np.array_equal(first.logits, fresh.preview(fresh_id, key).logits)
    session.add_prompt(object_id, PointPrompt((12.0, 15.0, 13.0)))
    session.preview(object_id, key)
    results = list(session.propagate(PropagationRequest("k", stop=EVERY_SLICE)))
    assert [result.key.index for result in results if result.prompted] == [10, 13]


def test_removing_the_first_prompt_after_adding_another_leaves_a_working_session() -> None:
    session = opened()
    object_id = prompted(session, CLICK, PointPrompt((11.0, 14.0, 13.0)))
    session.preview(object_id, SliceKey("k", 13))
    list(session.propagate(PropagationRequest("k", stop=EVERY_SLICE)))
    session.clear_prompts(object_id, CLICK.slice)
    fresh = opened()
    prompted(fresh, PointPrompt((11.0, 14.0, 13.0)))
    request = PropagationRequest("k", stop=EVERY_SLICE)
    expected = {result.key.index: result.logits for result in fresh.propagate(request)}
    for result in session.propagate(request):
        assert np.array_equal(result.logits, expected[result.key.index])


@pytest.mark.parametrize("change", ["clear", "remove", "add"])
def test_a_propagation_under_way_ends_when_its_prompts_change(change: str) -> None:
    session = opened()
    object_id = prompted(session, CLICK)
    running = iter(session.propagate(PropagationRequest("k", stop=EVERY_SLICE)))
    for _ in range(4):
        next(running)
    if change == "clear":
        session.clear_prompts(object_id, CLICK.slice)
    elif change == "remove":
        session.remove_object(object_id)
    else:
        session.add_prompt(object_id, PointPrompt((13.0, 14.0, 12.0)))
    assert len(list(running)) <= 1


def test_what_a_caller_does_to_a_result_does_not_reach_the_session() -> None:
    session = opened()
    object_id = prompted(session, CLICK)
    before = session.preview(object_id, CLICK.slice).logits.copy()
    session.preview(object_id, CLICK.slice).logits[:] = 0
    assert np.array_equal(session.preview(object_id, CLICK.slice).logits, before)


BAD_PROMPTS: list[tuple[Callable[[], Prompt], str]] = [
    (lambda: PointPrompt((40.0, 14.0, 10.0)), "E_PROMPT_OUTSIDE"),
    (lambda: PointPrompt((11.0, 14.0, -1.0)), "E_PROMPT_OUTSIDE"),
    (lambda: PointPrompt((11.0, float("nan"), 10.0)), "E_PROMPT_OUTSIDE"),
    (lambda: BoxPrompt((2, 2, 3), (9, 9, 4)), "E_BOX_SLICE"),
    (lambda: BoxPrompt((2, 2, 3), (2, 9, 3)), "E_BOX_AREA"),
    (lambda: BoxPrompt((2, 2, 3), (90, 9, 3)), "E_PROMPT_OUTSIDE"),
    (lambda: MaskPrompt(SliceKey("k", 3), np.ones((28, 31), dtype=bool)), "E_MASK_SHAPE"),
    (lambda: MaskPrompt(SliceKey("k", 20), np.ones((28, 32), dtype=bool)), "E_PROMPT_OUTSIDE"),
]


@pytest.mark.parametrize(("make", "code"), BAD_PROMPTS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("engine", [small_engine, RegionGrowingEngine], ids=["network", "stand-in"])
def test_prompts_that_do_not_fit_are_refused_by_every_engine(
    engine: Callable[[], object], make: Callable[[], Prompt], code: str
) -> None:
    volume, _ = two_organs_volume()
    session = engine().open(volume)  # type: ignore[attr-defined]
    object_id = session.add_object("organ")
    with pytest.raises(PromptError) as caught:
        session.add_prompt(object_id, make())
    assert caught.value.code == code
    assert len(str(caught.value)) > 30


@pytest.mark.parametrize("engine", [small_engine, RegionGrowingEngine], ids=["network", "stand-in"])
def test_every_engine_refuses_what_it_cannot_do(engine: Callable[[], object]) -> None:
    volume, _ = two_organs_volume()
    session = engine().open(volume)  # type: ignore[attr-defined]
    prompted(session, CLICK)
    with pytest.raises(PromptError, match="no object 7"):
        session.add_prompt(7, CLICK)
    with pytest.raises(PromptError, match="has no prompt"):
        session.preview(1, SliceKey("k", 3))
    with pytest.raises(PromptError, match="not within"):
        session.propagate(PropagationRequest("k", first=9, last=99))
    assert list(session.propagate(PropagationRequest("k", object_ids=[]))) == []


@pytest.mark.parametrize("engine", [small_engine, RegionGrowingEngine], ids=["network", "stand-in"])
@pytest.mark.parametrize("slice_of_the_other", [10, 4])
def test_an_object_of_negative_points_alone_is_refused_until_any_slice_has_another_prompt(
    engine: Callable[[], object], slice_of_the_other: int
) -> None:
    volume, _ = two_organs_volume()
    session = engine().open(volume)  # type: ignore[attr-defined]
    negative = PointPrompt((20.0, 14.0, 10.0), positive=False)
    object_id = prompted(session, negative)
    for attempt in (lambda: session.propagate(PropagationRequest("k")), lambda: session.preview(1, negative.slice)):
        with pytest.raises(PromptError, match="negative points only") as caught:
            attempt()
        assert caught.value.code == "E_ONLY_NEGATIVE"
    session.add_prompt(object_id, PointPrompt((10.0, 14.0, float(slice_of_the_other))))
    assert session.preview(object_id, negative.slice).key == negative.slice
    assert list(session.propagate(PropagationRequest("k")))


def test_an_object_without_a_prompt_on_the_axis_is_refused_before_any_work() -> None:
    session = opened()
    prompted(session, CLICK)
    session.add_object("empty")
    with pytest.raises(PromptError, match="no prompt"):
        session.propagate(PropagationRequest("k"))
    with pytest.raises(PromptError, match="no prompt"):
        session.propagate(PropagationRequest("j", [1]))
    with pytest.raises(PromptError, match="no object 7"):
        session.propagate(PropagationRequest("k", [7]))


def rigid_twin(volume: Volume) -> tuple[Volume, np.ndarray]:
    """The same voxels lying elsewhere: rotated about an oblique axis, mirrored and moved; and the 4x4 motion."""
    angle = 0.7
    about_z = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(0.4), -np.sin(0.4)], [0, np.sin(0.4), np.cos(0.4)]])
    motion = np.eye(4)
    motion[:3, :3] = about_z @ about_x @ np.diag([1.0, -1.0, 1.0])
    motion[:3, 3] = (12.0, -45.0, 230.0)
    return Volume(volume.array, motion @ volume.ijk_to_world, "twin"), motion


@pytest.mark.parametrize("axis", AXES)
def test_an_oblique_mirrored_anisotropic_twin_gets_the_same_mask_in_the_world(axis: Axis) -> None:
    volume, _ = two_organs_volume(spacing=(0.8, 1.1, 2.5), origin=(-10.0, 4.0, 7.0))
    twin, motion = rigid_twin(volume)
    found = []
    for one in (volume, twin):
        session = small_engine(EngineOptions(fit="letterbox", zoom=1.7)).open(one)
        prompted(session, PointPrompt(CLICK.ijk, axis))
        mask = masks(session, PropagationRequest(axis, stop=EVERY_SLICE), one.array.shape)
        assert 0 < mask.sum() < mask.size
        kji = np.argwhere(mask)
        found.append((one.ijk_to_world @ np.c_[kji[:, ::-1], np.ones(len(kji))].T).T[:, :3])
    moved = (motion @ np.c_[found[0], np.ones(len(found[0]))].T).T[:, :3]
    np.testing.assert_allclose(moved, found[1], atol=1e-9)


@pytest.mark.parametrize("axis", AXES)
def test_the_stand_in_finds_the_same_place_in_voxels_stored_the_other_way_round(axis: Axis) -> None:
    volume, truth = two_organs_volume()
    flipped = Volume.from_array(volume.array[::-1, :, ::-1], name="flipped")
    k, _, i = volume.array.shape
    clicks = {
        volume: PointPrompt(CLICK.ijk, axis),
        flipped: PointPrompt((i - 1 - CLICK.ijk[0], CLICK.ijk[1], k - 1 - CLICK.ijk[2]), axis),
    }
    found = []
    for one, click in clicks.items():
        session = RegionGrowingEngine(tolerance=30.0).open(one)
        prompted(session, click)
        found.append(masks(session, PropagationRequest(axis), one.array.shape))
    assert np.array_equal(found[0], found[1][::-1, :, ::-1])
    assert (found[0] & truth).sum() > 0.9 * truth.sum()
    assert (found[0] & ~truth).sum() == 0
