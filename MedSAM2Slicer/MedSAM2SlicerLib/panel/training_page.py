"""Saving what was corrected as a case to train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import ctk
from slicer.i18n import tr as _

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.page_parts import column, push_button, row, text_label
from MedSAM2SlicerLib.panel.sentences import said
from MedSAM2SlicerLib.session.state import SessionState


class Cases(Protocol):
    """``session.cases.Cases``."""

    @property
    def can_save(self) -> bool: ...

    def save(self, folder: Path) -> Path: ...


class Settings(Protocol):
    """``panel.user_settings.UserSettings``."""

    training_folder: str


class TrainingPage:
    """Writes image.nrrd, mask.seg.nrrd and provenance.json into a folder.

    Args:
        cases: saves.
        settings: remember the folder.
        report: shows what nobody foresaw.
    """

    def __init__(self, cases: Cases, settings: Settings, report: Callable[[BaseException], None]) -> None:
        self._cases = cases
        self._settings = settings
        self.report = report
        self._busy = False
        self.title = _("Training case")
        self._folder = ctk.ctkPathLineEdit()
        self._folder.objectName = "TrainingFolderEdit"
        self._folder.filters = ctk.ctkPathLineEdit.Dirs
        self._folder.currentPath = settings.training_folder
        self._folder.connect("currentPathChanged(QString)", lambda _path: self._allow())
        self._save = push_button(
            "SaveTrainingCaseButton",
            _("Save as training case"),
            self._pressed,
            _("Writes the volume, its segments and how they came about; `medsam2 train` reads such folders"),
        )
        self._said = text_label("TrainingSaidLabel")
        folder_label = text_label("TrainingFolderLabel", _("Folder of cases"), self._folder)
        self.widget = column(row(folder_label, self._folder), self._save, self._said)
        self._allow()

    def render(self, state: SessionState) -> None:
        """Nothing is saved while the engine is at work."""
        self._busy = state.busy
        self._allow()

    def _allow(self) -> None:
        named = bool(self._folder.currentPath.strip())
        self._save.enabled = named and not self._busy and self._cases.can_save

    @slot
    def _pressed(self) -> None:
        folder = self._folder.currentPath.strip()
        try:
            case = self._cases.save(Path(folder).expanduser())
        except MedSAM2Error as error:
            self._said.setText(said(error))
            return
        self._settings.training_folder = folder
        self._said.setText(_("Saved: {folder}").format(folder=case))
