"""The pages that the panel shows below its main flow, each with what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from MedSAM2Lib.types import Axis, SliceKey
from MedSAM2SlicerLib import dicom_database
from MedSAM2SlicerLib.export.service import DicomSeg
from MedSAM2SlicerLib.panel.device_page import DevicePage
from MedSAM2SlicerLib.panel.export_page import ExportPage
from MedSAM2SlicerLib.panel.export_run import ExportRun
from MedSAM2SlicerLib.panel.memory_page import MemoryPage
from MedSAM2SlicerLib.panel.model_page import ModelPage
from MedSAM2SlicerLib.panel.seg_reading import SegReading
from MedSAM2SlicerLib.panel.setup_page import SetupPage
from MedSAM2SlicerLib.panel.slicer_terms import SlicerTerms
from MedSAM2SlicerLib.panel.this_machine import EngineMachine, InstalledModels, PackageInstaller
from MedSAM2SlicerLib.panel.ticker import QtTicker
from MedSAM2SlicerLib.panel.timers import PollTimer
from MedSAM2SlicerLib.panel.training_page import TrainingPage
from MedSAM2SlicerLib.session.cases import Cases

if TYPE_CHECKING:
    from MedSAM2SlicerLib.panel.widget import MedSAM2Panel


class Pages:
    """Makes the pages and adds them to a panel; while something is missing, Setup is first and open.

    Args:
        panel: the panel; its session, settings and views serve the pages.
    """

    def __init__(self, panel: MedSAM2Panel) -> None:
        self._panel = panel
        report, settings = panel.report, panel.settings
        self.memory = MemoryPage(panel.controller, self._jump, self._index_in_view, report)
        models = InstalledModels(lambda: settings.models_folder, PollTimer(report))
        self.models = ModelPage(models, self._choose_model, report)
        machine = EngineMachine(panel.engine_factory, lambda: panel.state.model)
        self.device = DevicePage(machine, panel.worker.submit, QtTicker(report), settings, report)
        self.setup = SetupPage(PackageInstaller(), panel.refresh, report)
        cases = Cases(lambda: panel.selection, lambda: panel.state.window, panel.controller.settle)
        self.training = TrainingPage(cases, settings, report)
        self.export = self._export_page()
        rest = (self.memory, self.export, self.training, self.models, self.device)
        for page in (*rest, self.setup) if self.setup.ready else (self.setup, *rest):
            panel.add_page(page)
        self.export.widget.parent().connect("contentsCollapsed(bool)", self.export.opened)
        if not self.setup.ready:
            self.setup.widget.parent().collapsed = False

    def show_slice_in_view(self) -> None:
        """The views show another slice."""
        self.memory.show_slice_in_view()

    def close(self) -> None:
        """Ends what is under way: a download, a measurement."""
        self.models.cancel()
        self.device.close()
        self.export.close()

    def _export_page(self) -> ExportPage:
        panel = self._panel
        exports = DicomSeg(lambda: panel.selection, panel.controller.settle, dicom_database.file_of_instance)
        run = ExportRun(panel.worker.submit, QtTicker(panel.report), dicom_database, exports.put_under_study)
        reading = SegReading(exports, run, self._choose_segmentation, panel.report)
        return ExportPage(
            exports,
            run,
            reading,
            SlicerTerms(dicom_database, lambda: panel.selection.segmentation, panel.report),
            panel.settings,
            self._choose_segmentation,
            panel.report,
        )

    def _choose_segmentation(self, node: Any) -> None:
        """Another segmentation at hand; the one before is hidden."""
        before = self._panel.selection.segmentation
        if node is not before:
            if before is not None:
                before.SetDisplayVisibility(False)
            self._panel.selection.choose_segmentation(node)
            self._panel.refresh()

    def _jump(self, key: SliceKey) -> None:
        if self._panel.selection.volume is not None:
            self._panel.views.show_slice(self._panel.selection.volume, key)

    def _index_in_view(self, axis: Axis) -> int | None:
        volume = self._panel.selection.volume
        return None if volume is None else self._panel.views.index_along(axis, volume)

    def _choose_model(self, name: str) -> None:
        self._panel.selection.parameters.model = name
        self._panel.controller.set_model(name)
