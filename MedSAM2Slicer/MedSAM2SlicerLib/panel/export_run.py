"""Writing a DICOM-SEG beside the event loop, with a progress bar: into a folder, or into the DICOM database."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
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
CLOSING_SECONDS = 30.0
"""How long the end of a file under way is waited for where the panel closes; as long as for a preview."""


_log = logging.getLogger(__name__)


class Database(Protocol):
    """``dicom_database``."""

    def can_import(self) -> bool: ...

    def import_folder(self, folder: Path) -> bool: ...


class ExportRun:
    """One file at a time.

    ``done`` gets the job, what was written, and the folder, None for the database; ``refused`` the job and what was
    written where the database did not take it: its path is where it lies now. ``failed`` gets a sentence.
    ``changed`` is called when work begins and when it has ended.

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
        self.changed: Callable[[], None] = lambda: None
        self.refused: Callable[[ExportJob, Written], None] = lambda job, written: None
        self.failed: Callable[[str], None] = lambda sentence: None
        self._submit, self._ticker, self._database = submit, ticker, database
        self._put_under_study = put_under_study
        self._work: Any = None
        self._job: ExportJob | None = None
        self._folder: Path | None = None
        self._spare = Path()
        self._temporary: Path | None = None
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

    def start(self, job: ExportJob, folder: Path | None, compact: bool, spare: Path) -> None:
        """Writes into a folder; None: into the DICOM database, by way of a temporary folder.

        ``spare`` is the folder for a file that the database does not take.
        """
        self._job, self._folder, self._spare = job, folder, spare
        self._temporary = Path(tempfile.mkdtemp(prefix="medsam2-seg-")) if folder is None else None
        target = folder if folder is not None else Path(str(self._temporary))
        self._share, self._what = 0.0, ""
        self.widget.show()
        self._work = self._submit(lambda: job.run(target, compact, self._tell))
        self._ticker.start(self._poll)
        self.changed()

    def read(
        self,
        doing: str,
        work: Callable[[], Any],
        then: Callable[[Any], None],
        failed: Callable[[str], None] | None = None,
    ) -> None:
        """Reads files on the engine's thread, and goes on with ``then``, which gets what ``work`` returned.

        ``doing`` is said meanwhile; ``failed`` gets a sentence in the place of this object's own.
        """
        self._bar.value = 0
        self._doing.setText(doing)
        self.widget.show()
        self._work = self._submit(work)
        self._ticker.start(lambda: self._poll_reading(then, failed or self.failed))
        self.changed()

    def _poll_reading(self, then: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        work = self._work
        if work is None or not work.wait(POLL_SECONDS):
            return
        self._rest()
        if work.error is not None:
            failed(said(SessionError.of(work.error)))
        else:
            then(work.result)

    def close(self) -> None:
        """Lets a file under way end and go where it should; headers that are being read are waited for no more.

        What the page can no longer say is in the application's log.
        """
        work, job = self._work, self._job
        if work is None or job is None:
            self._rest()
            return
        self.failed = _log.error
        if work.wait(CLOSING_SECONDS):
            self._end(work, job)
        else:
            self._rest()
            place = self._folder or self._temporary
            _log.error("A DICOM-SEG was still being written into %s when the panel was closed.", place)

    def _rest(self) -> None:
        self._ticker.stop()
        self._work = self._job = None
        self.widget.hide()
        self.changed()

    def _tell(self, share: float, what: str) -> None:
        """On the engine's thread."""
        self._share, self._what = share, what

    def _poll(self) -> None:
        work, job = self._work, self._job
        self._bar.value = round(PARTS * self._share)
        self._doing.setText(str(_(self._what)) if self._what else _("Writing"))
        if work is not None and job is not None and work.wait(POLL_SECONDS):
            self._end(work, job)

    def _end(self, work: Any, job: ExportJob) -> None:
        """The writer has ended: its file goes where it should, and is told of."""
        self._rest()
        if work.error is not None:
            self._remove_temporary()
            self.failed(said(SessionError.of(work.error)))
        elif self._folder is not None:
            self.done(job, work.result, self._folder)
        else:
            self._into_database(job, work.result)

    def _into_database(self, job: ExportJob, written: Written) -> None:
        """A file that the database does not take is kept, also where the database raises."""
        taken = False
        try:
            taken = self._database.import_folder(written.path.parent)
        finally:
            if not taken:
                self.refused(job, self._kept(written))
        if taken:
            self._remove_temporary()
            self._put_under_study()
            self.done(job, written, None)

    def _kept(self, written: Written) -> Written:
        """In the spare folder, where that can be; else where it was written."""
        target = self._spare / written.path.name
        partial = target.with_name(f"{target.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                return written
            shutil.copyfile(written.path, partial)
            partial.rename(target)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            return written  # the user is told where it lies
        self._remove_temporary()
        return replace(written, path=target)

    def _remove_temporary(self) -> None:
        """Only once its writer has ended and its file is somewhere else."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
