"""Which files are DICOM slices, what their headers say, and which series they make up."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk  # noqa: N813

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.volume.io.images import quiet

_PREAMBLE = 128
_MAGIC = b"DICM"
_META_BYTES = 4096
_SOP_CLASS_TAG = b"\x02\x00\x02\x00UI"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_WITHOUT_IMAGE = (
    "1.2.840.10008.1.3.10",  # DICOMDIR
    *(
        _STORAGE + part
        for part in ("9.", "11.", "66", "67", "68.", "78.", "79.", "80.", "88.", "90.", "104.", "200.", "201.", "481.")
    ),
)
_NOT_WITHOUT_IMAGE = (_STORAGE + "481.1", _STORAGE + "481.2")

_SERIES_UID, _DESCRIPTION, _MODALITY, _NUMBER = "0020|000e", "0008|103e", "0008|0060", "0020|0011"
_POSITION, _ORIENTATION = "0020|0032", "0020|0037"
_FRAMES, _BETWEEN_SLICES, _THICKNESS = "0028|0008", "0018|0088", "0018|0050"


@dataclass(frozen=True)
class DicomSlice:
    """One file of a series: what its header says.

    ``position`` (LPS, mm, of the first pixel's centre) and ``orientation`` (direction of a row's pixels, then of a
    column's, six numbers) are None where the file has none. ``spacing`` is mm along (i, j): columns first.
    """

    path: Path
    series_uid: str
    series_number: int
    description: str
    modality: str
    size: tuple[int, int]
    spacing: tuple[float, float]
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


def slices_in(folder: Path) -> list[DicomSlice]:
    """The DICOM slices of a folder, or of its sub-folders if it has none itself, in the order of their names.

    Other files are skipped, and DICOM objects without an image. Raises VolumeError for a slice that cannot be read.
    """
    try:
        for pattern in ("*", "*/**/*"):
            found = [read for path in sorted(folder.glob(pattern)) if path.is_file() and (read := read_header(path))]
            if found:
                return found
    except OSError as error:
        raise VolumeError(
            "E_VOLUME_UNREADABLE",
            "The folder {path} cannot be read ({reason}): check its permissions.",
            path=folder,
            reason=error.strerror or error,
        ) from error
    raise VolumeError(
        "E_DICOM_NONE",
        "There is no DICOM image in {path}{hint}: give the folder of a series, or the volume's file.",
        path=folder,
        hint=_other_files(folder),
    )


def read_header(path: Path) -> DicomSlice | None:
    """What a DICOM slice's header says, or None for another kind of file. Raises VolumeError for a damaged slice."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    with quiet():
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            if not _should_hold_image(path):
                return None
            raise VolumeError(
                "E_DICOM_SLICE",
                "The DICOM file {path} is damaged or incomplete: copy or export the series again.",
                path=path,
            ) from error
    return _slice_of(path, reader)


def series_of(slices: Iterable[DicomSlice]) -> dict[str, list[DicomSlice]]:
    """Slices by SeriesInstanceUID, which may be blank, in the order of series numbers."""
    groups: dict[str, list[DicomSlice]] = {}
    for one in sorted(slices, key=lambda one: (one.series_number, one.series_uid)):
        groups.setdefault(one.series_uid, []).append(one)
    return groups


def choose_series(groups: dict[str, list[DicomSlice]], series: str | None, folder: Path) -> list[DicomSlice]:
    """The series that a user named by UID or number; the only one where none was named. Raises VolumeError."""
    members = list(groups.values())
    if series is None:
        if len(members) == 1:
            return members[0]
        raise VolumeError(
            "E_DICOM_SERIES",
            "{path} holds {count} series: {series}. Name one of them by its number or UID (--series).",
            path=folder,
            count=len(members),
            series=_listed(members),
        )
    if series in groups:
        return groups[series]
    if series.isdecimal() and 1 <= int(series) <= len(members):
        return members[int(series) - 1]
    raise VolumeError(
        "E_DICOM_SERIES_UNKNOWN",
        "There is no series '{wanted}' in {path}; it holds {series}. Name one of them by its number or UID (--series).",
        wanted=series,
        path=folder,
        series=_listed(members),
    )


def _listed(members: Sequence[Sequence[DicomSlice]]) -> str:
    return "; ".join(
        f"{number}: {slices[0].modality or 'image'} '{slices[0].description or 'no description'}', "
        f"{len(slices)} {'file' if len(slices) == 1 else 'files'}, UID {slices[0].series_uid or 'blank'}"
        for number, slices in enumerate(members, start=1)
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
        spacing=(spacing[0], spacing[1]),
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


def _should_hold_image(path: Path) -> bool:
    """Whether a file that the reader refuses claims to be a DICOM image, by its meta header."""
    head = _head(path)
    if head[_PREAMBLE : _PREAMBLE + 4] != _MAGIC:
        return False
    place = head.find(_SOP_CLASS_TAG)
    if place < 0:
        return True
    length = struct.unpack_from("<H", head, place + 6)[0]
    sop_class = head[place + 8 : place + 8 + length].decode("ascii", "replace").strip(" \0")
    in_a_family = any(sop_class.startswith(prefix) for prefix in _WITHOUT_IMAGE)
    return not in_a_family or any(sop_class.startswith(prefix) for prefix in _NOT_WITHOUT_IMAGE)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_META_BYTES)


def _other_files(folder: Path) -> str:
    names = [path.name for path in sorted(folder.iterdir()) if path.is_file()][:3]
    return f" (it holds {', '.join(names)})" if names else " (it is empty)" if not any(folder.iterdir()) else ""
