"""The files of a run on a full disk, damaged, or wanted by two runs at once: one sentence, and nothing half-written."""

from __future__ import annotations

import errno
import io
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.training.checkpoint import load_checkpoint, save_checkpoint

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
    """Garbage, or a good checkpoint with bytes changed: of the whole file, or of what it pickles, with new checksums."""
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
