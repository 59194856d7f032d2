"""What a segment says of itself in tags: saved with the scene, and read by Slicer's own DICOM-SEG exporter too."""

from __future__ import annotations

from typing import Any

import vtk

ALGORITHM_TYPE = "DICOM.SegmentAlgorithmType"
"""MANUAL, SEMIAUTOMATIC or AUTOMATIC; a segment without this tag is MANUAL."""
ALGORITHM_NAME = "DICOM.SegmentAlgorithmName"
TRACKING_ID = "DICOM.TrackingID"
TRACKING_UID = "DICOM.TrackingUID"
"""The same in every export of the segment, so that a lesion can be followed over time."""

OUR_NAME = "MedSAM2Slicer"


def get_tag(segment: Any, name: str) -> str:
    """The text of a tag; empty where the segment has none of that name."""
    text = vtk.reference("")
    return str(text) if segment.GetTag(name, text) else ""


def set_tag(segment: Any, name: str, text: str) -> None:
    """Writes a tag where it says something else, since writing counts as a change of the segment."""
    if get_tag(segment, name) != text:
        segment.SetTag(name, text)


def mark_as_ours(segment: Any) -> None:
    """The segment holds voxels that came from prompts: half by hand, half by this program."""
    set_tag(segment, ALGORITHM_TYPE, "SEMIAUTOMATIC")
    set_tag(segment, ALGORITHM_NAME, OUR_NAME)
