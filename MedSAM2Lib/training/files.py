"""The files of a run: each is written whole or not at all, and reading a damaged one ends in one of a few errors."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from MedSAM2Lib.errors import OutputError

DAMAGED = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    EOFError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What ``torch.load``, ``numpy.load`` and ``zipfile`` raise for bytes that they do not understand."""


@contextmanager
def replacing_whole(path: Path, mark: str = "part") -> Iterator[Path]:
    """A path beside ``path``, of the same ending, that takes its name if the block ends well, and else is removed.

    ``mark`` stands in its name; processes that may write the same file at once give different ones.
    """
    part = path.with_name(f"{path.stem}.{mark}{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        remove(part)


@contextmanager
def saving(path: Path, mark: str = "part") -> Iterator[Path]:
    """``replacing_whole`` for a file without which a run cannot go on; raises OutputError ``E_RUN_NOT_SAVED``."""
    try:
        with replacing_whole(path, mark) as part:
            yield part
    except OSError as error:
        raise OutputError(
            "E_RUN_NOT_SAVED",
            "{path} could not be written ({reason}). Make room or check the folder, then go on with --resume.",
            path=path,
            reason=reason_of(error),
        ) from error


def reason_of(error: BaseException) -> str:
    """Why a file could not be written: what the system said, also where torch put an error of its own on top of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause.strerror or str(cause)
        cause = cause.__context__
    return (str(error).splitlines() or [type(error).__name__])[0]


def remove(path: Path) -> None:
    """Removes a file, if it is there and may be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
