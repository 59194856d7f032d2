"""Slicer's own terminology inside a page: its table of segments, whose colours open the terminology selector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from slicer.i18n import tr as _

from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.page_parts import column, push_button


class Application(Protocol):
    """``dicom_database``."""

    def has_terminology_selector(self) -> bool: ...

    def segments_table(self, segmentation_node: Any) -> Any: ...


class SlicerTerms:
    """A button that puts the table under itself; there only where the application has its selector.

    Args:
        application: makes the table.
        segmentation: whose segments; asked at every press.
        report: shows what nobody foresaw.
    """

    def __init__(
        self, application: Application, segmentation: Callable[[], Any], report: Callable[[BaseException], None]
    ) -> None:
        self.report = report
        self._application, self._segmentation = application, segmentation
        self._node: Any = None
        self._table: Any = None
        self._button = push_button(
            "ExportTermsButton",
            _("Slicer's terminology"),
            self._pressed,
            _("Slicer's table of segments: a double click on a colour opens its terminology selector"),
        )
        self.widget = column(self._button)

    def show(self, useful: bool) -> None:
        """Offers the table, or takes it away; one of another segmentation goes in any case."""
        offered = useful and self._application.has_terminology_selector()
        self.widget.visible = offered
        if not offered or self._segmentation() is not self._node:
            self._remove()

    @slot
    def _pressed(self) -> None:
        self._remove()
        self._node = self._segmentation()
        self._table = self._application.segments_table(self._node)
        self.widget.layout().addWidget(self._table)

    def _remove(self) -> None:
        table, self._table, self._node = self._table, None, None
        if table is not None:
            table.hide()
            table.deleteLater()
