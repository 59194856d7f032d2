"""One run at a time writes a folder: a lock that the system gives back when its process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.training.files import remove

LOCK_NAME = "run.lock"
TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Holds the folder for the block; raises InputError ``E_RUN_BUSY`` where another process holds it.

    On a file system without locks nothing is held.
    """
    path = folder / LOCK_NAME
    file = _locked(path)
    if file is None:
        raise InputError(
            "E_RUN_BUSY",
            "Another training writes {folder}: wait for it, or give --out another folder.",
            folder=folder,
        )
    try:
        yield
    finally:
        remove(path)
        file.close()
        if sys.platform == "win32":
            remove(path)  # there, no open file can be removed


def _locked(path: Path) -> IO[bytes] | None:
    """The open file with its lock; None where another process has it."""
    while True:
        file = path.open("ab")
        if not _lock(file.fileno()):
            file.close()
            return None
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()  # the run before ended, and removed the file, after it was opened here


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # Not flock: a worker that outlives a killed run for a moment would still hold it.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in TAKEN
    return True
