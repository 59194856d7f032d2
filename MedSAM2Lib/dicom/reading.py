"""The frames of a DICOM-SEG, one by one, with the place of each: independent of the writer, for masks in 2D too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from MedSAM2Lib.dicom.refusals import SegExportError

SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""

_NEEDED = (
    *("SegmentationType", "SegmentSequence", "Rows", "Columns", "BitsAllocated"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)


@dataclass(frozen=True, eq=False)
class SegFrame:
    """One frame: its segment (None in a label map), its plane's matrix (None in 2D) and its index in the file.

    ``matrix`` is 4x4, index (slice, row, column) to LPS in mm; its first column is the unit normal.
    """

    index: int
    segment: int | None
    matrix: NDArray[np.float64] | None


class SegFile:
    """A DICOM-SEG that is open for reading. Raises SegExportError ``E_NOT_SEG`` for anything else, or half of one."""

    def __init__(self, path: Path) -> None:
        try:
            self.dataset = dcmread(path)
        except (InvalidDicomError, EOFError) as error:
            raise _no_seg(path) from error
        if str(self.dataset.get("SOPClassUID")) not in SEGMENTATION_CLASSES or "PixelData" not in self.dataset:
            raise _no_seg(path)
        lacking = [name for name in _NEEDED if not self.dataset.get(name)]
        if lacking or len(self.dataset.PixelData) < self._length():
            raise SegExportError(
                "E_NOT_SEG",
                "{path} is damaged or incomplete ({fault}): copy or export it again.",
                path=path,
                fault=f"without {lacking[0]}" if lacking else "pixels are missing",
            )
        self._decoded: NDArray | None = None

    def _length(self) -> int:
        """Bytes of uncompressed pixels; 0 where they are compressed."""
        if self.dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return 0
        pixels = len(self.dataset.PerFrameFunctionalGroupsSequence) * self.shape[0] * self.shape[1]
        return (pixels * int(self.dataset.BitsAllocated) + 7) // 8

    @property
    def is_label_map(self) -> bool:
        return str(self.dataset.SegmentationType) == "LABELMAP"

    @property
    def background(self) -> int:
        """What a label map holds where no segment is, mostly 0."""
        return int(self.dataset.get("PixelPaddingValue") or 0) if self.is_label_map else 0

    @property
    def numbers(self) -> set[int]:
        """The numbers of the segments that are described, without the background."""
        return {int(item.SegmentNumber) for item in self.dataset.SegmentSequence} - {0, self.background}

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.dataset.Rows), int(self.dataset.Columns)

    def frames(self) -> list[SegFrame]:
        """All frames with their places, in the order of the file."""
        return list(_frames(self.dataset))

    def pixels(self, frame: SegFrame) -> NDArray:
        """``[rows, columns]``: numbers of segments in a label map, else 0 and 1; fractions count from one half."""
        dataset = self.dataset
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            pixels = self._decompressed()[frame.index]
        elif dataset.BitsAllocated == 1:
            pixels = _one_bit(dataset.PixelData, frame.index, self.shape)
        else:
            kind = np.dtype("<u2" if dataset.BitsAllocated == 16 else "u1")
            size = int(np.prod(self.shape))
            start = frame.index * size * kind.itemsize
            pixels = np.frombuffer(dataset.PixelData, kind, size, start).reshape(self.shape)
        if str(dataset.SegmentationType) == "FRACTIONAL":
            return np.asarray(2 * pixels.astype(np.uint32) >= int(dataset.MaximumFractionalValue))
        return np.where(pixels == self.background, 0, pixels) if self.background else pixels

    def _decompressed(self) -> NDArray:
        if self._decoded is None:
            pixels = np.asarray(self.dataset.pixel_array)
            self._decoded = pixels[None] if pixels.ndim == 2 else pixels
        return self._decoded


def _one_bit(data: bytes, index: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame of packed bits, first pixel in the lowest bit; frames need not begin at a whole byte."""
    size = shape[0] * shape[1]
    first = index * size
    packed = np.frombuffer(data, np.uint8, (first + size + 7) // 8 - first // 8, first // 8)
    return np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + size].reshape(shape)


def _frames(dataset: Dataset) -> Iterator[SegFrame]:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for index, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        identification = _macro(frame, shared, "SegmentIdentificationSequence")
        segment = None if identification is None else int(identification.ReferencedSegmentNumber)
        yield SegFrame(index, segment, _matrix(frame, shared))


def _matrix(frame: Dataset, shared: Dataset) -> NDArray[np.float64] | None:
    place = _macro(frame, shared, "PlanePositionSequence")
    turn = _macro(frame, shared, "PlaneOrientationSequence")
    measures = _macro(frame, shared, "PixelMeasuresSequence")
    if place is None or turn is None or measures is None:
        return None
    columns, rows = np.array([float(value) for value in turn.ImageOrientationPatient]).reshape(2, 3)
    down, across = (float(value) for value in measures.PixelSpacing)
    matrix = np.eye(4)
    matrix[:3, 0] = np.cross(columns, rows)
    matrix[:3, 1], matrix[:3, 2] = rows * down, columns * across
    matrix[:3, 3] = [float(value) for value in place.ImagePositionPatient]
    return matrix


def _macro(frame: Dataset, shared: Dataset, name: str) -> Dataset | None:
    for one in (frame, shared):
        if one.get(name):
            return one[name].value[0]
    return None


def _no_seg(path: Path) -> SegExportError:
    return SegExportError(
        "E_NOT_SEG", "{path} is no DICOM-SEG: give a file of DICOM's modality SEG with its pixels.", path=path
    )
