"""`medsam2 segment` along several axes and with each memory: masks, logits, reports, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.memory.options import SelfSortingOptions
from Testing.engine.command_line import POINT, out, segment, volume
from Testing.engine.phantoms import two_organs

__all__ = ["out", "volume"]


def mask_of(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def report_of(volume: Path, out: Path, *arguments: object) -> dict[str, Any]:
    done = segment(
        volume, "--point", POINT, "--out", out / "m.nrrd", "--report", out / "r.json", "--logits", out / "l.npy",
        *arguments,
    )  # fmt: skip
    assert done == 0
    return json.loads((out / "r.json").read_text())


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_three_orientations_find_the_organ_and_the_report_names_every_axis(volume: Path, out: Path, axis: str) -> None:
    report = report_of(volume, out, "--orientations", "3", "--axis", axis)
    organ = report["objects"][0]
    assert report["settings"]["orientations"] == "3"
    assert {one["axis"] for one in organ["slices"]} == {"k", "j", "i"}
    assert set(organ["regions"]) == {"k", "j", "i"}
    assert [(one["axis"], one["prompted"]) for one in organ["slices"] if one["prompted"]] == [(axis, True)]
    mask = mask_of(out / "m.nrrd") > 0
    assert dice(mask, two_organs()[1]) > 0.75
    assert organ["voxels"] == np.count_nonzero(mask)
    logits = np.load(out / "l.npy")
    assert logits.dtype == np.float32
    assert np.array_equal(logits > 0, mask)


def test_auto_leaves_out_an_axis_on_whose_slices_pixels_are_too_long(out: Path, tmp_path: Path) -> None:
    values, _ = two_organs()
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing((1.0, 1.0, 3.5))
    sitk.WriteImage(image, str(tmp_path / "thick.nrrd"))
    report = report_of(tmp_path / "thick.nrrd", out, "--orientations", "auto")
    assert {one["axis"] for one in report["objects"][0]["slices"]} == {"k"}


def test_the_report_says_how_the_bank_chose_and_what_each_slice_was_shown(volume: Path, out: Path) -> None:
    report = report_of(volume, out, "--orientations", "1", "--capacity", 5, "--rule", "code", "--stop", "off")
    assert report["settings"]["bank"]["capacity"] == 5
    assert report["settings"]["bank"]["rule"] == "code"
    assert report["settings"]["bank"]["margin"] == SelfSortingOptions().margin
    tracked = [one for one in report["objects"][0]["slices"] if not one["prompted"]]
    assert all(10 in one["shown"] for one in tracked)
    assert max(len(one["shown"]) for one in tracked) > 1
    (bank,) = report["objects"][0]["banks"]
    assert bank["capacity"] == 5
    held = {one["slice"] for one in bank["holds"]}
    assert 10 in held
    for direction in (1, -1):
        assert sum(one["direction"] in (0, direction) for one in bank["holds"]) <= 5
    pushed_out = {event["pushed_out"] for event in bank["events"] if event["pushed_out"] is not None}
    assert not held & pushed_out
    assert {event["reason"] for event in bank["events"]} >= {"prompted", "room"}


def test_the_key_slice_alone_is_shown_where_that_is_the_memory(volume: Path, out: Path) -> None:
    report = report_of(volume, out, "--memory", "key-slice", "--orientations", "1")
    assert report["settings"]["bank"] is None
    assert {tuple(one["shown"]) for one in report["objects"][0]["slices"] if not one["prompted"]} == {(10,)}


def test_three_orientations_and_the_self_sorting_memory_are_the_default(volume: Path, out: Path) -> None:
    report = report_of(volume, out)
    assert report["settings"]["orientations"] == "3"
    assert report["settings"]["memory"] == "self-sorting"
    assert {one["axis"] for one in report["objects"][0]["slices"]} == {"k", "j", "i"}


def test_a_drawn_mask_keeps_its_voxels_among_fused_objects(volume: Path, out: Path, tmp_path: Path) -> None:
    drawn = np.zeros_like(two_organs()[1], dtype=np.uint8)
    drawn[10, 12:17, 9:14] = 1
    image = sitk.GetImageFromArray(drawn)
    image.CopyInformation(sitk.ReadImage(str(volume)))
    sitk.WriteImage(image, str(tmp_path / "drawn.nrrd"))
    arguments = ("--object", "organ", "--point", POINT, "--object", "part", "--mask", tmp_path / "drawn.nrrd")
    assert segment(volume, *arguments, "--orientations", "3", "--out", out / "m.nrrd") == 0
    assert np.array_equal(mask_of(out / "m.nrrd")[10] == 2, drawn[10] == 1)


def test_what_needs_doing_most_is_suggested(volume: Path, out: Path) -> None:
    suggestion = report_of(volume, out, "--orientations", "3")["objects"][0]["suggested_prompt"]
    size = mask_of(out / "m.nrrd").shape[::-1]
    assert suggestion is None or all(0 <= place < count for place, count in zip(suggestion["point"], size))
    assert suggestion is None or suggestion["slice"] != 10


def test_a_bank_too_small_for_the_prompted_slices_grows_and_it_is_said(
    volume: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--point", "11,14,8", "--point", "11,14,12", "--orientations", "1", "--capacity", 2)
    report = report_of(volume, out, *arguments)
    assert "is to hold 2 slices and 3 are prompted" in capsys.readouterr().err
    (bank,) = report["objects"][0]["banks"]
    assert sorted(one["slice"] for one in bank["holds"]) == [8, 10, 12]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--memory", "key-slice", "--capacity", 8), "--capacity belongs to --memory self-sorting"),
        (("--neighbour", "off", "--memory", "temporal"), "--neighbour belongs to --memory self-sorting"),
        (("--memory", "self-sorting", "--capacity", 0), "--capacity 0 is out of range"),
        (("--memory", "self-sorting", "--least-iou", 1.5), "--least-iou 1.5 is out of range"),
        (("--memory", "self-sorting", "--margin", -1), "--margin -1 is out of range"),
    ],
)
def test_bank_options_that_cannot_be_are_refused(
    volume: Path, out: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...], sentence: str
) -> None:
    assert segment(volume, "--point", POINT, "--out", out / "m.nrrd", *arguments) == 2
    assert sentence in capsys.readouterr().err
    assert list(out.iterdir()) == []
