"""Slicer's DICOM database and its table of segments: what the application has, and a scene alone has not."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import slicer


def file_of_instance(uid: str) -> str:
    """The file of an instance by its SOPInstanceUID; empty where the database does not know it, or none is open."""
    database = getattr(slicer, "dicomDatabase", None)
    return str(slicer.dicomDatabase.fileForInstance(uid)) if database is not None and database.isOpen else ""


def can_import() -> bool:
    """Whether there is an open database that files can be copied into."""
    database = getattr(slicer, "dicomDatabase", None)
    return database is not None and bool(database.isOpen) and _utilities() is not None


def import_folder(folder: Path) -> bool:
    """Copies the DICOM files of a folder into the database; says whether it worked."""
    return bool(_utilities().importDicom(str(folder), slicer.dicomDatabase, copyFiles=True))


def has_terminology_selector() -> bool:
    """Whether the application has its terminology selector."""
    return hasattr(slicer, "qSlicerTerminologyNavigatorWidget")


def segments_table(segmentation_node: Any) -> Any:
    """Slicer's own table of a segmentation's segments; a double click on a colour opens the terminology selector."""
    table = slicer.qMRMLSegmentsTableView()
    table.setMRMLScene(segmentation_node.GetScene())
    table.setSegmentationNode(segmentation_node)
    return table


def _utilities() -> Any:
    try:
        return importlib.import_module("DICOMLib.DICOMUtils")
    except ImportError:
        return None
