"""`medsam2 segment` as its users call it: files in, files out, one sentence for what is wrong and nothing written."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAM2Lib.cli import main
from MedSAM2Lib.network.config import HieraConfig, NetworkConfig
from MedSAM2Lib.tracking import device
from MedSAM2Lib.types import NOT_COMPUTED
from MedSAM2Lib.weights.saving import save_network
from Testing.engine.command_line import POINT, out, segment, volume, written_volume
from Testing.engine.phantoms import small_network, two_organs

__all__ = ["out", "volume"]


@pytest.mark.parametrize("name", ["mask.nrrd", "mask.nii.gz", "mask.seg.nrrd"])
def test_one_click_gives_a_mask_on_the_inputs_grid(volume: Path, out: Path, name: str) -> None:
    assert segment(volume, "--point", POINT, "--out", out / name) == 0
    mask, source = sitk.ReadImage(str(out / name)), sitk.ReadImage(str(volume))
    assert mask.GetSize() == source.GetSize()
    np.testing.assert_allclose(mask.GetSpacing(), source.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(mask.GetOrigin(), source.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(mask.GetDirection(), source.GetDirection(), atol=1e-6)
    labels = sitk.GetArrayFromImage(mask)
    assert set(np.unique(labels)) == {0, 1}
    assert labels[10, 14, 11] == 1
    assert sorted(file.name for file in out.iterdir()) == [name]


def test_the_embedded_model_finds_the_organ_that_was_clicked(volume: Path, out: Path) -> None:
    from MedSAM2Lib.evaluation.metrics import dice

    segment(volume, "--point", POINT, "--out", out / "mask.nrrd")
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "mask.nrrd"))) > 0
    assert dice(mask, two_organs()[1]) > 0.75


def test_the_report_says_how_it_was_made_and_how_sure_the_model_is(volume: Path, out: Path) -> None:
    arguments = ("--point", POINT, "--range", "6,14", "--stop", "off", "--out", out / "m.nrrd", "--seed", 3)
    arguments += ("--orientations", "1", "--report", out / "r.json", "--logits", out / "l.npy")
    assert segment(volume, *arguments) == 0
    report = json.loads((out / "r.json").read_text())
    assert report["slices_computed"] == 9
    assert report["settings"]["seed"] == 3
    assert report["settings"]["window"] == [-160.0, 240.0]
    assert report["settings"]["zoom"] == pytest.approx(1.7)
    assert report["settings"]["threads"] == 1
    assert len(report["model"]["sha256"]) == 64
    assert {"read", "load_model", "prompts", "propagation", "write"} <= set(report["seconds"])
    top, left, bottom, right = report["objects"][0]["regions"]["k"]
    assert report["objects"][0]["region_order"].startswith("first row, first column, last row, last column")
    assert top < 14 < bottom and left < 11 < right
    slices = report["objects"][0]["slices"]
    assert [one["index"] for one in slices] == list(range(6, 15))
    assert [one["index"] for one in slices if one["prompted"]] == [10]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd")))
    assert report["objects"][0]["voxels"] == int((mask > 0).sum())


def test_logits_are_float32_on_the_voxels_and_minus_1024_where_nothing_was_computed(volume: Path, out: Path) -> None:
    segment(
        volume, "--point", POINT, "--range", "6,14", "--stop", "off", "--out", out / "m.nrrd", "--logits", out / "l.npy"
    )
    logits = np.load(out / "l.npy")
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd")))
    assert logits.dtype == np.float32
    assert logits.shape == mask.shape
    assert np.array_equal(logits > 0, mask > 0)
    assert (logits[:6] == NOT_COMPUTED).all()
    assert (logits[15:] == NOT_COMPUTED).all()


@pytest.mark.parametrize(
    "name",
    ["mask.seg.nrrd", *(pytest.param(name, marks=pytest.mark.long) for name in ("mask.nrrd", "mask.nii.gz"))],
)
def test_the_same_command_gives_the_same_bytes(volume: Path, out: Path, name: str) -> None:
    found = []
    for _ in range(2):
        segment(volume, "--point", POINT, "--out", out / name, "--logits", out / "l.npy")
        found.append(((out / name).read_bytes(), (out / "l.npy").read_bytes()))
        time.sleep(1.1)
    assert found[0] == found[1]


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_prompts_work_on_every_axis(volume: Path, out: Path, axis: str) -> None:
    arguments = ("--point", POINT, "--axis", axis, "--orientations", "1", "--report", out / "r.json")
    assert segment(volume, *arguments, "--out", out / "m.nrrd") == 0
    slices = json.loads((out / "r.json").read_text())["objects"][0]["slices"]
    assert {one["axis"] for one in slices} == {axis}
    assert [one["index"] for one in slices if one["prompted"]] == [{"k": 10, "j": 14, "i": 11}[axis]]


def test_several_objects_get_their_own_labels_and_logits(volume: Path, out: Path) -> None:
    arguments = ("--object", "liver", "--point", POINT, "--object", "spleen", "--box", "18,10,10,25,19,10")
    assert (
        segment(volume, *arguments, "--out", out / "m.nrrd", "--logits", out / "l.npy", "--report", out / "r.json") == 0
    )
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd")))
    assert labels[10, 14, 11] == 1
    assert labels[10, 14, 21] == 2
    assert np.load(out / "l.npy").shape == (2, *labels.shape)
    assert [one["name"] for one in json.loads((out / "r.json").read_text())["objects"]] == ["liver", "spleen"]


def test_a_mask_prompt_keeps_its_slice_voxel_for_voxel(volume: Path, out: Path, tmp_path: Path) -> None:
    truth = two_organs()[1]
    prompt = np.zeros(truth.shape, dtype=np.uint8)
    prompt[9] = truth[9]
    file = written_volume(tmp_path / "prompt.nrrd", prompt)
    assert segment(volume, "--mask", file, "--out", out / "m.nrrd") == 0
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd")))
    assert np.array_equal(labels[9] > 0, truth[9])
    assert labels[8].any()


def test_a_drawn_line_too_thin_for_the_network_is_an_object_in_the_report(
    volume: Path, out: Path, tmp_path: Path
) -> None:
    prompt = np.zeros(two_organs()[1].shape, dtype=np.uint8)
    prompt[9, 12, 6:14] = 1
    file = written_volume(tmp_path / "prompt.nrrd", prompt)
    options = ("--orientations", 1, "--range", "9,9", "--report", out / "r.json")
    assert segment(volume, "--mask", file, *options, "--out", out / "m.nrrd") == 0
    (one,) = json.loads((out / "r.json").read_text())["objects"][0]["slices"]
    assert one["prompted"] and one["object"]
    assert int((sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd"))) > 0).sum()) == 8


def test_a_mask_prompt_keeps_its_voxels_against_another_object_that_would_win(
    volume: Path, out: Path, tmp_path: Path
) -> None:
    truth = two_organs()[1][9]
    prompt = np.zeros((20, *truth.shape), dtype=np.uint8)
    prompt[9] = truth
    file = written_volume(tmp_path / "prompt.nrrd", prompt)
    arguments = ("--object", "clicked", "--point", "11,14,9", "--object", "drawn", "--mask", file)
    arguments += ("--orientations", "1", "--logits", out / "l.npy")
    assert segment(volume, *arguments, "--out", out / "m.nrrd") == 0
    clicked, drawn = np.load(out / "l.npy")
    assert np.count_nonzero(clicked[9][truth] > drawn[9][truth]) > 20, "the other object must win by its logits"
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd")))
    assert np.array_equal(labels[9] == 2, truth)


@pytest.mark.parametrize("written", [["--window", "-160,240"], ["--window=-160,240"], ["--window", "-90,310"]])
def test_a_window_that_begins_below_zero_is_shown_to_the_model(volume: Path, out: Path, written: list[str]) -> None:
    # Only numbers, to tell a window that was given from one that was taken from the voxels.
    array = np.random.default_rng(0).integers(0, 1000, (3, 28, 32), dtype=np.int16)
    file = written_volume(volume.parent / "mr.nrrd", array)
    assert segment(file, "--point", "11,14,1", *written, "--out", out / "m.nrrd", "--report", out / "r.json") == 0
    expected = [float(number) for number in "=".join(written).split("=")[1].split(",")]
    assert json.loads((out / "r.json").read_text())["settings"]["window"] == expected


def test_a_negative_point_keeps_the_mask_off_another_organ(volume: Path, out: Path) -> None:
    labels = {}
    for sign in ("+", "-"):
        arguments = ("--point", POINT, "--point", f"21,14,10,{sign}", "--range", "10,10")
        assert segment(volume, *arguments, "--out", out / "m.nrrd", "--report", out / "r.json") == 0
        labels[sign] = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd")))[10]
        prompts = json.loads((out / "r.json").read_text())["objects"][0]["prompts"]
        assert [prompt["point"] for prompt in prompts] == [[11, 14, 10], [21, 14, 10]]
        assert [prompt["positive"] for prompt in prompts] == [True, sign == "+"]
    assert labels["+"][14, 21] == 1
    assert labels["-"][14, 21] == 0
    assert labels["-"][14, 11] == 1


def test_the_largest_seed_is_taken(volume: Path, out: Path) -> None:
    arguments = ("--point", POINT, "--range", "10,10", "--out", out / "m.nrrd", "--report", out / "r.json")
    assert segment(volume, *arguments, "--seed", 2**63 - 1) == 0
    assert json.loads((out / "r.json").read_text())["settings"]["seed"] == 2**63 - 1


WIDE = NetworkConfig(
    image_size=64,
    image_encoder=HieraConfig(embed_dim=16, stages=(1, 1, 2, 1), global_blocks=(3,)),
    memory_attention_layers=1,
)
"""As wide as the published networks, and otherwise small: wide enough for bf16 to pay on some CPUs."""


@pytest.mark.parametrize(
    ("speedup", "model", "precision", "used"),
    [
        (10.0, "embedded", "auto", "float32"),
        (10.0, "wide", "auto", "bfloat16"),
        (1.1, "wide", "auto", "float32"),
        (0.1, "embedded", "bf16", "bfloat16"),
        (10.0, "wide", "fp32", "float32"),
    ],
)
def test_automatic_precision_follows_the_measurement_but_small_networks_stay_in_fp32_on_a_cpu(
    volume: Path, out: Path, monkeypatch: pytest.MonkeyPatch, speedup: float, model: str, precision: str, used: str
) -> None:
    monkeypatch.setattr(device, "_bf16_speedup", lambda _: speedup)
    if model == "wide":
        save_network(small_network(WIDE), volume.parent / "wide.safetensors")
        model = str(volume.parent / "wide.safetensors")
    arguments = ("--point", POINT, "--range", "10,10", "--model", model, "--precision", precision)
    assert segment(volume, *arguments, "--out", out / "m.nrrd", "--report", out / "r.json") == 0
    assert json.loads((out / "r.json").read_text())["settings"]["precision"] == used


def test_a_one_slice_volume_works(out: Path, tmp_path: Path) -> None:
    file = written_volume(tmp_path / "one.nrrd", two_organs()[0][10:11])
    assert segment(file, "--point", "11,14,0", "--out", out / "m.nrrd") == 0
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd"))).any()


def test_voxels_that_are_not_numbers_are_handled_and_said(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    array = two_organs()[0].astype(np.float32)
    array[0, 0, 0] = np.nan
    file = written_volume(tmp_path / "nan.nrrd", array)
    assert segment(file, "--point", POINT, "--out", out / "m.nrrd", "--report", out / "r.json") == 0
    assert "1 voxel" in capsys.readouterr().err
    assert json.loads((out / "r.json").read_text())["notices"]


def test_help_prints_the_defaults_that_depend_on_the_model(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["segment", "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for words in ("--zoom auto (1.7 times the object)", "--fit stretch", "default self-sorting", "(default 3)", "exit"):
        assert words in said or words == "exit"
