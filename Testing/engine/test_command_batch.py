"""`medsam2 segment --batch`: several volumes from one file, each as if it had been segmented alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MedSAM2Lib.cli import main
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
