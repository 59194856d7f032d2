"""Reading a DICOM-SEG back onto the chosen volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import ctk
from slicer.i18n import tr as _

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2SlicerLib.export.reading import FoundSegments, ReadingJob, ReadSegmentation
from MedSAM2SlicerLib.panel.export_run import ExportRun
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.page_parts import column, push_button, row, text_label
from MedSAM2SlicerLib.panel.sentences import said
from MedSAM2SlicerLib.session.state import SessionState


class Reads(Protocol):
    """``export.service.DicomSeg``."""

    @property
    def can_read(self) -> bool: ...

    def prepare_reading(self, path: Path) -> ReadingJob: ...

    def put_into_scene(self, found: FoundSegments) -> ReadSegmentation: ...


class SegReading:
    """A file's path, and the button that makes a segmentation of it.

    Args:
        reads: does it.
        run: on the engine's thread, as long as nothing else is read or written.
        choose_segmentation: takes the new segmentation at hand.
        report: shows what nobody foresaw.
    """

    def __init__(
        self,
        reads: Reads,
        run: ExportRun,
        choose_segmentation: Callable[[Any], None],
        report: Callable[[BaseException], None],
    ) -> None:
        self.report = report
        self._reads, self._run, self._choose = reads, run, choose_segmentation
        self._busy = False
        self._file = ctk.ctkPathLineEdit()
        self._file.objectName = "ReadSegEdit"
        self._file.filters = ctk.ctkPathLineEdit.Files
        self._file.connect("currentPathChanged(QString)", lambda _path: self.allow())
        self._read = push_button(
            "ReadSegButton",
            _("Read DICOM-SEG"),
            self._pressed,
            _("A new segmentation on the chosen volume, which can be prompted and corrected further"),
        )
        self._said = text_label("ReadSegSaidLabel")
        file_label = text_label("ReadSegLabel", _("DICOM-SEG file"), self._file)
        self.widget = column(row(file_label, self._file, self._read), self._said)
        self.allow()

    def render(self, state: SessionState) -> None:
        """Nothing is read while the engine is at work."""
        self._busy = state.busy
        self.allow()

    def allow(self) -> None:
        """The button, where there is a file and a volume, and nothing else is under way."""
        idle = not self._busy and not self._run.running
        self._read.enabled = bool(self._file.currentPath.strip()) and idle and self._reads.can_read

    @slot
    def _pressed(self) -> None:
        self._said.setText("")
        try:
            job = self._reads.prepare_reading(Path(self._file.currentPath.strip()).expanduser())
        except MedSAM2Error as error:
            self._said.setText(said(error))
            return
        self._run.read(_("Reading the DICOM-SEG"), job.run, self._found, self._said.setText)

    def _found(self, found: FoundSegments) -> None:
        try:
            read = self._reads.put_into_scene(found)
        except MedSAM2Error as error:
            self._said.setText(said(error))
            return
        self._choose(read.node)
        count = read.node.GetSegmentation().GetNumberOfSegments()
        text = _("Read: {count} segments, in {name}.").format(count=count, name=read.node.GetName())
        self._said.setText("\n".join([text, *(str(warning.text) for warning in read.warnings)]))
