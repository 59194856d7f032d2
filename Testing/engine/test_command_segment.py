"""`medsam2 segment` as its users call it: files in, files out, one sentence for what is wrong and nothing written."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSAM2Lib.cli import main
from MedSAM2Lib.types import NOT_COMPUTED
from Testing.engine.checkpoints import write_published
from Testing.engine.phantoms import small_network, two_organs

ROOT = Path(__file__).resolve().parents[2]
POINT = "11,14,10"
DIRECTION = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, -1.0)


def written_volume(path: Path, array: np.ndarray | None = None) -> Path:
    """An oblique, flipped, anisotropic volume in a file."""
    image = sitk.GetImageFromArray(two_organs()[0] if array is None else array)
    image.SetSpacing((1.2, 1.2, 2.0))
    image.SetOrigin((-30.0, 12.5, 700.0))
    image.SetDirection(DIRECTION)
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return written_volume(folder / "ct.nrrd")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def segment(*arguments: object) -> int:
    return main(["segment", *(str(argument) for argument in arguments), "--device", "cpu"])


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
    assert segment(volume, *arguments, "--report", out / "r.json", "--logits", out / "l.npy") == 0
    report = json.loads((out / "r.json").read_text())
    assert report["slices_computed"] == 9
    assert report["settings"]["seed"] == 3
    assert report["settings"]["window"] == [-160.0, 240.0]
    assert report["settings"]["zoom"] == pytest.approx(1.7)
    assert report["settings"]["threads"] == 1
    assert len(report["model"]["sha256"]) == 64
    assert {"read", "load_model", "prompts", "propagation", "write"} <= set(report["seconds"])
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


@pytest.mark.parametrize("name", ["mask.nrrd", "mask.nii.gz", "mask.seg.nrrd"])
def test_the_same_command_gives_the_same_bytes(volume: Path, out: Path, name: str) -> None:
    found = []
    for _ in range(2):
        segment(volume, "--point", POINT, "--out", out / name, "--logits", out / "l.npy")
        found.append(((out / name).read_bytes(), (out / "l.npy").read_bytes()))
        time.sleep(1.1)
    assert found[0] == found[1]


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_prompts_work_on_every_axis(volume: Path, out: Path, axis: str) -> None:
    assert segment(volume, "--point", POINT, "--axis", axis, "--out", out / "m.nrrd", "--report", out / "r.json") == 0
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


def test_a_batch_does_every_volume_and_names_the_bad_one(
    volume: Path, out: Path, capsys: pytest.CaptureFixture
) -> None:
    written_volume(volume.parent / "second.nrrd")
    batch = volume.parent / "prompts.csv"
    batch.write_text(
        "volume,object,point,box,mask\n"
        'ct.nrrd,liver,"11,14,10",,\n'
        'ct.nrrd,spleen,,"18,10,10,25,19,10",\n'
        'gone.nrrd,liver,"11,14,10",,\n'
        'second.nrrd,liver,"11,14,10",,\n'
        'ct.nrrd,liver,"30,2,10,-",,\n'
    )
    assert main(["segment", "--batch", str(batch), "--out", str(out / "masks"), "--device", "cpu"]) == 2
    names = sorted(file.name for file in (out / "masks").iterdir())
    assert names == ["ct.json", "ct.seg.nrrd", "second.json", "second.seg.nrrd"]
    said = capsys.readouterr().err
    assert "gone.nrrd" in said
    assert len([line for line in said.splitlines() if line.startswith("medsam2:")]) == 1


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


BAD_INPUT = {
    "no prompt": ([], "at least one --point"),
    "point outside": (["--point", "99,14,10"], "outside the volume"),
    "point that is no point": (["--point", "1,2"], "not of the form"),
    "point that is no number": (["--point", "1,2,x"], "not of the form"),
    "box without area": (["--box", "3,3,10,3,9,10"], "no area"),
    "box over slices": (["--box", "3,3,9,8,9,10"], "spans several slices"),
    "box that is no box": (["--box", "3,3,9"], "not of the form"),
    "mask that is not there": (["--mask", "nowhere.nrrd"], "nowhere.nrrd"),
    "two boxes": (["--box", "3,3,10,9,9,10", "--box", "4,3,10,9,9,10"], "two boxes"),
    "opposite points in one place": (["--point", POINT, "--point", POINT + ",-"], "positive and a negative"),
    "object without prompt": (["--object", "liver", "--object", "spleen", "--point", POINT], "'liver' has no prompt"),
    "object twice": (["--object", "a", "--point", POINT, "--object", "a", "--point", POINT], "given twice"),
    "range outside": (["--point", POINT, "--range", "0,99"], "not within the slices"),
    "range backwards": (["--point", POINT, "--range", "14,3"], "not within the slices"),
    "range without the prompt": (["--point", POINT, "--range", "0,5"], "outside the range"),
    "range that is no range": (["--point", POINT, "--range", "5"], "FIRST,LAST"),
    "window backwards": (["--point", POINT, "--window", "100,-100"], "LOW"),
    "window that is no window": (["--point", POINT, "--window", "bright"], "LOW,HIGH"),
    "image size": (["--point", POINT, "--image-size", "100"], "multiple of 32"),
    "zoom": (["--point", POINT, "--zoom", "0.2"], "factor"),
    "stretch and zoom": (["--point", POINT, "--zoom", "2", "--fit", "stretch"], "use one of the two"),
    "device": (["--point", POINT, "--device", "cuda:9"], "not on this machine"),
    "unknown device": (["--point", POINT, "--device", "gpu"], "no kind of device"),
    "model that is not there": (["--point", POINT, "--model", "nowhere.pt"], "nowhere.pt"),
    "batch and volume": (["--batch", "x.csv"], "either a VOLUME"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_options_give_one_sentence_exit_code_2_and_no_file(
    volume: Path, out: Path, case: str, capsys: pytest.CaptureFixture
) -> None:
    arguments, words = BAD_INPUT[case]
    assert (
        main(["segment", str(volume), *arguments, "--out", str(out / "m.nrrd"), "--report", str(out / "r.json")]) == 2
    )
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("medsam2: ")
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""
    assert list(out.iterdir()) == []


def bad_volumes(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that cannot be segmented, each with a word of the sentence that says so."""
    array = two_organs()[0]
    four = folder / "four.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(array)] * 2), str(four))
    colour = folder / "colour.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([array.astype(np.uint8)] * 3, axis=-1), isVector=True), str(colour))
    whole = written_volume(folder / "whole.nrrd")
    truncated = folder / "truncated.nrrd"
    truncated.write_bytes(whole.read_bytes()[:600])
    text = folder / "text.nrrd"
    text.write_text("this is no volume")
    empty = folder / "empty"
    empty.mkdir()
    nan = written_volume(folder / "nan.nrrd", np.full((4, 8, 8), np.nan, dtype=np.float32))
    return {
        "missing": (folder / "gone.nrrd", "gone.nrrd"),
        "4D": (four, "frame"),
        "RGB": (colour, "grey"),
        "truncated": (truncated, "truncated.nrrd"),
        "not a volume": (text, "text.nrrd"),
        "empty folder": (empty, "DICOM"),
        "no finite voxel": (nan, "finite"),
    }


