"""Saving a training case: what `medsam2 train` reads is what stands in the scene."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.geometry import ijk_to_local_matrix, volume_array
from MedSAM2SlicerLib.scene.training_case import save_training_case

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.training.cases import find_cases, read_case
from Testing.scene.ground import OBLIQUE, SHAPE, add_transform, add_volume, rigid, two_touching_segments


@pytest.fixture
def ground(scene: Any) -> tuple[Any, Any, np.ndarray]:
    """A turned volume under a transform, its segmentation with two segments and an empty one, and their labels."""
    volume = add_volume(scene, ijk_to_ras=rigid((0.3, 0.2, 0.5), (0.8, 1.5, 2.5), (1, 2, 3), (1, 1, 1)), name="CT: 7/a")
    volume.SetAndObserveTransformNodeID(add_transform(scene, OBLIQUE).GetID())
    segmentation, liver, kidney = two_touching_segments(scene, volume)
    labels = np.random.default_rng(0).integers(0, 3, SHAPE)
    committer = Committer(volume, segmentation)
    committer.commit(liver, labels == 1)
    committer.commit(kidney, labels == 2)
    segmentation.GetSegmentation().AddEmptySegment("Empty")
    return volume, segmentation, labels


def test_a_case_is_read_for_training_as_it_stands_in_the_scene(
    ground: tuple[Any, Any, np.ndarray], tmp_path: Path
) -> None:
    volume, segmentation, labels = ground
    place = save_training_case(tmp_path, volume, segmentation, (-160, 240), {"model": "x", "seconds": 3})
    (files,) = find_cases(tmp_path)
    case = read_case(files)
    assert (place.name, case.name) == ("CT_7_a", "CT_7_a")
    assert np.array_equal(case.volume.array, volume_array(volume))
    ras_to_lps = np.diag([-1, -1, 1, 1])
    assert np.allclose(case.volume.ijk_to_world, ras_to_lps @ ijk_to_local_matrix(volume), atol=1e-6)
    assert (case.window.low, case.window.high) == (-160, 240)
    assert [each.name for each in case.objects] == ["Liver", "Kidney"]
    for value, each in enumerate(case.objects, start=1):
        mask = np.zeros(SHAPE, dtype=bool)
        mask[each.box] = each.mask
        assert np.array_equal(mask, labels == value)
    told = json.loads((place / "provenance.json").read_text(encoding="utf-8"))
    assert told == {"model": "x", "seconds": 3, "window": [-160, 240]}


def test_a_second_case_of_the_same_name_gets_a_number(ground: tuple[Any, Any, np.ndarray], tmp_path: Path) -> None:
    volume, segmentation, _ = ground
    first = save_training_case(tmp_path / "new folder", volume, segmentation)
    before = (first / "mask.seg.nrrd").read_bytes()
    second = save_training_case(tmp_path / "new folder", volume, segmentation)
    assert (first.name, second.name) == ("CT_7_a", "CT_7_a-2")
    assert (first / "mask.seg.nrrd").read_bytes() == before
    assert sorted(path.name for path in first.parent.iterdir()) == ["CT_7_a", "CT_7_a-2"]


def test_a_segmentation_without_voxels_is_no_case(scene: Any, volume: Any, tmp_path: Path) -> None:
    segmentation, _, _ = two_touching_segments(scene, volume)
    with pytest.raises(InputError) as problem:
        save_training_case(tmp_path, volume, segmentation)
    assert problem.value.code == "E_CASE_EMPTY"
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(
    ground: tuple[Any, Any, np.ndarray], tmp_path: Path
) -> None:
    volume, segmentation, _ = ground
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError) as problem:
        save_training_case(tmp_path / "file", volume, segmentation)
    assert problem.value.code == "E_OUT_WRITE"
    assert str(tmp_path / "file") in str(problem.value)


def test_provenance_that_json_cannot_hold_leaves_no_half_case(
    ground: tuple[Any, Any, np.ndarray], tmp_path: Path
) -> None:
    volume, segmentation, _ = ground
    with pytest.raises(TypeError):
        save_training_case(tmp_path, volume, segmentation, provenance={"mask": object()})
    assert not list(tmp_path.iterdir())
