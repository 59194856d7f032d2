"""What the memory bank holds: which slices, why each came, what it pushed out, and what the network was shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from slicer.i18n import tr as _

from MedSAM2Lib.types import AXES, Axis, BankView, RememberedSlice, SliceKey
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.page_parts import choice_box, column, fill_table, push_button, row, rows_table, text_label
from MedSAM2SlicerLib.panel.sentences import axis_name
from MedSAM2SlicerLib.session.state import SessionState


class BankSession(Protocol):
    """The session, as far as this page needs it: the answer comes in a state."""

    def look_at_bank(self, axis: Axis) -> None: ...


class MemoryPage:
    """A table of the remembered slices along one axis; a click on a row shows that slice.

    The memory is asked for when it is looked at: while the page is visible after a propagation, or at the button.

    Args:
        session: is asked for the memory.
        jump: shows a slice in the views.
        index_in_view: which slice along an axis the views show; None where no view has that axis.
        report: shows what nobody foresaw.
    """

    def __init__(
        self,
        session: BankSession,
        jump: Callable[[SliceKey], None],
        index_in_view: Callable[[Axis], int | None],
        report: Callable[[BaseException], None],
    ) -> None:
        self.report = report
        self._index_in_view = index_in_view
        self._session = session
        self._jump = jump
        self._state = SessionState()
        self._asked: tuple[object, Axis | None] = (None, None)
        self._index: int | None = None
        self._axis: Axis | None = None
        self.title = _("Memory")
        names = [axis_name(axis) for axis in AXES]
        self._axes = choice_box("MemoryAxisBox", names, lambda place: self._choose(AXES[place]))
        self._look = push_button(
            "MemoryLookButton", _("Look again"), self.refresh, _("Ask the engine what it remembers now")
        )
        headings = [_("Slice"), _("Confidence"), _("Shown here"), _("Why it came"), _("Left for it")]
        self._table = rows_table("MemoryTable", headings, 8, self._clicked)
        self._summary = text_label("MemorySummaryLabel")
        self._shown = text_label("MemoryShownLabel")
        axis_label = text_label("MemoryAxisLabel", _("Slices along"), self._axes)
        self.widget = column(row(axis_label, self._axes, self._look), self._summary, self._table, self._shown)
        self.render(self._state)
        self._fill()

    def render(self, state: SessionState) -> None:
        """Shows the memory of a state, and asks for it where it is missing and the page is looked at."""
        changed = state.bank is not self._state.bank
        self._state = state
        axis = self._axis_shown()
        if axis is not None:
            self._axes.setCurrentIndex(AXES.index(axis))
        self._axes.enabled = self._look.enabled = state.segment_id is not None and not state.busy
        if changed:
            self._fill()
        asked = self._asked[0] is state.slices and self._asked[1] == axis
        if self.widget.visible and state.phase == "reviewing" and not asked:
            self.refresh()

    @slot
    def refresh(self) -> None:
        """Asks for the memory anew."""
        axis = self._axis_shown()
        if axis is not None and self._state.segment_id is not None:
            self._asked = (self._state.slices, axis)
            self._session.look_at_bank(axis)

    def show_slice_in_view(self) -> None:
        """Tells what the network was shown for the slice that the user looks at now."""
        view = self._state.bank
        if view is not None and self._index_in_view(view.axis) != self._index:
            self._fill()

    def _axis_shown(self) -> Axis | None:
        return self._axis or self._state.axis

    @slot
    def _choose(self, axis: Axis) -> None:
        self._axis = axis
        self.refresh()

    @slot
    def _clicked(self, at: int) -> None:
        view = self._state.bank
        if view is not None and 0 <= at < len(view.slices):
            self._jump(SliceKey(view.axis, _by_index(view)[at].index))

    def _fill(self) -> None:
        view = self._state.bank
        self._index = None if view is None else self._index_in_view(view.axis)
        shown = None if view is None or self._index is None else view.shown.get(self._index)
        fill_table(self._table, [] if view is None else [_row(view, one, shown) for one in _by_index(view)])
        self._summary.setText(_("Nothing is remembered yet: propagate first.") if view is None else _summary(view))
        self._shown.setText("" if view is None else _shown_sentence(view, self._index, shown))


def _shown_sentence(view: BankView, index: int | None, shown: tuple[int, ...] | None) -> str:
    if index is None:
        return _("No view shows slices along {axis}.").format(axis=axis_name(view.axis))
    if shown is None:
        return _("Slice {index}, in view, has not been computed.").format(index=index)
    if not shown:
        return _("On slice {index}, in view, the network was shown no other slice.").format(index=index)
    listed = ", ".join(map(str, shown))
    return _("On slice {index}, in view, the network was shown slices {slices}.").format(index=index, slices=listed)


def _by_index(view: BankView) -> list[RememberedSlice]:
    return sorted(view.slices, key=lambda one: (one.index, one.direction))


def _row(view: BankView, one: RememberedSlice, shown: tuple[int, ...] | None) -> tuple[str, ...]:
    return (
        str(one.index),
        f"{one.predicted_iou:.2f}",
        _("yes") if shown is not None and one.index in shown else "",
        _why(view, one),
        ", ".join(map(str, one.pushed_out)),
    )


def _why(view: BankView, one: RememberedSlice) -> str:
    if one.prompted:
        return _("prompted: it stays")
    reason = view.events[one.arrival].reason
    sentences = {
        "room": _("confident, and there was room"),
        "more diverse": _("confident, and unlike the others"),
        "tracked": _("tracked"),
    }
    way = _("upwards") if one.direction > 0 else _("downwards")
    return _("{reason} ({way})").format(reason=sentences.get(reason, reason), way=way)


def _summary(view: BankView) -> str:
    refused = [event.slice_index for event in view.events if not event.kept]
    doubted = sum(event.reason == "not confident" for event in view.events)
    parts = [
        _("{count} slices are remembered along {axis}, {prompted} of them prompted.").format(
            count=len(view.slices), axis=axis_name(view.axis), prompted=view.prompted_count
        )
    ]
    if view.capacity is not None:
        parts.append(_("At most {capacity} are kept for each direction.").format(capacity=view.capacity))
    if view.grown:
        parts.append(_("More are prompted than that: all of them are kept."))
    if refused:
        parts.append(
            _("{refused} were offered and not kept, {doubted} of them as the network doubted them.").format(
                refused=len(refused), doubted=doubted
            )
        )
    return " ".join(parts)
