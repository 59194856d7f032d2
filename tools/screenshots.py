"""Pictures of the panel, made by the panel itself: the module on SlicerHost, the embedded model, a phantom.

    python -m tools.screenshots [FOLDER]

writes idle, propagating, reviewing, export and error, each on a light and on a dark palette, to Resources/Screenshots
by default. A display is not needed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from SlicerHost.start import Host

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
REPOSITORY = Path(__file__).resolve().parents[1]

SIZE = (1400, 1010)
TILT = 20.0
PATIENCE_S = 120.0
SEGMENT_COLOUR = (0.15, 0.70, 0.35)
"""Slicer's own is another one in each run."""


class Photographer:
    """Brings the panel into a state, and takes the picture.

    Args:
        host: the host, with the module's panel entered.
        panel: the panel.
        folder: where the pictures go.
    """

    def __init__(self, host: Host, panel: Any, folder: Path) -> None:
        self._host, self._panel, self._folder = host, panel, folder
        self._volume: Any = None
        self._truth: Any = None
        self._series = tempfile.TemporaryDirectory(prefix="medsam2-series-")

    def take_all(self, palette: str) -> None:
        """All pictures on one palette."""
        from SlicerHost import testing

        testing.set_palette(palette)
        for name, arrange in self._scenes().items():
            arrange()
            testing.save_picture(self._host.window, self._folder / f"{name}-{palette}.png")
            self._rest()
            print(f"{name}-{palette}.png")
        self._host.clear()

    def _scenes(self) -> dict[str, Callable[[], None]]:
        return {
            "idle": self._idle,
            "propagating": self._propagating,
            "reviewing": self._reviewing,
            "export": self._export,
            "error": self._error,
        }

    def _idle(self) -> None:
        from MedSAM2SlicerLib.sample_data import add_phantom, show

        from MedSAM2Lib.evaluation.phantom import make_phantom
        from SlicerHost import testing

        phantom = make_phantom()
        self._volume, self._truth = show(add_phantom(phantom)), phantom.truth
        testing.settle()
        self._show(self._key_slice())

    def _propagating(self) -> None:
        from MedSAM2SlicerLib.self_test import box_around

        from SlicerHost import testing

        first, last = box_around(self._truth)
        self._panel.ui.boxButton.click()
        testing.drag_ras("Red", testing.world_of(self._volume, first), testing.world_of(self._volume, last))
        self._rest()
        self._panel.selection.segmentation.GetSegmentation().GetNthSegment(0).SetColor(*SEGMENT_COLOUR)
        self._panel.ui.propagateButton.click()
        testing.wait_until(lambda: self._progress() > 0.55, PATIENCE_S)

    def _reviewing(self) -> None:
        self._panel.selection.segmentation.CreateClosedSurfaceRepresentation()
        self._host.app.layoutManager().resetThreeDViews()
        self._show(self._key_slice())

    def _export(self) -> None:
        """The list before a DICOM-SEG, with a segment whose codes are suggested and one that is empty."""
        from MedSAM2SlicerLib.scene.geometry import volume_data

        from MedSAM2Lib.volume.io import write_dicom_series
        from SlicerHost import testing

        write_dicom_series(self._series.name, volume_data(self._volume))
        page, selection = self._panel.pages.export, self._panel.selection
        page._exports.choose_folder(Path(self._series.name))
        segments = selection.segmentation.GetSegmentation()
        segments.GetSegment(selection.segment_id).SetName("right kidney")
        segments.AddEmptySegment("tumour", "tumour")
        page.widget.findChild(object, "ExportFolderEdit").currentPath = "/data/DICOM-SEG"
        section = page.widget.parent()
        section.collapsed = False
        testing.wait_until(lambda: not page._run.running, PATIENCE_S)
        testing.settle()
        self._scroll_to(section)

    def _scroll_to(self, widget: Any) -> None:
        """Shows a part of the panel whole."""
        from SlicerHost import testing

        parent = widget.parent()
        while not hasattr(parent, "ensureWidgetVisible"):
            parent = parent.parent()
        parent.ensureWidgetVisible(widget)
        testing.settle()

    def _error(self) -> None:
        import vtk

        from SlicerHost import testing

        self._panel.pages.export.widget.parent().collapsed = True
        self._scroll_to(self._panel.ui.statusText)
        node = testing.slice_view("Red").mrmlSliceNode()
        turn, tilted = vtk.vtkTransform(), vtk.vtkMatrix4x4()
        turn.RotateX(TILT)
        vtk.vtkMatrix4x4.Multiply4x4(turn.GetMatrix(), node.GetSliceToRAS(), tilted)
        node.GetSliceToRAS().DeepCopy(tilted)
        node.UpdateMatrices()
        testing.settle()
        view = testing.slice_view("Red")
        self._panel.ui.pointButton.click()
        testing.click(view, testing.QtCore.QPointF(view.width * 0.3, view.height * 0.3))

    def _progress(self) -> float:
        progress = self._panel.state.progress
        return 0.0 if progress is None else progress.done / max(progress.total, 1)

    def _key_slice(self) -> tuple[float, float, float]:
        k = int(self._truth.sum(axis=(1, 2)).argmax())
        j, i = (float(places.mean()) for places in self._truth[k].nonzero())
        return i, j, float(k)

    def _show(self, ijk: tuple[float, float, float]) -> None:
        self._panel.views.show_voxel(self._volume, ijk)

    def _rest(self) -> None:
        from SlicerHost import testing

        testing.wait_until(lambda: not self._panel.controller.busy, PATIENCE_S)
        testing.settle()


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]) if arguments else REPOSITORY / "Resources" / "Screenshots"
    from SlicerHost.start import open_host

    folder.mkdir(parents=True, exist_ok=True)
    host = open_host(testing=True)
    host.window.resize(*SIZE)
    host.window.show()
    module = host.load_module(REPOSITORY / "MedSAM2Slicer")
    photographer = Photographer(host, module.widgetRepresentation().self().panel, folder)
    for palette in ("light", "dark"):
        photographer.take_all(palette)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
