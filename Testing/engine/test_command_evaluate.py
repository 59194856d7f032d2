"""`medsam2 evaluate` as its users call it: data in, rows, tables and plots out; stopped, taken up, refused."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from MedSAM2Lib.cli import main
from MedSAM2Lib.evaluation.results import ResultFile
from Testing.engine.phantoms import two_organs

SYNTHETIC = ("--synthetic", "2", "--thick", "--seed", "5")


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *(str(argument) for argument in arguments), "--device", "cpu"])


def rows_in(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One small volume with two labelled objects."""
    folder = tmp_path / "data"
    folder.mkdir()
    voxels, first = two_organs()
    labels = first.astype(np.uint8)
    labels[voxels.astype(float) * ~first > 40] = 2
    np.savez(folder / "two.npz", imgs=voxels, gts=labels, spacing=(1.0, 1.0, 2.0))
    return folder


def test_two_synthetic_objects_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    options = (*SYNTHETIC, "--memory", "temporal,repeated", "--corrections", 1)
    assert evaluate(*options, "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["differences.png", "results.csv", "table.md", "values.png"]
    assert "8 rows" in capsys.readouterr().out
    rows = rows_in(out)
    assert len(rows) == 2 * 2 * 2
    assert len({(row["case"], row["setting"], row["prompt"], row["round"]) for row in rows}) == len(rows)
    for row in rows:
        assert 0 <= float(row["iou"]) <= float(row["dice"]) <= 1
        assert 0 <= float(row["nsd"]) <= 1
        assert float(row["hd95"]) >= 0
        assert int(row["slices"]) == 0 if row["setting"] == "repeated" else int(row["slices"]) > 0
    temporal = [float(row["dice"]) for row in rows if row["setting"] == "temporal"]
    assert max(temporal) > 0.6
    table = (out / "table.md").read_text()
    assert "2 synthetic objects" in table
    assert "embedded (sha256" in table
    assert "Differences to **temporal**" in table
    assert "after 1 correction" in table
    before = [(out / name).read_bytes() for name in ("results.csv", "table.md")]
    assert evaluate(*options, "--out", out) == 0
    assert [(out / name).read_bytes() for name in ("results.csv", "table.md")] == before


def test_rows_that_are_there_are_skipped_and_others_added(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert evaluate(data, "--metric", "dice", "--out", out) == 0
    (first, second) = rows_in(out)
    assert (first["case"], second["case"]) == ("two/label 1", "two/label 2")
    assert first["nsd"] == ""
    assert evaluate(data, "--metric", "dice", "--memory", "temporal,repeated-within", "--limit", 1, "--out", out) == 0
    assert rows_in(out)[:2] == [first, second]
    assert [row["setting"] for row in rows_in(out)[2:]] == ["repeated-within"]
    assert "n | Dice" in (out / "table.md").read_text()


def test_rows_of_another_setting_of_the_same_name_are_made_again(data: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "settings.json"
    hashes = []
    for misses in (2, 2, 5):
        file.write_text(json.dumps([{"name": "mine", "stop_misses": misses}]))
        assert evaluate(data, "--settings", file, "--metric", "dice", "--limit", 1, "--out", out) == 0
        (row,) = rows_in(out)
        hashes.append((row["hash"], int(row["slices"])))
    assert hashes[0] == hashes[1]
    assert hashes[2][0] != hashes[0][0]
    assert hashes[2][1] > hashes[0][1]


def test_more_corrections_go_on_from_those_that_are_there(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = (data, "--limit", 1, "--metric", "dice", "--memory", "repeated", "--correct-by", "slice", "--out", out)
    assert evaluate(*options, "--corrections", 1) == 0
    before = rows_in(out)
    assert evaluate(*options, "--corrections", 3) == 0
    after = rows_in(out)
    assert after[:2] == before
    assert [int(row["round"]) for row in after] == [0, 1, 2, 3]
    dice = [float(row["dice"]) for row in after]
    assert dice == sorted(dice) and dice[-1] > dice[0]


def test_ctrl_c_keeps_the_rows_that_are_done_and_the_command_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out, add = tmp_path / "out", ResultFile.add

    def add_and_interrupt(results: ResultFile, row: object) -> None:
        add(results, row)  # type: ignore[arg-type]
        if len(results.rows) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    options = (data, "--metric", "dice", "--memory", "repeated,repeated-within", "--prompt", "box,mask", "--out", out)
    with monkeypatch.context() as patched:
        patched.setattr(ResultFile, "add", add_and_interrupt)
        assert evaluate(*options) == 130
    assert "interrupted" in capsys.readouterr().out
    kept = rows_in(out)
    assert len(kept) == 3
    assert (out / "table.md").exists()
    assert evaluate(*options) == 0
    assert rows_in(out)[:3] == kept
    assert len(rows_in(out)) == 8


BAD_INPUT = {
    "no data": ([], "either DATA"),
    "data twice": (["DATA", "--synthetic", "2"], "either DATA"),
    "no folder": (["nowhere"], "nowhere"),
    "thick data": (["DATA", "--thick"], "--synthetic"),
    "no objects": (["--synthetic", "0"], "1 or more"),
    "negative corrections": (["DATA", "--corrections", "-1"], "0 or more"),
    "negative tolerance": (["DATA", "--tolerance", "-1"], "0 or more"),
    "no limit": (["DATA", "--limit", "0"], "1 or more"),
    "negative seed": (["DATA", "--seed", "-1"], "0 or more"),
    "unknown metric": (["DATA", "--metric", "dice,accuracy"], "hd95"),
    "no metric": (["DATA", "--metric", ","], "hd95"),
    "unknown prompt": (["DATA", "--prompt", "scribble"], "box, click, mask"),
    "unknown place": (["DATA", "--at", "middle"], "quarter"),
    "unknown memory": (["DATA", "--memory", "good"], "temporal"),
    "unknown orientations": (["DATA", "--orientations", "2"], "auto"),
    "unknown reference": (["DATA", "--reference", "none"], "--reference is one of"),
    "no settings file": (["DATA", "--settings", "nowhere.json"], "nowhere.json"),
    "settings twice": (["DATA", "--settings", "x.json", "--memory", "none"], "not on the command line"),
    "unknown model": (["DATA", "--model", "nowhere.pt"], "nowhere.pt"),
    "unknown device": (["DATA", "--device", "gpu"], "no kind of device"),
    "out in no folder": (["DATA", "--out", "OUT/a/b"], "does not exist"),
    "out that is a file": (["DATA", "--out", "DATA/two.npz"], "is a file"),
}


@pytest.mark.parametrize("what", BAD_INPUT)
def test_bad_input_gives_one_sentence_exit_code_2_and_nothing_written(
    what: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments, words = BAD_INPUT[what]
    out = tmp_path / "out"
    named = [part.replace("DATA", str(data)).replace("OUT", str(out)) for part in arguments]
    assert main(["evaluate", "--out", str(out), *named]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()
    assert [path.name for path in data.iterdir()] == ["two.npz"]


def test_settings_that_the_engine_refuses_leave_nothing_behind(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out, file = tmp_path / "out", tmp_path / "settings.json"
    for setting, words in (({"zoom": "wide"}, "wide"), ({"model": "nowhere.pt"}, "nowhere.pt")):
        file.write_text(json.dumps([{"name": "mine", **setting}]))
        assert evaluate(data, "--settings", file, "--out", out) == 2
        assert words in capsys.readouterr().err
        assert not out.exists()


def test_a_bad_case_is_named_and_the_rows_before_it_are_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    np.savez(data / "zoo.npz", imgs=np.zeros((2, 3, 4)), gts=np.zeros((2, 3, 4), np.uint8))
    assert evaluate(data, "--memory", "repeated", "--metric", "dice", "--out", out) == 2
    assert "zoo.npz" in capsys.readouterr().err
    assert len(rows_in(out)) == 2


def test_an_object_of_one_voxel_is_evaluated_like_any_other(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    labels = np.zeros((20, 28, 32), dtype=np.uint8)
    labels[10, 14, 11] = 1
    np.savez(data / "one.npz", imgs=two_organs()[0], gts=labels)
    assert (
        evaluate(data, "--memory", "temporal,none", "--prompt", "box,click,mask", "--metric", "dice", "--out", out) == 0
    )
    assert len(rows_in(out)) == 6
