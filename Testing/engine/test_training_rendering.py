"""Clips rendered from synthetic bodies: geometry, visibility of the object, the window, and the choice of slices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MedSAM2Lib.training.clips import ClipMaker, ClipPlan
from MedSAM2Lib.training.looks import Look, free_look, hounsfield_look
from MedSAM2Lib.training.noise import NoiseBank
from MedSAM2Lib.training.rendering import interpolation_matrix, render_clip
from MedSAM2Lib.training.sampling import (
    LEAST_PIECE_SHARE,
    ClipGeometry,
    choose_target,
    choose_window,
    slice_positions,
)
from MedSAM2Lib.training.tissues import Tissue
from Testing.engine.training_ground import body, label_volume, noise_bank


def target_on_slice(index: int) -> int:
    """The target with the largest area on an axial slice."""
    volume = label_volume()
    counts = np.bincount(volume.labels[index].ravel(), minlength=len(volume.tissues))
    return int((volume.targets @ counts).argmax())


def whole_slice(index: int, **changes: object) -> ClipGeometry:
    """A window that maps each voxel of an axial slice to one pixel of a 128-pixel image."""
    return ClipGeometry(0, np.array([float(index)]), 1.0, 0.0, 0.0, 128.0, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("make_look", [hounsfield_look, free_look])
@given(seed=st.integers(0, 10_000), count=st.integers(2, 20))
@settings(max_examples=60, deadline=None)
def test_the_object_keeps_its_least_contrast_to_everything_else(make_look, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    tissues = rng.integers(0, len(Tissue), count).astype(np.uint8)
    in_target = np.zeros(count, dtype=bool)
    in_target[: 1 + int(rng.integers(0, min(3, count - 1)))] = True
    look: Look = make_look(rng, tissues, in_target)
    gaps = np.abs(look.levels[in_target][:, None] - look.levels[~in_target][None])
    assert gaps.min() >= look.least_contrast * (1 - 1e-4)
    assert look.least_contrast >= 0.034
    assert look.noise <= 1.11 * look.least_contrast


def test_at_one_voxel_a_pixel_the_mask_is_the_label_slice() -> None:
    volume = label_volume()
    target = target_on_slice(30)
    expected = volume.targets[target][volume.labels[30]]
    for flips, transpose in (((False, False), False), ((True, False), False), ((False, True), True)):
        rng = np.random.default_rng(1)
        geometry = whole_slice(30, flips=flips, transpose=transpose)
        rendered = render_clip(rng, volume, geometry, target, 128, noise_bank())
        mask = rendered.mask(volume.targets[target])[0]
        shown = expected[::-1] if flips[0] else expected
        shown = shown[:, ::-1] if flips[1] else shown
        # A kernel up to 1.7 voxels wide may round single voxels off.
        assert (mask != (shown.T if transpose else shown)).mean() < 0.01


def test_images_fill_the_window_and_follow_the_random_stream() -> None:
    volume = label_volume()
    geometry = ClipGeometry(0, np.array([30.0, 31.5, 33.0]), 1.4, 10.0, 10.0, 108.0)
    target = target_on_slice(30)
    one, same, other = (
        render_clip(np.random.default_rng(seed), volume, geometry, target, 64, noise_bank()) for seed in (5, 5, 6)
    )
    assert one.images.shape == (3, 64, 64)
    assert 0 <= one.images.min() < one.images.max() <= 1
    assert np.array_equal(one.images, same.images)
    assert not np.array_equal(one.images, other.images)
    np.testing.assert_allclose(one.occupancies.sum(axis=0), 1, atol=1e-4)


def test_pixels_beyond_the_body_s_grid_belong_to_nothing() -> None:
    geometry = ClipGeometry(0, np.array([30.0]), 1.0, -64.0, 0.0, 128.0)
    target = target_on_slice(30)
    rendered = render_clip(np.random.default_rng(0), label_volume(), geometry, target, 128, noise_bank())
    assert rendered.occupancies[:, 0, :64].max() == 0
    assert rendered.occupancies[:, 0, 64:].sum(axis=0).min() > 0.99
    assert len(np.unique(rendered.images[0, :64])) == 1


@given(
    low=st.floats(-5, 5),
    step=st.floats(0.1, 2),
    count=st.integers(1, 30),
    width=st.floats(1, 3),
    size=st.integers(3, 40),
)
@settings(max_examples=60, deadline=None)
def test_interpolation_keeps_constants(low: float, step: float, count: int, width: float, size: int) -> None:
    weights = interpolation_matrix(low + step * np.arange(count), 0, size, width)
    np.testing.assert_allclose(weights @ np.ones(size), 1, atol=1e-5)
    assert weights.min() >= 0


def test_linear_interpolation_reproduces_a_ramp() -> None:
    positions = np.array([0.0, 0.25, 2.5, 7.0])
    np.testing.assert_allclose(interpolation_matrix(positions, 0, 9, 1.0) @ np.arange(9), positions, atol=1e-5)


def test_noise_has_unit_variance_and_its_width() -> None:
    bank = NoiseBank(1)
    roughness = []
    for index in range(4):
        noise = bank.take(np.random.default_rng(0), index, (16, 128, 128))
        assert abs(noise.std() - 1) < 0.1
        roughness.append(np.diff(noise, axis=2).std())
    assert roughness == sorted(roughness, reverse=True)


def test_key_slices_show_the_object_in_one_piece_and_windows_hold_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(25):
        choice = choose_target(rng, body(), leave=False)
        box, mask = body().object_mask(choice.target)
        section = np.take(mask, choice.key - box[choice.axis].start, axis=choice.axis)
        assert section.sum() == choice.area_profile[choice.key] > 0
        top, left, width = choose_window(rng, choice, (128, 128))
        longer = max(choice.rows[1] - choice.rows[0], choice.columns[1] - choice.columns[0])
        assert width == 128 or width >= min(1.35 * longer, 9.0)
        if width < 128:
            assert top - 1 <= choice.rows[0] and choice.rows[1] <= top + width + 1
            assert left - 1 <= choice.columns[0] and choice.columns[1] <= left + width + 1
    assert LEAST_PIECE_SHARE > 0.5


def test_leaving_clips_start_in_the_object_and_pass_its_end() -> None:
    rng = np.random.default_rng(0)
    passed = []
    for _ in range(30):
        choice = choose_target(rng, body(), leave=True)
        positions = slice_positions(rng, choice, 6, leave=True, scattered=False)
        present = np.flatnonzero(choice.area_profile)
        assert positions[0] == choice.key
        steps = np.diff(positions)
        assert (steps >= 0).all() or (steps <= 0).all()
        passed.append(positions.min() < present[0] or positions.max() > present[-1])
    assert np.mean(passed) > 0.5


def test_scattered_clips_have_slices_on_both_sides_in_no_order() -> None:
    rng = np.random.default_rng(0)
    choices = [choose_target(rng, body(), leave=False) for _ in range(12)]
    offsets = [slice_positions(rng, choice, 6, False, scattered=True) - choice.key for choice in choices]
    assert any((offset[1:] < 0).any() and (offset[1:] > 0).any() for offset in offsets)
    assert any((np.diff(offset) < 0).any() and (np.diff(offset) > 0).any() for offset in offsets)


def test_a_batch_depends_on_its_number_only() -> None:
    plan = ClipPlan(2, 3, 2)
    one = ClipMaker([body()], 64, seed=1).make(plan, 7)
    maker = ClipMaker([body()], 64, seed=1)
    maker.make(plan, 6)
    again, next_one = maker.make(plan, 7), maker.make(plan, 8)
    assert all((first == second).all() for first, second in zip(one, again))
    assert not (one.images == next_one.images).all()
    assert one.images.shape == (2, 3, 1, 64, 64)
    assert one.masks.shape == (2, 2, 3, 64, 64)
    assert (one.masks[:, :, 0].flatten(2).sum(dim=2) > 0).all()


def test_half_of_the_longer_clips_hold_slices_without_the_object() -> None:
    batch = ClipMaker([body()], 64, seed=2).make(ClipPlan(24, 4, 1), 0)
    leaves = (batch.masks[:, 0].flatten(2).sum(dim=2) == 0).any(dim=1).float().mean()
    assert 0.2 < leaves < 0.8
