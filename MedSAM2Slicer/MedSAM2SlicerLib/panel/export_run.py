"""Writing a DICOM-SEG beside the event loop, with a progress bar: into a folder, or into the DICOM database."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import qt
from slicer.i18n import tr as _

from MedSAM2SlicerLib.export.exporting import ExportJob, Written
from MedSAM2SlicerLib.panel.page_parts import column, text_label
from MedSAM2SlicerLib.panel.sentences import said
from MedSAM2SlicerLib.session.ports import Ticker
from MedSAM2SlicerLib.session.state import SessionError

POLL_SECONDS = 0.015
PARTS = 100


class Database(Protocol):
    """``dicom_database``."""

    def can_import(self) -> bool: ...

    def import_folder(self, folder: Path) -> bool: ...


class ExportRun:
    """One file at a time.

    ``done`` gets the job, what was written, and the folder, None for the database; ``failed`` a sentence.

    Args:
        submit: puts a call on the engine's thread, as ``Worker.submit``; gives a job with ``done`` and the rest.
        ticker: polls the job.
        database: Slicer's DICOM database.
        put_under_study: moves what was exported to its study in the subject hierarchy.
    """

    def __init__(
        self,
        submit: Callable[[Callable[[], Any]], Any],
        ticker: Ticker,
        database: Database,
        put_under_study: Callable[[], object],
    ) -> None:
        self.done: Callable[[ExportJob, Written, Path | None], None] = lambda job, written, folder: None
        self.failed: Callable[[str], None] = lambda sentence: None
        self._submit, self._ticker, self._database = submit, ticker, database
        self._put_under_study = put_under_study
        self._work: Any = None
        self._job: ExportJob | None = None
        self._folder: Path | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._share, self._what = 0.0, ""
        self._bar = qt.QProgressBar()
        self._bar.objectName = "ExportProgressBar"
        self._bar.setRange(0, PARTS)
        self._doing = text_label("ExportDoingLabel")
        self.widget = column(self._bar, self._doing)
        self.widget.hide()

    @property
    def running(self) -> bool:
        """Whether a file is being written, or headers are read."""
        return self._work is not None

    @property
    def has_database(self) -> bool:
        """Whether files can go into a DICOM database."""
        return self._database.can_import()

    def start(self, job: ExportJob, folder: Path | None, compact: bool) -> None:
        """Writes into a folder; None: into the DICOM database, by way of a temporary folder."""
        self._job, self._folder = job, folder
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="medsam2-seg-")
        target = folder if folder is not None else Path(str(self._temporary and self._temporary.name))
        self._share, self._what = 0.0, ""
        self.widget.show()
        self._work = self._submit(lambda: job.run(target, compact, self._tell))
        self._ticker.start(self._poll)

    def read(self, work: Callable[[], None], then: Callable[[], None]) -> None:
        """Reads headers on the engine's thread, and goes on with ``then``."""
        self._bar.value = 0
        self._doing.setText(_("Reading the series"))
        self.widget.show()
        self._work = self._submit(work)
        self._ticker.start(lambda: self._poll_reading(then))

    def _poll_reading(self, then: Callable[[], None]) -> None:
        work = self._work
        if work is None or not work.wait(POLL_SECONDS):
            return
        self.close()
        if work.error is not None:
            self.failed(said(SessionError.of(work.error)))
        else:
            then()

    def close(self) -> None:
        """Waits for nothing any more; a file under way is still written whole or not at all."""
        self._ticker.stop()
        self._work = None
        self.widget.hide()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _tell(self, share: float, what: str) -> None:
        """On the engine's thread."""
        self._share, self._what = share, what

    def _poll(self) -> None:
        work, job, folder = self._work, self._job, self._folder
        self._bar.value = round(PARTS * self._share)
        self._doing.setText(str(_(self._what)) if self._what else "")
        if work is None or job is None or not work.wait(POLL_SECONDS):
            return
        error, written = work.error, work.result
        taken = error is None and (folder is not None or self._into_database(written))
        self.close()
        if error is not None:
            self.failed(said(SessionError.of(error)))
        elif not taken:
            self.failed(_("Slicer's DICOM database did not take the file: choose a folder instead."))
        else:
            self.done(job, written, folder)

    def _into_database(self, written: Written) -> bool:
        if not self._database.import_folder(written.path.parent):
            return False
        self._put_under_study()
        return True
