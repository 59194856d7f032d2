"""What `medsam2 segment` refuses: one sentence that says what to do, exit code 2, no trace, nothing written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSAM2Lib.cli import main
from Testing.engine.checkpoints import write_published
from Testing.engine.command_line import POINT, ROOT, out, segment, volume, written_volume
from Testing.engine.phantoms import small_network, two_organs

__all__ = ["out", "volume"]

BAD_INPUT = {
    "no prompt": ([], "at least one --point"),
    "point outside": (["--point", "99,14,10"], "outside the volume"),
    "point before the first voxel": (["--point", "-3,14,10"], "outside the volume"),
    "point that is no point": (["--point", "1,2"], "not of the form"),
    "point that is no number": (["--point", "1,2,x"], "not of the form"),
    "box without area": (["--box", "3,3,10,3,9,10"], "no area"),
    "box over slices": (["--box", "3,3,9,8,9,10"], "spans several slices"),
    "box that is no box": (["--box", "3,3,9"], "not of the form"),
    "mask that is not there": (["--mask", "nowhere.nrrd"], "nowhere.nrrd"),
    "two boxes": (["--box", "3,3,10,9,9,10", "--box", "4,3,10,9,9,10"], "two boxes"),
    "opposite points in one place": (["--point", POINT, "--point", POINT + ",-"], "positive and a negative"),
    "only negative points": (["--object", "liver", "--point", POINT + ",-"], "'liver' has negative points only"),
    "one of two objects negative": (["--point", POINT, "--object", "b", "--point", "3,3,1,-"], "'b' has negative"),
    "object without prompt": (["--object", "liver", "--object", "spleen", "--point", POINT], "'liver' has no prompt"),
    "object without a name": (["--object", " ", "--point", POINT], "empty name"),
    "series of a file": (["--point", POINT, "--series", "1"], "leave --series out"),
    "object twice": (["--object", "a", "--point", POINT, "--object", "a", "--point", POINT], "given twice"),
    "seed too large": (["--point", POINT, "--seed", str(2**63)], "from 0 to 2^63 - 1"),
    "seed below zero": (["--point", POINT, "--seed", "-1"], "from 0 to 2^63 - 1"),
    "range outside": (["--point", POINT, "--range", "0,99"], "not within the slices"),
    "range backwards": (["--point", POINT, "--range", "14,3"], "not within the slices"),
    "range without the prompt": (["--point", POINT, "--range", "0,5"], "outside the range"),
    "range that is no range": (["--point", POINT, "--range", "5"], "FIRST,LAST"),
    "window backwards": (["--point", POINT, "--window", "100,-100"], "LOW"),
    "window that is no window": (["--point", POINT, "--window", "bright"], "LOW,HIGH"),
    "image size": (["--point", POINT, "--image-size", "100"], "multiple of 32"),
    "image size too large": (["--point", POINT, "--image-size", "4096"], "from 32 to 2048"),
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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *(
            (name, "no kind of device")
            for name in ("cpu:", "cuda:", "cuda:-1", "cuda:1.5", "cuda:0:0", ":0", "", " cpu")
        ),
        *((name, "no kind of device") for name in ("CPU", "meta", "auto:0", "cuda:\u00b2", "cuda 0", "-1")),
        *((name, "not on this machine") for name in ("cpu:1", "mps:7", f"cuda:{10**30}")),
    ],
)
def test_malformed_devices_give_one_sentence_exit_code_2_and_no_file(
    volume: Path, out: Path, name: str, words: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["segment", str(volume), "--point", POINT, "--device", name, "--out", str(out / "m.nrrd")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("medsam2: ")
    assert f"'{name}'" in said.err
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
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
        (["--out", volume], f"{volume} is a file that is read"),
        (["--out", out / "m.nrrd", "--report", volume.parent / "ct.nrrd"], ".json"),
        (["--out", volume / "m.nrrd"], f"{volume} is a file, not a folder"),
        (["--out", volume / "sub" / "m.nrrd"], f"{volume} is a file, not a folder"),
        (["--out", out / "m.nrrd", "--logits", out / "l.txt"], ".npy"),
        (["--out", out / "m.nrrd", "--report", out / "r.txt"], ".json"),
    ):
        assert segment(volume, "--point", POINT, *arguments) == 2
        assert words in capsys.readouterr().err
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [("--out", "m.nrrd"), ("--out", "ok.nrrd", "--report", "r.json"), ("--out", "ok.nrrd", "--logits", "l.npy")],
)
def test_an_output_that_names_a_folder_is_refused(
    volume: Path, out: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture
) -> None:
    folder = out / arguments[-1]
    folder.mkdir()
    given = [out / value if not value.startswith("--") else value for value in arguments]
    assert segment(volume, "--point", POINT, *given) == 2
    said = capsys.readouterr().err
    assert f"{folder} is a folder" in said
    assert len(said.strip().splitlines()) == 1
    assert list(out.iterdir()) == [folder]
    assert list(folder.iterdir()) == []


def test_a_volume_given_as_a_mask_and_a_label_map_of_several_objects_are_refused(
    volume: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert segment(volume, "--mask", volume, "--out", out / "m.nrrd") == 2
    assert "is no mask" in capsys.readouterr().err
    labels = two_organs()[1] * np.uint8(1)
    labels[9, 14, 21] = 7
    file = written_volume(tmp_path / "labels.nrrd", labels)
    assert segment(volume, "--mask", file, "--out", out / "m.nrrd") == 2
    assert f"(1, 7): say which one, for example --mask {file}:1" in capsys.readouterr().err
    assert segment(volume, "--mask", f"{file}:1", "--out", file) == 2
    assert "is a file that is read" in capsys.readouterr().err
    assert list(out.iterdir()) == []
    assert segment(volume, "--mask", f"{file}:7", "--out", out / "m.nrrd") == 0
    assert np.array_equal(np.argwhere(sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd")))[9]), [[14, 21]])


@pytest.mark.parametrize("way", ["the same path", "another spelling", "a link"])
def test_a_mask_prompt_is_never_written_over(volume: Path, out: Path, way: str, capsys: pytest.CaptureFixture) -> None:
    file = written_volume(out / "mask.nrrd", two_organs()[1].astype(np.uint8))
    target = {
        "the same path": file,
        "another spelling": out / ".." / out.name / file.name,
        "a link": out / "link.nrrd",
    }[way]
    if way == "a link":
        target.symlink_to(file)
    before = file.read_bytes()
    assert segment(volume, "--mask", file, "--out", target) == 2
    assert "is a file that is read" in capsys.readouterr().err
    assert file.read_bytes() == before


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
