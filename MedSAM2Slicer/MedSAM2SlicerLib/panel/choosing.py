"""Section "Volume and segment": what is worked on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from MedSAM2SlicerLib.panel import sentences
from MedSAM2SlicerLib.panel.context import Context, show_choice
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.soon import single_shot
from MedSAM2SlicerLib.scene.flags import choose_status
from MedSAM2SlicerLib.scene.segments import SegmentStatus, get_status
from MedSAM2SlicerLib.session.state import SessionState

STATUSES: tuple[SegmentStatus, ...] = ("not started", "in progress", "flagged", "completed")
"""In the order of the drop-down."""


class ChoosingSection:
    """Volume, segmentation, segments with their status, and the window.

    ``renewing`` is asked whether a scene goes or comes: Slicer's selectors then change by themselves.

    Args:
        context: shared by the panel's parts.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.renewing: Callable[[], bool] = lambda: False
        self._showing = False
        self._timer = single_shot(self._on_segment)
        ui = context.ui
        ui.segmentsTable.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_volume)
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_segmentation)
        ui.segmentsTable.connect("selectionChanged(QItemSelection,QItemSelection)", self._on_selection)
        ui.addSegmentButton.connect("clicked()", self._on_add)
        ui.segmentStatusCombo.connect("currentIndexChanged(int)", self._on_status)
        ui.windowButton.connect("clicked()", self._on_window)

    def report(self, error: BaseException) -> None:
        self._context.report(error)

    def show_choice(self) -> None:
        """Brings the selectors in line with what is chosen."""
        ui, chosen = self._context.ui, self._context.selection
        self._showing = True
        try:
            ui.volumeSelector.setCurrentNode(chosen.volume)
            ui.segmentationSelector.setCurrentNode(chosen.segmentation)
            if ui.segmentsTable.segmentationNode() is not chosen.segmentation:
                ui.segmentsTable.setSegmentationNode(chosen.segmentation)
            wanted = [chosen.segment_id] if chosen.segment_id else []
            if list(ui.segmentsTable.selectedSegmentIDs()) != wanted:
                ui.segmentsTable.setSelectedSegmentIDs(wanted)
        finally:
            self._showing = False

    def render(self, state: SessionState) -> None:
        ui, chosen = self._context.ui, self._context.selection
        segment_id = chosen.segment_id
        ui.addSegmentButton.setEnabled(chosen.volume is not None)
        ui.segmentStatusCombo.setEnabled(bool(segment_id))
        status = STATUSES.index(get_status(chosen.segmentation, segment_id)) if segment_id else -1
        show_choice(ui.segmentStatusCombo, status)
        ui.windowText.setText(sentences.window(state.window))
        ui.windowButton.setEnabled(state.phase not in ("idle", "propagating"))

    @slot
    def _on_volume(self, node: Any) -> None:
        self._choose(self._context.selection.choose_volume, node)

    @slot
    def _on_segmentation(self, node: Any) -> None:
        self._choose(self._context.selection.choose_segmentation, node)

    def _on_selection(self, *_: Any) -> None:
        """The table also tells of this while it fills itself anew; what it shows after that is what counts."""
        self._timer.start()

    @slot
    def _on_segment(self) -> None:
        chosen = list(self._context.ui.segmentsTable.selectedSegmentIDs())
        if len(chosen) == 1 and chosen[0] != self._context.selection.segment_id:
            self._choose(self._context.selection.choose_segment, chosen[0])

    def _choose(self, choose: Any, what: Any) -> None:
        """What the user chose: not what the panel itself shows, nor what selectors do as a scene goes or comes."""
        if self._showing or self.renewing():
            return
        self._context.forget()
        try:
            choose(what)
        finally:
            self._context.refresh()

    @slot
    def _on_add(self) -> None:
        self._context.forget()
        try:
            self._context.selection.add_segment()
        finally:
            self._context.refresh()

    @slot
    def _on_status(self, index: int) -> None:
        chosen = self._context.selection
        if chosen.segment_id and index >= 0:
            choose_status(chosen.segmentation, chosen.segment_id, STATUSES[index])
            self._context.refresh()

    @slot
    def _on_window(self) -> None:
        self._context.controller.use_current_window()
