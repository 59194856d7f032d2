"""The rectangle that follows the mouse while a box is dragged, in one slice view."""

from __future__ import annotations

from typing import Any

import vtk

COLOR = (0.1, 0.8, 0.2)
WIDTH = 2.0

Corner = tuple[int, int]


class BoxOutline:
    """A rectangle in display pixels of a view, from its lower left corner; drawn above everything.

    Args:
        view: a SliceView.
    """

    def __init__(self, view: Any) -> None:
        self._view = view
        self._points = vtk.vtkPoints()
        self._points.SetNumberOfPoints(4)
        lines = vtk.vtkCellArray()
        lines.InsertNextCell(5)
        for corner in (0, 1, 2, 3, 0):
            lines.InsertCellPoint(corner)
        self._shape = vtk.vtkPolyData()
        self._shape.SetPoints(self._points)
        self._shape.SetLines(lines)
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self._shape)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(mapper)
        self._actor.GetProperty().SetColor(*COLOR)
        self._actor.GetProperty().SetLineWidth(WIDTH)
        view.renderer.AddViewProp(self._actor)

    def show(self, first: Corner, last: Corner) -> None:
        """Draws it between two opposite corners."""
        (x0, y0), (x1, y1) = first, last
        for place, (x, y) in enumerate(((x0, y0), (x1, y0), (x1, y1), (x0, y1))):
            self._points.SetPoint(place, x, y, 0.0)
        self._points.Modified()
        self._shape.Modified()
        self._view.widget.scheduleRender()

    def close(self) -> None:
        """Takes it out of the view."""
        self._view.renderer.RemoveViewProp(self._actor)
        self._view.widget.scheduleRender()
