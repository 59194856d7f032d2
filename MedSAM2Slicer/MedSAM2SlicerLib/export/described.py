"""Segments of a scene as a DICOM-SEG describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from MedSAM2Lib.dicom import AlgorithmInfo, SegmentInfo
from MedSAM2Lib.dicom.segment_info import ALGORITHM_TYPES, UNKNOWN_VERSION
from MedSAM2Lib.dicom.slicer_tags import sound_identity
from MedSAM2SlicerLib.export.terms import completed, read_terms
from MedSAM2SlicerLib.scene.geometry import volume_shape
from MedSAM2SlicerLib.scene.segment_tags import (
    ALGORITHM_NAME,
    ALGORITHM_TYPE,
    OUR_NAME,
    TRACKING_ID,
    TRACKING_UID,
    get_tag,
)
from MedSAM2SlicerLib.scene.segments import labelmap_of, read_segment, segment_ids, whole


@dataclass(frozen=True, eq=False)
class Counted:
    """A segment and its voxels: those on the volume, and those beyond it."""

    segment_id: str
    segment: Any
    voxels: int
    beyond: int

    @property
    def name(self) -> str:
        return str(self.segment.GetName() or "")


def counted_segments(segmentation_node: Any, volume_node: Any) -> list[Counted]:
    """All segments in their order. The grids must be equal (``grids.check_segmentation``)."""
    segmentation = segmentation_node.GetSegmentation()
    found = []
    for segment_id in segment_ids(segmentation_node):
        segment = segmentation.GetSegment(segment_id)
        total, inside = _counts(segment, volume_shape(volume_node))
        found.append(Counted(segment_id, segment, inside, total - inside))
    return found


def segment_info(segment: Any, number: int) -> SegmentInfo:
    """What a segment says of itself, as the segment of a number in the file.

    Slicer's default stands for codes that are missing; a segment without a tag about its algorithm was drawn by hand.
    Of a segment that another program made only that program's name is known. Identities that no file can hold count as
    missing, and new ones are made.
    """
    terms = completed(read_terms(segment))
    kind, program = get_tag(segment, ALGORITHM_TYPE), get_tag(segment, ALGORITHM_NAME)
    tracking_id, tracking_uid = sound_identity(get_tag(segment, TRACKING_ID), get_tag(segment, TRACKING_UID))
    red, green, blue = (round(255 * min(max(part, 0.0), 1.0)) for part in segment.GetColor())
    return SegmentInfo(
        label=str(segment.GetName() or ""),
        category=terms.category,
        type=terms.type,
        type_modifier=terms.type_modifier,
        region=terms.region,
        region_modifier=terms.region_modifier,
        rgb=(red, green, blue),
        algorithm_type=kind if kind in ALGORITHM_TYPES else "MANUAL",  # type: ignore[arg-type]
        tracking_id=tracking_id,
        tracking_uid=tracking_uid,
        number=number,
        algorithm=None if program in ("", OUR_NAME) else AlgorithmInfo(program, UNKNOWN_VERSION),
    )


def _counts(segment: Any, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Voxels of a segment, and those of them on a volume of ``shape``."""
    labelmap = labelmap_of(segment)
    if labelmap is None:
        return 0, 0
    array, first = labelmap
    total = int(np.count_nonzero(array == segment.GetLabelValue()))
    on_volume = all(start >= 0 and start + length <= size for start, length, size in zip(first, array.shape, shape))
    return total, total if on_volume else int(np.count_nonzero(read_segment(segment, whole(shape))))
