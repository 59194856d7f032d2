"""Sets of images without an order, and clips that start with a click: whose slices they show, and how."""

from __future__ import annotations

from functools import cache

import numpy as np

from MedSAM2Lib.training.clips import ClipMaker, ClipPlan
from MedSAM2Lib.training.sampling import choose_click_window, choose_target, click_on
from MedSAM2Lib.training.sets import SetClip, SetMaker, SharedLook
from MedSAM2Lib.training.tissues import Tissue
from Testing.engine.training_ground import body, noise_bank


@cache
def sets(count: int = 12) -> list[SetClip]:
    maker = SetMaker([body(3), body(4), body(5)], 48, noise_bank())
    return [maker.make(np.random.default_rng(number), 6) for number in range(count)]


def test_images_of_a_set_show_one_kind_of_object_in_several_bodies() -> None:
    for drawn in sets():
        assert drawn.images.shape == drawn.mask.shape == (6, 48, 48)
        assert {member.kind for member in drawn.members} == {drawn.members[0].kind}
    assert np.mean([len({member.body for member in drawn.members}) for drawn in sets()]) > 1.8


def test_some_images_of_a_set_do_not_show_the_object_but_the_prompted_one_does() -> None:
    shown = np.array([drawn.mask.any(axis=(1, 2)) for drawn in sets()])
    assert shown[:, 0].mean() > 0.9
    assert 0.4 < shown[:, 1:].mean() < 0.97


def test_the_object_keeps_its_brightness_apart_from_all_else_in_one_look() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        look = SharedLook(rng, [Tissue.ORGAN])
        tissues = np.array([tissue for tissue in Tissue for _ in range(2)], dtype=np.uint8)
        in_target = np.arange(len(tissues)) == 2 * Tissue.ORGAN
        for seed in (1, 2):
            drawn = look(np.random.default_rng(seed), tissues, in_target)
            gaps = np.abs(drawn.levels[in_target][:, None] - drawn.levels[~in_target])
            assert gaps.min() > 0.8 * drawn.least_contrast
        one, other = (look(np.random.default_rng(seed), tissues, in_target).levels[in_target] for seed in (1, 2))
        assert abs(float(one[0] - other[0])) < 2 * drawn.least_contrast + 0.2


def test_unordered_batches_repeat_by_number_and_are_prompted_on_the_object() -> None:
    plan = ClipPlan(2, 5, 2, ("click",), unordered=True)
    one, again = (ClipMaker([body(3), body(4)], 48, seed=1).make(plan, 7) for _ in range(2))
    assert all((first == second).all() for first, second in zip(one, again))
    assert (one.offsets == 0).all()
    for clip in range(2):
        for row in range(2):
            x, y = one.points[clip, row, 0].long().tolist()
            assert one.masks[clip, row, 0, y, x] == 1


def test_a_set_from_one_body_shows_the_same_object_again() -> None:
    drawn = SetMaker([body(3)], 48, noise_bank()).make(np.random.default_rng(0), 4)
    assert len(set(drawn.members)) == 1


def test_clicks_lie_on_the_object_and_their_windows_have_every_scale() -> None:
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(40):
        choice = choose_target(rng, body(), leave=False)
        row, column = click_on(rng, body(), choice)
        section = np.take(body().volume.labels, choice.key, axis=choice.axis)
        assert body().volume.targets[choice.target][section[int(row), int(column)]]
        top, left, width = choose_click_window(rng, choice, (row, column), (0.5, 8.0))
        np.testing.assert_allclose((top + width / 2, left + width / 2), (row, column))
        ratios.append(width / max(choice.rows[1] - choice.rows[0], choice.columns[1] - choice.columns[0]))
    assert min(ratios) < 1 and max(ratios) > 4


def test_clips_that_start_with_a_click_have_it_in_the_middle_at_scales_from_far_too_small() -> None:
    batch = ClipMaker([body()], 64, seed=1).make(ClipPlan(24, 1, 2, click_share=1.0), 0)
    assert (batch.points[:, 0, 0] == 32).all()
    assert (batch.labels[:, 0] == batch.labels.new_tensor([1, -1, -1, -1, -1])).all()
    assert (batch.masks[:, 0, 0, 32, 32] == 1).all()
    shares = batch.masks[:, 0, 0].mean(dim=(1, 2))
    assert shares.max() > 0.5 and shares.min() < 0.05
