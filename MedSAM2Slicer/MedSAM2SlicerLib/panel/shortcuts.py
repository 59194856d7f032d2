"""Keys of the panel: there from entering the module to leaving it, and aside where they are somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt

from MedSAM2SlicerLib import application

TEXT_FIELDS = ("QLineEdit", "QAbstractSpinBox", "QTextEdit", "QPlainTextEdit")
"""Where a user types, Slicer's Python console included."""


class Shortcuts:
    """Keys of a window.

    Args:
        window: the main window; None makes no keys.
        keys: what each key does.
    """

    def __init__(self, window: Any, keys: Mapping[str, Callable[[], Any]]) -> None:
        self._window = window
        self._keys = keys
        self._made: list[Any] = []
        self._wanted = True
        self._typing = False

    @property
    def active(self) -> bool:
        """Whether the keys do something now."""
        return bool(self._made) and self._wanted and not self._typing

    def install(self) -> None:
        """Makes the keys; nothing happens where they are made already."""
        if self._made or self._window is None:
            return
        for key, call in self._keys.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), self._window)
            shortcut.connect("activated()", call)
            self._made.append(shortcut)
        application.follow_focus(self._on_focus)

    def remove(self) -> None:
        """Takes the keys away."""
        if not self._made:
            return
        application.unfollow_focus(self._on_focus)
        for shortcut in self._made:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._made = []

    def step_aside(self, aside: bool) -> None:
        """Leaves the keys to an editor's effect, or takes them back."""
        self._wanted = not aside
        self._apply()

    def _on_focus(self, _old: Any, new: Any) -> None:
        self._typing = new is not None and any(new.inherits(name) for name in TEXT_FIELDS)
        self._apply()

    def _apply(self) -> None:
        for shortcut in self._made:
            shortcut.setEnabled(self._wanted and not self._typing)
