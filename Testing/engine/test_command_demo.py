"""`medsam2 demo`: one click on a phantom, again in the same folder, and never over somebody's own files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from MedSAM2Lib.cli import main
from Testing.engine.command_line import POINT, volume

__all__ = ["volume"]

WRITTEN = ["mask.seg.nrrd", "montage.png", "report.json"]


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demonstration") / "demo"
    assert main(["demo", "--folder", str(folder)]) == 0
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_phantoms_organ_is_found(demonstrated: Path) -> None:
    assert sorted(path.name for path in demonstrated.iterdir()) == sorted([*WRITTEN, "phantom_ct"])
    assert json.loads((demonstrated / "report.json").read_text())["dice_against_phantom"] > 0.8
    assert Image.open(demonstrated / "montage.png").size[0] == 4 * 256


def test_slices_of_an_earlier_demonstration_are_replaced(demonstrated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(demonstrated, folder)
    slices = files_in(folder / "phantom_ct")
    shutil.copy(folder / "phantom_ct" / "slice_0001.dcm", folder / "phantom_ct" / "slice_0999.dcm")
    assert main(["demo", "--folder", str(folder)]) == 0
    assert files_in(folder / "phantom_ct") == slices


@pytest.mark.parametrize("name", ["notes.txt", "slice_0001.dcm", "sub/slice_0001.dcm", "IM0001"])
def test_files_that_are_not_the_phantoms_are_left_alone(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture
) -> None:
    own = tmp_path / "demo" / "phantom_ct" / name
    own.parent.mkdir(parents=True)
    own.write_bytes(b"somebody's own")
    assert main(["demo", "--folder", str(tmp_path / "demo")]) == 2
    said = capsys.readouterr().err
    assert name.split("/")[0] in said and "another --folder" in said
    assert len(said.strip().splitlines()) == 1
    assert files_in(tmp_path / "demo") == {f"phantom_ct/{name}": b"somebody's own"}


def test_a_file_in_the_place_of_the_series_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "phantom_ct").write_text("mine")
    assert main(["demo", "--folder", str(tmp_path)]) == 2
    assert "is a file" in capsys.readouterr().err
    assert files_in(tmp_path) == {"phantom_ct": b"mine"}


def test_the_same_works_on_a_volume_of_ones_own(volume: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "own"
    assert main(["demo", "--folder", str(folder), "--volume", str(volume), "--point", POINT]) == 0
    assert sorted(path.name for path in folder.iterdir()) == WRITTEN
    assert main(["demo", "--folder", str(folder), "--volume", str(volume)]) == 2
    assert "together" in capsys.readouterr().err
