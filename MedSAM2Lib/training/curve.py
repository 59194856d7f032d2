"""A learning curve as a CSV file that a resumed run continues."""

from __future__ import annotations

import csv
from pathlib import Path

from MedSAM2Lib.errors import OutputError


class Curve:
    """Rows of named numbers, written at once. Rows later than ``keep_until`` steps are dropped on opening."""

    def __init__(self, path: Path, columns: tuple[str, ...], keep_until: int) -> None:
        self.path = path
        self.columns = columns
        kept = [row for row in self._read() if int(row["step"]) < keep_until]
        part = path.with_suffix(".part")
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
        part.replace(path)

    def _read(self) -> list[dict[str, str]]:
        """The complete rows: a run that was killed may have left half of one."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().splitlines(keepends=True)
        return list(csv.DictReader(line for line in lines if line.endswith("\n")))

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
