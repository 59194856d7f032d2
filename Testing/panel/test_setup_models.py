"""Models: what is there, downloading in another process that can be ended, removing."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.session.tickers import LoopTicker
from MedSAM2SlicerLib.setup import model_download
from MedSAM2SlicerLib.setup.errors import SetupError
from MedSAM2SlicerLib.setup.model_download import DownloadState, ModelDownload, download_command
from MedSAM2SlicerLib.setup.models import models_state, remove

from MedSAM2Lib.errors import InputError, ModelError
from MedSAM2Lib.weights.catalogue import ModelEntry, find_entry, read_catalogue
from Testing.engine.checkpoints import write_published
from Testing.engine.local_hub import LocalHub, closed_address, serving

REPOSITORY = Path(__file__).resolve().parents[2]
SLOW_COMMAND = """
import pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
if len(sys.argv) == 2:
    subprocess.run([sys.executable, __file__, str(folder), "worker"])
else:
    (folder / ".MedSAM2_2411.pt.0123.part").write_bytes(b"half")
    (folder / "worker.pid").write_text(str(__import__("os").getpid()))
    print("7.8 of 156.0 MB", file=sys.stderr, flush=True)
    print("15.6 of 156.0 MB", file=sys.stderr, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def entry() -> ModelEntry:
    """A model whose checksum the catalogue does not know."""
    return find_entry("medsam2-2411", read_catalogue())


class Watched:
    """A download, its timer, and all its states."""

    def __init__(self, entry: ModelEntry, folder: Path, **options: object) -> None:
        self.timer = LoopTicker()
        self.states: list[DownloadState] = []
        options.setdefault("accepted_licence", entry.licence)
        self.download = ModelDownload(entry, folder, self.timer, self.states.append, **options)  # type: ignore[arg-type]

    def run(self, until_megabytes: float | None = None) -> DownloadState:
        self.download.start()
        enough = until_megabytes or float("inf")
        assert self.timer.run(90.0, lambda: self.download.state.done_megabytes >= enough)
        return self.download.state


def hub_environment(address: str, folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {**inherited, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "home"), "HF_TOKEN": ""}


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    if status.is_file():
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc").is_dir()


def ended(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process that was killed is gone; the system takes a moment for it."""
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def test_the_embedded_model_is_there_and_stays(tmp_path: Path) -> None:
    state = models_state(tmp_path / "not" / "made")
    assert [each.entry.name for each in state.installed] == ["embedded"]
    embedded = state.installed[0]
    assert not embedded.removable and not embedded.restricted
    assert state.free_bytes > 0 and state.stored_bytes == 0
    with pytest.raises(ModelError) as caught:
        remove("embedded", tmp_path)
    assert caught.value.code == "E_MODEL_NOT_REMOVABLE"


def test_every_model_has_a_size_and_a_licence_and_the_restricted_ones_are_told(tmp_path: Path) -> None:
    models = {each.entry.name: each for each in models_state(tmp_path).models}
    assert set(models) == {entry.name for entry in read_catalogue()}
    assert all(each.entry.megabytes > 0 and each.entry.licence for each in models.values())
    assert models["medsam2-latest"].restricted and not models["sam2.1-hiera-tiny"].restricted


def test_removing_frees_what_was_stored_interrupted_downloads_included(tmp_path: Path, entry: ModelEntry) -> None:
    (tmp_path / entry.file).write_bytes(b"model")
    (tmp_path / f".{entry.file}.0123.part").write_bytes(b"half")
    (tmp_path / "mine.pt").write_bytes(b"mine")
    before = {each.entry.name: each for each in models_state(tmp_path).models}[entry.name]
    assert before.installed and before.removable and before.stored_bytes == 9
    assert len(remove(entry.name, tmp_path)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.pt"]
    assert models_state(tmp_path).stored_bytes == 0


def test_a_download_installs_the_model_and_tells_how_far_it_is(tmp_path: Path, entry: ModelEntry) -> None:
    content = write_published(tmp_path / "published.pt", padding=20_000_000).read_bytes()
    assert entry.repository is not None
    folder = tmp_path / "models"
    with serving(LocalHub(entry.repository, entry.file, content)) as hub:
        watched = Watched(entry, folder, environment=hub_environment(hub.address, tmp_path))
        state = watched.run()
    assert state.phase == "done", state.message
    assert state.fraction == 1.0 and not watched.timer.active
    assert watched.states[0].phase == "running" and watched.states[0].done_megabytes == 0
    assert any(0 < each.fraction < 1 for each in watched.states), "progress was never read"
    assert {each.entry.name for each in models_state(folder).installed} == {"embedded", entry.name}


def test_a_failed_download_says_why_in_the_commands_own_words(tmp_path: Path, entry: ModelEntry) -> None:
    folder = tmp_path / "models"
    state = Watched(entry, folder, environment=hub_environment(closed_address(), tmp_path)).run()
    assert state.phase == "failed"
    assert state.message.startswith("The hub could not be reached") and "medsam2:" not in state.message
    assert not models_state(folder).stored_bytes


@pytest.mark.skipif(sys.platform == "win32", reason="the process tree is looked at as POSIX systems show it")
def test_cancelling_ends_the_process_with_its_children_and_removes_the_partial_file(
    tmp_path: Path, entry: ModelEntry
) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW_COMMAND)
    folder = tmp_path / "models"
    folder.mkdir()
    watched = Watched(entry, folder, command=[sys.executable, str(script), str(folder)])
    assert watched.run(until_megabytes=15.0).done_megabytes == 15.6
    worker = int((folder / "worker.pid").read_text())
    assert alive(worker) and list(folder.glob(".*.part"))
    watched.download.cancel()
    watched.download.cancel()
    assert watched.download.state.phase == "cancelled" and not watched.timer.active
    assert [each.phase for each in watched.states].count("cancelled") == 1
    assert not list(folder.glob(".*.part"))
    assert ended(worker)


@pytest.mark.parametrize("accepted", [None, "Apache-2.0"])
def test_nothing_starts_before_this_models_licence_is_accepted(
    tmp_path: Path, entry: ModelEntry, accepted: str | None
) -> None:
    watched = Watched(entry, tmp_path, accepted_licence=accepted)
    with pytest.raises(InputError) as caught:
        watched.download.start()
    assert caught.value.code == "E_LICENCE_NOT_ACCEPTED" and entry.licence in str(caught.value)
    assert not watched.timer.active and not watched.states


def test_nothing_is_fetched_that_could_not_be_checked_afterwards(
    tmp_path: Path, entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_download, "find_spec", lambda name: None if name == "torch" else object())
    watched = Watched(entry, tmp_path)
    with pytest.raises(SetupError) as caught:
        watched.download.start()
    assert caught.value.code == "E_PACKAGES_MISSING" and "torch" in str(caught.value)


def test_a_program_that_does_not_start_is_one_sentence(tmp_path: Path, entry: ModelEntry) -> None:
    watched = Watched(entry, tmp_path, command=[str(tmp_path / "no-python")])
    with pytest.raises(SetupError) as caught:
        watched.download.start()
    assert caught.value.code == "E_PROCESS" and not watched.timer.active


def test_inside_slicer_the_command_runs_with_slicers_python(
    tmp_path: Path, entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application.shutil, "which", lambda name: f"/slicer/bin/{name}")
    program, *arguments = download_command(entry, tmp_path)
    assert program == "/slicer/bin/PythonSlicer"
    assert arguments[2:5] == [str(REPOSITORY), "models", "download"]
