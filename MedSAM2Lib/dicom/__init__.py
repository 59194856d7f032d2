"""DICOM-SEG out and in. Importing this imports neither highdicom nor pydicom; what needs them says so when called."""

from __future__ import annotations

from MedSAM2Lib.dicom.checking import CheckResult, check_dicom_seg
from MedSAM2Lib.dicom.dependency import check_dependencies
from MedSAM2Lib.dicom.exporting import ExportResult, export_dicom_seg
from MedSAM2Lib.dicom.grid import SourceGrid, affine_lps_from, check_transform, ijk_to_world_from
from MedSAM2Lib.dicom.importing import ImportedSegmentation, import_dicom_seg
from MedSAM2Lib.dicom.refusals import SegExportError, SegWarning
from MedSAM2Lib.dicom.segment_file import read_segment_file, write_segment_file
from MedSAM2Lib.dicom.segment_info import AlgorithmInfo, Code, SegmentInfo, check_segments
from MedSAM2Lib.dicom.source import SourceSeries, check_source, read_source, source_files
from MedSAM2Lib.dicom.terminology import TerminologyEntry, suggest

__all__ = [
    "AlgorithmInfo",
    "CheckResult",
    "Code",
    "ExportResult",
    "ImportedSegmentation",
    "SegExportError",
    "SegWarning",
    "SegmentInfo",
    "SourceGrid",
    "SourceSeries",
    "TerminologyEntry",
    "affine_lps_from",
    "check_dependencies",
    "check_dicom_seg",
    "check_segments",
    "check_source",
    "check_transform",
    "export_dicom_seg",
    "ijk_to_world_from",
    "import_dicom_seg",
    "read_segment_file",
    "read_source",
    "source_files",
    "suggest",
    "write_segment_file",
]
