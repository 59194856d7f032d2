"""Slices to the network's square image and back: as published for whole slices, true in mm for regions of them."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from MedSAM2Lib.types import AXES, NOT_COMPUTED, Axis, SliceFrame, SliceKey
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.region import Region, slice_grid, square_around
from MedSAM2Lib.volume.slices import (
    frame_for,
    from_network,
    letterbox_frame,
    mask_to_network,
    render,
    to_network,
    to_voxels,
    whole_frame,
)
from MedSAM2Lib.volume.volume import Volume

UNIT = Window(0, 1)
CT = Window(-160, 240)


def noise(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1, 1, 1)) -> Volume:
    return Volume.from_array(np.random.default_rng(0).normal(40, 200, shape).astype(np.int16), spacing)


def published_image(pixels: np.ndarray, size: int) -> np.ndarray:
    """MedSAM2's way: bytes, grey to three colours, PIL's default resize, one channel in 0..1."""
    image = Image.fromarray(pixels).convert("RGB")
    if pixels.shape != (size, size):
        image = image.resize((size, size))
    return np.asarray(image)[..., 0].astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_whole_slice_is_rendered_as_published_to_the_bit(axis: Axis, size: int) -> None:
    volume = noise((9, 64, 101), (0.7, 0.9, 3))
    key = SliceKey(axis, 5)
    shown = render(volume, whole_frame(volume, key), CT, size, quantise=True)
    assert shown.dtype == np.float32
    assert np.array_equal(shown, published_image(CT.to_bytes(volume.slice(axis, 5)), size))


def test_a_slice_of_the_networks_size_is_not_resampled() -> None:
    volume = noise((2, 64, 64))
    frame = whole_frame(volume, SliceKey("k", 1))
    expected = CT.to_bytes(volume.array[1]).astype(np.float32) / np.float32(255)
    assert np.array_equal(render(volume, frame, CT, 64, quantise=True), expected)
    assert np.array_equal(render(volume, frame, CT, 64), CT.apply(volume.array[1]))


def test_without_bytes_the_same_image_has_finer_grey_values() -> None:
    ramp = np.linspace(-160, 240, 100 * 80).reshape(1, 100, 80)
    volume = Volume.from_array(ramp)
    frame = whole_frame(volume, SliceKey("k", 0))
    fine, coarse = render(volume, frame, CT, 64), render(volume, frame, CT, 64, quantise=True)
    assert 0 < np.abs(fine - coarse).max() < 2.5 / 255
    assert len(np.unique(fine)) > 256 >= len(np.unique(coarse))


def test_a_letterbox_is_square_in_mm_with_black_beside_the_slice() -> None:
    volume = Volume.from_array(np.full((10, 40, 40), 200, dtype=np.int16), (1, 1, 2))
    frame = letterbox_frame(volume, SliceKey("j", 3))
    assert (frame.top, frame.left, frame.bottom, frame.right) == (-5, 0, 15, 40)
    shown = render(volume, frame, CT, 80)
    assert np.allclose(shown[:16], 0)
    assert np.allclose(shown[-16:], 0)
    assert np.allclose(shown[28:52], 0.9)


def test_a_region_beyond_the_slice_is_black() -> None:
    volume = Volume.from_array(np.full((2, 30, 30), 200, dtype=np.int16))
    frame = frame_for(volume, SliceKey("k", 0), (100.5, -80.25, 130.5, -50.25))
    assert not render(volume, frame, CT, 32).any()
    assert not mask_to_network(frame, np.ones((30, 30), dtype=bool), 32).any()
    assert (to_voxels(frame, np.zeros((8, 8), dtype=np.float32)) == NOT_COMPUTED).all()


@pytest.mark.parametrize("region", [(1, 1, 1, 5), (5, 1, 1, 5), (0, 0, float("inf"), 9), (float("nan"), 0, 1, 1)])
def test_a_region_without_an_area_is_refused(region: Region) -> None:
    with pytest.raises(ValueError, match="finite area"):
        frame_for(noise((2, 9, 9)), SliceKey("k", 0), region)


def test_no_region_is_the_whole_slice() -> None:
    volume = noise((2, 9, 8))
    assert frame_for(volume, SliceKey("k", 1), None) == whole_frame(volume, SliceKey("k", 1))


@pytest.mark.parametrize("quantise", [False, True])
def test_what_is_rendered_of_a_region_equals_that_part_of_the_whole_magnified(quantise: bool) -> None:
    volume = noise((2, 96, 96))
    whole = render(volume, whole_frame(volume, SliceKey("k", 0)), CT, 384, quantise)
    part = render(volume, frame_for(volume, SliceKey("k", 0), (24, 48, 56, 80)), CT, 128, quantise)
    assert np.abs(part - whole[96:224, 192:320]).max() < (2.5 / 255 if quantise else 1e-4)


@given(
    st.tuples(st.floats(-50, 600), st.floats(-50, 600)),
    st.tuples(st.floats(-40, 500), st.floats(-40, 500), st.floats(1, 700), st.floats(1, 700)),
    st.sampled_from([32, 128, 512, 1024]),
    st.booleans(),
)
def test_network_coordinates_go_back_to_where_they_came_from(
    place: tuple[float, float], corner_and_size: tuple[float, float, float, float], size: int, centred: bool
) -> None:
    top, left, height, width = corner_and_size
    frame = SliceFrame(SliceKey("k", 0), (512, 512), top, left, top + height, left + width)
    there = to_network(frame, place, size, centred)
    assert from_network(frame, there, size, centred) == pytest.approx(place, abs=1e-6)


def test_coordinates_of_a_whole_slice_are_scaled_as_published() -> None:
    frame = whole_frame(noise((1, 400, 300)), SliceKey("k", 0))
    assert to_network(frame, (100, 30), 512) == (100 * 512 / 400, 30 * 512 / 300)


def test_centred_coordinates_put_a_voxels_centre_where_the_image_shows_it() -> None:
    array = np.zeros((1, 60, 60), dtype=np.float32)
    array[0, 21, 37] = 1
    volume = Volume.from_array(array)
    frame = frame_for(volume, SliceKey("k", 0), (10, 25, 34, 49))
    shown = render(volume, frame, UNIT, 240)
    weights = shown / shown.sum()
    centre = tuple(float((weights * grid).sum()) for grid in np.indices(shown.shape))
    assert to_network(frame, (21, 37), 240, centred=True) == pytest.approx(centre, abs=0.05)


@settings(deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 80), st.integers(1, 80), st.integers(0, 99))
def test_logits_of_a_whole_slice_come_back_as_torch_interpolates_them(
    rows: int, columns: int, height: int, width: int, seed: int
) -> None:
    logits = np.random.default_rng(seed).uniform(-1, 1, (height, width)).astype(np.float32)
    frame = SliceFrame(SliceKey("k", 0), (rows, columns), 0.0, 0.0, float(rows), float(columns))
    exact = functional.interpolate(
        torch.from_numpy(logits)[None, None].double(), size=(rows, columns), mode="bilinear", align_corners=False
    )
    voxels = to_voxels(frame, logits)
    assert voxels.dtype == np.float32
    assert np.abs(voxels - exact[0, 0].numpy()).max() < 1e-5


def test_voxels_whose_centre_is_outside_the_frame_are_not_computed() -> None:
    frame = SliceFrame(SliceKey("k", 0), (10, 10), 2.4, 3.6, 6.4, 8.6)
    voxels = to_voxels(frame, np.ones((4, 4), dtype=np.float32))
    expected = np.full((10, 10), NOT_COMPUTED, dtype=np.float32)
    expected[2:6, 4:9] = 1
    assert np.array_equal(voxels, expected)


def test_results_of_one_frame_do_not_change_those_of_another() -> None:
    frame = whole_frame(noise((1, 20, 20)), SliceKey("k", 0))
    logits = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    first = to_voxels(frame, logits)
    first_again = first.copy()
    first[:] = 0
    assert np.array_equal(to_voxels(frame, logits), first_again)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_masks_of_a_whole_slice_are_brought_to_the_network_as_published(size: int) -> None:
    mask = np.random.default_rng(0).random((101, 64)) > 0.5
    frame = SliceFrame(SliceKey("k", 0), (101, 64), 0, 0, 101, 64)
    published = functional.interpolate(
        torch.from_numpy(mask)[None, None].float(),
        size=(size, size),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    assert np.abs(mask_to_network(frame, mask, size) - published[0, 0].numpy()).max() < 1e-5


@st.composite
def discs(draw: st.DrawFn) -> tuple[Volume, SliceFrame, np.ndarray]:
    """A disc, round in mm and inside a slice of any axis, and a frame that holds it."""
    spacing = tuple(draw(st.floats(0.7, 2)) for _ in range(3))
    shape = tuple(draw(st.integers(50, 90)) for _ in range(3))
    axis: Axis = draw(st.sampled_from(AXES))
    grid = slice_grid(Volume.from_array(np.zeros(shape, dtype=bool), spacing), axis)
    radius = min(draw(st.floats(4, 7)) * max(grid.spacing), 0.28 * min(grid.extent_mm))
    centre = [draw(st.floats(0.3, 0.7)) * count for count in grid.shape]
    rows, columns = (
        (np.arange(count) + 0.5 - place) * step for count, place, step in zip(grid.shape, centre, grid.spacing)
    )
    mask = rows[:, None] ** 2 + columns[None] ** 2 <= radius**2
    array = np.zeros(shape, dtype=np.float32)
    index = draw(st.integers(0, shape[AXES.index(axis)] - 1))
    array[tuple(index if other == axis else slice(None) for other in AXES)] = mask
    volume = Volume.from_array(array, spacing)
    off = (draw(st.floats(-0.3, 0.3)) * radius / step for step in grid.spacing)
    middle = tuple(place + move for place, move in zip(centre, off))
    kind = draw(st.sampled_from(["whole", "letterbox", "zoomed"]))
    key = SliceKey(axis, index)
    if kind == "zoomed":
        region = square_around(grid, (middle[0], middle[1]), radius * draw(st.floats(2.8, 6)))
        return volume, frame_for(volume, key, region), mask
    return volume, whole_frame(volume, key) if kind == "whole" else letterbox_frame(volume, key), mask


@settings(deadline=None, max_examples=60)
@given(discs())
def test_a_mask_seen_by_the_network_and_brought_back_stays_where_it_was(
    drawn: tuple[Volume, SliceFrame, np.ndarray],
) -> None:
    volume, frame, mask = drawn
    for shown in (render(volume, frame, UNIT, 128), mask_to_network(frame, mask, 128)):
        low_res = shown.reshape(32, 4, 32, 4).mean(axis=(1, 3)) - 0.5
        restored = to_voxels(frame, low_res) > 0
        moved = np.argwhere(restored).mean(axis=0) - np.argwhere(mask).mean(axis=0)
        assert np.abs(moved).max() < 0.5
        assert restored.sum() == pytest.approx(mask.sum(), rel=0.35)


@settings(deadline=None, max_examples=40)
@given(discs())
def test_images_and_masks_are_shown_in_the_same_place(drawn: tuple[Volume, SliceFrame, np.ndarray]) -> None:
    volume, frame, mask = drawn
    image, shown = render(volume, frame, UNIT, 128), mask_to_network(frame, mask, 128)
    centres = [
        np.array([(weights * grid).sum() for grid in np.indices((128, 128))]) / weights.sum()
        for weights in (image, shown)
    ]
    assert np.abs(centres[0] - centres[1]).max() < 0.25


@settings(deadline=None, max_examples=40)
@given(discs())
def test_in_square_regions_a_disc_in_mm_is_as_high_as_wide(drawn: tuple[Volume, SliceFrame, np.ndarray]) -> None:
    volume, frame, _ = drawn
    if frame == whole_frame(volume, frame.key):
        return
    weights = render(volume, frame, UNIT, 128)
    rows, columns = np.indices((128, 128))
    total = weights.sum()
    spread = [np.sqrt((weights * (g - (weights * g).sum() / total) ** 2).sum() / total) for g in (rows, columns)]
    assert spread[0] == pytest.approx(spread[1], rel=0.12)


def test_bringing_logits_back_to_512_voxels_is_quick() -> None:
    frame = SliceFrame(SliceKey("k", 0), (512, 512), 0, 0, 512, 512)
    logits = np.zeros((128, 128), dtype=np.float32)
    to_voxels(frame, logits)
    start = time.process_time()
    for _ in range(20):
        to_voxels(frame, logits)
    assert (time.process_time() - start) / 20 < 0.02
