"""Prompts by the mouse: clicks and drags in the slice views, taken while everything else of the mouse goes on.

The interactor is observed before Slicer's own styles, and an event is kept from them only where it is a prompt: the
left button without Shift or Alt, in view-transform mode, not over a mark that could be dragged. Scroll, pan, zoom,
window and level stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import slicer

from MedSAM2Lib.errors import PromptError
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.left_button import LeftButton
from MedSAM2SlicerLib.panel.outline import BoxOutline, Corner
from MedSAM2SlicerLib.scene.nodes import nodes_of

LEAST_DRAG = 4
"""Pixels below which a drag is no box."""


@dataclass(frozen=True)
class Tool:
    """What the mouse does: ``point`` or ``box``, or nothing; and whether a plain click means the object."""

    kind: str = ""
    positive: bool = True


class ClickTarget(Protocol):
    """Takes prompts at display pixels of a view, from its lower left corner."""

    def point(self, view: application.SliceView, xy: Corner, positive: bool) -> None: ...

    def box(self, view: application.SliceView, first: Corner, last: Corner) -> None: ...

    def report(self, error: BaseException) -> None: ...


class ViewClicks:
    """The mouse in all slice views, from ``start`` to ``stop``.

    Args:
        target: takes the prompts.
        tool: asked at every press.
        aside: says that somebody else has the mouse, such as an effect of the segment editor.
    """

    def __init__(self, target: ClickTarget, tool: Callable[[], Tool], aside: Callable[[], bool]) -> None:
        self._target = target
        self._tool = tool
        self._aside = aside
        self._views: list[_ViewMouse] = []

    def start(self) -> None:
        """Observes the views that there are now."""
        self.stop()
        self._views = [_ViewMouse(view, self._target, self._tool_now) for view in application.slice_views()]

    def stop(self) -> None:
        """Lets go of all views."""
        for view in self._views:
            view.close()
        self._views = []

    def cancel(self) -> bool:
        """Drops a drag under way; says whether there was one."""
        dragging = [view.cancel() for view in self._views]
        return any(dragging)

    def _tool_now(self) -> Tool:
        free = not self._aside() and application.mouse_only_looks() and not is_over_a_mark()
        return self._tool() if free else Tool()


class _ViewMouse:
    """The mouse in one view."""

    def __init__(self, view: application.SliceView, target: ClickTarget, tool: Callable[[], Tool]) -> None:
        self._view = view
        self._target = target
        self._tool = tool
        self._held: Tool | None = None
        self._negative = False
        self._start: Corner = (0, 0)
        self._outline: BoxOutline | None = None
        self._button = LeftButton(view.interactor, self._on_press, self._on_move, self._on_release)

    def close(self) -> None:
        self.cancel()
        self._button.close()

    def cancel(self) -> bool:
        dragging, self._held = self._held is not None, None
        if self._outline is not None:
            self._outline.close()
            self._outline = None
        return dragging

    def report(self, error: BaseException) -> None:
        self.cancel()
        self._target.report(error)

    @slot
    def _on_press(self, interactor: Any, event: str) -> None:
        tool = self._tool()
        if not tool.kind or interactor.GetShiftKey() or interactor.GetAltKey():
            return
        self._held, self._start = tool, interactor.GetEventPosition()
        self._negative = bool(interactor.GetControlKey())
        self._button.keep(event)

    @slot
    def _on_move(self, interactor: Any, event: str) -> None:
        if self._held is None:
            return
        if self._held.kind == "box":
            if self._outline is None:
                self._outline = BoxOutline(self._view)
            self._outline.show(self._start, interactor.GetEventPosition())
        self._button.keep(event)

    @slot
    def _on_release(self, interactor: Any, event: str) -> None:
        held = self._held
        if held is None:
            return
        self._button.keep(event)
        self.cancel()
        end = interactor.GetEventPosition()
        dragged = max(abs(end[0] - self._start[0]), abs(end[1] - self._start[1])) >= LEAST_DRAG
        if held.kind == "point":
            self._target.point(self._view, self._start, held.positive and not self._negative)
        elif dragged:
            self._target.box(self._view, self._start, end)
        else:
            raise PromptError("E_BOX_SMALL", "Drag the box: press at one corner of the object, let go at the other.")


def is_over_a_mark() -> bool:
    """Whether the mouse is over a markup that a press would drag."""
    displays = nodes_of(slicer.mrmlScene, "vtkMRMLMarkupsDisplayNode")
    return any(display.GetVisibility() and display.HasActiveComponent() for display in displays)
