"""A timer that looks after something a few times a second: for what runs in another process."""

from __future__ import annotations

from collections.abc import Callable

import qt

from MedSAM2SlicerLib.panel.guard import slot

INTERVAL_MS = 200


class PollTimer:
    """Calls back on the main thread from ``start`` to ``stop``.

    Args:
        report: gets what the callback raises.
        interval: milliseconds between calls.
    """

    def __init__(self, report: Callable[[BaseException], None], interval: int = INTERVAL_MS) -> None:
        self.report = report
        self._callback: Callable[[], None] | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(interval)
        self._timer.connect("timeout()", self._tick)

    def start(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()
        self._callback = None

    @slot
    def _tick(self) -> None:
        if self._callback is not None:
            self._callback()
