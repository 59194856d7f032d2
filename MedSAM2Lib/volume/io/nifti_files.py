"""Two traps of NIfTI files that the reader falls into without a word.

It fills the voxels missing from an incomplete file with zeros, and where ``name.nii`` lies beside ``name.nii.gz`` it
takes the voxels of the former for both.
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
from pathlib import Path
from typing import BinaryIO

from MedSAM2Lib.errors import VolumeError

NIFTI_SUFFIXES = (".nii", ".nii.gz")
_HEADER_BYTES = 540
_BLOCK = 1 << 20


def check_complete(path: Path) -> None:
    """Raises VolumeError where a NIfTI file is shorter than its header says."""
    try:
        expected = _expected_bytes(path)
        found = None if expected is None else _found_bytes(path, expected)
    except (OSError, EOFError, zlib.error) as error:
        raise _incomplete(path, str(error)) from error
    if expected is not None and found is not None and found < expected:
        raise _incomplete(path, f"{found} of {expected} bytes are there")


@contextmanager
def alone(path: Path) -> Iterator[Path]:
    """The path, or one to the same file in a folder of its own where a NIfTI file's namesake lies beside it."""
    namesake = path.with_suffix("") if path.name.lower().endswith(".nii.gz") else None
    if namesake is None or not namesake.exists():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        lonely = Path(folder) / path.name
        try:
            lonely.symlink_to(path.resolve())
        except OSError:  # not every Windows user may make links
            shutil.copyfile(path, lonely)
        yield lonely


def _incomplete(path: Path, reason: str) -> VolumeError:
    return VolumeError(
        "E_VOLUME_INCOMPLETE", "{path} is incomplete ({reason}): copy or download it again.", path=path, reason=reason
    )


def _expected_bytes(path: Path) -> int | None:
    """Bytes of the uncompressed file by its header, None where it is no NIfTI header."""
    with _opened(path) as file:
        header = file.read(_HEADER_BYTES)
    for order in "<>":
        if header[:4] == struct.pack(f"{order}i", 348) and len(header) >= 348:
            sizes = struct.unpack_from(f"{order}8h", header, 40)
            bits, offset = struct.unpack_from(f"{order}h", header, 72), struct.unpack_from(f"{order}f", header, 108)
        elif header[:4] == struct.pack(f"{order}i", 540) and len(header) >= 540:
            sizes = struct.unpack_from(f"{order}8q", header, 16)
            bits, offset = struct.unpack_from(f"{order}h", header, 14), struct.unpack_from(f"{order}q", header, 168)
        else:
            continue
        return int(offset[0]) + _product(sizes[1 : 1 + max(0, min(sizes[0], 7))]) * int(bits[0]) // 8
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
