"""A user's own volumes and masks become cases and clips: what is read, what is refused, and that masks fit images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.training.case_clips import CaseMaker
from MedSAM2Lib.training.cases import CaseObject, TrainingCase, find_cases, fingerprint, read_cases, split_cases
from MedSAM2Lib.training.clips import ClipPlan
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.training_cases import SPACING, written_case, written_cases, written_image
from Testing.engine.training_ground import TINY

ZOOMED = NetworkConfig.from_dict({**TINY.to_dict(), "zoom": 1.7, "fit": "letterbox"})


def ball_case(name: str = "ball", bright: float = 200.0) -> TrainingCase:
    """A bright ball in voxels of 1 x 1 x 3 mm: where the image is bright, the object is."""
    k, j, i = np.meshgrid(np.arange(20) * 3.0, np.arange(50.0), np.arange(60.0), indexing="ij")
    mask = (k - 30) ** 2 + (j - 24) ** 2 + (i - 31) ** 2 < 14**2
    volume = Volume.from_array(np.where(mask, bright, -100.0).astype(np.int16), (1.0, 1.0, 3.0))
    return TrainingCase(name, volume, Window(-160, 240), (CaseObject.of("ball", mask),))


def test_a_case_has_its_objects_and_the_window_that_its_provenance_tells(tmp_path: Path) -> None:
    written_case(tmp_path / "told", window=(-50.0, 150.0))
    written_case(tmp_path / "untold", window=None)
    (tmp_path / "untold" / "provenance.json").write_text(json.dumps({"modality": "CT"}))
    (tmp_path / "notes").mkdir()
    told, untold = read_cases(tmp_path, find_cases(tmp_path))
    assert (told.name, untold.name) == ("told", "untold")
    assert told.window == Window(-50, 150)
    assert untold.window == Window(-160, 240)
    assert [each.name for each in told.objects] == ["organ", "cube"]
    assert told.volume.spacing == pytest.approx(SPACING)
    cube = told.objects[1]
    assert cube.areas("k").tolist() == [0] * 3 + [49] * 5 + [0] * 12
    assert cube.section("i", 21).sum() == 5 * 7 and not cube.section("j", 0).any()


def test_each_case_that_cannot_be_trained_on_is_named_in_one_sentence(tmp_path: Path) -> None:
    written_cases(tmp_path, 2)
    (tmp_path / "alone").mkdir()
    written_image(tmp_path / "alone" / "image.nrrd", np.zeros((4, 5, 6), np.int16))
    (tmp_path / "headless").mkdir()
    (tmp_path / "headless" / "mask.seg.nrrd").write_bytes((tmp_path / "case-0" / "mask.seg.nrrd").read_bytes())
    with pytest.raises(InputError) as unpaired:
        find_cases(tmp_path)
    assert "alone has no mask.seg.nrrd" in str(unpaired.value) and "headless has no image.nrrd" in str(unpaired.value)
    (tmp_path / "alone" / "image.nrrd").rename(tmp_path / "alone" / "Image.nrrd")
    with pytest.raises(InputError, match=r"alone has neither image\.nrrd nor mask\.seg\.nrrd, but other volumes"):
        find_cases(tmp_path)
    for name in ("alone", "headless"):
        for file in (tmp_path / name).iterdir():
            file.unlink()
        (tmp_path / name).rmdir()
    written_image(written_case(tmp_path / "other-size") / "image.nrrd", np.zeros((4, 5, 6), np.int16))
    written_image(written_case(tmp_path / "empty") / "mask.seg.nrrd", np.zeros((20, 28, 32), np.uint8))
    written_case(tmp_path / "window")
    (tmp_path / "window" / "provenance.json").write_text('{"window": [3]}')
    (written_case(tmp_path / "broken") / "image.nrrd").write_bytes(b"NRRD")
    written_image(written_case(tmp_path / "black") / "image.nrrd", np.zeros((20, 28, 32), np.int16))
    written_image(written_case(tmp_path / "no-numbers") / "image.nrrd", np.full((20, 28, 32), np.nan, np.float32))
    with pytest.raises(InputError) as refused:
        read_cases(tmp_path, find_cases(tmp_path))
    said = str(refused.value)
    assert refused.value.code == "E_CASES" and "6 cases" in said and "\n" not in said
    assert all(f"{name}: " in said for name in ("other-size", "empty", "window", "broken", "black", "no-numbers"))
    assert "case-0" not in said


def test_cases_are_split_by_the_seed_and_a_single_case_is_trained_on() -> None:
    cases = [ball_case(str(number)) for number in range(10)]
    trained, held_out = split_cases(cases, 0.2, seed=3)
    assert (len(trained), len(held_out)) == (8, 2)
    assert {case.name for case in trained} | {case.name for case in held_out} == {case.name for case in cases}
    assert split_cases(cases, 0.2, seed=3) == (trained, held_out)
    assert [len(part) for part in split_cases(cases[:2], 0.01, 0)] == [1, 1]
    assert [len(part) for part in split_cases(cases[:1], 0.5, 0)] == [1, 0]
    assert [len(part) for part in split_cases(cases, 0.0, 0)] == [10, 0]


def test_the_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    files = find_cases(written_cases(tmp_path, 2))
    before = fingerprint(files)
    assert fingerprint(files) == before
    written_image(tmp_path / "case-0" / "image.nrrd", np.zeros((3, 3, 3), np.int16))
    assert fingerprint(files) != before


@pytest.mark.parametrize("network", [TINY, ZOOMED], ids=["whole slices", "zoomed"])
@pytest.mark.parametrize(
    "plan",
    [
        ClipPlan(6, 1, 2),
        ClipPlan(4, 5, 2, leave_share=1.0),
        ClipPlan(4, 4, 1, scattered=True),
        ClipPlan(4, 4, 1, unordered=True),
        ClipPlan(4, 1, 1, click_share=1.0),
    ],
    ids=["single", "clip", "scattered", "set", "click"],
)
def test_masks_lie_where_the_object_is_seen_and_prompts_lie_on_them(network: NetworkConfig, plan: ClipPlan) -> None:
    maker = CaseMaker([ball_case(), ball_case("second")], network, seed=4, varied=False)
    batch = maker.make(plan, 7)
    size = network.image_size
    assert batch.images.shape == (plan.clips, plan.frames, 1, size, size)
    assert batch.masks.shape == (plan.clips, plan.objects, plan.frames, size, size)
    bright = batch.images[:, :, 0] > 0.5
    for object_masks in batch.masks.unbind(1):
        assert (bright != (object_masks > 0.5)).float().mean() < 0.02
    first = batch.masks[:, :, 0]
    assert (first.flatten(2).sum(dim=2) > 0).all()
    for clip in range(plan.clips):
        for point, label in zip(batch.points[clip, 0], batch.labels[clip, 0]):
            if label == 1:
                assert first[clip, 0, int(point[1]), int(point[0])] == 1
    repeated = maker.make(plan, 7)
    assert all(torch.equal(*pair) for pair in zip(batch, repeated))
    assert not torch.equal(batch.images, maker.make(plan, 8).images)


def test_a_clip_that_leaves_the_object_ends_without_it_and_every_axis_is_looked_along() -> None:
    maker = CaseMaker([ball_case()], ZOOMED, seed=1, varied=False)
    batch = maker.make(ClipPlan(16, 6, 1, leave_share=1.0), 0)
    there = batch.masks[:, 0].flatten(2).amax(dim=2)
    assert (there[:, 0] == 1).all() and (there[:, -1] == 0).float().mean() > 0.4
    steps = {float(offsets[1]) for offsets in batch.offsets}
    assert min(steps) < 0 < max(steps)


def test_looks_are_varied_in_training_only() -> None:
    plan = ClipPlan(8, 1, 1)
    varied = CaseMaker([ball_case()], TINY, seed=1).make(plan, 0)
    plain = CaseMaker([ball_case()], TINY, seed=1, varied=False).make(plan, 0)
    assert len({round(float(image.max()), 3) for image in varied.images}) > 1
    assert len({round(float(image.max()), 2) for image in plain.images}) == 1


def test_an_object_of_one_voxel_is_shown_large_enough_to_be_prompted() -> None:
    mask = np.zeros((8, 400, 400), dtype=bool)
    mask[4, 200, 200] = True
    volume = Volume.from_array(np.zeros(mask.shape, np.int16))
    case = TrainingCase("speck", volume, Window(0, 1), (CaseObject.of("speck", mask),))
    batch = CaseMaker([case], TINY, seed=0).make(ClipPlan(6), 0)
    assert (batch.masks.flatten(1).sum(dim=1) >= 1).all()
