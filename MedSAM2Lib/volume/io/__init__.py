"""Volumes and masks from and to files; the only place that knows SimpleITK."""

from __future__ import annotations

from MedSAM2Lib.volume.io.dicom_files import DicomSeries, list_dicom_series
from MedSAM2Lib.volume.io.dicom_writing import write_dicom_series
from MedSAM2Lib.volume.io.labels import LabelledObject, read_objects
from MedSAM2Lib.volume.io.mask_prompts import read_mask_prompt
from MedSAM2Lib.volume.io.masks import MASK_SUFFIXES, read_mask, write_mask
from MedSAM2Lib.volume.io.outputs import replacing
from MedSAM2Lib.volume.io.reading import read_volume

__all__ = [
    "MASK_SUFFIXES",
    "DicomSeries",
    "LabelledObject",
    "list_dicom_series",
    "read_mask",
    "read_mask_prompt",
    "read_objects",
    "read_volume",
    "replacing",
    "write_dicom_series",
    "write_mask",
]
