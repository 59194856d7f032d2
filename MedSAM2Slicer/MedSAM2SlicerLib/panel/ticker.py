"""The session's ticker in an event loop: a zero timer that runs only while a job is pending."""

from __future__ import annotations

from collections.abc import Callable

import qt

from MedSAM2SlicerLib.panel.guard import slot


class QtTicker:
    """Calls back on every turn of the event loop; the callback waits on the job's event, so that the loop idles little.

    Args:
        report: gets what the callback raises.
    """

    def __init__(self, report: Callable[[BaseException], None]) -> None:
        self.report = report
        self._callback: Callable[[], None] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._tick)

    @property
    def active(self) -> bool:
        """Whether it is calling back."""
        return self._callback is not None

    def start(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._timer.start()

    def stop(self) -> None:
        self._callback = None
        self._timer.stop()

    @slot
    def _tick(self) -> None:
        if self._callback is not None:
            self._callback()
