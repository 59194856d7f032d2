"""A DICOM-SEG in memory, by highdicom: always from a volume with its place, never by the order of arrays.

By the order of arrays a list of images that is sorted otherwise than the mask flips the mask without a word, and
validators find nothing wrong with the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import highdicom
import numpy as np
from highdicom.seg import Segmentation
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

from MedSAM2Lib import __version__
from MedSAM2Lib.dicom.cleaning import clean
from MedSAM2Lib.dicom.descriptions import described
from MedSAM2Lib.dicom.grid import Affine
from MedSAM2Lib.dicom.joining import joined
from MedSAM2Lib.dicom.label_layers import LabelLayers, counts_of
from MedSAM2Lib.dicom.planar import planar_segmentation
from MedSAM2Lib.dicom.segment_info import AlgorithmInfo, SegmentInfo
from MedSAM2Lib.dicom.source import SourceSeries

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

Kind = Literal["BINARY", "LABELMAP"]
Compression = Literal["none", "deflate"]

_NAME = "MedSAM2Slicer"
_SERIES_OFFSET = 100
_DATES = ("ContentDate", "SeriesDate", "InstanceCreationDate")
_TIMES = ("ContentTime", "SeriesTime", "InstanceCreationTime")


@dataclass(frozen=True)
class FileSettings:
    """What a file says of itself."""

    kind: Kind
    compression: Compression
    series_description: str
    content_creator: str
    use_study_date: bool


def built(
    source: SourceSeries,
    layers: LabelLayers,
    affine: Affine | None,
    segments: Sequence[SegmentInfo],
    algorithm: AlgorithmInfo,
    settings: FileSettings,
) -> Dataset:
    """The dataset, ready to be saved.

    Args:
        source: copies of the headers, snapped onto their grid.
        layers: the marks, numbered from 1.
        affine: index (k, j, i) to LPS; None for one planar image.
        segments: completed, in the order of their numbers.
        algorithm, settings: said in the file.
    """
    items = [described(segment, algorithm) for segment in segments]
    identity = _identity(source.first, settings)
    if affine is None:
        dataset = planar_segmentation(source.first, layers, items, identity)
    elif len(layers.arrays) == 1:
        dataset = _segmentation(source, layers.arrays[0], affine, items, identity)
    else:
        dataset = joined(
            [
                (_segmentation(source, part, affine, own, identity), numbers)
                for part, own, numbers in _parts(layers, items)
            ],
            items,
        )
    _finish(dataset, source.first, settings)
    return dataset


def _segmentation(
    source: SourceSeries,
    labels: NDArray,
    affine: Affine,
    items: Sequence[SegmentDescription],
    identity: dict[str, Any],
) -> Dataset:
    volume = highdicom.Volume(
        labels, affine, coordinate_system="PATIENT", frame_of_reference_uid=source.first.FrameOfReferenceUID
    )
    return Segmentation(
        source_images=list(source.datasets), pixel_array=volume, segment_descriptions=list(items), **identity
    )


def _parts(
    layers: LabelLayers, items: Sequence[SegmentDescription]
) -> list[tuple[NDArray, list[SegmentDescription], list[int]]]:
    """Each layer renumbered from 1, its items, and the numbers they have in the whole file."""
    parts = []
    for array in layers.arrays:
        numbers = sorted(counts_of(array))
        lookup = np.zeros(len(items) + 1, dtype=array.dtype)
        own = []
        for new, number in enumerate(numbers, start=1):
            lookup[number] = new
            item = highdicom.seg.SegmentDescription.from_dataset(items[number - 1])
            item.SegmentNumber = new
            own.append(item)
        parts.append((lookup[array], own, numbers))
    return parts


def _identity(first: Dataset, settings: FileSettings) -> dict[str, Any]:
    return {
        "segmentation_type": settings.kind,
        "series_instance_uid": str(generate_uid(prefix=None)),
        "series_number": max(int(first.get("SeriesNumber") or 0), 0) + _SERIES_OFFSET,
        "sop_instance_uid": str(generate_uid(prefix=None)),
        "instance_number": 1,
        "manufacturer": _NAME,
        "manufacturer_model_name": _NAME,
        "software_versions": __version__,
        "device_serial_number": "1",
        "content_label": "SEGMENTATION",
        "content_description": settings.series_description,
        "content_creator_name": settings.content_creator or None,
        "series_description": settings.series_description,
        "transfer_syntax_uid": ExplicitVRLittleEndian,
    }


def _finish(dataset: Dataset, source: Dataset, settings: FileSettings) -> None:
    clean(dataset, source)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ContentCreatorName = settings.content_creator
    if settings.use_study_date and source.get("StudyDate"):
        for name in _DATES:
            setattr(dataset, name, source.StudyDate)
        for name in _TIMES:
            setattr(dataset, name, source.get("StudyTime") or "000000")
    if settings.compression == "deflate":
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
