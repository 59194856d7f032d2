"""What the mandatory modules of a DICOM-SEG ask for: Type 1 with a value, Type 2 at least blank (PS3.3, A.51)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TYPE_1 = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality"),
    *("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"),
    *("InstanceNumber", "ContentDate", "ContentTime", "ContentLabel"),
    *("ImageType", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored"),
    *("HighBit", "PixelRepresentation", "LossyImageCompression", "SegmentationType", "SegmentSequence", "PixelData"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "NumberOfFrames"),
    *("DimensionOrganizationSequence", "DimensionIndexSequence"),
)
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    *("ContentDescription", "ContentCreatorName"),
)
_OF_A_SEGMENT = (
    *("SegmentNumber", "SegmentLabel", "SegmentAlgorithmType"),
    *("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"),
)
_OF_A_CODE = ("CodeMeaning", "CodingSchemeDesignator")


def missing(dataset: Dataset) -> list[str]:
    """The attributes that are absent, or blank where a value is needed."""
    return [*_top(dataset), *_of_segments(dataset), *_of_frames(dataset)]


def _top(dataset: Dataset) -> Iterator[str]:
    yield from (name for name in _TYPE_1 if _blank(dataset, name))
    yield from (name for name in _TYPE_2 if name not in dataset)
    if dataset.get("LossyImageCompression") == "01":
        for name in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if _blank(dataset, name):
                yield name
    if not _planar(dataset) and _blank(dataset, "FrameOfReferenceUID"):
        yield "FrameOfReferenceUID"
    if _has_references(dataset) and _blank(dataset, "ReferencedSeriesSequence"):
        yield "ReferencedSeriesSequence"


def _of_segments(dataset: Dataset) -> Iterator[str]:
    for item in dataset.get("SegmentSequence") or []:
        # the background of a label map needs no more than its number, label and codes
        names = [name for name in _OF_A_SEGMENT if _blank(item, name)]
        if item.get("SegmentAlgorithmType") != "MANUAL" and _blank(item, "SegmentAlgorithmName"):
            names.append("SegmentAlgorithmName")
        for sequence in _OF_A_SEGMENT[3:]:
            names += [name for code in item.get(sequence) or [] for name in _OF_A_CODE if _blank(code, name)]
        yield from (f"{name} of segment {item.get('SegmentNumber')}" for name in names)


def _of_frames(dataset: Dataset) -> Iterator[str]:
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    wanted = ["FrameContentSequence"]
    if not _planar(dataset):
        wanted += ["PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"]
    if dataset.get("SegmentationType") != "LABELMAP":
        wanted.append("SegmentIdentificationSequence")
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    for name in wanted:
        if not all(frame.get(name) or (shared is not None and shared.get(name)) for frame in frames):
            yield name
    if frames and len(frames) != int(dataset.get("NumberOfFrames") or 0):
        yield "as many frames as NumberOfFrames says"


def _blank(dataset: Dataset, name: str) -> bool:
    value = dataset.get(name)
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _planar(dataset: Dataset) -> bool:
    return "FrameOfReferenceUID" not in dataset and "PatientOrientation" in dataset


def _has_references(dataset: Dataset) -> bool:
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    return any(frame.get("DerivationImageSequence") for frame in frames)
