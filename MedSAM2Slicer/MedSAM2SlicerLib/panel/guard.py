"""The panel's boundary: whatever a slot raises ends up as a line in the panel, and never in Qt's event loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class Reporting(Protocol):
    """Has a place for errors."""

    def report(self, error: BaseException) -> None: ...


def slot(method: Callable[..., Result]) -> Callable[..., Result | None]:
    """A method that Qt, VTK or a timer calls. Its object must have ``report``.

    One of the two places where any exception is caught: past this point it would be lost on a console that
    nobody reads.
    """

    @functools.wraps(method)
    def guarded(self: Reporting, *arguments: Any) -> Result | None:
        try:
            return method(self, *arguments)
        except Exception as error:  # noqa: BLE001
            self.report(error)
            return None

    return guarded
