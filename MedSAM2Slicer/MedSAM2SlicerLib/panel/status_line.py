"""The line at the top: where things stand, or what went wrong with the button that mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.panel import sentences
from MedSAM2SlicerLib.panel.fixes import Fixes
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.problem_report import problem_report
from MedSAM2SlicerLib.session.state import SessionError, SessionState

ICON_SIZE = 16


class StatusLine:
    """Shows the session's errors and messages, and the panel's own.

    The panel's own error goes with the next thing that the user does (``forget``); one of the session's when the
    session says something new, or when its fix was pressed.

    Args:
        ui: the widgets.
        fixes: what can be done about errors.
        after_fix: called when a fix has worked.
        has_volume: whether a volume is chosen.
    """

    def __init__(self, ui: Any, fixes: Fixes, after_fix: Callable[[], None], has_volume: Callable[[], bool]) -> None:
        self._ui = ui
        self._fixes = fixes
        self._after_fix = after_fix
        self._has_volume = has_volume
        self._state = SessionState()
        self._own_error: SessionError | None = None
        self._own_text = ""
        self._mended: SessionError | None = None
        for number, button in enumerate((ui.fixButton, ui.secondFixButton)):
            button.connect("clicked()", lambda number=number: self._fix(number))
        ui.reportButton.connect("clicked()", self._copy_report)

    @property
    def error(self) -> SessionError | None:
        """The error that is shown."""
        if self._own_error is not None:
            return self._own_error
        return None if self._state.error is self._mended else self._state.error

    def report(self, error: BaseException) -> None:
        """Shows an exception."""
        self._own_error, self._own_text = SessionError.of(error), ""
        self.render(self._state)

    def tell(self, sentence: str) -> None:
        """Shows a sentence."""
        self._own_error, self._own_text = None, sentence
        self.render(self._state)

    def forget(self) -> None:
        """The user did something else."""
        if self._own_error is not None or self._own_text:
            self._own_error, self._own_text = None, ""
            self.render(self._state)

    def render(self, state: SessionState) -> None:
        self._state = state
        error = self.error
        fixes = self._fixes.of(error) if error is not None else ()
        text = sentences.said(error) if error is not None else self._own_text
        self._ui.statusText.setText(text or sentences.status(state, self._has_volume()))
        for number, button in enumerate((self._ui.fixButton, self._ui.secondFixButton)):
            button.setVisible(number < len(fixes))
            button.setText(fixes[number].label if number < len(fixes) else "")
        self._ui.reportButton.setVisible(error is not None and not error.expected)
        self._ui.statusIcon.setPixmap(application.standard_icon(self._icon(error)).pixmap(ICON_SIZE, ICON_SIZE))

    def _icon(self, error: SessionError | None) -> Any:
        if error is not None:
            return qt.QStyle.SP_MessageBoxWarning if error.expected else qt.QStyle.SP_MessageBoxCritical
        if self._state.busy:
            return qt.QStyle.SP_BrowserReload
        return qt.QStyle.SP_MessageBoxInformation

    @slot
    def _fix(self, number: int) -> None:
        error = self.error
        if error is None:
            return
        fix = self._fixes.of(error)[number]
        self._own_error = None
        fix.run(error.fields)
        self._mended = self._state.error
        self._after_fix()
        self.render(self._state)

    @slot
    def _copy_report(self) -> None:
        error = self.error
        if error is not None:
            application.copy_text(problem_report(error, self._state))
            self._ui.reportButton.setToolTip(_("Copied: paste it into your report"))
