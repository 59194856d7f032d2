"""The pre-flight list of a DICOM-SEG: a row for each line, with its state in words and the button that mends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.export.lines import Check, FixKey, Line, State
from MedSAM2SlicerLib.panel.page_parts import column, push_button, row, text_label
from MedSAM2SlicerLib.panel.sentences import said

ICON_SIZE = 16
_ICONS: dict[State, str] = {
    "ok": "SP_DialogApplyButton",
    "warning": "SP_MessageBoxInformation",
    "fails": "SP_MessageBoxWarning",
}


class LineList:
    """Shows lines; ``widget`` is the list.

    Args:
        mend: called with the fix of the line whose button was pressed.
    """

    def __init__(self, mend: Callable[[FixKey], None]) -> None:
        self._mend = mend
        self._lines: tuple[Line, ...] = ()
        self._rows: list[_Row] = []
        self.widget = column()

    def show(self, lines: Sequence[Line], enabled: bool) -> None:
        """Shows these lines and no others."""
        self._lines = tuple(lines)
        while len(self._rows) < len(lines):
            number = len(self._rows)
            self._rows.append(_Row(number, lambda number=number: self._pressed(number)))
            self.widget.layout().addWidget(self._rows[-1].widget)
        for number, each in enumerate(self._rows):
            each.show(lines[number] if number < len(lines) else None, enabled)

    def _pressed(self, number: int) -> None:
        fix = self._lines[number].fix if number < len(self._lines) else None
        if fix is not None:
            self._mend(fix)


class _Row:
    def __init__(self, number: int, pressed: Callable[[], None]) -> None:
        self._icon = text_label(f"ExportLineIcon{number}", "", None)
        self._text = text_label(f"ExportLineLabel{number}")
        self._button = push_button(f"ExportLineButton{number}", "", pressed)
        self.widget = row(self._icon, self._text, self._button)
        self.widget.layout().setStretch(1, 1)

    def show(self, line: Line | None, enabled: bool) -> None:
        self.widget.setVisible(line is not None)
        if line is None:
            return
        icon = application.standard_icon(getattr(qt.QStyle, _ICONS[line.state]))
        self._icon.setPixmap(icon.pixmap(ICON_SIZE, ICON_SIZE))
        self._text.setText(
            _("{check}, {state}: {sentence}").format(
                check=_check(line.check), state=_state(line.state), sentence=said(line)
            )
        )
        self._button.setVisible(line.fix is not None)
        self._button.enabled = enabled
        if line.fix is not None:
            text, tip = _fix(line.fix)
            self._button.setText(text)
            self._button.setToolTip(tip)


def _check(check: Check) -> str:
    titles: dict[Check, str] = {
        "source": _("Source series"),
        "geometry": _("Geometry"),
        "terminology": _("Terminology"),
        "empty segments": _("Empty segments"),
        "names": _("Names"),
        "dependency": _("Libraries"),
    }
    return titles[check]


def _state(state: State) -> str:
    words: dict[State, str] = {"ok": _("in order"), "warning": _("note"), "fails": _("not yet")}
    return words[state]


def _fix(fix: FixKey) -> tuple[str, str]:
    texts: dict[FixKey, tuple[str, str]] = {
        "choose folder": (_("Choose the folder"), _("Shows where to name the folder of the DICOM series")),
        "leave transform": (
            _("Take out of the transform"),
            _("Volume and segmentation are where the scanner saw them; the transform itself stays in the scene"),
        ),
        "convert": (_("Convert a copy"), _("The segments on the volume's voxels, in a new segmentation")),
        "describe": (_("Use the suggestion"), _("Gives the segments the SNOMED codes that their names suggest")),
        "rename": (_("Correct the names"), _("Names what has none, numbers doubles, and replaces the patient's name")),
    }
    return texts[fix]
