"""Downloads, by the command in a process of its own, from a hub on this machine: what is installed is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from MedSAM2Lib.errors import DownloadError
from MedSAM2Lib.weights.catalogue import EMBEDDED, ModelEntry, find_entry, read_catalogue
from MedSAM2Lib.weights.checksums import kept_checksum, sha256_of, sidecar_of
from MedSAM2Lib.weights.download import download_model
from Testing.engine.checkpoints import write_published
from Testing.engine.local_hub import COMMIT, LocalHub, closed_address, serving

REPOSITORY = Path(__file__).resolve().parents[2]
PIECE = 10 * 1024 * 1024
"""huggingface_hub writes a download in pieces of this many bytes."""


@pytest.fixture
def entry() -> ModelEntry:
    """A SAM 2.1 tiny model whose checksum the catalogue does not know."""
    return find_entry("medsam2-2411", read_catalogue())


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint of the catalogue's architecture, of a little over two pieces."""
    return write_published(tmp_path_factory.mktemp("hub") / "model.pt", padding=2 * PIECE).read_bytes()


@pytest.fixture
def hub(entry: ModelEntry, content: bytes) -> LocalHub:
    assert entry.repository is not None
    return LocalHub(entry.repository, entry.file, content)


def run_models(folder: Path, address: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    overrides = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "home"), "HF_TOKEN": ""}
    command = [sys.executable, "-m", "MedSAM2Lib.cli", "models", *arguments, "--folder", str(folder)]
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**inherited, **overrides, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def download(folder: Path, hub: LocalHub, entry: ModelEntry) -> subprocess.CompletedProcess[str]:
    return run_models(folder, hub.address, "download", entry.name, "--accept-licence")


def assert_refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("medsam2: ")
    for words in said:
        assert words in last


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()} if folder.exists() else set()


def test_a_model_is_fetched_checked_and_installed(tmp_path: Path, hub: LocalHub, entry: ModelEntry) -> None:
    partial_of_another_version = tmp_path / f".{entry.file}.0123456789abcdef.part"
    partial_of_another_version.write_bytes(b"old")
    with serving(hub):
        done = download(tmp_path, hub, entry)
        assert done.returncode == 0, done.stderr
        first_requests = list(hub.requests)
        again = download(tmp_path, hub, entry)
    path = tmp_path / entry.file
    assert files_in(tmp_path) == {path.name, sidecar_of(path).name}
    assert sha256_of(path) == kept_checksum(path) == hub.sha256
    assert entry.licence in done.stdout and f"{entry.megabytes:.0f} MB" in done.stdout
    assert f"Installed: {path}" in done.stdout
    assert " MB" in done.stderr, "progress of a download that nobody watches on a terminal"
    address = f"/{entry.repository}/resolve/{{}}/{entry.file}"
    assert first_requests == [("HEAD", address.format("main"), None), ("GET", address.format(COMMIT), None)]
    assert again.returncode == 0
    assert hub.requests == first_requests, "an installed model is not asked for again"


def test_a_connection_that_breaks_is_taken_up_where_it_broke(tmp_path: Path, hub: LocalHub, entry: ModelEntry) -> None:
    hub.breaks = [PIECE + 5_000_000]
    with serving(hub):
        done = download(tmp_path, hub, entry)
    assert done.returncode == 0, done.stderr
    assert hub.downloads == [None, f"bytes={PIECE}-"]
    assert sha256_of(tmp_path / entry.file) == hub.sha256


def test_a_download_that_stays_broken_goes_on_in_the_next_run(tmp_path: Path, hub: LocalHub, entry: ModelEntry) -> None:
    hub.breaks = [PIECE + 5_000_000, *[0] * 6]
    with serving(hub):
        assert_refused(download(tmp_path, hub, entry), "broke off after 10.5 MB", "same command again")
        (left,) = files_in(tmp_path)
        assert left.startswith(".") and left.endswith(".part")
        hub.breaks.clear()
        before = len(hub.downloads)
        done = download(tmp_path, hub, entry)
    assert done.returncode == 0, done.stderr
    assert hub.downloads[before:] == [f"bytes={PIECE}-"]
    assert sha256_of(tmp_path / entry.file) == hub.sha256
    assert left not in files_in(tmp_path)


