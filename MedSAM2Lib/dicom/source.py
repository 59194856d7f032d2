"""The headers of the images that a segmentation was drawn on: read, copied, and checked for what a DICOM-SEG needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Union

from MedSAM2Lib.dicom.quiet import quiet
from MedSAM2Lib.dicom.refusals import SegExportError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from MedSAM2Lib.dicom.grid import SourceGrid

SourceKind = Literal["slices", "multi-frame", "planar"]
Source = Union[Path, Sequence[Path], "Sequence[Dataset]"]

_PIXEL_GROUP = 0x7FE00000
_NO_IMAGES = {"SEG", "SR", "PR", "KO", "REG", "RTSTRUCT", "RTPLAN", "RTDOSE", "DOC", "RWV", "FID"}
_OF_IMAGES = ("Rows", "Columns", "PhotometricInterpretation", "ImagePositionPatient")
_UID_FIELDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_TYPE_2 = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
"""What must be in every file, blank where nobody knows it; some exports leave it out."""


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """Copies of a series' headers, without pixels, their text decoded, absent Type 2 attributes blank.

    ``kind`` is "slices" for one image a file with a place in the patient, "multi-frame" for one file of many frames
    with places, "planar" for images without a place.
    """

    datasets: tuple[Dataset, ...]
    kind: SourceKind

    @property
    def first(self) -> Dataset:
        return self.datasets[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of an image."""
        return int(self.first.Rows), int(self.first.Columns)


def source_files(uids: Sequence[str], lookup: Callable[[str], str], volume_name: str) -> list[Path]:
    """The files of the instances that a volume was loaded from, such as 3D Slicer's attribute DICOM.instanceUIDs.

    Args:
        uids: SOPInstanceUIDs in any order; empty or "Unknown" ones count as missing.
        lookup: gives a UID's path, or an empty text; such as ``slicer.dicomDatabase.fileForInstance``.
        volume_name: for the sentence.

    Raises SegExportError ``E_NO_SOURCE``, with how many of how many are missing.
    """
    found = [lookup(uid) if uid and uid != "Unknown" else "" for uid in uids]
    files = [Path(path) for path in found if path and Path(path).is_file()]
    if not uids or len(files) < len(uids):
        missing = f"{len(uids) - len(files)} of {len(uids)} images are missing" if uids else "it has none"
        raise SegExportError(
            "E_NO_SOURCE",
            "The DICOM images of {name} are needed and {missing}: load it from the DICOM database, or save the "
            "segmentation as .seg.nrrd, or create a DICOM series from the volume first.",
            name=volume_name,
            missing=missing,
        )
    return files


def read_source(source: Source, series: str | None = None) -> SourceSeries:
    """The headers of the source images; the datasets and files themselves are left as they are.

    Args:
        source: a folder (other files in it are passed over), paths, or datasets of one series, in any order. One slice
            as a ``Path`` stands for all of its series in its folder.
        series: SeriesInstanceUID to take where there are several.

    Raises SegExportError ``E_NO_SOURCE`` where there is no image, ``E_SOURCE_HEADER`` for an image without size
    and a date, time or sex that DICOM does not know, and what ``check_identity`` raises.
    """
    with quiet():
        datasets = [one for one in _headers(source) if series is None or one.get("SeriesInstanceUID") == series]
    if not datasets:
        raise SegExportError(
            "E_NO_SOURCE",
            "There is no DICOM image in {place}: give the folder of the series that the mask was drawn on. Without "
            "DICOM images write a .seg.nrrd file instead.",
            place=source if isinstance(source, Path) else "what was given",
        )
    check_identity(datasets)
    if isinstance(source, Path) and not source.is_dir() and _kind(datasets) == "slices":
        return read_source(source.parent, str(datasets[0].SeriesInstanceUID))
    _check_sizes(datasets)
    with quiet():
        for dataset in datasets:
            _complete(dataset)
        _check_values(datasets[0])
    return SourceSeries(tuple(datasets), _kind(datasets))


