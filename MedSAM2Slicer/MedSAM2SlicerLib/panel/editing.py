"""Section "Edit": Slicer's segment editor where it is, and a note where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MedSAM2SlicerLib.session.state import SessionState


class EditingSection:
    """Drawing by hand on the chosen segment.

    ``activity_changed`` is called with True while an effect has the mouse and the keys, and with False after.

    Args:
        ui: the widgets.
        report: shows an exception.
    """

    def __init__(self, ui: Any, report: Callable[[BaseException], None]) -> None:
        self._ui = ui
        self.report = report
        self.activity_changed: Callable[[bool], None] = lambda active: None

    @property
    def active(self) -> bool:
        """Whether an effect has the mouse."""
        return False

    def save_for_undo(self) -> None:
        """Before a commit: the editor's own history gets a state too."""

    def enter(self) -> None: ...

    def exit(self) -> None: ...

    def show_choice(self, volume: Any, segmentation: Any, segment_id: str) -> None: ...

    def render(self, state: SessionState) -> None: ...
