"""The DICOM series that a volume was loaded from: its files, read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from MedSAM2Lib.dicom import SegExportError, SourceGrid, SourceSeries, check_source, read_source, source_files

INSTANCES = "DICOM.instanceUIDs"
"""Slicer's attribute of a volume: the instance of each slice, "Unknown" where it had none."""


class SeriesReader:
    """Finds and reads the series of a volume; headers are read again only where the files are others.

    Args:
        file_of_instance: gives the path of an instance by its UID, or an empty text.
    """

    def __init__(self, file_of_instance: Callable[[str], str]) -> None:
        self._file_of_instance = file_of_instance
        self._key: object = None
        self._outcome: tuple[SourceSeries, SourceGrid | None] | SegExportError | None = None

    def files(self, volume_node: Any, folder: Path | None) -> Path | Sequence[Path]:
        """The folder that the user chose, else the files of the volume's instances.

        Raises SegExportError ``E_NO_SOURCE``, with how many of how many are missing.
        """
        if folder is not None:
            return folder
        uids = str(volume_node.GetAttribute(INSTANCES) or "").split()
        return source_files(uids, self._file_of_instance, volume_node.GetName())

    def has_read(self, files: Path | Sequence[Path]) -> bool:
        """Whether ``read`` answers at once."""
        return self._key == _key(files)

    def load(self, files: Path | Sequence[Path]) -> None:
        """Reads on any thread, some milliseconds a file; what was wrong is raised by ``read``."""
        outcome: tuple[SourceSeries, SourceGrid | None] | SegExportError
        try:
            series = read_source(files)
            outcome = (series, check_source(series))
        except SegExportError as error:
            outcome = error
        self._key, self._outcome = _key(files), outcome

    def read(self, files: Path | Sequence[Path]) -> tuple[SourceSeries, SourceGrid | None]:
        """Headers and grid. Raises SegExportError as ``read_source`` and ``check_source`` do."""
        if not self.has_read(files) or self._outcome is None:
            self.load(files)
        if isinstance(self._outcome, tuple):
            return self._outcome
        raise self._outcome or ValueError("nothing was read")

    def forget(self) -> None:
        """Files may have changed."""
        self._key = self._outcome = None


def _key(files: Path | Sequence[Path]) -> object:
    return files if isinstance(files, Path) else tuple(files)
