"""The files of `medsam2 segment`: checked before any work, assembled slice by slice, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MedSAM2Lib.commands.claims import Claim, Place, fused_claims, slice_claims
from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.types import NOT_COMPUTED, BoolArray, FloatArray
from MedSAM2Lib.volume.io import MASK_SUFFIXES, replacing, write_mask

if TYPE_CHECKING:
    from MedSAM2Lib.commands.segmentation import Segmentation

_FILL_BYTES = 1 << 24


@dataclass(frozen=True)
class Outputs:
    """Where the mask goes, and the logits and the report if they are wanted."""

    mask: Path
    logits: Path | None = None
    report: Path | None = None

    @property
    def paths(self) -> list[Path]:
        return [path for path in (self.mask, self.logits, self.report) if path is not None]


def check_outputs(outputs: Outputs, inputs: Sequence[Path]) -> None:
    """Raises InputError or OutputError for names and folders that could not be written after minutes of work.

    ``inputs`` are the files that are read: none of them may be written over.
    """
    if not outputs.mask.name.lower().endswith(MASK_SUFFIXES):
        raise InputError(
            "E_OUT_SUFFIX",
            "--out {path} must end in {suffixes}.",
            path=outputs.mask,
            suffixes=" or ".join(MASK_SUFFIXES),
        )
    check_suffix("--logits", outputs.logits, ".npy")
    check_suffix("--report", outputs.report, ".json")
    check_places(outputs.paths, inputs)


def check_places(paths: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raises InputError or OutputError unless all ``paths`` can be written, each of them apart from ``inputs``."""
    _check_apart(paths, inputs)
    for path in paths:
        check_folder(path.resolve().parent, path)
        if path.is_dir():
            raise OutputError("E_OUT_IS_FOLDER", "{path} is a folder: give the name of a file in it.", path=path)


def _check_apart(paths: Sequence[Path], inputs: Sequence[Path]) -> None:
    read = {path.resolve() for path in inputs}
    written: set[Path] = set()
    for path in paths:
        if path.resolve() in read:
            raise InputError(
                "E_OUT_SAME", "{path} is a file that is read and would be lost: write to another name.", path=path
            )
        if path.resolve() in written:
            raise InputError("E_OUT_SAME", "{path} is given for two outputs: give each its own name.", path=path)
        written.add(path.resolve())


def check_folder(folder: Path, path: Path) -> None:
    """Raises OutputError unless ``folder`` is there and may be written to."""
    in_the_way = next((place for place in (folder, *folder.parents) if place.is_file()), None)
    if in_the_way is not None:
        raise OutputError(
            "E_OUT_FOLDER",
            "{path} cannot be written: {file} is a file, not a folder. Choose another place.",
            path=path,
            file=in_the_way,
        )
    if not folder.is_dir():
        raise OutputError(
            "E_OUT_FOLDER", "The folder of {path} does not exist: make {folder} first.", path=path, folder=folder
        )
    if not os.access(folder, os.W_OK):
        raise OutputError(
            "E_OUT_WRITE", "{path} cannot be written: you have no permission in {folder}.", path=path, folder=folder
        )


def write_outputs(
    done: Segmentation, outputs: Outputs, report: Callable[[], str], notice: Callable[[], None] | None = None
) -> None:
    """Fills ``done.labels`` and writes the mask, the logits and the report: all of them, or none.

    Logits are brought to voxels slice by slice, or slab by slab where several orientations are fused; where objects
    overlap, the larger logit keeps the voxel, but a mask that the user gave keeps all of its own. ``report`` makes the
    report's text once the labels are there, after ``notice`` has looked at them.
    """
    shape = (len(done.names), *done.labels.shape) if len(done.names) > 1 else done.labels.shape
    done.session.features.clear()
    with logits_file(outputs.logits, shape) as stored, report_file(outputs.report) as partial:
        with done.timed("write"):
            for place, claims in fused_claims(done) if done.fused else slice_claims(done):
                _write_part(done, place, claims, stored)
        if notice is not None:
            notice()
        if partial is not None:
            partial.write_text(report(), encoding="utf-8")
        write_mask(outputs.mask, done.labels, done.volume, done.names)


@contextmanager
def report_file(path: Path | None) -> Iterator[Path | None]:
    """Where the report is written until everything else is; None where none is wanted."""
    if path is None:
        yield None
        return
    with replacing(path) as partial:
        yield partial


@contextmanager
def logits_file(path: Path | None, shape: tuple[int, ...]) -> Iterator[Path | None]:
    """A float32 .npy file on disk, full of NOT_COMPUTED, to be filled in; it takes its name only if all went well.

    The space is taken by ordinary writes first, so that a full disk is an OutputError and not a crash of a map.
    """
    if path is None:
        yield None
        return
    with replacing(path) as partial:
        _reserve(partial, shape)
        yield partial


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": shape}
    remaining = int(np.prod(shape))
    block = np.full(min(remaining, _FILL_BYTES // 4), NOT_COMPUTED, dtype=np.float32)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        while remaining > 0:
            file.write(block[:remaining].tobytes())
            remaining -= block.size


def _store(file: Path, object_id: int, place: Place, logits: FloatArray) -> None:
    """Fills in one part; the file is mapped for that long only, so that it never counts as the process's memory."""
    stored = np.lib.format.open_memmap(file, mode="r+")
    target = stored if stored.ndim == 3 else stored[object_id - 1]
    target[place] = logits


def _write_part(done: Segmentation, place: Place, claims: Iterable[Claim], stored: Path | None) -> None:
    best: FloatArray | None = None
    claimed: dict[int, BoolArray] = {}
    for claim in claims:
        if stored is not None:
            _store(stored, claim.object_id, place, claim.logits)
        logits = np.where(claim.given & (claim.logits > 0), np.float32(np.inf), claim.logits)
        if best is None:
            best = np.zeros_like(logits)
        _count_overlaps(done, claimed, claim.object_id, logits > 0)
        wins = logits > best
        done.labels[place][wins] = claim.object_id
        best[wins] = logits[wins]


def _count_overlaps(done: Segmentation, claimed: dict[int, BoolArray], object_id: int, mask: BoolArray) -> None:
    """Adds the voxels that an object and those before it both claim."""
    for other, before in claimed.items():
        shared = int(np.count_nonzero(before & mask))
        if shared:
            done.overlaps[other, object_id] = done.overlaps.get((other, object_id), 0) + shared
    if mask.any():
        claimed[object_id] = mask


def check_suffix(option: str, path: Path | None, suffix: str) -> None:
    """Raises InputError for a name that does not end in ``suffix``."""
    if path is not None and not path.name.lower().endswith(suffix):
        raise InputError(
            "E_OUT_SUFFIX", "{option} {path} must end in {suffix}.", option=option, path=path, suffix=suffix
        )
