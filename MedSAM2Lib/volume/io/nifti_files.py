"""Three traps of NIfTI files that the reader falls into without a word.

It fills the voxels missing from an incomplete file with zeros, takes zeros for voxels that are not finite numbers, and
where ``name.nii`` lies beside ``name.nii.gz`` it takes the voxels of the former for both.
"""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.errors import VolumeError

NIFTI_SUFFIXES = (".nii", ".nii.gz")
_SMALL_LETTERS_ONLY = (*NIFTI_SUFFIXES, ".mha")
_HEADER_BYTES = 540
_BLOCK = 1 << 20
_REAL_NUMBERS = {16: "f4", 64: "f8"}
"""Types of voxels that can be NaN or infinite, by their code in the header."""


@dataclass(frozen=True)
class _Header:
    """``order`` is < or >, ``kind`` the code of the voxels' type; the voxels begin at byte ``offset``."""

    order: str
    kind: int
    voxels: int
    bits: int
    offset: int

    @property
    def file_bytes(self) -> int:
        return self.offset + self.voxels * self.bits // 8


def check_complete(path: Path) -> None:
    """Raises VolumeError where a NIfTI file is shorter than its header says."""
    try:
        header = _header(path)
        expected = None if header is None else header.file_bytes
        found = None if expected is None else _found_bytes(path, expected)
    except (OSError, EOFError, zlib.error) as error:
        raise _incomplete(path, str(error)) from error
    if expected is not None and found is not None and found < expected:
        raise _incomplete(path, f"{found} of {expected} bytes are there")


def not_finite(path: Path) -> NDArray[np.intp]:
    """The voxels of a complete NIfTI file that are NaN or infinite, counted in the order in which they are stored."""
    header = _header(path)
    if header is None or header.kind not in _REAL_NUMBERS:
        return np.zeros(0, dtype=np.intp)
    kind = np.dtype(header.order + _REAL_NUMBERS[header.kind])
    found, first = [np.zeros(0, dtype=np.intp)], 0
    with _opened(path) as file:
        file.seek(header.offset)
        while first < header.voxels:
            block = file.read(min(_BLOCK, (header.voxels - first) * kind.itemsize))
            values = np.frombuffer(block[: len(block) // kind.itemsize * kind.itemsize], dtype=kind)
            if values.size == 0:
                break
            found.append(np.flatnonzero(~np.isfinite(values)) + first)
            first += values.size
    return np.concatenate(found)


@contextmanager
def alone(path: Path) -> Iterator[Path]:
    """The path, or one to the same file in a folder of its own, with a name in small letters.

    So where a NIfTI file's namesake lies beside it, and where its suffix has capitals, which the reader does not take.
    """
    has_namesake = path.name.lower().endswith(".nii.gz") and path.with_suffix("").exists()
    has_capitals = path.name.lower().endswith(_SMALL_LETTERS_ONLY) and not path.name.endswith(_SMALL_LETTERS_ONLY)
    if not (has_namesake or has_capitals):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        lonely = Path(folder) / path.name.lower()
        try:
            lonely.symlink_to(path.resolve())
        except OSError:  # not every Windows user may make links
            shutil.copyfile(path, lonely)
        yield lonely


def _incomplete(path: Path, reason: str) -> VolumeError:
    return VolumeError(
        "E_VOLUME_INCOMPLETE", "{path} is incomplete ({reason}): copy or download it again.", path=path, reason=reason
    )


def _header(path: Path) -> _Header | None:
    """What the header says, None where it is no NIfTI header."""
    with _opened(path) as file:
        header = file.read(_HEADER_BYTES)
    for order in "<>":
        if header[:4] == struct.pack(f"{order}i", 348) and len(header) >= 348:
            sizes = struct.unpack_from(f"{order}8h", header, 40)
            kind, bits = struct.unpack_from(f"{order}2h", header, 70)
            (offset,) = struct.unpack_from(f"{order}f", header, 108)
        elif header[:4] == struct.pack(f"{order}i", 540) and len(header) >= 540:
            sizes = struct.unpack_from(f"{order}8q", header, 16)
            kind, bits = struct.unpack_from(f"{order}2h", header, 12)
            (offset,) = struct.unpack_from(f"{order}q", header, 168)
        else:
            continue
        return _Header(order, kind, _product(sizes[1 : 1 + max(0, min(sizes[0], 7))]), bits, int(offset))
    return None


def _product(sizes: tuple[int, ...]) -> int:
    product = 1
    for size in sizes:
        product *= max(1, size)
    return product


def _opened(path: Path) -> BinaryIO | gzip.GzipFile:
    return gzip.open(path, "rb") if _is_compressed(path) else path.open("rb")


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _found_bytes(path: Path, expected: int) -> int:
    if not _is_compressed(path):
        return path.stat().st_size
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        # The last four bytes of a complete file of one part are its length; only otherwise it must be unpacked to know.
        if struct.unpack("<I", file.read(4))[0] == expected % (1 << 32):
            return expected
    found = 0
    with gzip.open(path, "rb") as unpacked:
        while block := unpacked.read(_BLOCK):
            found += len(block)
    return found
