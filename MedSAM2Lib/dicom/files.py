"""DICOM files that appear whole or not at all, and never in the place of another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from MedSAM2Lib.dicom.refusals import SegExportError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PARTIAL = ".part"


def check_target(folder: Path) -> None:
    """Raises SegExportError ``E_IO`` unless a file can be written into ``folder``, or the folder be made."""
    place = folder if folder.exists() else folder.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise SegExportError(
            "E_IO",
            "The DICOM-SEG cannot be written into {folder}: {place} is {fault}. Choose another folder.",
            folder=folder,
            place=place,
            fault="not a folder" if not place.is_dir() else "not yours to write to",
        )


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A partial file that takes its name, which must be free, only if the block ends well."""
    partial = path.with_name(path.name + PARTIAL)
    made = not path.parent.exists()
    ready = False
    try:
        path.parent.mkdir(exist_ok=True)
        yield partial
        if path.exists():
            raise SegExportError(
                "E_IO", "{path} is there already and is not written over: choose another folder.", path=path
            )
        partial.rename(path)
        ready = True
    except OSError as error:
        raise SegExportError(
            "E_IO",
            "{path} could not be written ({reason}): check the free space and your permissions, or choose another "
            "folder.",
            path=path,
            reason=error.strerror or error,
        ) from error
    finally:
        if not ready:
            _remove(partial, path.parent if made else None)


def _remove(partial: Path, folder: Path | None) -> None:
    try:
        partial.unlink(missing_ok=True)
        if folder is not None and folder.exists():
            folder.rmdir()
    except OSError:
        return  # the error that is being told says why


def save(dataset: Dataset, path: Path) -> None:
    """Writes a dataset down to the disk itself. Raises OSError."""
    with path.open("wb") as file:
        dataset.save_as(file, enforce_file_format=True)
        file.flush()
        os.fsync(file.fileno())
