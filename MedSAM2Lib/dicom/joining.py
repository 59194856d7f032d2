"""One DICOM-SEG of overlapping segments from several without overlap, whose memory stays that of label maps.

highdicom takes overlapping segments only as a stack of whole masks, which for ten segments of 600 slices needs over
3 GB.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

_BITS = 8
_OF_A_FRAME = ("SegmentIdentificationSequence", "PlanePositionSequence", "DerivationImageSequence")


def joined(parts: Sequence[tuple[Dataset, list[int]]], items: Sequence[SegmentDescription]) -> Dataset:
    """The first BINARY segmentation with the frames of all of them, ordered by segment and position.

    Args:
        parts: segmentations on one grid, each with the numbers that its segments 1, 2, ... have in the whole.
        items: the descriptions of all segments, in the order of their numbers.
    """
    whole = parts[0][0]
    frames = []
    for dataset, numbers in parts:
        _unshare(dataset)
        for place, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            identification = frame.SegmentIdentificationSequence[0]
            identification.ReferencedSegmentNumber = numbers[int(identification.ReferencedSegmentNumber) - 1]
            frames.append((int(identification.ReferencedSegmentNumber), _position(frame), frame, dataset, place))
    along = _normal(whole)
    frames.sort(key=lambda one: (one[0], float(one[1] @ along)))
    _index(whole, [(number, float(position @ along), frame) for number, position, frame, _, _ in frames])
    whole.PixelData = _pixels([(dataset, place) for _, _, _, dataset, place in frames])
    whole.PerFrameFunctionalGroupsSequence = DicomSequence([frame for _, _, frame, _, _ in frames])
    whole.SegmentSequence = DicomSequence(items)
    whole.NumberOfFrames = len(frames)
    whole.SegmentsOverlap = "YES"
    _refer(whole, [dataset for dataset, _ in parts[1:]])
    return whole


def _unshare(dataset: Dataset) -> None:
    """Moves what differs between parts into each frame: it is shared where one part has a single segment."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for name in _OF_A_FRAME:
        if name in shared:
            for frame in dataset.PerFrameFunctionalGroupsSequence:
                frame[name] = deepcopy(shared[name])
            del shared[name]


def _position(frame: Dataset) -> NDArray[np.float64]:
    return np.array([float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient])


def _normal(dataset: Dataset) -> NDArray[np.float64]:
    orientation = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    axes = np.array([float(value) for value in orientation]).reshape(2, 3)
    return np.asarray(np.cross(axes[0], axes[1]))


def _index(whole: Dataset, frames: Sequence[tuple[int, float, Dataset]]) -> None:
    """Dimension index values: the segment's number, and the place of the position among all positions."""
    places = {round(along, 3): 0 for _, along, _ in frames}
    for place, along in enumerate(sorted(places), start=1):
        places[along] = place
    for number, along, frame in frames:
        frame.FrameContentSequence[0].DimensionIndexValues = [number, places[round(along, 3)]]


def _pixels(frames: Sequence[tuple[Dataset, int]]) -> bytes:
    """Frames of one bit a pixel one after the other, first pixel in the lowest bit, of even length."""
    size = int(frames[0][0].Rows) * int(frames[0][0].Columns)
    if size % _BITS == 0:
        step = size // _BITS
        joint = b"".join(dataset.PixelData[place * step : (place + 1) * step] for dataset, place in frames)
    else:
        bits = np.concatenate([_bits(dataset, place, size) for dataset, place in frames])
        joint = np.packbits(bits, bitorder="little").tobytes()
    return joint + b"\0" * (len(joint) % 2)


def _bits(dataset: Dataset, place: int, size: int) -> NDArray[np.uint8]:
    first, last = place * size, (place + 1) * size
    packed = np.frombuffer(dataset.PixelData[first // _BITS : last // _BITS + 1], dtype=np.uint8)
    return np.unpackbits(packed, bitorder="little")[first % _BITS : first % _BITS + size]


def _refer(whole: Dataset, others: Sequence[Dataset]) -> None:
    """Adds the instances that only the others refer to."""
    for other in others:
        for series in other.get("ReferencedSeriesSequence") or []:
            own = next(
                one for one in whole.ReferencedSeriesSequence if one.SeriesInstanceUID == series.SeriesInstanceUID
            )
            known = {one.ReferencedSOPInstanceUID for one in own.ReferencedInstanceSequence}
            own.ReferencedInstanceSequence.extend(
                one for one in series.ReferencedInstanceSequence if one.ReferencedSOPInstanceUID not in known
            )