@pytest.mark.parametrize(
    ("status", "error_code", "said"),
    [
        (404, "EntryNotFound", "There is no MedSAM2_2411.pt in wanglab/MedSAM2"),
        (404, "RepoNotFound", "There is no MedSAM2_2411.pt in wanglab/MedSAM2"),
        (401, "GatedRepo", "accept the terms at https://huggingface.co/wanglab/MedSAM2"),
        (403, "GatedRepo", "accept the terms"),
        (401, "", "accept the terms"),
        (503, "", "answered 503"),
    ],
)
def test_the_hubs_refusals_are_put_into_words(
    tmp_path: Path, hub: LocalHub, entry: ModelEntry, status: int, error_code: str, said: str
) -> None:
    hub.status, hub.error_code = status, error_code
    with serving(hub):
        assert_refused(download(tmp_path, hub, entry), said)
    assert files_in(tmp_path) == set()


def test_a_hub_that_is_down_or_forbidden_is_reported(tmp_path: Path, entry: ModelEntry) -> None:
    arguments = ("download", entry.name, "--accept-licence")
    assert_refused(run_models(tmp_path, closed_address(), *arguments), "could not be reached")
    assert_refused(run_models(tmp_path, closed_address(), *arguments, HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE is set")
    assert files_in(tmp_path) == set()


def test_a_file_of_the_wrong_size_is_thrown_away(tmp_path: Path, hub: LocalHub, entry: ModelEntry) -> None:
    hub.announced_size = len(hub.content) + 100
    with serving(hub):
        assert_refused(download(tmp_path, hub, entry), "did not have the size")
    assert files_in(tmp_path) == set()


def test_a_damaged_file_is_thrown_away(tmp_path: Path, hub: LocalHub, entry: ModelEntry) -> None:
    hub.announced_sha256 = "f" * 64
    with serving(hub):
        assert_refused(download(tmp_path, hub, entry), "arrived damaged")
    assert files_in(tmp_path) == set()


def test_what_is_not_the_promised_model_is_thrown_away(tmp_path: Path, hub: LocalHub, entry: ModelEntry) -> None:
    hub.content = write_published(tmp_path / "small.pt", "small").read_bytes()
    folder = tmp_path / "models"
    with serving(hub):
        assert_refused(
            download(folder, hub, entry), "is not the model medsam2-2411", "SAM 2.1 hiera-small network instead of"
        )
    assert files_in(folder) == set()


def test_a_file_that_the_catalogue_does_not_know_is_not_even_fetched(tmp_path: Path, content: bytes) -> None:
    known = find_entry("sam2.1-hiera-tiny", read_catalogue())
    assert known.repository is not None
    with serving(LocalHub(known.repository, known.file, content)) as hub:
        assert_refused(download(tmp_path, hub, known), "nothing was downloaded")
        assert hub.downloads == []


def test_nothing_is_asked_of_the_hub_before_the_licence_is_accepted(
    tmp_path: Path, hub: LocalHub, entry: ModelEntry
) -> None:
    with serving(hub):
        done = run_models(tmp_path, hub.address, "download", entry.name)
    assert_refused(done, "--accept-licence")
    assert entry.licence in done.stdout
    assert hub.requests == []


def test_a_full_disk_is_noticed_before_the_download(tmp_path: Path, hub: LocalHub, entry: ModelEntry) -> None:
    hub.announced_size = 10**18
    with serving(hub):
        assert_refused(download(tmp_path, hub, entry), "MB free", "1000000000064 MB")
    assert hub.downloads == []


def test_the_embedded_model_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        download_model(find_entry(EMBEDDED, read_catalogue()), tmp_path)
    assert caught.value.code == "E_DOWNLOAD_NOT_POSSIBLE"
