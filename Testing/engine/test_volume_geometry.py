"""A volume's voxels, its place in the patient, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.types import AXES, Axis, array_dimension, ijk_position
from MedSAM2Lib.volume.volume import Volume, replace_non_finite

spacings = st.tuples(*[st.floats(0.05, 12)] * 3)
origins = st.tuples(*[st.floats(-900, 900)] * 3)
rotations = arrays.arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1)


def rotation(quaternion: np.ndarray) -> np.ndarray:
    """The 3x3 rotation of a quaternion of any length."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@given(spacings, origins, rotations, st.booleans())
def test_spacing_origin_and_direction_come_back_from_the_matrix_however_the_volume_lies(
    spacing: tuple[float, ...], origin: tuple[float, ...], quaternion: np.ndarray, flipped: bool
) -> None:
    direction = rotation(quaternion) @ np.diag([1, 1, -1 if flipped else 1])
    volume = Volume.from_array(np.zeros((2, 3, 4)), spacing, origin, direction)
    assert np.allclose(volume.spacing, spacing)
    assert np.allclose(volume.origin, origin)
    assert np.allclose(volume.direction, direction)


def test_a_step_along_i_moves_by_the_first_column_times_its_spacing() -> None:
    direction = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    volume = Volume.from_array(np.zeros((2, 3, 4)), (2, 3, 5), (10, 20, 30), direction)
    assert np.allclose(volume.ijk_to_world @ (1, 0, 0, 1), (10, 20, 32, 1))
    assert np.allclose(volume.ijk_to_world @ (0, 0, 1, 1), (10, 25, 30, 1))


@pytest.mark.parametrize(("axis", "spacing", "count"), [("k", 5, 2), ("j", 3, 3), ("i", 2, 4)])
def test_spacing_and_slice_count_follow_the_axis(axis: Axis, spacing: float, count: int) -> None:
    volume = Volume.from_array(np.zeros((2, 3, 4)), (2, 3, 5))
    assert volume.spacing_along(axis) == spacing
    assert volume.slice_count(axis) == count


@given(st.sampled_from(AXES), st.data())
def test_a_slice_shows_the_voxels_at_its_index_in_array_order(axis: Axis, data: st.DataObject) -> None:
    volume = Volume.from_array(np.arange(2 * 3 * 4).reshape(2, 3, 4))
    index = data.draw(st.integers(0, volume.slice_count(axis) - 1))
    pixels = volume.slice(axis, index)
    assert np.array_equal(pixels, np.take(volume.array, index, axis=array_dimension(axis)))
    assert np.shares_memory(pixels, volume.array)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_slice_outside_the_volume_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match="0 to 2"):
        Volume.from_array(np.zeros((2, 3, 4))).slice("j", index)


def test_one_slice_is_a_volume() -> None:
    volume = Volume.from_array(np.zeros((1, 3, 4), dtype=np.uint8), (1, 1, 5))
    assert volume.slice("k", 0).shape == (3, 4)
    assert volume.spacing[ijk_position("k")] == 5


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4, 3), (5, 2, 3, 4)])
def test_other_than_three_dimensions_are_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(VolumeError, match="x".join(map(str, shape))) as refusal:
        Volume.from_array(np.zeros(shape), name="cine.npy")
    assert refusal.value.code == "E_VOLUME_DIMENSIONS"
    assert "one volume of three" in str(refusal.value)


def test_an_empty_volume_is_refused() -> None:
    with pytest.raises(VolumeError, match="no voxels") as refusal:
        Volume.from_array(np.zeros((2, 0, 4)))
    assert refusal.value.code == "E_VOLUME_EMPTY"


@pytest.mark.parametrize("dtype", [np.complex64, "U3", object])
def test_voxels_that_are_no_grey_values_are_refused(dtype: object) -> None:
    with pytest.raises(VolumeError, match="not grey values") as refusal:
        Volume.from_array(np.zeros((2, 3, 4)).astype(dtype))
    assert refusal.value.code == "E_VOLUME_TYPE"


TWO_AXES_ALIKE = np.array([[1.0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("matrix", [np.diag([1.0, 0, 1, 1]), np.diag([1.0, np.nan, 1, 1]), np.eye(3), TWO_AXES_ALIKE])
def test_a_matrix_that_is_no_grid_in_space_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(VolumeError, match="spacing and directions") as refusal:
        Volume(np.zeros((2, 3, 4)), matrix)
    assert refusal.value.code == "E_VOLUME_GEOMETRY"


def test_voxels_that_are_not_finite_become_the_smallest_finite_value_and_are_counted() -> None:
    array = np.array([[[np.nan, 3.0, -7.0], [np.inf, -np.inf, 5.0]]], dtype=np.float32)
    filled, count = replace_non_finite(Volume.from_array(array, (1, 2, 3)))
    assert count == 3
    assert filled.array.dtype == np.float32
    assert filled.array.tolist() == [[[-7, 3, -7], [-7, -7, 5]]]
    assert filled.spacing == (1, 2, 3)
    assert np.isnan(array[0, 0, 0]), "the volume that was given stays as it was"


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_finite_volume_comes_back_itself(dtype: type) -> None:
    volume = Volume.from_array(np.ones((2, 3, 4), dtype=dtype))
    assert replace_non_finite(volume) == (volume, 0)


def test_a_volume_without_a_finite_voxel_is_refused() -> None:
    with pytest.raises(VolumeError, match=r"No voxel of lost\.nii is a finite number") as refusal:
        replace_non_finite(Volume.from_array(np.full((2, 3, 4), np.nan), name="lost.nii"))
    assert refusal.value.code == "E_VOLUME_NOT_FINITE"


def test_the_checksum_tells_voxels_types_shapes_and_places_apart_but_not_names_or_layouts() -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = Volume.from_array(array, name="a")
    same = Volume.from_array(np.asfortranarray(array), name="b")
    changed = array.copy()
    changed[1, 2, 3] += 1
    others = [
        Volume.from_array(changed),
        Volume.from_array(array.astype(np.int32)),
        Volume.from_array(array.reshape(3, 2, 4)),
        Volume.from_array(array, (1, 1, 1.5)),
        Volume.from_array(array, origin=(0, 0, 1e-3)),
    ]
    assert same.checksum() == volume.checksum()
    assert len({volume.checksum(), *(other.checksum() for other in others)}) == 6