def check_identity(datasets: Sequence[Dataset]) -> None:
    """Raises SegExportError ``E_SOURCE_UID``, ``E_MIXED_SERIES`` or ``E_MIXED_FOR``."""
    for name in _UID_FIELDS:
        blank = sum(not str(one.get(name) or "").strip() for one in datasets)
        if blank:
            raise SegExportError(
                "E_SOURCE_UID",
                "{name} is empty in {blank} of {count} source images, so nothing can refer to them: use the original "
                "images, or an export that replaces identifiers instead of removing them.",
                name=name,
                blank=blank,
                count=len(datasets),
            )
    for name, code, what in (
        ("SeriesInstanceUID", "E_MIXED_SERIES", "series"),
        ("FrameOfReferenceUID", "E_MIXED_FOR", "frames of reference"),
    ):
        values = Counter(str(one.get(name) or "") for one in datasets)
        if len(values) > 1:
            raise SegExportError(
                code,
                "The source images are of {count} {what} ({listed}): give the images of one.",
                count=len(values),
                what=what,
                listed=", ".join(f"{number} images of {uid or 'none'}" for uid, number in values.most_common(3)),
            )


def check_source(source: SourceSeries) -> SourceGrid | None:
    """The regular grid that the images lie on; None for one planar image, which has no place in the patient.

    Raises SegExportError ``E_NO_FOR``, ``E_2D_MULTIFRAME``, ``E_MIXED_SERIES`` (several multi-frame files),
    ``E_MIXED_ORIENTATION``, ``E_DUPLICATE_POSITION``, ``E_NONUNIFORM`` and ``E_TILT``.
    """
    from MedSAM2Lib.dicom.source_grid import grid_of

    return grid_of(source)


def _headers(source: Source) -> Iterable[Dataset]:
    from pydicom.dataset import Dataset

    if isinstance(source, Path):
        source = sorted(source.iterdir()) if source.is_dir() else [source]
    for one in source:
        header = _copied(one) if isinstance(one, Dataset) else _read(one)
        if header is not None and header.get("Modality") not in _NO_IMAGES and _is_image(header):
            yield header


def _is_image(header: Dataset) -> bool:
    return any(name in header for name in _OF_IMAGES)


def _copied(dataset: Dataset) -> Dataset:
    """A copy without pixels that leaves the original's undecoded elements undecoded."""
    return deepcopy(dataset.get_item(slice(None, _PIXEL_GROUP)))


def _read(path: Path) -> Dataset | None:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    if not path.is_file():
        return None
    try:
        return dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, EOFError):
        return None
    except OSError as error:
        raise SegExportError(
            "E_NO_SOURCE",
            "{path} cannot be read ({reason}): check its permissions.",
            path=path,
            reason=error.strerror or error,
        ) from error


def _complete(dataset: Dataset) -> None:
    dataset.decode()
    for name in _TYPE_2:
        if name not in dataset:
            setattr(dataset, name, "")


def _check_sizes(datasets: Sequence[Dataset]) -> None:
    for name in ("Rows", "Columns"):
        missing = sum(not one.get(name) for one in datasets)
        if missing:
            raise SegExportError(
                "E_SOURCE_HEADER",
                "{name} is missing in {missing} of {count} source images: take these away, or use the original images.",
                name=name,
                missing=missing,
                count=len(datasets),
            )


def _check_values(first: Dataset) -> None:
    """What a file takes over from the first header must be of its kind."""
    from pydicom.valuerep import DA, TM

    for name, kind in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM), ("PatientSex", _sex)):
        text = str(first.get(name) or "")
        try:
            if text:
                kind(text)
        except ValueError as error:
            raise SegExportError(
                "E_SOURCE_HEADER",
                "{name} of the source images is '{text}', which DICOM does not allow: correct it in the headers, or "
                "blank it there.",
                name=name,
                text=text,
            ) from error


def _sex(text: str) -> None:
    if text not in ("M", "F", "O"):
        raise ValueError(text)


def _kind(datasets: Sequence[Dataset]) -> SourceKind:
    first = datasets[0]
    if int(first.get("NumberOfFrames") or 1) > 1 or "PerFrameFunctionalGroupsSequence" in first:
        return "multi-frame"
    placed = all(
        one.get("FrameOfReferenceUID") and one.get("ImagePositionPatient") and one.get("ImageOrientationPatient")
        for one in datasets
    )
    return "slices" if placed else "planar"