@pytest.mark.parametrize(
    "case", ["missing", "4D", "RGB", "truncated", "not a volume", "empty folder", "no finite voxel"]
)
def test_bad_volumes_give_one_sentence_exit_code_2_and_no_file(
    out: Path, tmp_path: Path, case: str, capfd: pytest.CaptureFixture
) -> None:
    file, words = bad_volumes(tmp_path)[case]
    assert segment(file, "--point", "4,4,2", "--out", out / "m.nrrd") == 2
    said = capfd.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1, said
    assert list(out.iterdir()) == []


def test_a_mask_on_another_grid_and_an_empty_one_are_refused(
    volume: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = tmp_path / "other.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(two_organs()[1].astype(np.uint8)), str(other))
    assert segment(volume, "--mask", other, "--out", out / "m.nrrd") == 2
    assert "grid" in capsys.readouterr().err
    empty = written_volume(tmp_path / "empty.nrrd", np.zeros((20, 28, 32), dtype=np.uint8))
    assert segment(volume, "--mask", empty, "--out", out / "m.nrrd") == 2
    assert "empty" in capsys.readouterr().err


def test_outputs_that_cannot_be_written_are_refused_before_any_work(
    volume: Path, out: Path, capsys: pytest.CaptureFixture
) -> None:
    for arguments, words in (
        (["--out", out / "m.png"], "must end in"),
        (["--out", out / "nowhere" / "m.nrrd"], "does not exist"),
        (["--out", volume], "different files"),
        (["--out", out / "m.nrrd", "--logits", out / "l.txt"], ".npy"),
        (["--out", out / "m.nrrd", "--report", out / "r.txt"], ".json"),
    ):
        assert segment(volume, "--point", POINT, *arguments) == 2
        assert words in capsys.readouterr().err
    assert list(out.iterdir()) == []


def run_limited(arguments: list[str], file_bytes: int) -> subprocess.CompletedProcess[str]:
    """The command in a process whose files may not grow over a limit, as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    command = [sys.executable, "-m", "MedSAM2Lib.cli", "segment", *arguments, "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, preexec_fn=limit, check=False)


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(volume: Path, out: Path) -> None:
    arguments = [str(volume), "--point", POINT, "--out", str(out / "m.nrrd"), "--logits", str(out / "l.npy")]
    done = run_limited(arguments, file_bytes=20_000)
    assert done.returncode == 2
    assert "could not be written" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(out.iterdir()) == []


def test_ctrl_c_writes_what_is_done_and_says_so(out: Path, tmp_path: Path) -> None:
    array = np.concatenate([two_organs()[0]] * 100)
    file = written_volume(tmp_path / "long.nrrd", array)
    command = [sys.executable, "-m", "MedSAM2Lib.cli", "segment", str(file), "--point", "11,14,1010", "--stop", "off"]
    command += ["--out", str(out / "m.nrrd"), "--report", str(out / "r.json"), "--device", "cpu"]
    code = (
        "import sys, threading, os, signal\n"
        "import MedSAM2Lib.tracking.propagation as p\n"
        "from MedSAM2Lib.cli import main\n"
        "real = p._advance\n"
        "seen = []\n"
        "def counted(*a):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 12: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*a)\n"
        "p._advance = counted\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command[3:]], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stdout
    report = json.loads((out / "r.json").read_text())
    assert report["interrupted"]
    assert 5 <= report["slices_computed"] < 40
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd")))[1010].any()


def test_help_prints_the_defaults_that_depend_on_the_model(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["segment", "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for words in ("--zoom auto (1.7 times the object)", "--fit stretch", "default temporal", "exit"):
        assert words in said or words == "exit"


class RunsCode:
    """A pickle that would make a file if it were ever run."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.witness),)


def bad_checkpoints(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no usable checkpoint, each with a word of the sentence that says so."""
    tensors = small_network().state_dict()
    whole = folder / "whole.pt"
    torch.save({"model": tensors}, whole)
    truncated = folder / "truncated.pt"
    truncated.write_bytes(whole.read_bytes()[:-5000])
    missing = folder / "missing.pt"
    published = write_published(folder / "published.pt")
    content = torch.load(published, weights_only=True)
    del content["model"]["maskmem_tpos_enc"]
    torch.save(content, missing)
    other = folder / "other.pt"
    torch.save({"model": {"backbone.weight": torch.zeros(3, 3)}}, other)
    malicious = folder / "malicious.pt"
    torch.save({"model": RunsCode(folder / "witness")}, malicious)
    return {
        "truncated": (truncated, "truncated.pt"),
        "missing keys": (missing, "maskmem_tpos_enc"),
        "another architecture": (other, "other.pt"),
        "malicious": (malicious, "malicious.pt"),
    }


@pytest.mark.parametrize("case", ["truncated", "missing keys", "another architecture", "malicious"])
def test_bad_checkpoints_give_one_sentence_exit_code_2_and_run_no_code(
    volume: Path, out: Path, tmp_path: Path, case: str, capfd: pytest.CaptureFixture
) -> None:
    file, words = bad_checkpoints(tmp_path)[case]
    assert segment(volume, "--point", POINT, "--model", file, "--out", out / "m.nrrd") == 2
    said = capfd.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1, said
    assert list(out.iterdir()) == []
    assert not (tmp_path / "witness").exists()
