"""Keeps the libraries' own messages off the terminal: what went wrong is told once, in a sentence of ours."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import SimpleITK as sitk

_STANDARD_ERROR = 2
_TURN = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Silences ITK, and what MetaIO, niftilib and GDCM write straight to the standard error's file descriptor.

    The descriptor belongs to the whole process, so only one thread at a time is inside.
    """
    with _TURN:
        warnings = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        terminal = _silenced()
        try:
            yield
        finally:
            if terminal is not None:
                os.dup2(terminal, _STANDARD_ERROR)
                os.close(terminal)
            sitk.ProcessObject.SetGlobalWarningDisplay(warnings)


def _silenced() -> int | None:
    """The descriptor to give back later; None where a process without a console has no standard error."""
    try:
        terminal = os.dup(_STANDARD_ERROR)
    except OSError:
        return None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STANDARD_ERROR)
    os.close(nowhere)
    return terminal
