"""The command lines of the README and of the help: those on the phantom work as written, all are understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MedSAM2Lib.cli import build_parser, joined_negatives, main
from MedSAM2Lib.commands import app, dicom_seg, evaluate, imageset, segment, train
from MedSAM2Lib.commands.batch_file import read_cases
from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.evaluation.phantom import make_phantom
from MedSAM2Lib.volume.io import read_mask, read_volume

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
HELP = segment.EPILOG + imageset.EPILOG + evaluate.EPILOG + train.EPILOG + app.EPILOG + dicom_seg.EPILOG
COMMANDS = sorted(
    {
        *re.findall(r"^ +(?:\.venv/bin/)?medsam2 (.+)$", README + HELP, re.MULTILINE),
        *re.findall(r"`(?:\.venv/bin/)?medsam2 ([^`.]+)`", README),
    }
)
ON_THE_PHANTOM = [command for command in COMMANDS if command.startswith("segment demo/phantom_ct")]
ON_ITS_MASK = [command for command in COMMANDS if command.startswith("dicom-seg") and "demo/" in command]
ON_ITS_SLICES = [command for command in COMMANDS if command.startswith("imageset demo/phantom_ct")]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_documented_command_is_understood(command: str) -> None:
    if command.endswith("--help"):
        with pytest.raises(SystemExit) as caught:
            build_parser().parse_args(shlex.split(command))
        assert caught.value.code == 0
        return
    assert build_parser().parse_args(joined_negatives(shlex.split(command))).run


def test_the_documented_commands_on_the_phantom_find_its_organ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    truth = make_phantom().truth
    assert len(ON_THE_PHANTOM) == 2
    for command in ON_THE_PHANTOM:
        assert main(shlex.split(command)) == 0
        out = build_parser().parse_args(shlex.split(command)).out
        assert dice(sitk.GetArrayFromImage(sitk.ReadImage(str(out))) > 0, truth) > 0.8, command
    assert capsys.readouterr().err == ""
    for command in sorted(ON_ITS_MASK, key=lambda text: "export" not in text):
        assert main(shlex.split(command)) == 0, command
    assert np.array_equal(
        *(read_mask(f"demo/{name}.seg.nrrd", read_volume("demo/phantom_ct")) for name in ("mask", "again"))
    )
    assert len(ON_ITS_MASK) == 3
    assert re.findall("^[A-Z]_.*", capsys.readouterr().err) == [
        "W_DEFAULT_TERMINOLOGY: Segment 'organ' has no terminology: it was written as Tissue."
    ]


@pytest.mark.long
def test_the_documented_command_on_the_phantoms_slices_gives_a_mask_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    truth = make_phantom().truth
    (command,) = ON_ITS_SLICES
    assert main(shlex.split(command)) == 0
    masks = [np.asarray(Image.open(path)) > 0 for path in sorted((tmp_path / "organ_masks").glob("*.png"))]
    assert len(masks) == len(truth)
    prompted = int(re.findall(r"slice_(\d+)", command)[0]) - 1
    assert dice(masks[prompted], truth[prompted]) > 0.9
    assert dice(np.stack(masks), truth) > 0.3


@pytest.mark.parametrize("text", [README, segment.EPILOG], ids=["README", "help"])
def test_the_documented_batch_file_is_one(text: str, tmp_path: Path) -> None:
    (found,) = re.findall(r"^( *volume,object,point.*\n(?: +\w.*\n)+)", text, re.MULTILINE)
    rows = [line.strip() for line in found.splitlines()]
    file = tmp_path / "prompts.csv"
    file.write_text("\n".join(rows))
    for name in ("ct.nii.gz", "other.nii.gz"):
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4), dtype=np.int16)), str(tmp_path / name))
    first, second = read_cases(file)
    assert (first.out, second.out) == ("first.seg.nrrd", "second.seg.nrrd")
    assert [prompt.kind for prompt in first.prompts] == ["object", "point", "point"]
    assert [prompt.kind for prompt in second.prompts] == ["object", "box"]
