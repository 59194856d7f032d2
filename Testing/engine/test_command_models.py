"""The command ``medsam2 models``, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from MedSAM2Lib.cli import main
from MedSAM2Lib.weights.catalogue import FOLDER_VARIABLE, find_entry, read_catalogue
from MedSAM2Lib.weights.checksums import sha256_of, sidecar_of, write_sidecar
from Testing.engine.checkpoints import write_published

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "medsam2-2411"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an installed model, in the models folder that the environment names."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    path = write_published(tmp_path / find_entry(NAME, read_catalogue()).file)
    write_sidecar(path, sha256_of(path))
    return path


def test_list_shows_every_model_and_which_are_installed(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "INSTALLED", "SIZE", "LICENCE", "PURPOSE"]
    by_name = {row.split()[0]: row.split() for row in rows if row}
    assert by_name[NAME][1:4] == ["yes", "156", "MB"]
    assert by_name["medsam2-latest"][1] == "no"
    assert len([row for row in rows if row and not row.startswith("Models folder")]) == len(read_catalogue())


def test_list_as_json_is_for_programs(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert models[NAME]["path"] == str(installed)
    assert {name for name, model in models.items() if model["installed"] and name != "embedded"} == {NAME}
    assert models[NAME]["megabytes"] > 0 and models[NAME]["licence"]


def test_another_folder_can_be_given(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json", "--folder", str(tmp_path / "other")]) == 0
    assert not any(model["installed"] for model in json.loads(capsys.readouterr().out) if model["name"] != "embedded")


def test_listing_imports_neither_torch_nor_the_hub() -> None:
    code = (
        "import sys; from MedSAM2Lib.cli import main; main(['models', 'list']); "
        "print([name for name in ('torch', 'huggingface_hub', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_info_says_where_a_model_comes_from(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", NAME]) == 0
    said = capsys.readouterr().out
    for words in (
        "SAM 2.1 hiera-tiny, images of 512 x 512",
        "research and education",
        "wanglab/MedSAM2",
        str(installed),
    ):
        assert words in said


def test_verify_passes_what_is_whole_and_fails_what_was_changed(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "verify"]) == 0
    assert f"{NAME}: whole and unchanged (471 tensors)" in capsys.readouterr().out
    checksum = sidecar_of(installed).read_text()
    sidecar_of(installed).unlink()
    assert main(["models", "verify", NAME]) == 0
    assert "no checksum was kept" in capsys.readouterr().out
    sidecar_of(installed).write_text(checksum)
    installed.write_bytes(installed.read_bytes()[:-100])
    assert main(["models", "verify", NAME]) == 2
    assert "is not the one that was installed" in capsys.readouterr().err
    sidecar_of(installed).unlink()
    assert main(["models", "verify", NAME]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["models", "verify", "sam2-hiera-tiny"]) == 2
    assert "models download sam2-hiera-tiny" in capsys.readouterr().err


def test_remove_takes_the_model_and_its_sidecar(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (installed.parent / f".{installed.name}.0123.part").write_bytes(b"half")
    (installed.parent / "mine.pt").write_bytes(b"mine")
    assert main(["models", "remove", NAME, "--yes"]) == 0
    assert [path.name for path in installed.parent.iterdir()] == ["mine.pt"]
    for confirmation in (["--yes"], []):
        assert main(["models", "remove", NAME, *confirmation]) == 0
        said = capsys.readouterr()
        assert f"{NAME} is not installed in {installed.parent}" in said.out
        assert said.err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "medsam"], "There is no model called medsam"),
        (["remove", NAME], "add --yes"),
        (["remove", "embedded", "--yes"], "ships with MedSAM2Slicer and is removed with it only"),
        (["remove", "embedded"], "ships with MedSAM2Slicer and is removed with it only"),
        (["download", "embedded"], "ships with MedSAM2Slicer"),
        (["download", "medical-sam2"], "add --accept-licence"),
    ],
)
def test_errors_are_one_sentence_and_exit_code_2(
    installed: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["models", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert installed.is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals to answer from")
@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("n", False), ("", False)])
def test_removing_asks_at_a_terminal(installed: Path, answer: str, removed: bool) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "MedSAM2Lib.cli", "models", "remove", NAME]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert b"[y/N]" in out
    assert process.returncode == (0 if removed else 2)
    assert installed.exists() is not removed


def test_listing_is_quick() -> None:
    begin = time.process_time()
    assert main(["models", "list"]) == 0
    assert time.process_time() - begin < 0.2
