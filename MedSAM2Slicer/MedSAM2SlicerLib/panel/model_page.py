"""Models: which are installed, how large they are, their licence; downloading, removing, choosing one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import ctk
import qt
from slicer.i18n import tr as _

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2Lib.weights.catalogue import ModelEntry
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.page_parts import (
    column,
    fill_table,
    push_button,
    row,
    rows_table,
    size_text,
    text_label,
)
from MedSAM2SlicerLib.panel.sentences import said
from MedSAM2SlicerLib.session.state import SessionState
from MedSAM2SlicerLib.setup.model_download import DownloadState
from MedSAM2SlicerLib.setup.models import ModelsState, ModelState


class Download(Protocol):
    """A download under way; ``setup.model_download.ModelDownload``."""

    def start(self) -> None: ...

    def cancel(self) -> None: ...


class Models(Protocol):
    """The models on this machine."""

    def state(self) -> ModelsState: ...

    def remove(self, name: str) -> object: ...

    def download(
        self, entry: ModelEntry, accepted_licence: str | None, observer: Callable[[DownloadState], None]
    ) -> Download: ...


class ModelPage:
    """The catalogue as a table; below it what can be done with the chosen model.

    Nothing is fetched before the licence is accepted and the button is pressed. Removing asks for a second press.

    Args:
        models: looked at anew whenever something may have changed.
        choose: takes the name or the path of the model to segment with.
        report: shows what nobody foresaw.
    """

    def __init__(self, models: Models, choose: Callable[[str], None], report: Callable[[BaseException], None]) -> None:
        self.report = report
        self._models = models
        self._choose = choose
        self._download: Download | None = None
        self._found: ModelsState | None = None
        self._session = SessionState()
        self._remove_asked = False
        self.title = _("Models")
        headings = [_("Model"), _("State"), _("Size"), _("Licence"), _("Purpose")]
        self._table = rows_table("ModelsTable", headings, 8, lambda at: self._selected())
        self._table.connect("itemSelectionChanged()", self._selected)
        self._about = text_label("ModelAboutLabel")
        self._about.setOpenExternalLinks(True)
        self._accept = qt.QCheckBox()
        self._accept.objectName = "ModelLicenceBox"
        self._accept.connect("toggled(bool)", lambda _on: self._allow())
        self._use = push_button("ModelUseButton", _("Use"), self._pressed_use, _("Segment with the chosen model"))
        self._fetch = push_button("ModelDownloadButton", _("Download"), self._pressed_download)
        self._remove = push_button("ModelRemoveButton", _("Remove"), self._pressed_remove)
        self._cancel = push_button("ModelCancelButton", _("Cancel the download"), self.cancel)
        self._bar = qt.QProgressBar()
        self._bar.objectName = "ModelProgressBar"
        self._said = text_label("ModelSaidLabel")
        self._disk = text_label("ModelDiskLabel")
        self._own = ctk.ctkPathLineEdit()
        self._own.objectName = "ModelFileEdit"
        self._own.connect("currentPathChanged(QString)", lambda _path: self._allow())
        self._use_own = push_button("ModelUseFileButton", _("Use this file"), self._pressed_use_own)
        own_label = text_label("ModelFileLabel", _("A checkpoint of your own (.pt, .safetensors)"), self._own)
        self.widget = column(
            self._table,
            self._about,
            self._accept,
            row(self._use, self._fetch, self._remove),
            row(self._bar, self._cancel),
            self._said,
            self._disk,
            own_label,
            row(self._own, self._use_own),
        )
        self.refresh()

    def render(self, state: SessionState) -> None:
        """Shows which model the session uses."""
        changed = state.model != self._session.model
        self._session = state
        if changed:
            self.refresh()
        else:
            self._allow()

    def refresh(self) -> None:
        """Looks at the disk anew."""
        try:
            self._found = self._models.state()
        except MedSAM2Error as error:
            self._found = None
            self._said.setText(said(error))
        models = () if self._found is None else self._found.models
        fill_table(self._table, [self._row(each) for each in models])
        if models and self._table.currentRow() < 0:
            self._table.selectRow(0)
        self._disk.setText("" if self._found is None else _disk_sentence(self._found))
        self._selected()

    @slot
    def cancel(self) -> None:
        """Ends a download under way."""
        if self._download is not None:
            self._download.cancel()

    def _row(self, each: ModelState) -> tuple[str, ...]:
        used = each.entry.name == self._session.model
        absent = _("partly fetched") if each.stored_bytes else _("not installed")
        present = _("in use") if used else _("installed")
        return (
            each.entry.title,
            present if each.installed else absent,
            size_text(each.entry.megabytes * 1e6),
            each.entry.licence,
            each.entry.purpose,
        )

    def _chosen(self) -> ModelState | None:
        at = self._table.currentRow()
        models = () if self._found is None else self._found.models
        return models[at] if 0 <= at < len(models) else None

    @slot
    def _selected(self) -> None:
        chosen = self._chosen()
        self._remove_asked = False
        self._accept.setChecked(False)
        self._about.setText("" if chosen is None else _about(chosen))
        if chosen is not None:
            self._accept.setText(_("I accept the licence: {licence}").format(licence=chosen.entry.licence))
        self._allow()

    def _allow(self) -> None:
        chosen, running = self._chosen(), self._download is not None
        fetchable = chosen is not None and not chosen.installed and not running
        self._accept.visible = fetchable
        self._fetch.enabled = fetchable and self._accept.checked
        self._use.enabled = (
            chosen is not None
            and chosen.installed
            and not self._session.busy
            and chosen.entry.name != self._session.model
        )
        self._remove.enabled = chosen is not None and chosen.removable and not running
        self._remove.setText(_("Really remove it?") if self._remove_asked else _("Remove"))
        self._bar.visible = self._cancel.visible = running
        self._use_own.enabled = bool(self._own.currentPath.strip()) and not self._session.busy

    @slot
    def _pressed_use(self) -> None:
        chosen = self._chosen()
        if chosen is not None:
            self._take(chosen.entry.name)

    @slot
    def _pressed_use_own(self) -> None:
        self._take(self._own.currentPath.strip())

    def _take(self, name: str) -> None:
        self._choose(name)
        self._said.setText(_("{name} is used from the next prompt on.").format(name=name))

    @slot
    def _pressed_remove(self) -> None:
        chosen = self._chosen()
        if chosen is None:
            return
        if not self._remove_asked:
            self._remove_asked = True
            self._allow()
            return
        try:
            self._models.remove(chosen.entry.name)
            self._said.setText(_("{name} was removed.").format(name=chosen.entry.title))
        except MedSAM2Error as error:
            self._said.setText(said(error))
        self.refresh()

    @slot
    def _pressed_download(self) -> None:
        chosen = self._chosen()
        if chosen is None:
            return
        accepted = chosen.entry.licence if self._accept.checked else None
        self._said.setText("")
        self._download = self._models.download(chosen.entry, accepted, self._on_download)
        try:
            self._download.start()
        except MedSAM2Error as error:
            self._download = None
            self._said.setText(said(error))
        self._allow()

    @slot
    def _on_download(self, state: DownloadState) -> None:
        self._bar.value = round(100 * state.fraction)
        if state.phase == "running":
            done, total = size_text(state.done_megabytes * 1e6), size_text(state.total_megabytes * 1e6)
            self._said.setText(_("{done} of {total}").format(done=done, total=total))
            return
        sentences = {
            "done": _("{name} is installed.").format(name=state.name),
            "cancelled": _("The download was cancelled; nothing of it is left."),
        }
        self._download = None
        self._said.setText(sentences.get(state.phase) or state.message)
        self.refresh()


def _about(chosen: ModelState) -> str:
    entry = chosen.entry
    if entry.is_embedded:
        return _(
            "A demonstration that comes with the module: trained by this project on synthetic anatomy alone, so that "
            "everything runs offline. For work that matters use another model."
        )
    link = f'<a href="{entry.licence_url or entry.source}">{entry.licence_url or entry.source}</a>'
    network = f"SAM {entry.sam_version} {entry.architecture}, {entry.image_size} x {entry.image_size}"
    parts = [_("{network}, from {link}.").format(network=network, link=link)]
    if chosen.restricted:
        parts.append(_("Its licence does not allow every use: read it before you accept it."))
    return " ".join(parts)


def _disk_sentence(found: ModelsState) -> str:
    return _("Downloaded models take {used} in {folder}; {free} are free there.").format(
        used=size_text(found.stored_bytes), folder=found.folder, free=size_text(found.free_bytes)
    )
