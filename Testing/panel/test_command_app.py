"""`medsam2 app`: a whole run with the embedded model, and refusals before any window opens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAM2Lib.cli import main
from MedSAM2Lib.commands import app_job
from Testing.engine.command_line import ROOT, written_volume
from Testing.engine.phantoms import two_organs

LEAST_DICE = 0.75


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An oblique, flipped volume: an ellipsoid of 120 HU and one of 60 HU in fat of -90 HU, noise of 5 HU."""
    return written_volume(tmp_path / "ct.nrrd")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What is said of a command that ends with 2, in one line."""
    assert main(["app", *map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("medsam2: ") and "\n" not in said
    return said


def files_in(archive: Path, folder: Path) -> dict[str, Path]:
    """The files of a scene by their endings."""
    with zipfile.ZipFile(archive) as scene:
        scene.extractall(folder)
    endings = (".seg.nrrd", ".mrk.json", ".txt", ".mrml")
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = {ending: path for path in files for ending in endings if path.name.endswith(ending)}
    return {**found, "volume": next(path for path in files if path.name == "ct.nrrd")}


def on_grid_of(given: sitk.Image, image: sitk.Image) -> sitk.Image:
    """The image's voxels at the places of the given one's: Slicer mirrors left-handed files when it reads them."""
    return sitk.Resample(image, given, sitk.Transform(), sitk.sitkNearestNeighbor)


def test_one_box_gives_the_organ_in_a_scene_with_its_prompt_and_how_it_came_about(volume: Path, tmp_path: Path) -> None:
    saved, picture = tmp_path / "organ.mrb", tmp_path / "organ.png"
    options = ["--segment", "organ", "--box", "6,8,12,15,20,12", "--propagate", "--orientations", "1", "--quit"]
    done = subprocess.run(
        [sys.executable, "-m", "MedSAM2Lib.cli", "app", volume, *options, "--save", saved, "--screenshot", picture],
        cwd=ROOT,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "organ: " in done.stdout and f"saved: {saved}" in done.stdout
    files = files_in(saved, tmp_path / "scene")
    kept = sitk.ReadImage(str(files["volume"]))
    given = sitk.ReadImage(str(volume))
    assert np.array_equal(sitk.GetArrayFromImage(on_grid_of(given, kept)), sitk.GetArrayFromImage(given))
    segmentation = sitk.ReadImage(str(files[".seg.nrrd"]))
    assert segmentation.GetMetaData("Segment0_Name") == "organ"
    mask, truth = sitk.GetArrayFromImage(on_grid_of(given, segmentation)) > 0, two_organs()[1]
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= LEAST_DICE
    assert json.loads(files[".mrk.json"].read_text())["markups"][0]["type"] == "ROI"
    assert "embedded" in files[".txt"].read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be without a display")
def test_without_a_display_it_says_so_and_how_to_go_on(
    volume: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    said = refused(capsys, volume)
    assert "There is no display" in said and "QT_QPA_PLATFORM=offscreen" in said and "xvfb-run" in said


def test_without_the_packages_it_says_which_command_installs_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app_job, "find_spec", lambda name: None)
    said = refused(capsys)
    assert "-m pip install 'slicer-core>=5.12' 'PySide6-Essentials" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--propagate"], "Nothing to propagate"),
        (["--point", "1,2"], "is not of the form i,j,k"),
        (["--point", "1,2,3,-"], "negative points only"),
        (["--point", "1,2,3", "--range", "5"], "--range '5' is not of the form"),
        (["--save", "out.nrrd"], "--save out.nrrd must end in .mrb"),
        (["--screenshot", "out.jpg"], "--screenshot out.jpg must end in .png"),
        (["--save", "no/such/folder/out.mrb"], "make"),
        (["--window", "nice"], "The window 'nice' is neither LOW,HIGH"),
        (["--size", "big"], "--size 'big' is not of the form 1400x900"),
    ],
)
def test_options_that_cannot_be_followed_are_refused_before_a_window_opens(
    volume: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refused(capsys, volume, *arguments)


def test_a_volume_that_is_missing_or_would_be_written_over_is_refused(
    volume: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "does not exist" in refused(capsys, tmp_path / "none.nrrd")
    assert "give a VOLUME" in refused(capsys, "--point", "1,2,3")
    scene = tmp_path / "scene.mrb"
    scene.write_bytes(b"")
    assert "would be lost" in refused(capsys, scene, "--save", scene)


def test_a_panel_that_ends_by_itself_is_told_apart_from_bad_input(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [sys.executable, "-c", "raise SystemExit(1)"]
    monkeypatch.setattr(app_job, "command_for", lambda options, job: failing)
    assert main(["app", str(volume)]) == 3
