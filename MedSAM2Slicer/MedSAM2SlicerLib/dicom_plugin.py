"""DICOM-SEG in Slicer's own dialog "Export to DICOM": offered only where the file would be right.

Slicer finds exporters in ``slicer.modules.dicomPlugins``. Its own is surer of itself (1.0) than this one, which so
never takes its place unasked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2SlicerLib.dicom_database import file_of_instance
from MedSAM2SlicerLib.export.exporting import keep_identities, prepare
from MedSAM2SlicerLib.export.lines import Line, ready
from MedSAM2SlicerLib.export.preflight import Subject, preflight
from MedSAM2SlicerLib.export.series import SeriesReader
from MedSAM2SlicerLib.export.service import settle_first

NAME = "MedSAM2SegmentationPlugin"
TITLE = "MedSAM2 segmentation"
CONFIDENCE = 0.9

Settle = Callable[[str, bool], bool]
"""Commits what is previewed, as ``SessionController.settle``; says whether nothing is pending any more."""


def register_dicom_plugin(settle: Settle | None = None) -> bool:
    """Adds the exporter to Slicer's; says whether the application takes any.

    ``settle`` is that of the panel, once there is one; without it, an exporter that is there already stays.
    """
    plugins = getattr(slicer.modules, "dicomPlugins", None)
    base = _base_class()
    if plugins is None or base is None:
        return False
    if settle is not None or NAME not in plugins:
        plugins[NAME] = _plugin_class(base, settle or _nothing_is_previewed)
    return True


def _base_class() -> Any:
    try:
        return importlib.import_module("DICOMLib").DICOMPlugin
    except ImportError:
        return None


def _nothing_is_previewed(_reason: str, _wait: bool) -> bool:
    return True


def _plugin_class(base: Any, settle: Settle) -> type:
    class MedSAM2SegmentationPlugin(base):  # type: ignore[misc]
        """Methods are named as Slicer calls them; a base of the application's, which only that has."""

        def __init__(self) -> None:
            super().__init__()
            self.loadType = TITLE

        def examineForExport(self, subjectHierarchyItemID: int) -> list[Any]:  # noqa: N802, N803
            """One exportable for a segmentation of which every check passes; its tooltip holds the warnings."""
            subject = _subject_of(subjectHierarchyItemID)
            lines = () if subject is None else _lines(subject)
            return [_exportable(subjectHierarchyItemID, lines)] if lines and ready(lines) else []

        def export(self, exportables: Any) -> str:
            """Commits what is previewed, and writes into the exportables' folders; returns what went wrong, if any."""
            try:
                settle_first(settle)
                for each in exportables:
                    _export(_subject_of(each.subjectHierarchyItemID), Path(str(each.directory)))
            except MedSAM2Error as error:
                return str(error)
            return ""

    return MedSAM2SegmentationPlugin


def _subject_of(item: int) -> Subject | None:
    """The segmentation of an item, and the volume that it was drawn on."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    node = hierarchy.GetItemDataNode(item)
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        return None
    volume = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    return Subject(volume, node, SeriesReader(file_of_instance))


def _lines(subject: Subject) -> tuple[Line, ...]:
    """The pre-flight list; nothing where there is no volume to look at."""
    try:
        return preflight(subject)
    except MedSAM2Error:
        return ()


def _export(subject: Subject | None, folder: Path) -> None:
    if subject is not None:
        job = prepare(subject)
        keep_identities(subject.segmentation, job.segment_ids, job.run(folder).segments)


def _exportable(item: int, lines: Sequence[Line]) -> Any:
    exportable = slicer.qSlicerDICOMExportable()
    exportable.name = TITLE
    warnings = [line.sentence for line in lines if line.state == "warning"]
    exportable.tooltip = "\n".join(["DICOM-SEG, read back and compared voxel by voxel", *warnings])
    exportable.subjectHierarchyItemID = item
    exportable.pluginClass = NAME
    exportable.confidence = CONFIDENCE
    exportable.setTag("Modality", "SEG")
    return exportable
