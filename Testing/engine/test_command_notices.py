"""What `medsam2 segment` says of results that deserve no trust: on the terminal, and in the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAM2Lib.weights.saving import save_network
from Testing.engine.command_line import POINT, out, segment, volume, written_volume
from Testing.engine.phantoms import SMALL_CONFIG, small_network, two_organs

__all__ = ["out", "volume"]

BOX = "4,6,10,18,22,10"


def notes(capsys: pytest.CaptureFixture, out: Path) -> list[str]:
    """The notes on standard error, which the report holds too."""
    said = [line.removeprefix("note: ") for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert json.loads((out / "r.json").read_text())["notices"] == said
    return said


def run(file: Path, out: Path, *arguments: object) -> int:
    return segment(file, *arguments, "--out", out / "m.nrrd", "--report", out / "r.json")


def test_a_result_without_doubt_has_no_notes(volume: Path, out: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(volume, out, "--point", POINT, "--window", "-160,240") == 0
    assert notes(capsys, out) == []


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
def test_voxels_that_are_no_numbers_are_counted_in_every_format(
    tmp_path: Path, out: Path, suffix: str, capsys: pytest.CaptureFixture
) -> None:
    array = two_organs()[0].astype(np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    assert run(written_volume(tmp_path / f"nan{suffix}", array), out, "--point", POINT) == 0
    (said,) = notes(capsys, out)
    assert "3 voxels are not finite numbers" in said
    assert "lowest finite value" in said


def test_a_window_beside_all_values_is_said(volume: Path, out: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(volume, out, "--point", POINT, "--window", "5000,6000") == 0
    (said,) = (one for one in notes(capsys, out) if "window" in one)
    low, high = two_organs()[0].min(), two_organs()[0].max()
    assert f"5000,6000 holds none of the volume's values ({low} to {high})" in said


@pytest.mark.parametrize(
    ("prompt", "advice"), [(("--point", POINT), "try a box, or more points"), (("--box", BOX), "try points in the box")]
)
def test_doubt_on_the_prompted_slice_is_said_with_what_to_try(
    volume: Path, out: Path, prompt: tuple[str, str], advice: str, capsys: pytest.CaptureFixture
) -> None:
    for threshold, unsure in ((1.0, True), (0.0, False)):
        model = volume.parent / f"small{threshold}.safetensors"
        config = replace(SMALL_CONFIG, stop_predicted_iou=threshold)
        save_network(small_network(config), model)
        assert run(volume, out, "--object", "liver", *prompt, "--range", "9,11", "--model", model) == 0
        slices = json.loads((out / "r.json").read_text())["objects"][0]["slices"]
        (found,) = (one["predicted_iou"] for one in slices if one["prompted"])
        doubts = [one for one in notes(capsys, out) if "unsure" in one]
        expected = f"unsure of 'liver' on the prompted slice 10 (predicted IoU {found:.2f}): {advice}."
        assert [one.removeprefix("The model is ") for one in doubts] == ([expected] if unsure else [])


def test_overlaps_are_counted_in_voxels_and_an_object_that_lost_all_of_its_own_is_named(
    volume: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    everything = written_volume(tmp_path / "all.nrrd", np.ones((20, 28, 32), dtype=np.uint8))
    arguments = ("--object", "clicked", "--point", POINT, "--object", "drawn", "--mask", everything)
    assert run(volume, out, *arguments, "--memory", "temporal", "--logits", out / "l.npy") == 0
    lost, overlap = sorted(notes(capsys, out), key=lambda one: "overlap" in one)
    clicked = np.count_nonzero(np.load(out / "l.npy")[0] > 0)
    assert clicked > 300
    assert lost.startswith("The mask of 'clicked' is empty")
    assert f"'clicked' and 'drawn' overlap in {clicked} voxels" in overlap
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd"))) == 2).all()


@pytest.mark.parametrize("hole", [None, np.nan])
def test_a_volume_of_one_value_is_refused(
    tmp_path: Path, out: Path, hole: float | None, capsys: pytest.CaptureFixture
) -> None:
    array = np.full((4, 28, 32), -1000, dtype=np.int16 if hole is None else np.float32)
    if hole is not None:
        array[0, 0, 0] = hole
    file = written_volume(tmp_path / "flat.nrrd", array)
    assert run(file, out, "--point", "11,14,2") == 2
    said = capsys.readouterr().err
    assert "Every voxel of flat.nrrd has the value -1000" in said
    assert len(said.strip().splitlines()) == 1
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(("prompt", "index"), [("--point=11,14,10.4", 10), ("--box=7.5,8,9.6,15,20,9.6", 10)])
def test_a_prompt_between_two_slices_is_on_the_nearest_one_and_the_report_says_so(
    volume: Path, out: Path, prompt: str, index: int, capsys: pytest.CaptureFixture
) -> None:
    assert run(volume, out, "--object", "liver", prompt) == 0
    (said,) = notes(capsys, out)
    assert f"'liver' at k = {prompt.split(',')[2]} was put on slice {index}" in said
    (made,) = json.loads((out / "r.json").read_text())["objects"][0]["prompts"]
    assert made["slice"] == index


def test_files_that_are_replaced_are_named(volume: Path, out: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(volume, out, "--point", POINT) == 0
    assert "(replaced" not in capsys.readouterr().out
    assert segment(volume, "--point", POINT, "--out", out / "m.nrrd") == 0
    assert capsys.readouterr().out.rstrip().endswith(f"mask in {out / 'm.nrrd'} (replaced: m.nrrd)")
    assert run(volume, out, "--point", POINT) == 0
    assert "(replaced: m.nrrd, r.json)" in capsys.readouterr().out
