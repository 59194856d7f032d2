"""Ctrl-C during `medsam2 segment`: what is done is written and said to be cut short, or nothing is written at all."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAM2Lib.cli import main
from MedSAM2Lib.commands import segment_job
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import NOT_COMPUTED, PropagationRequest, SliceResult
from Testing.engine.command_line import POINT, ROOT, out, segment, volume, written_volume
from Testing.engine.phantoms import two_organs

__all__ = ["out", "volume"]

EXIT_INTERRUPTED = 130


def press_ctrl_c(*arguments: object, **keywords: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def interrupt_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Ctrl-C comes once a propagation has given so many slices; the counts are for one propagation after another."""

    def arrange(*counts: int | None) -> None:
        real, remaining = TrackingSession.propagate, list(counts)

        def cut_short(session: TrackingSession, request: PropagationRequest) -> Iterator[SliceResult]:
            count = remaining.pop(0)
            yield from itertools.islice(real(session, request), count)
            if count is not None:
                raise KeyboardInterrupt

        monkeypatch.setattr(TrackingSession, "propagate", cut_short)

    return arrange


def labels_of(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


@pytest.mark.parametrize("count", [1, 6])
def test_the_slices_that_are_done_are_written_as_they_would_be_and_no_other(
    volume: Path, out: Path, interrupt_after: Callable[..., None], capsys: pytest.CaptureFixture, count: int
) -> None:
    interrupt_after(None, count)
    arguments = ("--point", POINT, "--orientations", "1", "--stop", "off")
    arguments += ("--logits", out / "l.npy", "--report", out / "r.json")
    assert segment(volume, *arguments, "--out", out / "whole.nrrd") == 0
    assert "interrupted" not in capsys.readouterr().out
    whole = np.load(out / "l.npy")
    assert segment(volume, *arguments, "--out", out / "part.nrrd") == EXIT_INTERRUPTED
    said = capsys.readouterr()
    assert f"interrupted: kept what was done, {count} slices" in said.out
    assert str(out / "part.nrrd") in said.out
    assert "Traceback" not in said.err
    report = json.loads((out / "r.json").read_text())
    assert report["interrupted"]
    assert report["slices_computed"] == count
    done = [one["index"] for one in report["objects"][0]["slices"]]
    assert 10 in done
    part = np.load(out / "l.npy")
    assert np.array_equal(part[done], whole[done])
    assert (np.delete(part, done, axis=0) == NOT_COMPUTED).all()
    assert np.array_equal(labels_of(out / "part.nrrd") > 0, part > 0)


def test_a_batch_ends_with_the_volume_that_was_interrupted(
    volume: Path, out: Path, interrupt_after: Callable[..., None], capsys: pytest.CaptureFixture
) -> None:
    names = ["first", "second", "third"]
    for name in names:
        written_volume(volume.parent / f"{name}.nrrd")
    batch = volume.parent / "prompts.csv"
    batch.write_text("volume,point\n" + "".join(f'{name}.nrrd,"{POINT}"\n' for name in names))
    interrupt_after(None, 3)
    code = main(["segment", "--batch", str(batch), "--out", str(out / "masks"), "--device", "cpu"])
    assert code == EXIT_INTERRUPTED
    assert "interrupted: kept what was done, 3 slices" in capsys.readouterr().out
    written = sorted(file.name for file in (out / "masks").iterdir())
    assert written == ["first.json", "first.seg.nrrd", "second.json", "second.seg.nrrd"]
    for name, interrupted in (("first", False), ("second", True)):
        assert json.loads((out / "masks" / f"{name}.json").read_text())["interrupted"] == interrupted
        assert labels_of(out / "masks" / f"{name}.seg.nrrd")[10].any()


@pytest.mark.parametrize(
    ("owner", "name"), [(segment_job, "read_volume"), (segment_job, "load_network"), (TrackingSession, "preview")]
)
def test_ctrl_c_before_the_first_slice_writes_nothing_and_says_so(
    volume: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, owner: object, name: str
) -> None:
    monkeypatch.setattr(owner, name, press_ctrl_c)
    assert segment(volume, "--point", POINT, "--out", out / "m.nrrd", "--report", out / "r.json") == EXIT_INTERRUPTED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("medsam2: interrupted")
    assert len(said.err.strip().splitlines()) == 1
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("module", ["numpy", "torch"])
def test_ctrl_c_while_the_program_is_still_loading_shows_no_trace(volume: Path, out: Path, module: str) -> None:
    code = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from MedSAM2Lib.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = ["segment", str(volume), "--point", POINT, "--out", str(out / "m.nrrd")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == EXIT_INTERRUPTED, done.stderr
    assert done.stderr.startswith("medsam2: interrupted")
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(("orientations", "step"), [("1", "voxel_logits"), ("3", "fused")])
def test_ctrl_c_while_files_are_written_leaves_none_of_them_half_written(
    volume: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    orientations: str,
    step: str,
) -> None:
    monkeypatch.setattr(TrackingSession, step, press_ctrl_c)
    arguments = ("--point", POINT, "--orientations", orientations, "--out", out / "m.nrrd")
    arguments += ("--logits", out / "l.npy", "--report", out / "r.json")
    assert segment(volume, *arguments) == EXIT_INTERRUPTED
    assert capsys.readouterr().err.startswith("medsam2: interrupted")
    assert list(out.iterdir()) == []


def test_ctrl_c_writes_what_is_done_and_says_so(out: Path, tmp_path: Path) -> None:
    array = np.concatenate([two_organs()[0]] * 100)
    file = written_volume(tmp_path / "long.nrrd", array)
    command = [sys.executable, "-m", "MedSAM2Lib.cli", "segment", str(file), "--point", "11,14,1010", "--stop", "off"]
    command += ["--out", str(out / "m.nrrd"), "--report", str(out / "r.json"), "--device", "cpu"]
    code = (
        "import sys, threading, os, signal\n"
        "import MedSAM2Lib.tracking.propagation as p\n"
        "from MedSAM2Lib.cli import main\n"
        "real = p._advance\n"
        "seen = []\n"
        "def counted(*a):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 12: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*a)\n"
        "p._advance = counted\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command[3:]], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stdout
    report = json.loads((out / "r.json").read_text())
    assert report["interrupted"]
    assert 5 <= report["slices_computed"] < 40
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(out / "m.nrrd")))[1010].any()
