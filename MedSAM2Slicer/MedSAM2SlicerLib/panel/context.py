"""What all parts of the panel share, and how a part looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from MedSAM2SlicerLib.panel.selection import Selection
from MedSAM2SlicerLib.session.controller import SessionController
from MedSAM2SlicerLib.session.state import SessionState


@dataclass(frozen=True, eq=False)
class Context:
    """Shared by the panel's parts.

    ``ui`` has the widgets of the .ui file by name. ``report`` shows an exception as a line, ``tell`` a sentence, and
    ``forget`` takes the panel's own line away, since the user goes on. ``refresh`` renders everything anew, after
    something that is no change of the session.
    """

    ui: Any
    scene: Any
    controller: SessionController
    selection: Selection
    report: Callable[[BaseException], None]
    tell: Callable[[str], None]
    forget: Callable[[], None]
    refresh: Callable[[], None]


class Part(Protocol):
    """A part of the panel: it renders states, one way, and hands what the user does to the session."""

    def render(self, state: SessionState) -> None: ...


class Page(Part, Protocol):
    """A part with widgets of its own, shown as a section at the panel's end."""

    title: str
    widget: Any


def show_checked(button: Any, checked: bool) -> None:
    """Sets a checkable button without its signals."""
    blocked = button.blockSignals(True)
    button.setChecked(checked)
    button.blockSignals(blocked)


def show_latched(button: Any, latched: bool) -> None:
    """Sets a button that stays down without its signals; it is told by its bold text too."""
    show_checked(button, latched)
    font = button.font
    font.setBold(latched)
    button.setFont(font)


def show_choice(combo: Any, index: int) -> None:
    """Sets a drop-down without its signals."""
    blocked = combo.blockSignals(True)
    combo.setCurrentIndex(index)
    combo.blockSignals(blocked)
