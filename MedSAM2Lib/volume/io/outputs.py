"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from MedSAM2Lib.errors import OutputError

INCOMPLETE = "not all of it could be stored"
"""A reason for an OSError where a library does not tell its own."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path next to ``path`` to write to; it takes that name only if the block ends well, else it is removed.

    Its name ends as ``path`` does, in small letters, by which the writers tell formats. Any OSError inside becomes an
    OutputError that names the file and its folder.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        raise OutputError(
            "E_OUT_FOLDER", "The folder of {path} does not exist: make {folder} first.", path=path, folder=folder
        )
    partial = path.with_name(f".partial-{path.name.lower()}")
    try:
        partial.touch()
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            "E_OUT_WRITE",
            "{path} could not be written ({reason}): check the free space and your permissions in {folder}, or choose "
            "another place.",
            path=path,
            reason=error.strerror or error,
            folder=folder,
        ) from error
    finally:
        _remove(partial)


def _remove(partial: Path) -> None:
    try:
        partial.unlink(missing_ok=True)
    except OSError:
        return  # the folder may have gone, or be read-only: the error above says so
