"""The files of a run on a full disk, damaged, or wanted by two runs at once: one sentence, and nothing half-written."""

from __future__ import annotations

import errno
import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MedSAM2Lib.cli import main
from MedSAM2Lib.commands import train
from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.training import bodies
from MedSAM2Lib.training.anatomy import LabelVolume
from MedSAM2Lib.training.checkpoint import load_checkpoint, save_checkpoint
from MedSAM2Lib.training.configuration import TrainingConfig
from MedSAM2Lib.training.curve import Curve
from MedSAM2Lib.training.files import saving
from MedSAM2Lib.training.plots import plot_run
from MedSAM2Lib.training.pool import body_path, save_body
from MedSAM2Lib.training.run_folder import RunFolder, RunNotes
from MedSAM2Lib.training.schedule import ScheduleConfig
from Testing.engine.training_ground import TINY

FULL = Path("/dev/full")
ON_FULL_DISK = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full, which is a full disk")
LETTERS = b"hello world, abc.\n()[]{}0123\x80\x02cq}"


class FullDisk(io.BytesIO):
    """Takes 20,000 bytes, as a disk that fills up while a file is written."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 20_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def state() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    tables = [{str(n): torch.randn(40, 40, generator=generator) for n in range(4)} for _ in range(2)]
    groups = [{"lr": 1e-3, "betas": (0.9, 0.99), "params": [0, 1]}]
    optimizer = {"state": {0: {"step": 3, "mean": torch.zeros(4)}}, "param_groups": groups}
    return {"objective": tables[0], "optimizer": optimizer, "average": tables[1], "step": 3, "frames": 40}


def test_a_disk_that_fills_while_a_checkpoint_is_saved_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    with monkeypatch.context() as patched, pytest.raises(OutputError) as refused:
        patched.setattr(Path, "open", lambda path, mode: FullDisk())
        save_checkpoint(path, state())
    assert isinstance(refused.value.__cause__, RuntimeError)  # torch's own error, which says nothing of the disk
    assert refused.value.fields["reason"] == "No space left on device"
    assert "there is none before it" in str(refused.value)
    assert not list(tmp_path.iterdir())


def damaged(kind: str, good: bytes, seed: int) -> bytes:
    """Garbage, or a good checkpoint with bytes changed: of the whole file, or of what it pickles, checksums anew."""
    chance = random.Random(seed)
    if kind == "noise":
        return chance.randbytes(chance.randrange(300))
    if kind == "text":
        return bytes(chance.choice(LETTERS) for _ in range(chance.randrange(1, 100)))
    if kind == "bytes":
        return changed(good, chance, chance.randrange(1, 30))
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, changed(part, chance, 3) if name.endswith("data.pkl") else part)
    return written.getvalue()


def changed(good: bytes, chance: random.Random, count: int) -> bytes:
    bad = bytearray(good)
    for _ in range(count):
        bad[chance.randrange(len(bad))] ^= chance.randrange(1, 256)
    return bytes(bad)


@pytest.mark.parametrize("kind", ["noise", "text", "bytes", "pickle"])
def test_a_file_that_is_no_good_checkpoint_is_refused_whatever_is_in_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, state())
    good = path.read_bytes()
    refused = 0
    for seed in range(12):
        path.write_bytes(damaged(kind, good, seed))
        try:
            load_checkpoint(path)
        except InputError as error:
            assert error.code == "E_CHECKPOINT_BROKEN"
            refused += 1
    assert refused == 12 if kind in ("noise", "text") else refused >= 6


@pytest.mark.parametrize(
    "foreign",
    [b"hello world, this is no checkpoint\n", b"", [1, 2], {"objective": 3}, {"step": "3"}, {"frames": -1}],
    ids=["text", "empty", "list", "no table", "no number", "negative"],
)
def test_a_foreign_file_is_no_checkpoint(foreign: Any, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    if isinstance(foreign, bytes):
        path.write_bytes(foreign)
    else:
        torch.save({**state(), **foreign} if isinstance(foreign, dict) else foreign, path)
    with pytest.raises(InputError) as refused:
        load_checkpoint(path)
    assert refused.value.code == "E_CHECKPOINT_BROKEN"


GOOD = "step,frames,loss\n0,4,0.5\n1,8,0.4\n"
ROWS = {
    "no number": (GOOD + "hello\n2,12,0.3\n", 4),
    "half a number": (GOOD + "2,12,0.-\n", 4),
    "too long": (GOOD + "2,12,0.3,7\n", 4),
    "bytes": (GOOD + "\udcff\udc80\n", 4),
    "another table": ("name,dice\nliver,0.9\n", 2),
}


@pytest.mark.parametrize("what", ROWS)
def test_a_line_that_is_no_row_of_a_curve_is_named(what: str, tmp_path: Path) -> None:
    text, line = ROWS[what]
    path = tmp_path / "curve.csv"
    written = text.encode(errors="surrogateescape")
    path.write_bytes(written)
    with pytest.raises(InputError, match=f"Line {line} of .*curve.csv") as refused:
        Curve(path, ("step", "frames", "loss"), 2)
    assert refused.value.code == "E_CURVE_BROKEN"
    assert path.read_bytes() == written


def test_a_curve_keeps_rows_without_a_number_and_drops_half_of_one(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("step,loss\n0,nan\n1,\n2,0.")
    Curve(path, ("step", "loss", "seconds"), 3)
    assert path.read_text().split() == ["step,loss,seconds", "0,nan,", "1,,"]


def small_body(seed: int = 0) -> LabelVolume:
    labels = np.random.default_rng(seed).integers(0, 2, (8, 8, 8), dtype=np.uint8)
    return LabelVolume(labels, np.array([0, 1], np.uint8), np.array([[False, True]]))


def write_notes(folder: Path) -> None:
    RunFolder(folder).describe(TrainingConfig(ScheduleConfig(frames=8)), TINY, None, RunNotes(), 0)


ON_A_FULL_DISK: dict[str, tuple[str, Callable[[Path], object]]] = {
    "run.json": ("run.part.json", write_notes),
    "validation.csv": ("validation.part.csv", lambda folder: Curve(folder / "validation.csv", ("step",), 0)),
    "body.npz": (f"body.part-{os.getpid()}.npz", lambda folder: save_body(small_body(), folder / "body.npz")),
}


@ON_FULL_DISK
@pytest.mark.parametrize("name", ON_A_FULL_DISK)
def test_a_full_disk_names_the_file_and_says_what_to_do(name: str, tmp_path: Path) -> None:
    part, write = ON_A_FULL_DISK[name]
    (tmp_path / part).symlink_to(FULL)
    with pytest.raises(OutputError) as refused:
        write(tmp_path)
    said = str(refused.value)
    assert str(tmp_path / name) in said and "No space left on device" in said
    assert "Make room" in said and "--resume" in said
    assert not list(tmp_path.iterdir())


@ON_FULL_DISK
def test_a_picture_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "curve.csv").write_text(GOOD + "2,12,0.-")
    (tmp_path / "curve.part.png").symlink_to(FULL)
    notes: list[str] = []
    assert plot_run(tmp_path, notes.append) is None
    assert len(notes) == 1 and "curve.png" in notes[0] and "No space left on device" in notes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["curve.csv"]
    assert plot_run(tmp_path, notes.append) == tmp_path / "curve.png"


def fails(folder: Path, seed: int) -> None:
    with saving(folder / f"body-{seed}.npz"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_body_that_a_worker_cannot_write_ends_in_the_same_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_make", fails)
    with pytest.raises(OutputError, match=r"body-0.npz could not be written \(No space left on device\)"):
        bodies.load_bodies(tmp_path, range(2), 2, lambda line: None)


@pytest.mark.parametrize("damage", [b"", b"hello world", b"cut", b"flipped"])
def test_a_damaged_body_is_made_again(damage: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "make_body", small_body)
    notes: list[str] = []
    path = body_path(tmp_path, 3)
    save_body(small_body(3), path)
    good = path.read_bytes()
    middle = len(good) // 2
    parts = {b"cut": good[:middle], b"flipped": good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :]}
    path.write_bytes(parts.get(damage, damage))
    read = bodies.load_bodies(tmp_path, range(3, 4), 0, notes.append)
    assert np.array_equal(read[0].volume.labels, small_body(3).labels)
    assert path.read_bytes() == good
    assert notes == [f"{path} is damaged: it is made again"]


def test_the_command_tells_a_full_disk_from_a_missing_permission(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refused(number: int) -> str:
        def run(options: object) -> int:
            raise OSError(number, os.strerror(number), "some.file")

        monkeypatch.setattr(train, "run", run)
        assert main(["train", "--out", "out"]) == 2
        return capsys.readouterr().err

    assert refused(errno.ENOSPC) == "medsam2: some.file: No space left on device: make room on the disk.\n"
    assert refused(errno.EACCES) == "medsam2: some.file: Permission denied: check the path and its permissions.\n"
