"""What the engine computes on: the devices that are there, the precision, and the seconds that a slice takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from slicer.i18n import tr as _

from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.page_parts import (
    choice_box,
    column,
    fill_table,
    push_button,
    row,
    rows_table,
    size_text,
    text_label,
)
from MedSAM2SlicerLib.panel.sentences import said
from MedSAM2SlicerLib.session.ports import Ticker
from MedSAM2SlicerLib.session.state import SessionError, SessionState
from MedSAM2SlicerLib.setup.device import DeviceState

POLL_SECONDS = 0.015
PRECISIONS = ("auto", "fp32", "bf16")


class Settings(Protocol):
    """``panel.user_settings.UserSettings``."""

    device: str
    precision: str
    seconds_per_slice: float | None


class Machine(Protocol):
    """What is asked of this machine, always on the engine's thread."""

    def devices(self) -> tuple[DeviceState, ...]: ...

    def seconds_per_slice(self) -> float: ...


class DevicePage:
    """Looks for devices and measures after a click only: both load PyTorch, which takes seconds.

    Args:
        machine: answers on the engine's thread.
        submit: puts a call on that thread, as ``Worker.submit``; gives a job with ``done``, ``result`` and ``error``.
        ticker: polls the job.
        settings: of the user.
        report: shows what nobody foresaw.
    """

    def __init__(
        self,
        machine: Machine,
        submit: Callable[[Callable[[], Any]], Any],
        ticker: Ticker,
        settings: Settings,
        report: Callable[[BaseException], None],
    ) -> None:
        self.report = report
        self._machine, self._submit, self._ticker, self._settings = machine, submit, ticker, settings
        self._job: Any = None
        self._taken: Callable[[Any], None] | None = None
        self._session = SessionState()
        self._names = ["auto", "cpu"]
        self.title = _("Device")
        self._running = text_label("DeviceRunningLabel")
        self._table = rows_table(
            "DevicesTable", [_("Device"), _("Memory"), _("Free"), _("Precision")], 2, lambda at: None
        )
        self._devices = choice_box("DeviceBox", [], self._chose_device)
        self._precisions = choice_box("PrecisionBox", list(PRECISIONS), self._chose_precision)
        self._look = push_button("DeviceLookButton", _("Look for devices"), self._pressed_look)
        self._measure = push_button(
            "DeviceMeasureButton", _("Measure"), self._pressed_measure, _("Segments a small ball and takes the time")
        )
        self._speed = text_label("DeviceSpeedLabel")
        self._said = text_label("DeviceSaidLabel")
        self.widget = column(
            self._running,
            row(self._look, self._measure),
            self._table,
            row(text_label("DeviceBoxLabel", _("Compute on"), self._devices), self._devices),
            row(text_label("PrecisionBoxLabel", _("Precision"), self._precisions), self._precisions),
            self._speed,
            self._said,
        )
        self._list_names()
        self._precisions.setCurrentIndex(PRECISIONS.index(settings.precision))
        self.render(self._session)

    def render(self, state: SessionState) -> None:
        """Shows what the session runs on and how fast it does."""
        self._session = state
        idle = self._job is None and not state.busy
        self._look.enabled = self._measure.enabled = idle
        self._running.setText(
            _("Runs on {device}.").format(device=state.device) if state.device else _("Nothing has been computed yet.")
        )
        seconds = state.seconds_per_slice or self._settings.seconds_per_slice
        self._speed.setText(
            _("Not measured yet.") if seconds is None else _("{seconds} s per slice.").format(seconds=f"{seconds:.3g}")
        )

    def close(self) -> None:
        """Asks for nothing any more."""
        self._ticker.stop()
        self._job = None

    @slot
    def _pressed_look(self) -> None:
        self._ask(_("Loading PyTorch and looking for devices..."), self._machine.devices, self._found)

    @slot
    def _pressed_measure(self) -> None:
        self._ask(_("Measuring..."), self._machine.seconds_per_slice, self._measured)

    def _ask(self, sentence: str, work: Callable[[], Any], taken: Callable[[Any], None]) -> None:
        self._said.setText(sentence)
        self._taken = taken
        self._job = self._submit(work)
        self.render(self._session)
        self._ticker.start(self._poll)

    def _poll(self) -> None:
        job, taken = self._job, self._taken
        if job is None or taken is None or not job.wait(POLL_SECONDS):
            return
        self.close()
        if job.error is None:
            self._said.setText("")
            taken(job.result)
        else:
            self._said.setText(said(SessionError.of(job.error)))
        self.render(self._session)

    def _found(self, devices: tuple[DeviceState, ...]) -> None:
        fill_table(self._table, [_row(each) for each in devices])
        self._names = ["auto", *(each.name for each in devices)]
        self._list_names()

    def _measured(self, seconds: float) -> None:
        self._settings.seconds_per_slice = seconds
        self._said.setText(_("Measured: {seconds} s per slice.").format(seconds=f"{seconds:.3g}"))

    def _list_names(self) -> None:
        chosen = self._settings.device
        names = self._names if chosen in self._names else [*self._names, chosen]
        self._names = names
        self._devices.clear()
        self._devices.addItems(names)
        self._devices.setCurrentIndex(names.index(chosen))

    @slot
    def _chose_device(self, place: int) -> None:
        self._settings.device = self._names[place]
        self._said.setText(_("Used from the next volume, window or model on."))

    @slot
    def _chose_precision(self, place: int) -> None:
        self._settings.precision = PRECISIONS[place]
        self._said.setText(_("Used from the next volume, window or model on."))


def _row(each: DeviceState) -> tuple[str, ...]:
    return (
        f"{each.name}: {each.title}",
        _("not told") if each.memory_bytes is None else size_text(each.memory_bytes),
        _("not told") if each.free_bytes is None else size_text(each.free_bytes),
        ", ".join(each.precisions),
    )
