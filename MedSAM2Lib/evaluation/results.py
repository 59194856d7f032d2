"""The rows of an evaluation in a CSV file: written as they come, kept when a run is stopped, taken up again."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.evaluation.metrics import METRICS
from MedSAM2Lib.volume.io import replacing

COLUMNS = ("case", "setting", "prompt", "round", *METRICS, "seconds", "slices", "hash")
RowKey = tuple[str, str, str, int]


@dataclass(frozen=True)
class Row:
    """One result: a case, a setting, a user's prompts, a round; the metrics that were asked for, and what it cost.

    ``hash`` stands for all that the result follows from (see ``result_hash``).
    """

    case: str
    setting: str
    prompt: str
    round: int
    metrics: Mapping[str, float]
    seconds: float
    slices: int
    hash: str

    @property
    def key(self) -> RowKey:
        """What a row is about: there is one row of each key."""
        return self.case, self.setting, self.prompt, self.round


def result_hash(**parts: object) -> str:
    """Twelve hexadecimal digits that stand for plain data: setting, model, user, case and whatever else counts."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class ResultFile:
    """``results.csv``: rows by key, each line whole or not there.

    Args:
        path: read if it is there; a last line that was cut short is dropped.

    Raises InputError for a file that is no table of results.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[RowKey, Row] = {}
        self._is_stored = False
        if path.exists():
            text = _read(path)
            self.rows = {row.key: row for row in _rows(path, text)}
            self._is_stored = text.endswith("\n")

    def has(self, key: RowKey, hash_: str, metrics: Collection[str]) -> bool:
        """Whether a row is there that says all that is asked for, made from the same data and options."""
        row = self.rows.get(key)
        return row is not None and row.hash == hash_ and set(metrics) <= set(row.metrics)

    def add(self, row: Row) -> None:
        """Stores a row at once; one with the same key is replaced. Raises OutputError where that fails."""
        is_new = row.key not in self.rows
        self.rows[row.key] = row
        if is_new and self._is_stored:
            self._append(row)
        else:
            self._write_all()

    def _append(self, row: Row) -> None:
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerow(_fields(row))
        except OSError as error:
            raise OutputError(
                "E_OUT_WRITE",
                "{path} could not be written ({reason}): free some space; the rows so far are kept.",
                path=self.path,
                reason=error.strerror or error,
            ) from error

    def _write_all(self) -> None:
        with replacing(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(_fields(row) for row in self.rows.values())
        self._is_stored = True


def _fields(row: Row) -> list[object]:
    measured = [_number(row.metrics[name]) if name in row.metrics else "" for name in METRICS]
    return [*row.key, *measured, f"{row.seconds:.3f}", row.slices, row.hash]


def _number(value: float) -> str:
    return f"{value:.6f}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _no_table(path) from error


def _rows(path: Path, text: str) -> Iterator[Row]:
    lines = text.splitlines(keepends=True)
    if not lines or next(csv.reader(lines[:1])) != list(COLUMNS):
        raise _no_table(path)
    for line in csv.DictReader([line for line in lines if line.endswith("\n")]):
        try:
            yield _row(line)
        except (ValueError, TypeError) as error:
            raise _no_table(path) from error


def _row(line: Mapping[str, str]) -> Row:
    metrics = {name: float(line[name]) for name in METRICS if line[name]}
    seconds = float(line["seconds"])
    if not all(map(math.isfinite, [*metrics.values(), seconds])):
        raise ValueError("a number is missing")
    return Row(
        case=line["case"],
        setting=line["setting"],
        prompt=line["prompt"],
        round=int(line["round"]),
        metrics=metrics,
        seconds=seconds,
        slices=int(line["slices"]),
        hash=line["hash"],
    )


def _no_table(path: Path) -> InputError:
    return InputError(
        "E_RESULTS_FILE",
        "{path} is no table that medsam2 evaluate wrote: choose another --out, or take the file away.",
        path=path,
    )
