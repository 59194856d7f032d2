"""Where cases come from: folders of real files in every layout, and synthetic bodies; what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.evaluation.folders import FolderSource
from MedSAM2Lib.evaluation.synthetic import (
    FIRST_SEED,
    SyntheticSource,
    choose_objects,
    draw_look,
    render_volume,
    slab_weights,
)
from MedSAM2Lib.training.anatomy import LabelVolume, make_label_volume
from MedSAM2Lib.training.pool import HELD_OUT_FROM
from MedSAM2Lib.training.sampling import target_tissue
from MedSAM2Lib.training.tissues import Tissue
from MedSAM2Lib.volume.io import write_mask
from MedSAM2Lib.volume.volume import Volume

SHAPE = (4, 5, 6)
SPACING = (1.5, 2.0, 3.0)
GREY = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
LABELS = np.zeros(SHAPE, dtype=np.uint8)
LABELS[1:3, 1:3, 1:3] = 1
LABELS[2:4, 3:5, 3:6] = 4
VOLUME = Volume.from_array(GREY, SPACING)
HELD_OUT_BODY = 999_001


def write(path: Path, array: np.ndarray, spacing: tuple[float, float, float] = SPACING) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return path


def cases_of(folder: Path) -> list[Case]:
    return list(FolderSource.of(folder).cases())


LAYOUTS = {
    "a bare name and an ending": ("ct1.nii.gz", "ct1_label.nii.gz"),
    "two endings": ("ct1_image.nrrd", "ct1_gt.nrrd"),
    "two formats": ("ct1.mha", "ct1-seg.nii.gz"),
    "two folders": ("images/ct1.nii.gz", "labels/ct1.nii.gz"),
    "two folders with endings": ("images/ct1_image.nii.gz", "labels/ct1_label.nrrd"),
    "nnU-Net": ("imagesTr/ct1_0000.nii.gz", "labelsTr/ct1.nii.gz"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_are_found_by_name_and_every_label_is_an_object(tmp_path: Path, layout: str) -> None:
    image, labels = LAYOUTS[layout]
    write(tmp_path / image, GREY)
    write(tmp_path / labels, LABELS)
    (tmp_path / "notes.txt").write_text("not an image")
    first, second = cases_of(tmp_path)
    assert (first.name, second.name) == ("ct1/label 1", "ct1/label 4")
    assert np.array_equal(first.truth, LABELS == 1)
    assert np.array_equal(second.truth, LABELS == 4)
    assert np.array_equal(first.volume.array, GREY)
    assert first.volume.spacing == pytest.approx(SPACING)


@pytest.mark.parametrize(
    "labels", [{"background": 0, "liver": 1, "spleen": 4}, {"0": "-", "1": "liver", "4": "spleen"}]
)
def test_labels_are_named_by_a_dataset_file(tmp_path: Path, labels: dict[str, object]) -> None:
    write(tmp_path / "ct1.nrrd", GREY)
    write(tmp_path / "ct1_label.nrrd", LABELS.astype(np.float64))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert [case.name for case in cases_of(tmp_path)] == ["ct1/liver", "ct1/spleen"]


def test_segments_of_a_segmentation_file_keep_their_names_and_may_overlap(tmp_path: Path) -> None:
    write(tmp_path / "ct1.nrrd", GREY)
    whole, part = LABELS > 0, LABELS == 4
    write_mask(tmp_path / "ct1.seg.nrrd", [whole, part], VOLUME, ["liver", "a lesion"])
    first, second = cases_of(tmp_path)
    assert (first.name, second.name) == ("ct1/liver", "ct1/a lesion")
    assert np.array_equal(first.truth, whole)
    assert np.array_equal(second.truth, part)


def test_an_npz_file_is_a_case_with_or_without_spacing(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", imgs=GREY, gts=LABELS, spacing=SPACING)
    np.savez(tmp_path / "b.npz", imgs=GREY, gts=LABELS == 1)
    found = cases_of(tmp_path)
    assert [case.name for case in found] == ["a/label 1", "a/label 4", "b/label 1"]
    assert found[0].volume.spacing == pytest.approx(SPACING)
    assert found[2].volume.spacing == (1.0, 1.0, 1.0)
    assert np.array_equal(found[2].truth, LABELS == 1)
    assert [case.name for case in cases_of(tmp_path / "b.npz")] == ["b/label 1"]


def test_a_case_is_known_by_its_voxels_and_its_truth(tmp_path: Path) -> None:
    cases = [Case("a", VOLUME, LABELS == 1), Case("b", VOLUME, LABELS == 1), Case("a", VOLUME, LABELS == 4)]
    other = Case("a", Volume.from_array(GREY + 1, SPACING), LABELS == 1)
    assert cases[0].checksum == cases[1].checksum
    assert len({case.checksum for case in [*cases, other]}) == 3


def pair(image: np.ndarray = GREY, labels: np.ndarray = LABELS, **geometry: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        write(folder / "ct1.nrrd", image)
        write(folder / "ct1_label.nrrd", labels, **geometry)  # type: ignore[arg-type]

    return make


def twice(folder: Path) -> None:
    pair()(folder)
    write(folder / "ct1.nii.gz", GREY)


def broken(folder: Path) -> None:
    pair()(folder)
    (folder / "ct1_label.nrrd").write_bytes(b"NRRD0004\nnothing")


def badly_named(folder: Path) -> None:
    pair()(folder)
    (folder / "dataset.json").write_text('{"labels": ["liver"]}')


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "nothing": (lambda folder: None, "E_NO_CASES", "holds no images"),
    "no label map": (lambda folder: write(folder / "ct1.nrrd", GREY), "E_UNPAIRED", "ct1.nrrd"),
    "no image": (lambda folder: write(folder / "labels" / "ct1.nrrd", LABELS), "E_UNPAIRED", "labels/ct1.nrrd"),
    "two images of one name": (twice, "E_PAIR_TWICE", "ct1.nii.gz"),
    "another size": (pair(labels=LABELS[:3]), "E_MASK_GRID", "ct1_label.nrrd"),
    "another spacing": (pair(spacing=(1.0, 2.0, 3.0)), "E_MASK_GRID", "spacing"),
    "no label": (pair(labels=np.zeros_like(LABELS)), "E_LABELS_EMPTY", "ct1_label.nrrd"),
    "fractions": (pair(labels=LABELS * 0.5), "E_LABELS_FRACTIONS", "whole number"),
    "a broken file": (broken, "E_VOLUME_UNREADABLE", "ct1_label.nrrd"),
    "a broken dataset file": (badly_named, "E_DATASET_JSON", "dataset.json"),
    "npz without gts": (lambda folder: np.savez(folder / "a.npz", imgs=GREY), "E_NPZ_KEYS", "gts"),
    "npz without imgs": (lambda folder: np.savez(folder / "a.npz", gts=LABELS), "E_NPZ_KEYS", "imgs"),
    "npz of two sizes": (lambda folder: np.savez(folder / "a.npz", imgs=GREY, gts=LABELS[1:]), "E_MASK_GRID", "size"),
}


@pytest.mark.parametrize("what", BAD_FOLDERS)
def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path, what: str) -> None:
    make, code, words = BAD_FOLDERS[what]
    make(tmp_path)
    with pytest.raises(MedSAM2Error) as caught:
        cases_of(tmp_path)
    assert isinstance(caught.value, InputError)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", write(tmp_path / "ct1.nrrd", GREY)):
        with pytest.raises(InputError, match=path.name):
            FolderSource.of(path)


@pytest.fixture(scope="module")
def body() -> LabelVolume:
    return make_label_volume(HELD_OUT_BODY)


def test_slabs_average_whole_slices_and_parts_of_them() -> None:
    weights = slab_weights(7, 2.5)
    assert weights == pytest.approx(np.array([[2, 2, 1, 0, 0, 0, 0], [0, 0, 1, 2, 2, 0, 0]]) / 5)
    assert slab_weights(64, 5 / 3).shape == (38, 64)
    assert slab_weights(64, 5 / 3).sum(axis=1) == pytest.approx(np.ones(38))


def test_synthetic_objects_are_the_ones_of_the_seed_from_bodies_that_training_never_draws() -> None:
    source = SyntheticSource(2, thick=True, seed=3)
    first, second = list(source.cases()), list(source.cases())
    assert len(first) == source.count == 2
    for one, same in zip(first, second):
        assert one.name == same.name
        assert one.checksum == same.checksum
    assert first[0].checksum != first[1].checksum
    assert FIRST_SEED > HELD_OUT_FROM + 10_000  # the demonstration's phantoms lie between


def test_thick_slices_show_the_same_objects_with_partial_volume(body: LabelVolume) -> None:
    target = choose_objects(np.random.default_rng(0), body, 1)[0]
    thin, truth = render_volume(np.random.default_rng(5), body, target)
    thick, thick_truth = render_volume(np.random.default_rng(5), body, target, 5.0)
    assert thin.shape == truth.shape == (64, 128, 128)
    assert thick.shape == thick_truth.shape == (38, 128, 128)
    assert np.array_equal(truth, body.targets[target][body.labels])
    volumes = [np.count_nonzero(mask) * thickness for mask, thickness in ((truth, 3.0), (thick_truth, 5.0))]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.25)
    centres = [np.argwhere(mask).mean(axis=0) * (size, 1, 1) for mask, size in ((truth, 3.0), (thick_truth, 5.0))]
    assert centres[1] == pytest.approx(centres[0] + (3.0 / 2 - 5.0 / 2, 0, 0), abs=2.0)


def test_every_object_can_be_told_from_what_it_touches(body: LabelVolume) -> None:
    for target in choose_objects(np.random.default_rng(1), body, 4):
        look = draw_look(np.random.default_rng(2), body, target)
        inside = body.targets[target]
        present = np.bincount(body.labels.ravel(), minlength=len(body.tissues)) > 0
        gaps = np.abs(look.levels[inside & present][:, None] - look.levels[~inside & present][None])
        assert gaps.min() >= 0.99 * look.least_contrast
        voxels, truth = render_volume(np.random.default_rng(2), body, target)
        assert voxels.dtype == np.int16
        assert voxels[truth].std() < np.ptp(voxels) / 3


def test_ct_like_volumes_are_in_hounsfield_units_and_others_positive(body: LabelVolume) -> None:
    target = next(row for row in range(len(body.targets)) if target_tissue(body, row) == Tissue.ORGAN)
    kinds = set()
    for seed in range(8):
        look = draw_look(np.random.default_rng(seed), body, target)
        voxels, truth = render_volume(np.random.default_rng(seed), body, target)
        is_ct = look.width > 1.0
        kinds.add(is_ct)
        air = float(np.median(voxels[body.labels == 0]))
        assert (-1024 <= air < -900) if is_ct else (voxels.min() >= 0 and voxels.max() <= 1000)
        if is_ct:
            assert -160 - 60 < voxels[truth].mean() < 240 + 60
    assert kinds == {True, False}
