"""A learning curve as a CSV file that a resumed run continues."""

from __future__ import annotations

import csv
from pathlib import Path

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.training.files import saving


class Curve:
    """Rows of named numbers, written at once. Rows later than ``keep_until`` steps are dropped on opening.

    Opening raises InputError ``E_CURVE_BROKEN`` for a line that is no row, OutputError ``E_RUN_NOT_SAVED``.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], keep_until: int) -> None:
        self.path = path
        self.columns = columns
        kept = [row for row in self._read() if int(row["step"]) < keep_until]
        with saving(path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)

    def _read(self) -> list[dict[str, str]]:
        """The complete rows: a run that was killed may have left half of one."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", errors="replace") as file:
            reader = csv.DictReader(line for line in file if line.endswith("\n"))
            try:
                return [self._checked(row, reader.line_num) for row in reader]
            except csv.Error as error:
                raise self._broken(reader.line_num) from error

    def _checked(self, row: dict[str, str], line: int) -> dict[str, str]:
        try:
            int(row["step"])
            for value in row.values():
                float(value or "nan")
        except (KeyError, ValueError, TypeError) as error:
            raise self._broken(line) from error
        return row

    def _broken(self, line: int) -> InputError:
        return InputError(
            "E_CURVE_BROKEN",
            "Line {line} of {path} is no row of a learning curve: take it out, then go on with --resume.",
            path=self.path,
            line=line,
        )

    def add(self, row: dict[str, float | int]) -> None:
        """Append one row; its keys are the curve's columns. Raises OutputError where the disk is full."""
        text = {name: value if isinstance(value, int) else f"{value:.5f}" for name, value in row.items()}
        try:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(text)
        except OSError as error:
            raise OutputError(
                "E_CURVE_NOT_SAVED",
                "{path} could not be written ({reason}); the last checkpoint is kept. Make room or check the folder, "
                "then go on with --resume.",
                path=self.path,
                reason=error.strerror or error,
            ) from error
