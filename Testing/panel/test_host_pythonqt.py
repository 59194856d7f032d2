"""The guards of `qt`: what PythonQt allows works, and what only PySide6 allows fails here as it would in Slicer."""

from __future__ import annotations

from typing import Any

import pytest

from SlicerHost.start import Host


@pytest.fixture
def qt(host: Host) -> Any:
    import qt

    return qt


def test_properties_are_attributes_and_not_methods(qt: Any) -> None:
    button = qt.QPushButton("Go")
    button.checkable = True
    button.checked = True
    assert (button.text, button.checked, button.isChecked()) == ("Go", True, True)
    with pytest.raises(TypeError):
        button.text()


def test_name_is_the_object_name(qt: Any) -> None:
    label = qt.QLabel()
    label.name = "status"
    assert (label.objectName, label.name) == ("status", "status")


@pytest.mark.parametrize("class_name", ["QLabel", "QPushButton", "QTimer", "QTableWidget", "QComboBox", "QSlider"])
def test_a_name_that_the_class_does_not_have_cannot_be_set(qt: Any, class_name: str) -> None:
    thing = getattr(qt, class_name)()
    for name in ("segmentID", "_cache"):
        with pytest.raises(AttributeError, match=name):
            setattr(thing, name, 1)


def test_a_stand_in_of_a_cxx_widget_takes_no_new_names_either(host: Host) -> None:
    import ctk
    import slicer

    for widget in (ctk.ctkRangeWidget(), slicer.qMRMLNodeComboBox(), slicer.app.layoutManager()):
        with pytest.raises(AttributeError, match="segmentID"):
            widget.segmentID = 1


def test_a_subclass_of_the_modules_own_may_hold_anything(qt: Any) -> None:
    class Ribbon(qt.QWidget):
        def __init__(self) -> None:
            super().__init__()
            self.values = [1, 2]

    ribbon = Ribbon()
    ribbon.more = 3
    assert (ribbon.values, ribbon.more, ribbon.enabled) == ([1, 2], 3, True)


def test_a_read_only_property_cannot_be_written(qt: Any) -> None:
    with pytest.raises(AttributeError, match="currentData"):
        qt.QComboBox().currentData = 3


def test_texts_are_coerced_and_floats_cut_for_whole_numbers(qt: Any) -> None:
    label, spin = qt.QLabel(), qt.QSpinBox()
    label.setText(5)
    assert label.text == "5"
    label.text = 7
    assert label.text == "7"
    spin.value = 3.7
    assert spin.value == 3


def test_children_are_a_tuple(qt: Any) -> None:
    parent = qt.QWidget()
    child = qt.QLabel(parent)
    assert parent.children() == (child,)


def test_enums_are_ints(qt: Any) -> None:
    label = qt.QLabel()
    label.alignment = int(qt.Qt.AlignRight) | int(qt.Qt.AlignTop)
    assert label.alignment == 0x0022
    assert qt.QMessageBox.Ok == 1024


def test_signals_are_connected_by_signature_and_an_unknown_one_says_so(
    qt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    button, heard = qt.QPushButton(), []
    button.checkable = True

    def on_toggled(checked: bool) -> None:
        heard.append(("toggled", checked))

    assert button.connect("clicked()", lambda: heard.append("clicked"))
    assert button.connect("toggled(bool)", on_toggled)
    button.click()
    assert sorted(map(str, heard)) == ["('toggled', True)", "clicked"]
    assert button.disconnect("toggled(bool)", on_toggled)
    button.click()
    assert heard.count(("toggled", False)) == 0
    assert not button.connect("pushed()", on_toggled)
    assert "pushed()" in capsys.readouterr().out


def test_qts_own_static_timer_and_file_still_work(qt: Any, tmp_path: Any) -> None:
    from SlicerHost.testing import wait_until

    heard = []
    qt.QTimer.singleShot(1, lambda: heard.append(1))
    wait_until(lambda: bool(heard))
    assert not qt.QFile(str(tmp_path / "none.ui")).exists()


def test_an_event_filter_sees_and_stops_events(qt: Any) -> None:
    from SlicerHost.testing import click

    class Filter(qt.QObject):
        def __init__(self) -> None:
            super().__init__()
            self.seen = 0

        def eventFilter(self, watched: Any, event: Any) -> bool:
            if event.type() == qt.QEvent.MouseButtonPress:
                self.seen += 1
                return True
            return False

    button, pressed = qt.QPushButton(), []
    button.resize(40, 20)
    button.connect("clicked()", lambda: pressed.append(1))
    watcher = Filter()
    button.installEventFilter(watcher)
    click(button, qt.QPointF(5, 5))
    button.removeEventFilter(watcher)
    assert (watcher.seen, pressed) == (1, [])
    click(button, qt.QPointF(5, 5))
    assert pressed == [1]


def test_a_key_goes_to_the_shortcut_but_not_while_a_text_is_written_or_two_want_it(host: Host, qt: Any) -> None:
    from SlicerHost.testing import press_key, slice_view

    heard, line = [], qt.QLineEdit()
    host.window.statusBar().addWidget(line)
    shortcuts = [qt.QShortcut(qt.QKeySequence("P"), host.window)]
    shortcuts[0].connect("activated()", lambda: heard.append("P"))
    press_key(slice_view("Red"), qt.Qt.Key.Key_P)
    assert heard == ["P"]
    line.setFocus()
    press_key(line, qt.Qt.Key.Key_P)
    assert (heard, line.text) == (["P"], "p")
    shortcuts.append(qt.QShortcut(qt.QKeySequence("P"), host.window))
    press_key(slice_view("Red"), qt.Qt.Key.Key_P)
    assert heard == ["P"]
    for thing in (*shortcuts, line):
        thing.setParent(None)
        thing.deleteLater()
