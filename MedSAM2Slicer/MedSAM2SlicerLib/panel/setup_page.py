"""What is missing, what an installation would download and how large that is, and the buttons for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from slicer.i18n import tr as _

from MedSAM2Lib.errors import MedSAM2Error
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
from MedSAM2SlicerLib.setup.dependencies import DependencyState, Download
from MedSAM2SlicerLib.setup.requirements import Package


class Installer(Protocol):
    """What is there and what may be installed; both installations block, and need the main thread."""

    def state(self) -> DependencyState: ...

    def install_missing(self, state: DependencyState) -> None: ...

    def install_pytorch_extension(self) -> None: ...

    def restart(self) -> None: ...


class SetupPage:
    """Says what is there; installs after a click only.

    Args:
        installer: does it.
        installed: called after an installation.
        report: shows what nobody foresaw.
    """

    def __init__(
        self, installer: Installer, installed: Callable[[], None], report: Callable[[BaseException], None]
    ) -> None:
        self.report = report
        self._installer = installer
        self._installed = installed
        self.title = _("Setup")
        self._summary = text_label("SetupSummaryLabel")
        self._table = rows_table("PackagesTable", [_("Package"), _("Needed"), _("Here")], 7, lambda at: None)
        self._downloads = text_label("SetupDownloadsLabel")
        self._extension = push_button(
            "InstallExtensionButton", _("Install the PyTorch extension"), self._pressed_extension
        )
        self._install = push_button("InstallPackagesButton", _("Install what is missing"), self._pressed_install)
        self._restart = push_button("RestartButton", _("Restart Slicer"), installer.restart)
        self._said = text_label("SetupSaidLabel")
        self.widget = column(
            self._summary,
            self._table,
            self._downloads,
            row(self._extension, self._install, self._restart),
            self._said,
        )
        self._state = installer.state()
        self._busy = False
        self._show()

    @property
    def ready(self) -> bool:
        """Whether everything is there."""
        return self._state.ready

    def render(self, state: SessionState) -> None:
        """Nothing is installed while the engine is at work."""
        if state.busy != self._busy:
            self._busy = state.busy
            self._show()

    def refresh(self) -> None:
        """Looks anew."""
        self._state = self._installer.state()
        self._show()

    def _show(self) -> None:
        state = self._state
        fill_table(self._table, [_row(each) for each in (*state.packages, *state.shipped, state.torch)])
        self._summary.setText(_summary(state))
        self._downloads.setText("\n".join(_download_text(each) for each in state.downloads))
        self._extension.visible = state.extension_needed
        self._restart.visible = state.restart_needed
        self._install.enabled = not (state.ready or state.extension_needed or state.restart_needed or self._busy)

    @slot
    def _pressed_extension(self) -> None:
        self._do(self._installer.install_pytorch_extension, _("The extension is installed: restart Slicer to use it."))

    @slot
    def _pressed_install(self) -> None:
        state = self._state
        self._do(lambda: self._installer.install_missing(state), _("Everything is installed."))

    def _do(self, work: Callable[[], None], sentence: str) -> None:
        try:
            work()
        except MedSAM2Error as error:
            self._said.setText(said(error))
        else:
            self._said.setText(sentence)
            self._installed()
        self.refresh()


def _row(each: Package) -> tuple[str, ...]:
    here = each.installed or _("missing")
    return each.name, f">= {each.least}", here if each.satisfied else _("{version}: not enough").format(version=here)


def _summary(state: DependencyState) -> str:
    if state.ready:
        return _("Everything that the engine needs is installed.")
    if state.restart_needed:
        return _("The PyTorch extension is installed; Slicer has to be restarted before PyTorch can be.")
    if state.extension_needed:
        return _("PyTorch comes with the PyTorch extension, which is missing: install that first, then restart Slicer.")
    return _("Missing: {names}.").format(names=", ".join(each.name for each in state.missing))


def _download_text(each: Download) -> str:
    size, disk = size_text(each.megabytes * 1e6), size_text(each.disk_megabytes * 1e6)
    return _("To be downloaded: {what}, about {size} from {source}; {disk} on the disk.").format(
        what=each.what, size=size, source=each.source, disk=disk
    )
