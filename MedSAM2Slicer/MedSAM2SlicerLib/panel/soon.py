"""Something that happens once the event at hand is over, however often it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt


def single_shot(call: Callable[[], None], milliseconds: int = 0) -> Any:
    """A timer whose ``start()`` makes one call from the event loop; further starts before that put it off."""
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", call)
    return timer
