"""What the pages beside the panel's main flow are put together from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt

_ROW_SPACING = 6
_UNITS = ("B", "kB", "MB", "GB", "TB")


def column(*widgets: Any) -> Any:
    """A widget with widgets under each other."""
    return _laid_out(qt.QVBoxLayout, widgets)


def row(*widgets: Any) -> Any:
    """A widget with widgets beside each other."""
    return _laid_out(qt.QHBoxLayout, widgets)


def text_label(name: str, text: str = "", buddy: Any = None) -> Any:
    """A label whose text wraps and can be copied; ``buddy`` is what it describes."""
    label = qt.QLabel(text)
    label.objectName = name
    label.wordWrap = True
    if buddy is not None:
        label.setBuddy(buddy)
    else:
        label.setTextInteractionFlags(qt.Qt.TextSelectableByMouse | qt.Qt.TextSelectableByKeyboard)
    return label


def push_button(name: str, text: str, pressed: Callable[[], None], tool_tip: str = "") -> Any:
    """A button that calls back."""
    button = qt.QPushButton(text)
    button.objectName = name
    button.setToolTip(tool_tip)
    button.connect("clicked()", pressed)
    return button


def choice_box(name: str, texts: list[str], chosen: Callable[[int], None]) -> Any:
    """A drop-down of fixed texts; calls back with the place of what the user chose."""
    box = qt.QComboBox()
    box.objectName = name
    box.addItems(texts)
    box.connect("activated(int)", chosen)
    return box


def rows_table(name: str, headings: list[str], height: int, clicked: Callable[[int], None]) -> Any:
    """A table, ``height`` rows high, whose rows are chosen whole.

    Calls back with the row that was clicked, or on which Enter was pressed.
    """
    table = qt.QTableWidget(0, len(headings))
    table.objectName = name
    table.setHorizontalHeaderLabels(headings)
    table.verticalHeader().hide()
    table.horizontalHeader().setStretchLastSection(True)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setTabKeyNavigation(False)
    row_height = table.fontMetrics().height() + _ROW_SPACING
    table.verticalHeader().setDefaultSectionSize(row_height)
    table.setFixedHeight((height + 2) * row_height)
    table.connect("cellClicked(int,int)", lambda at, _column: clicked(at))
    table.connect("cellActivated(int,int)", lambda at, _column: clicked(at))
    return table


def fill_table(table: Any, rows: list[tuple[str, ...]]) -> None:
    """Replaces a table's rows; the row that was chosen stays chosen."""
    chosen = table.currentRow()
    table.setRowCount(len(rows))
    for at, texts in enumerate(rows):
        for place, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(at, place, item)
    table.resizeColumnsToContents()
    if 0 <= chosen < len(rows):
        table.selectRow(chosen)


def _laid_out(kind: Any, widgets: Sequence[Any]) -> Any:
    holder = qt.QWidget()
    layout = kind(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return holder


def size_text(number: float) -> str:
    """Bytes as people read them: "156 MB"."""
    unit = 0
    while number >= 1000 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.1f} {_UNITS[unit]}" if unit and number < 10 else f"{number:.0f} {_UNITS[unit]}"
