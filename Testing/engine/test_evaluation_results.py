"""Rows in a file: kept, taken up again, replaced; and what tables and plots make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.evaluation.comparison import groups_of
from MedSAM2Lib.evaluation.plots import plot_differences, plot_values
from MedSAM2Lib.evaluation.results import COLUMNS, ResultFile, Row, result_hash
from MedSAM2Lib.evaluation.settings import Setting
from MedSAM2Lib.evaluation.table import markdown

ROW = Row("ct 1/liver, left", "SAM 2", "box at largest", 0, {"dice": 0.875, "hd95": 12.5}, 1.25, 33, "abcdef012345")
SETTINGS = [Setting("temporal"), Setting("none | alone", memory="none")]


def rows(dice: dict[str, list[float]], number: int = 0) -> list[Row]:
    return [
        Row(f"case {place}", setting, "box at largest", number, {"dice": value, "hd95": 10.0 - value}, 2.0, 8, "0")
        for setting, values in dice.items()
        for place, value in enumerate(values)
    ]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "results.csv")
    others = [
        replace(ROW, round=1, metrics={"dice": 0.5, "iou": 0.25, "nsd": 1.0, "hd95": 0.0}),
        replace(ROW, case="b"),
    ]
    for row in (ROW, *others):
        file.add(row)
    read = ResultFile(tmp_path / "results.csv")
    assert list(read.rows.values()) == [ROW, *others]
    assert (tmp_path / "results.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_row_counts_only_with_its_hash_and_with_all_metrics_that_are_asked_for(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "results.csv")
    file.add(ROW)
    assert file.has(ROW.key, ROW.hash, ["dice", "hd95"])
    assert not file.has(ROW.key, ROW.hash, ["dice", "nsd"])
    assert not file.has(ROW.key, "another hash", ["dice"])
    assert not file.has((*ROW.key[:3], 1), ROW.hash, ["dice"])


def test_a_row_made_anew_replaces_the_old_one_in_its_place(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "results.csv")
    second, better = replace(ROW, case="b"), replace(ROW, hash="new", metrics={"dice": 0.9})
    for row in (ROW, second, better):
        file.add(row)
    assert list(ResultFile(tmp_path / "results.csv").rows.values()) == [better, second]


def test_a_last_line_that_was_cut_short_is_dropped_and_the_file_goes_on_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    file = ResultFile(path)
    second = replace(ROW, case="b")
    file.add(ROW)
    file.add(second)
    for cut in (1, 5, 20):
        whole = path.read_text()
        path.write_text(whole[:-cut])
        taken_up = ResultFile(path)
        assert list(taken_up.rows.values()) == [ROW]
        taken_up.add(second)
        assert path.read_text() == whole


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", (",".join(COLUMNS) + "\na,b,c,first,,,,,1,2,h\n").encode()],
    ids=["empty", "another table", "no text", "a round that is no number"],
)
def test_a_file_that_is_no_table_of_results_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="another --out"):
        ResultFile(path)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "gone" / "results.csv")
    with pytest.raises(OutputError, match="gone"):
        file.add(ROW)


def test_a_hash_stands_for_values_not_for_the_order_of_names() -> None:
    assert result_hash(a=1, b={"x": 0.5, "y": None}) == result_hash(b={"y": None, "x": 0.5}, a=1)
    assert result_hash(a=1) != result_hash(a=2)


def test_the_table_has_means_and_differences_on_the_cases_that_settings_share() -> None:
    found = rows({"temporal": [0.9, 0.8, 0.7], "none | alone": [0.5, 0.8]})
    text = markdown(groups_of(found), SETTINGS, ["dice", "hd95"], "temporal", 0, "Data: three cases.")
    assert "Data: three cases." in text
    assert "| temporal | 3 | 0.800 | 9.2 | 2.00 | 8.0 |" in text
    assert "| none \\| alone | 2 | 0.650 | 9.3 | 2.00 | 8.0 |" in text
    assert "| none \\| alone | Dice | 2 | -0.200 | -0.400 to +0.000 | 0 | 1 |" in text
    assert "| none \\| alone | HD95 (mm) | 2 | +0.2 | +0.0 to +0.4 | 0 | 1 |" in text
    assert '"memory": "none"' in text


def test_rounds_are_tables_of_their_own_and_one_setting_has_no_differences() -> None:
    found = [*rows({"temporal": [0.5]}), *rows({"temporal": [0.75]}, number=2)]
    text = markdown(groups_of(found), SETTINGS[:1], ["dice"], "temporal", 0, "")
    assert "## box at largest\n" in text
    assert "## box at largest: after 2 corrections" in text
    assert "| temporal | 1 | 0.500 |" in text and "| temporal | 1 | 0.750 |" in text
    assert "Differences" not in text


def test_plots_are_pictures_that_follow_the_numbers(tmp_path: Path) -> None:
    pictures = {}
    for name, worse in (("near", 0.75), ("far", 0.2)):
        groups = groups_of(rows({"$temporal$": [0.9, 0.8, 0.7], "none | alone": [worse, 0.8, 0.6]}))
        plot_values(groups, "dice", tmp_path / f"{name} values.png")
        plot_differences(groups, "dice", "$temporal$", 0, tmp_path / f"{name} differences.png")
        for kind in ("values", "differences"):
            picture = Image.open(tmp_path / f"{name} {kind}.png")
            assert picture.format == "PNG"
            pictures[name, kind] = np.asarray(picture.convert("L"))
    for kind in ("values", "differences"):
        assert pictures["near", kind].std() > 5
        assert pictures["near", kind].shape[1] >= 800
        assert not np.array_equal(pictures["near", kind], pictures["far", kind])
