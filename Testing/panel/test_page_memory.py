"""The memory page: rows for what the bank holds, sentences for why, and a jump for a click."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from MedSAM2Lib.types import Axis, BankEvent, BankView, RememberedSlice, SliceKey
from SlicerHost.start import Host
from Testing.panel.volumes import unforeseen

EVENTS = (
    BankEvent(20, 0, True, None, "prompted"),
    BankEvent(21, 1, True, None, "room"),
    BankEvent(22, 1, False, None, "not confident"),
    BankEvent(24, 1, True, 21, "more diverse"),
    BankEvent(25, 1, False, None, "no more diverse"),
)
VIEW = BankView(
    axis="k",
    capacity=2,
    slices=(RememberedSlice(24, 1, 0.91, 4.0, 3, (21,)), RememberedSlice(20, 0, 0.8, 5.0, 0, ())),
    events=EVENTS,
    shown={21: (20,), 24: (20, 21), 20: ()},
)


class BankFake:
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Axis] = []

    def look_at_bank(self, axis: Axis) -> None:
        self.asked.append(axis)


@pytest.fixture
def made(host: Host) -> tuple[Any, BankFake, list[SliceKey]]:
    from MedSAM2SlicerLib.panel.memory_page import MemoryPage

    session, jumps, in_view = BankFake(), [], {"k": None}
    page = MemoryPage(session, jumps.append, in_view.get, unforeseen)
    page.in_view_of_test = in_view
    yield page, session, jumps
    page.widget.deleteLater()


@pytest.fixture
def state() -> Callable[..., Any]:
    from MedSAM2SlicerLib.session.state import SessionState, SliceTrust

    slices = {SliceKey("k", 20): SliceTrust(0.8, 5.0, True, True)}
    return lambda **changes: replace(
        SessionState(phase="reviewing", segment_id="one", axis="k", slices=slices, bank=VIEW), **changes
    )


def look_at(page: Any, index: int) -> None:
    page.in_view_of_test["k"] = index
    page.show_slice_in_view()


def table_of(page: Any) -> list[list[str]]:
    import qt

    table = page.widget.findChild(qt.QTableWidget, "MemoryTable")
    return [[table.item(at, place).text() for place in range(table.columnCount)] for at in range(table.rowCount)]


def text_of(page: Any, name: str) -> str:
    import qt

    return page.widget.findChild(qt.QLabel, name).text


def test_each_remembered_slice_has_a_row_with_its_confidence_its_reason_and_who_left(made: Any, state: Any) -> None:
    page, _, _ = made
    page.render(state())
    assert table_of(page) == [
        ["20", "0.80", "", "prompted: it stays", ""],
        ["24", "0.91", "", "confident, and unlike the others (upwards)", "21"],
    ]
    summary = text_of(page, "MemorySummaryLabel")
    assert "2 slices are remembered along K, 1 of them prompted" in summary
    assert "At most 2" in summary and "2 were offered and not kept, 1 of them" in summary


def test_a_click_on_a_row_shows_that_slice(made: Any, state: Any) -> None:
    import qt

    page, _, jumps = made
    page.render(state())
    page.widget.findChild(qt.QTableWidget, "MemoryTable").cellClicked.emit(1, 0)
    assert jumps == [SliceKey("k", 24)]


def test_what_the_network_was_shown_is_told_for_the_slice_in_view(made: Any, state: Any) -> None:
    page, _, _ = made
    page.render(state())
    assert text_of(page, "MemoryShownLabel") == "No view shows slices along K."
    look_at(page, 24)
    assert text_of(page, "MemoryShownLabel").endswith("was shown slices 20, 21.")
    assert [row[2] for row in table_of(page)] == ["yes", ""]
    look_at(page, 30)
    assert "has not been computed" in text_of(page, "MemoryShownLabel")
    look_at(page, 20)
    assert "no other slice" in text_of(page, "MemoryShownLabel")


def test_the_memory_is_asked_for_once_and_only_while_the_page_is_looked_at(made: Any, state: Any) -> None:
    page, session, _ = made
    without = state(bank=None)
    page.render(without)
    assert session.asked == []
    page.widget.show()
    page.render(without)
    page.render(replace(without, message=None))
    assert session.asked == ["k"]
    page.render(replace(without, slices={}))
    assert session.asked == ["k", "k"]


def test_another_axis_is_asked_for_when_it_is_chosen(made: Any, state: Any) -> None:
    import qt

    page, session, _ = made
    page.render(state())
    page.widget.findChild(qt.QComboBox, "MemoryAxisBox").activated.emit(2)
    assert session.asked == ["i"]


def test_without_a_memory_the_page_says_what_to_do(made: Any, state: Any) -> None:
    page, _, _ = made
    page.render(state())
    page.render(state(bank=None))
    assert table_of(page) == []
    assert "propagate first" in text_of(page, "MemorySummaryLabel")
