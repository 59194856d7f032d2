"""Mask prompts from files: one object, chosen by its label where there are several, and never a grey image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAM2Lib.commands.prompt_options import mask_file
from MedSAM2Lib.errors import InputError
from MedSAM2Lib.volume.io import read_mask_prompt, write_mask
from MedSAM2Lib.volume.volume import Volume

GRID = Volume.from_array(np.zeros((6, 9, 8), dtype=np.int16), (0.7, 0.9, 3.0), (10.5, -20.25, 33.125))


def labels() -> np.ndarray:
    found = np.zeros(GRID.shape, dtype=np.uint8)
    found[1:3, 2:6, 2:6], found[4, 3, 3:5] = 2, 5
    return found


def written(path: Path, array: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(GRID.spacing)
    image.SetOrigin(GRID.origin)
    sitk.WriteImage(image, str(path))
    return path


def refusal(path: Path, label: int | None = None) -> tuple[str, str]:
    with pytest.raises(InputError) as caught:
        read_mask_prompt(path, GRID, label)
    assert str(path) in str(caught.value)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize("value", [1, 2, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_the_only_label_is_the_object_whatever_its_value(tmp_path: Path, value: int, dtype: type) -> None:
    array = ((labels() == 2) * value).astype(dtype)
    path = written(tmp_path / "m.nrrd", array)
    assert np.array_equal(read_mask_prompt(path, GRID), array > 0)
    np.save(tmp_path / "m.npy", array > 0)
    assert np.array_equal(read_mask_prompt(tmp_path / "m.npy", GRID), array > 0)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha", ".seg.nrrd"])
def test_of_several_labels_one_must_be_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    names = ["", "liver", "", "", "spleen"]
    write_mask(path, labels(), GRID, names)
    code, said = refusal(path)
    assert code == "E_MASK_LABELS"
    assert ("(2 liver, 5 spleen)" if suffix == ".seg.nrrd" else "(2, 5)") in said
    assert f"--mask {path}:2" in said
    for value in (2, 5):
        assert np.array_equal(read_mask_prompt(path, GRID, value), labels() == value)
    for value in (0, 1, 7):
        code, said = refusal(path, value)
        assert code == "E_MASK_LABEL"
        assert f"no voxel of label {value}" in said


def test_overlapping_segments_with_one_label_are_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "m.seg.nrrd"
    masks = [labels() == 2, labels() > 0, np.zeros(GRID.shape, dtype=bool)]
    masks[2][5] = True
    write_mask(path, masks, GRID, ["a", "b", "c"])
    code, said = refusal(path)
    assert code == "E_MASK_LABELS"
    assert "1 a" in said and "1 b" in said and "2 c" in said
    assert f"--mask {path}:2" in said
    assert np.array_equal(read_mask_prompt(path, GRID, 2), masks[2])
    assert "a file of its own" in refusal(path, 1)[1]


def test_what_is_no_label_map_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 1000, GRID.shape)
    for name, array, expected in (
        ("ct", noise - 500, "E_MASK_NOT_LABELS"),
        ("grey", noise, "E_MASK_NOT_LABELS"),
        ("probability", noise / 1000, "E_LABELS_FRACTIONS"),
        ("empty", noise * 0, "E_MASK_EMPTY"),
    ):
        path = tmp_path / f"{name}.nrrd"
        kind = np.float32 if name == "probability" else np.int16
        assert refusal(written(path, array.astype(kind)))[0] == expected
    assert "negative value -" in refusal(tmp_path / "ct.nrrd", 1)[1]


def test_a_label_is_told_from_a_file_name(tmp_path: Path) -> None:
    odd = tmp_path / "m.nrrd:3"
    assert mask_file(str(odd)) == (tmp_path / "m.nrrd", 3)
    odd.touch()
    assert mask_file(str(odd)) == (odd, None)
    assert mask_file("C:\\masks\\m.nrrd") == (Path("C:\\masks\\m.nrrd"), None)
    assert mask_file("m.nrrd:") == (Path("m.nrrd:"), None)
    assert mask_file("m.nrrd:-1") == (Path("m.nrrd:-1"), None)
