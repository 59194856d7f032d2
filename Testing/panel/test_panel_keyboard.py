"""Everything in the panel can be reached and worked without a mouse."""

from __future__ import annotations

from typing import Any

from PySide6 import QtWidgets

from SlicerHost import testing
from Testing.panel.panel_ground import PanelBench
from Testing.scene.session_ground import MIDDLE, ORGAN

HANDLED = (
    QtWidgets.QAbstractButton,
    QtWidgets.QComboBox,
    QtWidgets.QLineEdit,
    QtWidgets.QAbstractSpinBox,
    QtWidgets.QAbstractItemView,
    QtWidgets.QAbstractSlider,
)


def opened(bench: PanelBench) -> None:
    """All sections open, something propagated."""
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.enter()
    for widget in bench.panel.widget.findChildren(QtWidgets.QWidget):
        if hasattr(widget, "collapsed") and widget.collapsed:
            widget.collapsed = False
    testing.settle()


def in_use(widget: Any) -> bool:
    return bool(widget.isVisible() and widget.isEnabled() and widget.objectName)


def test_tab_reaches_every_button_list_and_field_of_the_panel(bench: PanelBench) -> None:
    opened(bench)
    panel = bench.panel.widget
    wanted = {
        each.objectName for each in panel.findChildren(QtWidgets.QWidget) if isinstance(each, HANDLED) and in_use(each)
    }
    wanted = {name for name in wanted if not name.startswith("qt_")} | {"ribbonLabel"}
    assert {"propagateButton", "pointButton", "memoryCombo"} <= wanted
    reached, widget = set(), panel
    for _ in range(1000):
        widget = widget.nextInFocusChain()
        if widget is panel:
            break
        policy = widget.focusPolicy
        if panel.isAncestorOf(widget) and in_use(widget) and policy & testing.Qt.FocusPolicy.TabFocus:
            reached.add(widget.objectName)
            if widget.focusProxy() is not None:
                reached.add(widget.focusProxy().objectName)
    assert wanted - reached == set()


def test_what_can_be_worked_has_a_name_or_a_hint_in_words(bench: PanelBench) -> None:
    opened(bench)
    silent = [
        each.objectName
        for each in bench.panel.widget.findChildren(QtWidgets.QAbstractButton)
        if in_use(each)
        and not each.objectName.startswith("qt_")
        and not (each.text.strip() or each.toolTip.strip() or each.accessibleName.strip())
    ]
    assert silent == []


def test_the_range_is_worked_with_the_arrow_keys(bench: PanelBench) -> None:
    opened(bench)
    for box, key in (
        (bench.ui.rangeWidget.minimumSpinBox(), testing.Qt.Key.Key_Up),
        (bench.ui.rangeWidget.maximumSpinBox(), testing.Qt.Key.Key_Down),
    ):
        assert box.focusPolicy & testing.Qt.FocusPolicy.TabFocus
        before = bench.state.range
        testing.press_key(box, key)
        bench.rest()
        assert bench.state.range != before
    assert bench.state.range == (1, 22)
