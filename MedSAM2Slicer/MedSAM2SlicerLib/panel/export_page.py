"""Export DICOM-SEG: what stands in its way, each with its remedy; then one button. And reading one back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import ctk
import qt
from slicer.i18n import tr as _

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2SlicerLib.export.exporting import ExportJob, Written
from MedSAM2SlicerLib.export.lines import FixKey, Line, ready
from MedSAM2SlicerLib.panel.export_lines import LineList
from MedSAM2SlicerLib.panel.export_run import ExportRun
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.page_parts import choice_box, column, push_button, row, size_text, text_label
from MedSAM2SlicerLib.panel.sentences import said
from MedSAM2SlicerLib.panel.slicer_terms import SlicerTerms
from MedSAM2SlicerLib.session.state import SessionState

FOLDER_NAME = "DICOM-SEG"
_log = logging.getLogger(__name__)


class Exports(Protocol):
    """``export.service.DicomSeg``."""

    @property
    def state(self) -> object: ...

    def choose_folder(self, folder: Path | None) -> None: ...

    def forget(self) -> None: ...

    def reading(self) -> Callable[[], None] | None: ...

    def lines(self) -> tuple[Line, ...]: ...

    def mend(self, fix: FixKey) -> Any: ...

    def settle(self) -> None: ...

    def prepare(self) -> ExportJob: ...

    def keep(self, job: ExportJob, written: Written) -> None: ...


class Settings(Protocol):
    """``panel.user_settings.UserSettings``."""

    export_folder: str


class ExportPage:
    """Looks when it is opened, and again when what it has looked at has changed; writes at the button.

    Args:
        exports: looks, mends, prepares.
        run: writes, with a progress bar, into a folder or the DICOM database.
        reading: the part below that reads a file; has ``widget``, ``render`` and ``allow``.
        terms: offers Slicer's own terminology; has ``widget`` and ``show``.
        settings: remember the folder.
        choose_segmentation: takes a segmentation at hand.
        report: shows what nobody foresaw.
    """

    def __init__(
        self,
        exports: Exports,
        run: ExportRun,
        reading: Any,
        terms: SlicerTerms,
        settings: Settings,
        choose_segmentation: Callable[[Any], None],
        report: Callable[[BaseException], None],
    ) -> None:
        self.report = report
        self._exports, self._run, self._reading, self._settings = exports, run, reading, settings
        self._terms, self._choose = terms, choose_segmentation
        self._lines: tuple[Line, ...] = ()
        self._looked_at: object = None
        self._busy = self._had_database = False
        self.title = _("Export DICOM-SEG")
        self._list = LineList(self._pressed_fix)
        self._source = self._path_edit("ExportSourceEdit", self._chose_source)
        self._source_row = row(text_label("ExportSourceLabel", _("Folder of the series"), self._source), self._source)
        self._source_row.hide()
        self._places = choice_box("ExportPlaceBox", [_("Folder"), _("DICOM database")], self._chose_place)
        folder = settings.export_folder or str(Path.home() / FOLDER_NAME)
        self._folder = self._path_edit("ExportFolderEdit", self._changed_folder, folder)
        self._compact = qt.QCheckBox(_("Compact"))
        self._compact.objectName = "ExportCompactCheck"
        self._compact.setToolTip(_("Up to 100 times smaller; older programs may not read it"))
        self._look = push_button("ExportLookButton", _("Check again"), self.look_anew)
        self._export = push_button("ExportButton", _("Export"), self._pressed_export)
        self._why = text_label("ExportWhyLabel")
        self._said = text_label("ExportSaidLabel")
        place_label = text_label("ExportPlaceLabel", _("Write into"), self._places)
        self.widget = column(
            self._list.widget,
            self._source_row,
            terms.widget,
            row(place_label, self._places, self._folder),
            row(self._compact, self._look, self._export),
            self._why,
            run.widget,
            self._said,
            reading.widget,
        )
        run.done = self._written
        run.changed = self._show
        run.refused = self._refused
        run.failed = self._failed
        self._places.hide()
        self._offer_places()
        self._show()

    def render(self, state: SessionState) -> None:
        """Nothing is written while the engine is at work; what has changed is looked at again if anybody sees it."""
        self._busy = state.busy
        self._reading.render(state)
        if self.widget.visible and not self._busy and not self._run.running:
            self.look()
        self._show()

    @slot
    def look(self, anew: bool = False) -> None:
        """Makes the list anew where something has changed since, or in any case."""
        now = self._exports.state
        if self._run.running or (now == self._looked_at and not anew):
            return
        if anew:
            self._exports.forget()
        reading = None if now is None else self._exports.reading()
        if reading is not None:
            self._run.read(_("Reading the series"), reading, self._have_read)
            return
        self._looked_at, self._lines = now, ()
        try:
            self._lines = () if now is None else self._exports.lines()
        except MedSAM2Error as error:
            self._said.setText(said(error))
        self._show()

    def _have_read(self, _nothing: object) -> None:
        self._looked_at = None
        self.look()

    @slot
    def look_anew(self) -> None:
        """Reads the series again, too."""
        self._offer_places()
        self.look(True)

    @slot
    def opened(self, collapsed: bool) -> None:
        """The section was opened, or closed."""
        if not collapsed:
            self._offer_places()
            self.look()

    def close(self) -> None:
        """A file under way is still finished; what would be said is logged."""
        self._run.done = lambda job, written, _folder: self._exports.keep(job, written)
        self._run.refused = self._log_refused
        self._run.close()

    def _show(self) -> None:
        idle = not self._busy and not self._run.running
        self._list.show(self._lines, idle)
        self._reading.allow()
        nothing = _("Choose a volume and a segmentation first.")
        if self._exports.state is None:
            self._said.setText(nothing)
        elif self._said.text == nothing:
            self._said.setText("")
        self._terms.show(useful=bool(self._lines))
        self._folder.visible = not self._into_database
        why = self._why_not()
        self._why.setText(why)
        self._why.setVisible(bool(why))
        self._export.enabled = idle and bool(self._lines) and not why
        self._look.enabled = idle

    def _why_not(self) -> str:
        """What the user must do before a file can be written; nothing where that can be."""
        if self._lines and not ready(self._lines):
            return str(_('Nothing can be exported before the lines that say "not yet" are mended.'))
        if not self._into_database and not self._folder.currentPath.strip():
            return str(_("Name a folder to write into."))
        return str(_("The engine is at work: Esc stops it.")) if self._busy and self._lines else ""

    @property
    def _into_database(self) -> bool:
        return self._run.has_database and self._places.currentIndex == 1

    def _offer_places(self) -> None:
        """The database is offered, and first taken, where there is one."""
        has_database = self._run.has_database
        if has_database != self._had_database:
            self._places.setCurrentIndex(1 if has_database else 0)
            self._places.visible = self._had_database = has_database

    def _path_edit(self, name: str, changed: Callable[[str], None], path: str = "") -> Any:
        edit = ctk.ctkPathLineEdit()
        edit.objectName = name
        edit.filters = ctk.ctkPathLineEdit.Dirs
        edit.currentPath = path
        edit.connect("currentPathChanged(QString)", changed)
        return edit

    @slot
    def _pressed_fix(self, fix: FixKey) -> None:
        if fix == "choose folder":
            self._source_row.show()
            self._source.setFocus()
            return
        try:
            self._choose(self._exports.mend(fix))
        except MedSAM2Error as error:
            self._said.setText(said(error))
        else:
            self._said.setText("")
        self.look()

    @slot
    def _chose_source(self, path: str) -> None:
        folder = Path(path.strip()).expanduser()
        usable = bool(path.strip()) and folder.is_dir()
        try:
            self._exports.choose_folder(folder if usable else None)
        except MedSAM2Error as error:
            self._said.setText(said(error))
            return
        self._said.setText("")
        self.look()
        if path.strip() and not usable:
            self._said.setText(_("{path} is no folder: name the one with the series.").format(path=folder))

    @slot
    def _chose_place(self, _place: int) -> None:
        self._show()

    @slot
    def _changed_folder(self, _path: str) -> None:
        self._show()

    @slot
    def _pressed_export(self) -> None:
        try:
            self._exports.settle()
            self.look()
            if self._run.running:
                self._said.setText(_("The series is read again first: press Export once more then."))
                return
            job = self._exports.prepare()
        except MedSAM2Error as error:
            self._said.setText(said(error))
            return
        self._said.setText("")
        named = Path(self._folder.currentPath.strip() or Path.home() / FOLDER_NAME).expanduser()
        self._run.start(job, None if self._into_database else named, self._compact.checked, spare=named)

    def _written(self, job: ExportJob, written: Written, folder: Path | None) -> None:
        self._exports.keep(job, written)
        if folder is not None:
            self._settings.export_folder = str(folder)
        self.look()
        self._said.setText(_result(written, folder))
        self._show()

    def _refused(self, job: ExportJob, written: Written) -> None:
        """The file is as good as any, only not in the database."""
        self._exports.keep(job, written)
        self.look()
        self._said.setText(_not_taken(written))
        self._show()

    def _log_refused(self, job: ExportJob, written: Written) -> None:
        self._exports.keep(job, written)
        _log.error(_not_taken(written))

    def _failed(self, sentence: str) -> None:
        self._said.setText(sentence)
        self._show()


def _not_taken(written: Written) -> str:
    sentence = _("Slicer's DICOM database did not take the file, which is kept: {path}, {size}.")
    return str(sentence.format(path=written.path, size=size_text(written.size)))


def _result(written: Written, folder: Path | None) -> str:
    place = (
        str(written.path) if folder is not None else _("in the DICOM database, {name}").format(name=written.path.name)
    )
    text = _("Written: {place}, {size}, study {study}. Read back: identical.").format(
        place=place, size=size_text(written.size), study=written.study
    )
    return "\n".join([text, *(str(warning.text) for warning in written.warnings)])
