"""Windows: explicit, named, and found in the voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.volume.intensity import CT_PRESETS, Window, automatic_window, parse_window
from MedSAM2Lib.volume.io import read_volume
from MedSAM2Lib.volume.volume import Volume

SOFT_TISSUE = Window(-160, 240)


def test_a_window_brings_its_ends_to_0_and_1_and_clips_what_lies_outside() -> None:
    shown = SOFT_TISSUE.apply(np.array([-3000, -160, 40, 240, 3000], dtype=np.int16))
    assert shown.dtype == np.float32
    assert shown.tolist() == [0, 0, 0.5, 1, 1]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=20))
def test_a_window_never_leaves_0_to_1_and_keeps_the_order_of_grey_values(
    low: float, width: float, values: list[float]
) -> None:
    shown = Window(low, low + width).apply(np.sort(np.array(values)))
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (np.diff(shown) >= 0).all()


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_bytes_are_cut_as_published(dtype: type) -> None:
    values = np.arange(-300, 400).astype(dtype)
    clipped = np.clip(values.astype(np.float64), -160, 240)
    published = ((clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0).astype(np.uint8)
    assert np.array_equal(SOFT_TISSUE.to_bytes(values), published)


def test_bytes_that_are_windowed_already_stay_as_they_are() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(Window(0, 255).to_bytes(values), values)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_a_window_without_a_width_is_refused(low: float, high: float) -> None:
    with pytest.raises(InputError, match="LOW below HIGH") as refusal:
        Window(low, high)
    assert refusal.value.code == "E_WINDOW"


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("-160,240", SOFT_TISSUE),
        (" 0 , 1.5 ", Window(0, 1.5)),
        ("soft-tissue", SOFT_TISSUE),
        ("Lung", Window(-1350, 150)),
        ("brain", Window(0, 80)),
    ],
)
def test_a_window_is_written_as_two_numbers_or_a_name(text: str, window: Window) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize("text", ["", "240", "1,2,3", "low,high", "kidneys"])
def test_another_text_is_refused_with_the_names_there_are(text: str) -> None:
    with pytest.raises(InputError, match=", ".join(CT_PRESETS)) as refusal:
        parse_window(text)
    assert refusal.value.code == "E_WINDOW_TEXT"


def body(air: float = -1000, tissue: float = 40, dtype: type = np.int16) -> np.ndarray:
    array = np.full((8, 20, 20), air)
    array[:, 5:15, 5:15] = tissue + 30 * np.random.default_rng(0).standard_normal((8, 10, 10))
    return array.astype(dtype)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_hounsfield_units_are_known_by_their_air(dtype: type) -> None:
    assert automatic_window(Volume.from_array(body(dtype=dtype))) == SOFT_TISSUE


def test_a_ct_without_air_is_known_by_its_modality_only() -> None:
    tissue = Volume.from_array(body(air=60))
    assert automatic_window(tissue) != SOFT_TISSUE
    assert automatic_window(tissue, modality="CT") == SOFT_TISSUE


def test_dark_values_of_another_modality_do_not_make_it_a_ct() -> None:
    window = automatic_window(Volume.from_array(body()), modality="MR")
    assert window != SOFT_TISSUE


def test_bytes_that_use_their_range_are_windowed_already() -> None:
    assert automatic_window(Volume.from_array(body(0, 120, np.uint8))) == Window(0, 255)


def test_other_images_are_shown_from_the_half_percentile_to_its_counterpart_of_voxels_above_0() -> None:
    array = np.random.default_rng(1).gamma(2, 200, (10, 40, 40)).astype(np.float32)
    array[:, :20] = 0
    window = automatic_window(Volume.from_array(array))
    low, high = np.percentile(array[array > 0], (0.5, 99.5))
    assert (window.low, window.high) == pytest.approx((low, high), rel=1e-5)


def test_a_stray_bright_voxel_does_not_darken_the_image() -> None:
    array = np.random.default_rng(1).uniform(100, 200, (10, 40, 40))
    array[3, 4, 5] = 1e6
    assert automatic_window(Volume.from_array(array)).high < 201


def test_images_with_signed_values_keep_their_negative_half() -> None:
    array = np.random.default_rng(1).standard_normal((10, 40, 40))
    window = automatic_window(Volume.from_array(array))
    assert window.low < -2
    assert window.high > 2


@pytest.mark.parametrize("value", [0, 7, -200, -1000, 1e9, 1e-12])
def test_a_constant_volume_gets_a_window_around_its_value(value: float) -> None:
    volume = Volume.from_array(np.full((2, 3, 4), value, dtype=np.float32))
    shown = automatic_window(volume, modality="MR").apply(volume.array)
    assert np.isfinite(shown).all()
    assert np.allclose(shown, 0.5, atol=0.1)


def test_one_voxel_above_0_is_enough_for_a_window() -> None:
    array = np.zeros((2, 3, 4))
    array[0, 0, 0] = 4
    window = automatic_window(Volume.from_array(array))
    assert window.low < 4 < window.high


def test_many_voxels_are_sampled_with_nearly_the_same_result() -> None:
    slab = np.random.default_rng(1).gamma(2, 200, (64, 64, 64)).astype(np.float32)
    large = Volume.from_array(np.tile(slab, (4, 4, 5)))
    low, high = np.percentile(slab, (0.5, 99.5))
    window = automatic_window(large)
    assert window.low == pytest.approx(low, rel=0.05)
    assert window.high == pytest.approx(high, rel=0.02)


def test_real_ct_is_known_and_windowed_lesions_are_left_alone(shared_data: Path) -> None:
    assert automatic_window(read_volume(shared_data / "ct_abdomen" / "ct.nii.gz")) == SOFT_TISSUE
    assert automatic_window(read_volume(shared_data / "ct_dicom")) == SOFT_TISSUE
    lesion = sorted((shared_data / "ct_lesions").glob("*.npz"))[0]
    assert automatic_window(read_volume(lesion)) == Window(0, 255)
