"""A ticker without an event loop: for scripts and tests."""

from __future__ import annotations

import time
from collections.abc import Callable


class LoopTicker:
    """Ticks only while somebody runs it."""

    def __init__(self) -> None:
        self._callback: Callable[[], None] | None = None

    @property
    def active(self) -> bool:
        """Whether anybody waits for ticks."""
        return self._callback is not None

    def start(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def stop(self) -> None:
        self._callback = None

    def run(self, timeout: float | None = None, until: Callable[[], bool] = lambda: False) -> bool:
        """Ticks until nobody waits, or ``until`` says so; says whether it got there within ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._callback is not None and not until():
            if deadline is not None and time.monotonic() > deadline:
                return False
            self._callback()
        return True
