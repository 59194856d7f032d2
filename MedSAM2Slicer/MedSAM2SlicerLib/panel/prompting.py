"""Section "Prompts": the tools of the mouse, and what a click in a view becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from MedSAM2SlicerLib.application import SliceView
from MedSAM2SlicerLib.panel.clicks import Tool
from MedSAM2SlicerLib.panel.context import Context, show_latched
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.icons import tool_icon
from MedSAM2SlicerLib.panel.outline import Corner
from MedSAM2SlicerLib.panel.selection import shown_volume
from MedSAM2SlicerLib.scene.geometry import check_volume
from MedSAM2SlicerLib.scene.view_places import view_to_clipped_ijk
from MedSAM2SlicerLib.scene.views import view_axis, view_to_ijk
from MedSAM2SlicerLib.session.state import SessionState

ICONS = {"pointButton": "point", "negativeButton": "negative", "boxButton": "box"}
TOOLS = {"pointButton": Tool("point", True), "negativeButton": Tool("point", False), "boxButton": Tool("box", True)}


class PromptingSection:
    """Latched tools, undo and redo; takes clicks as a ``ClickTarget``.

    Args:
        context: shared by the panel's parts.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: Callable[[], None] | None = None
        for name, tool in TOOLS.items():
            button = getattr(context.ui, name)
            button.connect("toggled(bool)", lambda checked, tool=tool: self._on_tool(tool, checked))
        context.ui.undoButton.connect("clicked()", self.undo)
        context.ui.redoButton.connect("clicked()", self.redo)
        context.ui.clearButton.connect("clicked()", self._on_clear)

    def report(self, error: BaseException) -> None:
        self._context.report(error)

    def tool(self) -> Tool:
        """The tool that is latched."""
        parameters = self._context.selection.parameters
        return Tool(parameters.tool, parameters.positive or parameters.tool == "box")

    def latch(self, tool: Tool) -> None:
        """Takes a tool in hand; ``Tool()`` puts it away."""
        parameters = self._context.selection.parameters
        parameters.tool, parameters.positive = tool.kind, tool.positive
        self._context.refresh()

    def point(self, view: SliceView, xy: Corner, positive: bool) -> None:
        """A click at display pixels of a view."""
        self._context.forget()
        volume = self._volume_of(view)
        ijk = view_to_ijk(view.node, xy, volume)
        axis, _tilt = view_axis(view.node, volume)
        self._with_segment(lambda: self._context.controller.add_point(ijk, axis, positive))

    def box(self, view: SliceView, first: Corner, last: Corner) -> None:
        """A drag between two positions of a view; it ends at the volume's edge."""
        self._context.forget()
        volume = self._volume_of(view)
        start = view_to_ijk(view.node, first, volume)
        end = view_to_clipped_ijk(view.node, last, volume)
        axis, _tilt = view_axis(view.node, volume)
        self._with_segment(lambda: self._context.controller.add_box(start, end, axis))

    def render(self, state: SessionState) -> None:
        ui, tool = self._context.ui, self.tool()
        for name, one in TOOLS.items():
            button = getattr(ui, name)
            show_latched(button, one == tool)
            button.setIcon(tool_icon(ICONS[name], button.palette))
        ui.promptsHint.setText(self._hint(tool))
        ui.undoButton.setEnabled(state.can_undo and state.phase != "propagating")
        ui.redoButton.setEnabled(state.can_redo and state.phase != "propagating")
        ui.clearButton.setEnabled(bool(state.keyframes))
        if self._waiting is not None and self._context.selection.is_open:
            call, self._waiting = self._waiting, None
            call()

    @slot
    def undo(self) -> None:
        """One step back."""
        self._context.forget()
        self._context.controller.undo()

    @slot
    def redo(self) -> None:
        """One step forward again."""
        self._context.forget()
        self._context.controller.redo()

    @slot
    def _on_clear(self) -> None:
        self._context.forget()
        self._context.controller.clear_prompts()

    @slot
    def _on_tool(self, tool: Tool, checked: bool) -> None:
        self._context.forget()
        self.latch(tool if checked else Tool())

    @staticmethod
    def _hint(tool: Tool) -> str:
        if tool.kind == "box":
            return _("Drag a box around the object on any slice.")
        if tool.kind == "point" and tool.positive:
            return _("Click into the object; Ctrl+click what is not the object.")
        if tool.kind == "point":
            return _("Click what is not the object.")
        return _("Choose a tool to prompt; the mouse pans and zooms as always.")

    def _volume_of(self, view: SliceView) -> Any:
        """The chosen volume; where none is, the one that the view shows."""
        chosen = self._context.selection
        chosen.adopt_volume(shown_volume(self._context.scene, view.node))
        check_volume(chosen.volume)
        return chosen.volume

    def _with_segment(self, call: Callable[[], None]) -> None:
        """At once, or when the session has opened the segment that was just made."""
        chosen = self._context.selection
        try:
            chosen.ensure_segment()
        finally:
            self._context.refresh()
        if chosen.is_open:
            call()
        else:
            self._waiting = call
