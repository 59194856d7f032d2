"""The model page: honest rows, a licence before a download, a second press before removing, and a real subprocess."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from MedSAM2Lib.weights.catalogue import find_entry, model_path, read_catalogue
from SlicerHost import testing
from SlicerHost.start import Host
from Testing.panel.volumes import unforeseen

NAME = "medsam2-latest"


class LocalModels:
    """The real folder functions, and downloads by a command of the test's own."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        from MedSAM2SlicerLib.panel.timers import PollTimer

        self.folder, self.command, self.timer = folder, command, PollTimer(unforeseen, 20)

    def state(self) -> Any:
        from MedSAM2SlicerLib.setup.models import models_state

        return models_state(self.folder)

    def remove(self, name: str) -> object:
        from MedSAM2SlicerLib.setup.models import remove

        return remove(name, self.folder)

    def download(self, entry: Any, accepted_licence: str | None, observer: Any) -> Any:
        from MedSAM2SlicerLib.setup.model_download import ModelDownload

        return ModelDownload(entry, self.folder, self.timer, observer, accepted_licence, self.command)


class PageUnderTest:
    """The page, its models folder, and its widgets by name."""

    def __init__(self, folder: Path, program: str = "") -> None:
        from MedSAM2SlicerLib.panel.model_page import ModelPage

        self.folder, self.chosen = folder, []
        self.models = LocalModels(folder, [sys.executable, "-c", textwrap.dedent(program)])
        self.page = ModelPage(self.models, self.chosen.append, unforeseen)
        self.page.widget.show()

    def find(self, name: str) -> Any:
        import qt

        return self.page.widget.findChild(qt.QWidget, name)

    def select(self, name: str) -> None:
        names = [entry.name for entry in read_catalogue()]
        self.find("ModelsTable").selectRow(names.index(name))

    def row(self, name: str) -> list[str]:
        at = [entry.name for entry in read_catalogue()].index(name)
        return [self.find("ModelsTable").item(at, place).text() for place in range(5)]

    def start_download(self) -> None:
        self.select(NAME)
        self.find("ModelLicenceBox").click()
        self.find("ModelDownloadButton").click()


@pytest.fixture
def folder(host: Host, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "models"


def installed(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = model_path(find_entry(NAME, read_catalogue()), folder)
    path.write_bytes(b"weights")
    return path


def test_every_model_has_a_row_with_its_state_size_and_licence(folder: Path) -> None:
    from MedSAM2SlicerLib.session.state import SessionState

    shown = PageUnderTest(folder)
    shown.page.render(SessionState(model="embedded"))
    assert shown.find("ModelsTable").rowCount == len(read_catalogue())
    assert shown.row("embedded")[1] == "in use"
    assert shown.row(NAME)[1:4] == ["not installed", "156 MB", "CC-BY-SA-4.0; research and education only"]
    assert "are free there" in shown.find("ModelDiskLabel").text


def test_the_embedded_model_is_called_a_demonstration_and_cannot_be_removed(folder: Path) -> None:
    shown = PageUnderTest(folder)
    shown.select("embedded")
    assert "demonstration" in shown.find("ModelAboutLabel").text
    assert "synthetic anatomy alone" in shown.find("ModelAboutLabel").text
    assert not shown.find("ModelRemoveButton").enabled
    assert not shown.find("ModelLicenceBox").visible


def test_nothing_is_downloaded_before_the_licence_is_accepted(folder: Path) -> None:
    shown = PageUnderTest(folder)
    shown.select(NAME)
    assert shown.find("ModelLicenceBox").text.endswith("CC-BY-SA-4.0; research and education only")
    assert not shown.find("ModelDownloadButton").enabled
    shown.find("ModelLicenceBox").click()
    assert shown.find("ModelDownloadButton").enabled
    shown.select("medsam2-2411")
    assert not shown.find("ModelDownloadButton").enabled, "a licence is accepted for one model"


def test_a_download_shows_its_progress_and_can_be_cancelled(folder: Path) -> None:
    program = """
        import sys, time
        print("39.0 of 156.0 MB", file=sys.stderr, flush=True)
        time.sleep(60)
    """
    shown = PageUnderTest(folder, program)
    shown.start_download()
    testing.wait_until(lambda: shown.find("ModelProgressBar").value == 25)
    assert shown.find("ModelCancelButton").visible and not shown.find("ModelDownloadButton").enabled
    shown.find("ModelCancelButton").click()
    assert "cancelled" in shown.find("ModelSaidLabel").text
    assert not shown.find("ModelProgressBar").visible


def test_a_finished_download_is_installed_and_can_be_used(folder: Path) -> None:
    path = model_path(find_entry(NAME, read_catalogue()), folder)
    program = f"""
        from pathlib import Path
        Path({str(path)!r}).parent.mkdir(parents=True)
        Path({str(path)!r}).write_bytes(b"weights")
    """
    shown = PageUnderTest(folder, program)
    shown.start_download()
    testing.wait_until(lambda: shown.row(NAME)[1] == "installed")
    shown.select(NAME)
    shown.find("ModelUseButton").click()
    assert shown.chosen == [NAME]


def test_a_failed_download_says_why(folder: Path) -> None:
    program = """
        import sys
        print("medsam2: The hub cannot be reached.", file=sys.stderr)
        sys.exit(2)
    """
    shown = PageUnderTest(folder, program)
    shown.start_download()
    testing.wait_until(lambda: not shown.find("ModelProgressBar").visible)
    assert shown.find("ModelSaidLabel").text == "The hub cannot be reached."


def test_removing_takes_a_second_press(folder: Path) -> None:
    path = installed(folder)
    shown = PageUnderTest(folder)
    shown.select(NAME)
    shown.find("ModelRemoveButton").click()
    assert path.exists() and shown.find("ModelRemoveButton").text == "Really remove it?"
    shown.select("embedded")
    shown.select(NAME)
    assert shown.find("ModelRemoveButton").text == "Remove", "another row takes the question back"
    shown.find("ModelRemoveButton").click()
    shown.find("ModelRemoveButton").click()
    assert not path.exists() and shown.row(NAME)[1] == "not installed"


def test_a_checkpoint_of_the_users_own_can_be_chosen(folder: Path) -> None:
    shown = PageUnderTest(folder)
    assert not shown.find("ModelUseFileButton").enabled
    shown.find("ModelFileEdit").currentPath = "/data/own.pt"
    shown.find("ModelUseFileButton").click()
    assert shown.chosen == ["/data/own.pt"]
