"""Masks of one flat image that has no place in the patient: secondary capture, ultrasound, CR, DX, XA, fundus.

Without a frame of reference a mask must have the rows and columns of its image (PS3.3, C.8.20.2). highdicom takes
some classes of one frame, such as XA, for multi-frame images: these are written by way of a secondary capture, and
referred to by their own class afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from highdicom.seg import Segmentation
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from MedSAM2Lib.dicom.label_layers import LabelLayers, marked

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

_ELSEWHERE = (
    *("PixelSpacing", "FrameOfReferenceUID", "PositionReferenceIndicator", "NumberOfFrames"),
    *("ImagePositionPatient", "ImageOrientationPatient"),
)


def planar_segmentation(
    source: Dataset, layers: LabelLayers, items: Sequence[SegmentDescription], identity: dict[str, Any]
) -> Dataset:
    """A DICOM-SEG of one image; each of the layers is ``[1, rows, columns]``, and they may overlap."""
    image = deepcopy(source)
    for name in _ELSEWHERE:
        if name in image:
            del image[name]
    image.SOPClassUID = SecondaryCaptureImageStorage
    dataset = Segmentation(
        source_images=[image], pixel_array=_stacked(layers), segment_descriptions=list(items), **identity
    )
    dataset.PatientOrientation = source.get("PatientOrientation") or ""
    _refer_to(dataset, str(source.SOPInstanceUID), str(source.SOPClassUID))
    return dataset


def _stacked(layers: LabelLayers) -> Any:
    """One label map, or where masks overlap ``[1, rows, columns, segment]``."""
    if len(layers.arrays) == 1:
        return layers.arrays[0]
    numbers = range(1, len(layers.segments) + 1)
    masks = [marked(layers.arrays, number) for number in numbers]
    return np.stack(masks, axis=-1).astype(np.uint8)


def _refer_to(dataset: Dataset, instance: str, storage: str) -> None:
    for item in _items(dataset):
        if item.get("ReferencedSOPInstanceUID") == instance:
            item.ReferencedSOPClassUID = storage


def _items(dataset: Dataset) -> list[Dataset]:
    found = []
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                found += [item, *_items(item)]
    return found
