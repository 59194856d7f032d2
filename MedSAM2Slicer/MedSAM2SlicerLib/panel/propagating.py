"""Section "Propagate": over which slices, how, what it will cost, and how far it is."""

from __future__ import annotations

from MedSAM2Lib.types import Orientations
from MedSAM2SlicerLib.panel import sentences
from MedSAM2SlicerLib.panel.context import Context, show_choice
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.session.state import SessionState

ORIENTATIONS: tuple[Orientations, ...] = ("3", "1", "auto")
MEMORIES = ("self-sorting", "temporal", "key-slice")
"""Both in the order of their drop-downs."""


class PropagatingSection:
    """Range, orientations, memory, estimate, progress, and the three buttons.

    Args:
        context: shared by the panel's parts.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        ui = context.ui
        ui.rangeWidget.connect("valuesChanged(double,double)", self._on_range)
        ui.wholeButton.connect("clicked()", self._on_whole)
        ui.orientationsCombo.connect("currentIndexChanged(int)", self._on_orientations)
        ui.memoryCombo.connect("currentIndexChanged(int)", self._on_memory)
        ui.propagateButton.connect("clicked()", self.propagate)
        ui.acceptButton.connect("clicked()", self.accept)
        ui.stopButton.connect("clicked()", self.stop)

    def report(self, error: BaseException) -> None:
        self._context.report(error)

    def take_options(self) -> None:
        """The session gets the options that the scene was saved with."""
        parameters, controller = self._context.selection.parameters, self._context.controller
        controller.set_orientations(parameters.orientations)
        if parameters.memory:
            controller.set_memory(parameters.memory)
        if parameters.model:
            controller.set_model(parameters.model)

    def render(self, state: SessionState) -> None:
        ui = self._context.ui
        at_rest = state.phase in ("ready", "reviewing")
        self._show_range(state)
        ui.rangeWidget.setEnabled(at_rest and state.range is not None)
        ui.wholeButton.setEnabled(at_rest and state.range is not None)
        for combo in (ui.orientationsCombo, ui.memoryCombo):
            combo.setEnabled(not state.busy)
        show_choice(ui.orientationsCombo, ORIENTATIONS.index(state.orientations))
        show_choice(ui.memoryCombo, MEMORIES.index(state.memory) if state.memory in MEMORIES else -1)
        ui.estimateText.setText("" if state.busy else sentences.estimates(self._context.controller.estimates()))
        ui.propagateButton.setEnabled(at_rest and bool(state.keyframes))
        ui.acceptButton.setEnabled(at_rest and bool(state.previewed))
        ui.stopButton.setEnabled(state.phase == "propagating")
        self._show_progress(state)

    @slot
    def propagate(self) -> None:
        """Enter."""
        self._context.forget()
        self._context.controller.propagate()

    @slot
    def accept(self) -> None:
        """Shift+Enter."""
        self._context.forget()
        self._context.controller.accept_slice()

    @slot
    def stop(self) -> None:
        """Esc."""
        self._context.forget()
        self._context.controller.stop()

    def _show_range(self, state: SessionState) -> None:
        widget = self._context.ui.rangeWidget
        last = max(state.slice_count - 1, 0)
        first, end = state.range or (0, last)
        blocked = widget.blockSignals(True)
        widget.setRange(0, last)
        widget.setValues(first, end)
        widget.blockSignals(blocked)

    def _show_progress(self, state: SessionState) -> None:
        bar = self._context.ui.progressBar
        bar.setVisible(state.progress is not None)
        if state.progress is not None:
            bar.setMaximum(max(state.progress.total, 1))
            bar.setValue(min(state.progress.done, state.progress.total))
            bar.setFormat(sentences.progress(state.progress))

    @slot
    def _on_range(self, first: float, last: float) -> None:
        self._context.forget()
        self._context.controller.set_range(round(first), round(last))

    @slot
    def _on_whole(self) -> None:
        self._context.forget()
        self._context.controller.whole_volume()

    @slot
    def _on_orientations(self, index: int) -> None:
        self._context.selection.parameters.orientations = ORIENTATIONS[index]
        self._context.controller.set_orientations(ORIENTATIONS[index])

    @slot
    def _on_memory(self, index: int) -> None:
        self._context.selection.parameters.memory = MEMORIES[index]
        self._context.controller.set_memory(MEMORIES[index])
