"""Which files are DICOM slices, what their headers say, and which series they make up."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import SimpleITK as sitk

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.volume.io.quiet import quiet

_PREAMBLE = 128
_MAGIC = b"DICM"
_META_BYTES = 4096
_NAMED_FOLDERS = 4
_SEARCHED_FOLDERS = 500
_SEARCHED_FILES = 5
_SOP_CLASS_TAG = b"\x02\x00\x02\x00UI"
_WITHOUT_GREY_SLICES = (
    "1.2.840.10008.1.3.10",  # DICOMDIR
    *(
        f"1.2.840.10008.5.1.4.1.1.{family}"
        for family in (
            "9.",
            "11.",
            "66",
            "67",
            "68.",
            "78.",
            "79.",
            "80.",
            "88.",
            "90.",
            "104.",
            "200.",
            "201.",
            "481.",
        )
    ),
)
"""Storage classes of waveforms, presentations, registrations, segmentations, reports, documents, radiotherapy, ..."""

_SERIES_UID, _DESCRIPTION, _MODALITY, _NUMBER = "0020|000e", "0008|103e", "0008|0060", "0020|0011"
_POSITION, _ORIENTATION, _PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
_FRAMES, _BETWEEN_SLICES, _THICKNESS = "0028|0008", "0018|0088", "0018|0050"


@dataclass(frozen=True)
class DicomSlice:
    """One file of a series: what its header says.

    ``position`` (LPS, mm, of the first pixel's centre), ``orientation`` (directions of i and of j, six numbers) and
    ``spacing`` (mm along i, j) are None where the file has none. ``thickness`` is the distance between slices, or
    their thickness, or 1 mm.
    """

    path: Path
    series_uid: str
    series_number: int
    description: str
    modality: str
    size: tuple[int, int]
    spacing: tuple[float, float] | None
    thickness: float
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    frames: int
    components: int

    @property
    def name(self) -> str:
        return self.path.name


def starts_as_dicom(path: Path) -> bool:
    """Whether a file begins as the DICOM standard's part 10 asks; old files may be DICOM and do not."""
    return _head(path)[_PREAMBLE : _PREAMBLE + 4] == _MAGIC


@dataclass(frozen=True)
class DicomSeries:
    """One series of a folder: its number there (from 1), SeriesInstanceUID (may be blank), and slices."""

    number: int
    uid: str
    slices: tuple[DicomSlice, ...]

    @property
    def description(self) -> str:
        return self.slices[0].description

    @property
    def modality(self) -> str:
        return self.slices[0].modality


def list_dicom_series(folder: str | Path) -> list[DicomSeries]:
    """The image series of a folder (not of the folders in it), in the order of their series numbers.

    Other files are skipped, and DICOM objects without grey slices. Raises VolumeError for a folder that is missing,
    locked or holds no series, and for a slice that is damaged.
    """
    folder = Path(folder)
    groups: dict[str, list[DicomSlice]] = {}
    for one in sorted(_slices_in(folder), key=lambda one: (one.series_number, one.series_uid)):
        groups.setdefault(one.series_uid, []).append(one)
    return [DicomSeries(number, uid, tuple(slices)) for number, (uid, slices) in enumerate(groups.items(), start=1)]


def choose_series(found: Sequence[DicomSeries], series: str | None, folder: Path) -> DicomSeries:
    """The series that a user named by UID or number; the only one where none was named. Raises VolumeError."""
    if series is None:
        if len(found) == 1:
            return found[0]
        raise VolumeError(
            "E_DICOM_SERIES",
            "{path} holds {count} series: {series}. Name one of them by its number or UID (--series).",
            path=folder,
            count=len(found),
            series=_listed(found),
        )
    for one in found:
        if series in (one.uid, str(one.number)):
            return one
    raise VolumeError(
        "E_DICOM_SERIES_UNKNOWN",
        "There is no series '{wanted}' in {path}; it holds {series}. Name one of them by its number or UID (--series).",
        wanted=series,
        path=folder,
        series=_listed(found),
    )


def read_header(path: Path) -> DicomSlice | None:
    """What a DICOM slice's header says, or None for another kind of file. Raises VolumeError for a damaged slice."""
    if _storage_class(path).startswith(_WITHOUT_GREY_SLICES):
        return None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        if not starts_as_dicom(path):
            return None
        raise VolumeError(
            "E_DICOM_SLICE",
            "The DICOM file {path} is damaged, incomplete or no image: copy or export the series again, or take the "
            "file out of the folder.",
            path=path,
        ) from error
    return _slice_of(path, reader)


def _slices_in(folder: Path) -> list[DicomSlice]:
    if not folder.is_dir():
        raise VolumeError("E_VOLUME_MISSING", "There is no folder {path}: check the path.", path=folder)
    try:
        files = [path for path in sorted(folder.iterdir()) if path.is_file()]
        found = [read for path in files if (read := read_header(path))]
        hint = "" if found else _what_else(folder, files)
    except OSError as error:
        raise VolumeError(
            "E_VOLUME_UNREADABLE",
            "{path} cannot be read ({reason}): check its permissions.",
            path=error.filename or folder,
            reason=error.strerror or error,
        ) from error
    if not found:
        raise VolumeError("E_DICOM_NONE", "There is no DICOM image in the folder {path}{hint}.", path=folder, hint=hint)
    return found


def _what_else(folder: Path, files: Sequence[Path]) -> str:
    """What a folder without DICOM holds, and so what to give instead."""
    inner = list(islice(_folders_with_dicom(folder), _NAMED_FOLDERS + 1))
    if len(inner) == 1:
        return f", but in {inner[0]}: give that folder"
    if inner:
        more = ", ..." if len(inner) > _NAMED_FOLDERS else ""
        return f", but in {', '.join(map(str, inner[:_NAMED_FOLDERS]))}{more}: give one of those folders"
    if not files:
        return ", it has no files: give the folder that holds the series"
    names = ", ".join(path.name for path in files[:3])
    return f", it holds {names}{', ...' if len(files) > 3 else ''}: give the folder of a series, or the volume's file"


def _folders_with_dicom(folder: Path) -> Iterator[Path]:
    """Folders below that hold DICOM files, patients and studies looked into; the first files of each are looked at."""
    for place, inner, names in islice(os.walk(folder), _SEARCHED_FOLDERS):
        inner.sort()
        files = [Path(place) / name for name in sorted(names)[:_SEARCHED_FILES]]
        readable = (path for path in files if path.is_file() and os.access(path, os.R_OK))
        if Path(place) != folder and any(starts_as_dicom(path) for path in readable):
            yield Path(place)


def _listed(found: Sequence[DicomSeries]) -> str:
    return "; ".join(
        f"{one.number}: {one.modality or 'image'} '{one.description or 'no description'}', "
        f"{len(one.slices)} {'file' if len(one.slices) == 1 else 'files'}, UID {one.uid or 'blank'}"
        for one in found
    )


def _slice_of(path: Path, reader: sitk.ImageFileReader) -> DicomSlice:
    def text(tag: str) -> str:
        value = reader.GetMetaData(tag) if reader.HasMetaDataKey(tag) else ""
        return str(value.encode("utf-8", "replace").decode("utf-8")).strip(" \0")

    size, spacing = reader.GetSize(), reader.GetSpacing()
    thickness = _numbers(text(_BETWEEN_SLICES), 1) or _numbers(text(_THICKNESS), 1) or (0.0,)
    return DicomSlice(
        path=path,
        series_uid=text(_SERIES_UID),
        series_number=int((_numbers(text(_NUMBER), 1) or (0.0,))[0]),
        description=text(_DESCRIPTION),
        modality=text(_MODALITY),
        size=(size[0], size[1]),
        spacing=None if _numbers(text(_PIXEL_SPACING), 2) is None else (spacing[0], spacing[1]),
        thickness=abs(thickness[0]) or 1.0,
        position=_numbers(text(_POSITION), 3),
        orientation=_numbers(text(_ORIENTATION), 6),
        frames=int((_numbers(text(_FRAMES), 1) or (1.0,))[0]),
        components=reader.GetNumberOfComponents(),
    )


def _numbers(text: str, count: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == count else None


def _storage_class(path: Path) -> str:
    """The Media Storage SOP Class UID of the meta header, which is always little endian; empty where there is none."""
    head = _head(path)
    place = head.find(_SOP_CLASS_TAG)
    if head[_PREAMBLE : _PREAMBLE + 4] != _MAGIC or not 0 < place < len(head) - 8:
        return ""
    length = struct.unpack_from("<H", head, place + 6)[0]
    return head[place + 8 : place + 8 + length].decode("ascii", "replace")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_META_BYTES)
