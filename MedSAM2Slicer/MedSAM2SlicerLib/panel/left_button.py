"""The left mouse button in one view, observed before Slicer's own styles; an event is kept from them on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BEFORE_SLICER = 10.0
"""Priority of observers: Slicer's interactor styles have 0."""

OnEvent = Callable[[Any, str], None]


class LeftButton:
    """Observes an interactor until it is closed; each callback gets the interactor and the event's name.

    Args:
        interactor: the view's vtkRenderWindowInteractor.
        press, move, release: what is called.
    """

    def __init__(self, interactor: Any, press: OnEvent, move: OnEvent, release: OnEvent) -> None:
        self._interactor = interactor
        events = {"LeftButtonPressEvent": press, "MouseMoveEvent": move, "LeftButtonReleaseEvent": release}
        self._tags = {name: interactor.AddObserver(name, call, BEFORE_SLICER) for name, call in events.items()}

    def keep(self, event: str) -> None:
        """Nobody else gets this event; for the callbacks."""
        self._interactor.GetCommand(self._tags[event]).SetAbortFlag(1)

    def close(self) -> None:
        """Observes no more."""
        for tag in self._tags.values():
            self._interactor.RemoveObserver(tag)
        self._tags = {}
