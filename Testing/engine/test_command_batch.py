"""`medsam2 segment --batch`: several volumes from one file, each as if it had been segmented alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MedSAM2Lib.cli import main
from MedSAM2Lib.commands.batch_file import read_cases
from MedSAM2Lib.commands.prompt_options import parse_point
from MedSAM2Lib.types import PointPrompt
from Testing.engine.command_line import POINT, out, volume, written_volume
from Testing.engine.phantoms import two_organs

__all__ = ["out", "volume"]


def batch_file(folder: Path, *rows: str) -> Path:
    file = folder / "prompts.csv"
    file.write_text("\n".join(["volume,object,point,box,mask", *rows, ""]))
    return file


def run_batch(file: Path, out: Path) -> int:
    return main(["segment", "--batch", str(file), "--out", str(out / "masks"), "--device", "cpu"])


def test_a_batch_does_every_volume_and_names_the_bad_one(
    volume: Path, out: Path, capsys: pytest.CaptureFixture
) -> None:
    written_volume(volume.parent / "second.nrrd")
    (volume.parent / "broken.nrrd").write_text("this is no volume")
    batch = volume.parent / "prompts.csv"
    batch.write_text(
        "volume,object,point,box,mask\n"
        'ct.nrrd,liver,"11,14,10",,\n'
        'ct.nrrd,spleen,,"18,10,10,25,19,10",\n'
        'broken.nrrd,liver,"11,14,10",,\n'
        'second.nrrd,liver,"11,14,10",,\n'
        'ct.nrrd,liver,"30,2,10,-",,\n'
    )
    assert main(["segment", "--batch", str(batch), "--out", str(out / "masks"), "--device", "cpu"]) == 2
    names = sorted(file.name for file in (out / "masks").iterdir())
    assert names == ["ct.json", "ct.seg.nrrd", "second.json", "second.seg.nrrd"]
    said = capsys.readouterr().err
    assert "broken.nrrd" in said
    assert said.splitlines()[-1] == "1 of 3 failed"
    assert len([line for line in said.splitlines() if line.startswith("medsam2:")]) == 1


def without_numbers(folder: Path, name: str) -> Path:
    """A volume with one voxel that is not a number, of which the user is told."""
    array = two_organs()[0].astype(np.float32)
    array[0, 0, 0] = np.nan
    return written_volume(folder / name, array)


@pytest.mark.parametrize("order", [["nan", "clean"], ["clean", "nan"], ["nan", "clean", "nan2"]])
def test_what_is_said_of_one_volume_is_not_said_of_the_next(
    volume: Path, out: Path, order: list[str], capsys: pytest.CaptureFixture
) -> None:
    folder = volume.parent
    written_volume(folder / "clean.nrrd")
    without_numbers(folder, "nan.nrrd")
    without_numbers(folder, "nan2.nrrd")
    assert run_batch(batch_file(folder, *(f'{name}.nrrd,liver,"{POINT}",,' for name in order)), out) == 0
    for name in order:
        notices = json.loads((out / "masks" / f"{name}.json").read_text())["notices"]
        assert len(notices) == name.startswith("nan"), name
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert len(notes) == sum(name.startswith("nan") for name in order)


HEADER = "volume,object,point,box,mask,out"
GOOD = 'ct.nrrd,liver,"11,14,10",,,'
SAME_FILE = {
    "as it is": f"{HEADER}\n{GOOD}\n",
    "semicolons, without quotes": HEADER.replace(",", ";") + "\nct.nrrd;liver;11,14,10;;;\n",
    "tabs": HEADER.replace(",", "\t") + "\nct.nrrd\tliver\t11,14,10\t\t\t\n",
    "spaces after commas": HEADER.replace(",", ", ") + '\nct.nrrd, liver, "11, 14, 10", , , \n',
    "blank rows": f"\n{HEADER}\n,,,,,\n\n{GOOD}\n,,\n ,\n",
    "other line ends and a mark of the byte order": f"\ufeff{HEADER}\r\n{GOOD}\r\n",
    "capital names, another order": 'Object,Point,Volume\nliver,"11,14,10",ct.nrrd\n',
}


@pytest.mark.parametrize("way", SAME_FILE)
def test_spreadsheet_programs_write_the_same_file_in_many_ways(volume: Path, way: str) -> None:
    file = volume.parent / "prompts.csv"
    file.write_bytes(SAME_FILE[way].encode())
    (case,) = read_cases(file)
    assert (case.volume, case.out) == (volume, "ct.seg.nrrd")
    assert [prompt.kind for prompt in case.prompts] == ["object", "point"]
    assert case.prompts[0].text == "liver"
    assert parse_point(case.prompts[1].text, "k") == PointPrompt((11, 14, 10))


BAD_ROWS = {
    "a volume that is not there": ('gone.nrrd,liver,"11,14,10",,,', "gone.nrrd does not exist"),
    "no volume": (',liver,"11,14,10",,,', "exactly one of"),
    "no prompt": ("ct.nrrd,liver,,,,", "exactly one of"),
    "two prompts": ('ct.nrrd,liver,"11,14,10","1,1,1,5,5,1",,', "exactly one of"),
    "a point that is none": ('ct.nrrd,liver,"11,14",,,', "not of the form i,j,k"),
    "a box that is none": ('ct.nrrd,liver,,"1,2,3",,', "not of the form i0"),
    "a mask that is not there": ("ct.nrrd,liver,,,gone.nrrd:2,", "gone.nrrd is no file"),
    "coordinates without quotes": ("ct.nrrd,liver,11,14,10", "in quotes"),
    "a box without quotes": ("ct.nrrd,liver,,1,1,10,5,5,10", "in quotes"),
    "a mask's name with another ending": (GOOD + "m.png", "must end in"),
    "a mask in another folder": (GOOD + "../m.nrrd", "no plain file name"),
    "a mask at an absolute place": (GOOD + "/tmp/m.nrrd", "no plain file name"),
    "a mask in a Windows folder": (GOOD + "..\\m.nrrd", "no plain file name"),
    "two masks for one volume": (GOOD + "other.nrrd", "two masks"),
    "text after a quote": ('ct.nrrd,liver,"11,14,10"x,,,', "not CSV"),
    "not UTF-8": ("ct.nrrd,\udcfcber,,,,", "UTF-8"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_refused_with_their_line_before_any_work(
    volume: Path, out: Path, case: str, capsys: pytest.CaptureFixture
) -> None:
    row, words = BAD_ROWS[case]
    file = volume.parent / "prompts.csv"
    file.write_text(f"{HEADER}\n{GOOD}first.nrrd\n\n{row}\n", errors="surrogateescape", encoding="utf-8")
    assert run_batch(file, out) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"medsam2: Line 4 of {file}")
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""
    assert list(out.iterdir()) == []


BAD_FILES = {
    "missing": (None, "cannot be read"),
    "empty": ("", "must name the columns"),
    "another table": ("a,b\n1,2\n", "must name the columns"),
    "a column twice": ('volume,point,point\nct.nrrd,"1,1,1",\n', "must name the columns"),
    "no rows": (HEADER + "\n,,\n", "has no rows"),
    "two volumes for one mask": (
        f'{HEADER}\n{GOOD}m.nrrd\nsecond.nrrd,liver,"11,14,10",,,M.nii.gz\n',
        "Several volumes",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused(volume: Path, out: Path, case: str, capsys: pytest.CaptureFixture) -> None:
    content, words = BAD_FILES[case]
    written_volume(volume.parent / "second.nrrd")
    file = volume.parent / "prompts.csv"
    if content is not None:
        file.write_text(content)
    assert run_batch(file, out) == 2
    said = capsys.readouterr().err
    assert str(file) in said and words in said
    assert len(said.strip().splitlines()) == 1
    assert list(out.iterdir()) == []


def test_a_folder_in_place_of_the_file_and_a_model_that_is_not_there_leave_nothing_behind(
    volume: Path, out: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run_batch(volume.parent, out) == 2
    assert "is a folder" in capsys.readouterr().err
    file = batch_file(volume.parent, f'ct.nrrd,liver,"{POINT}",,')
    assert main(["segment", "--batch", str(file), "--out", str(volume)]) == 2
    assert f"{volume} is a file" in capsys.readouterr().err
    file = batch_file(volume.parent, f'ct.nrrd,liver,"{POINT}",,')
    assert main(["segment", "--batch", str(file), "--out", str(out / "masks"), "--model", "nowhere.pt"]) == 2
    assert list(out.iterdir()) == []
