"""Keeps the DICOM libraries' warnings on odd but harmless headers off the terminal: what matters is told by us."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Ignores every warning inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
