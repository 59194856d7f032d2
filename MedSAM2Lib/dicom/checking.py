"""What can be checked of a DICOM-SEG beside its source: validity, three readers, identity, segments, attributes.

Validity alone proves nothing: a flipped mask, one on a tilted grid, and one that no other program can read all pass.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.dicom.dependency import check_dependencies
from MedSAM2Lib.dicom.grid import SNAP_VOXELS, SourceGrid, affine_lps_from
from MedSAM2Lib.dicom.importing import ImportedSegmentation, import_dicom_seg
from MedSAM2Lib.dicom.label_layers import counts_of
from MedSAM2Lib.dicom.quiet import quiet
from MedSAM2Lib.dicom.refusals import SegExportError
from MedSAM2Lib.dicom.source import Source, SourceSeries, check_source, read_source
from MedSAM2Lib.volume.io.labels import read_labels

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SAME_AS_SOURCE = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
    *("StudyID", "AccessionNumber", "FrameOfReferenceUID"),
)
_DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True)
class CheckResult:
    """One check: its name, whether it passed (None where a tool for it is not installed), and why."""

    name: str
    passed: bool | None
    detail: str = ""


@dataclass(frozen=True, eq=False)
class _Checked:
    path: Path
    dataset: Dataset
    source: SourceSeries
    grid: SourceGrid | None
    read: ImportedSegmentation
    folder: Path

    @property
    def label_map(self) -> bool:
        return bool(self.dataset.SegmentationType == "LABELMAP")


def check_dicom_seg(path: Path | str, source: Source, series: str | None = None) -> list[CheckResult]:
    """The checks A1 to A6 of a file beside the images that it was drawn on, as far as the installed tools allow.

    A1 validity (dciodvfy); A2 dcmqi, and A3 highdicom read the same voxels as this package; A4 patient, study and frame
    of reference are the source's, references lead to it, the series is new, nothing is private; A5 each segment has its
    codes, identity, colour and algorithm; A6 no mandatory attribute is missing.

    Raises SegExportError where the file or the source cannot be read.
    """
    check_dependencies()
    from pydicom import dcmread

    images = read_source(source, series)
    read = _read(Path(path), check_source(images))
    with tempfile.TemporaryDirectory() as folder, quiet():
        checked = _Checked(
            path=Path(path),
            dataset=dcmread(path),
            source=images,
            grid=None if read.affine_lps is None else SourceGrid(read.affine_lps, _shape(read)),
            read=read,
            folder=Path(folder),
        )
        return [
            _result("A1 valid (dciodvfy)", lambda: _validity(checked)),
            _result("A2 read by dcmqi", lambda: _dcmqi(checked)),
            _result("A3 read by highdicom", lambda: _highdicom(checked)),
            _result("A4 identity of the source", lambda: _identity(checked)),
            _result("A5 segments described", lambda: _segments(checked)),
            _result("A6 mandatory attributes", lambda: _attributes(checked)),
        ]


def _read(path: Path, grid: SourceGrid | None) -> ImportedSegmentation:
    """On the source's grid, or on its own where it was drawn on another."""
    try:
        return import_dicom_seg(path, grid)
    except SegExportError as error:
        if error.code != "E_GRID":
            raise
        return import_dicom_seg(path)


def _shape(read: ImportedSegmentation) -> tuple[int, int, int]:
    k, j, i = read.layers[0].shape
    return k, j, i


def _result(name: str, check: Callable[[], str | None]) -> CheckResult:
    """A check says "" for passed, None for no tool, else what is wrong."""
    fault = check()
    if fault is None:
        return CheckResult(name, None, "its tool is not installed, or takes no such files")
    return CheckResult(name, not fault, fault)


def _validity(checked: _Checked) -> str | None:
    from MedSAM2Lib.dicom.outside_tools import validator_errors

    deflated = str(checked.dataset.file_meta.TransferSyntaxUID) == _DEFLATED
    try:
        errors = validator_errors(checked.path, deflated, checked.label_map, checked.folder)
    except subprocess.CalledProcessError as error:
        return f"dcmconv cannot inflate it (exit code {error.returncode})"
    return None if errors is None else "; ".join(errors)


def _dcmqi(checked: _Checked) -> str | None:
    from MedSAM2Lib.dicom.outside_tools import dcmqi_image

    if checked.grid is None:
        return None
    try:
        made = dcmqi_image(checked.path, checked.folder)
    except subprocess.CalledProcessError as error:
        return f"dcmqi cannot read it (exit code {error.returncode})"
    if made is None:
        return None
    images, warnings = made
    if warnings:
        return "; ".join(warnings)
    own = sorted(_places(np.argwhere(checked.read.mask(number)), checked.grid) for number in _numbers(checked))
    return "" if _of_images(images, checked.grid) == own else "dcmqi reads other voxels"


def _of_images(images: list[Path], grid: SourceGrid) -> list[bytes]:
    """The marked voxels of each label of dcmqi's images, as places on the grid."""
    found = []
    for image in images:
        read = read_labels(image)
        assert read.grid is not None
        relative = np.linalg.inv(grid.affine_lps) @ affine_lps_from(read.grid.ijk_to_world)
        for layer in read.layers:
            for value in np.unique(layer[layer > 0]):
                index = np.argwhere(layer == value) @ relative[:3, :3].T + relative[:3, 3]
                off = np.abs(index - np.rint(index)).max() > SNAP_VOXELS
                found.append(b"off the grid" if off else _places(np.rint(index).astype(np.int64), grid))
    return sorted(found)


def _places(index: NDArray, grid: SourceGrid) -> bytes:
    """Voxels (n, 3) as their sorted places in the grid's array."""
    steps = np.array([grid.shape[1] * grid.shape[2], grid.shape[2], 1], dtype=np.int64)
    return np.sort(index @ steps).tobytes()


def _highdicom(checked: _Checked) -> str | None:
    import highdicom

    if checked.grid is None:
        return None
    geometry = highdicom.VolumeGeometry(
        checked.grid.affine_lps, checked.grid.shape, "PATIENT", checked.read.frame_of_reference_uid
    )
    try:
        segmentation = highdicom.seg.Segmentation.from_dataset(checked.dataset, copy=True)
        for number in _numbers(checked):
            volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True, relabel=True)
            if not np.array_equal(volume.match_geometry(geometry).array > 0, checked.read.mask(number)):
                return f"highdicom reads other voxels of segment {number}"
    except (ValueError, RuntimeError, AttributeError) as error:
        return f"highdicom cannot read it ({error})"
    return ""


def _numbers(checked: _Checked) -> list[int]:
    """The segments that have voxels."""
    return sorted({number for layer in checked.read.layers for number in counts_of(layer)})


def _identity(checked: _Checked) -> str:
    dataset, first = checked.dataset, checked.source.first
    faults = [
        f"{name} differs"
        for name in _SAME_AS_SOURCE
        if not (checked.grid is None and name == "FrameOfReferenceUID")
        and str(dataset.get(name) or "") != str(first.get(name) or "")
    ]
    strangers = set(checked.read.source_uids) - {str(one.SOPInstanceUID) for one in checked.source.datasets}
    if strangers:
        faults.append(f"{len(strangers)} referenced images are not the source's")
    if not checked.read.source_uids:
        faults.append("no image is referenced")
    if dataset.SeriesInstanceUID == first.SeriesInstanceUID:
        faults.append("the series is that of the source")
    private = sum(element.tag.is_private for element in dataset.iterall())
    if private:
        faults.append(f"{private} private elements")
    return "; ".join(faults)


def _segments(checked: _Checked) -> str:
    faults = []
    for item in checked.dataset.SegmentSequence:
        if not int(item.SegmentNumber):
            continue  # the background of a label map
        wanted = ["SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence", "TrackingUID"]
        wanted.append("RecommendedDisplayCIELabValue")
        if item.get("SegmentAlgorithmType") != "MANUAL":
            wanted.append("SegmentationAlgorithmIdentificationSequence")
        lacking = [name for name in wanted if not item.get(name)]
        for algorithm in item.get("SegmentationAlgorithmIdentificationSequence") or []:
            lacking += [name for name in ("AlgorithmName", "AlgorithmVersion") if not algorithm.get(name)]
        faults += [f"segment {item.SegmentNumber} has no {name}" for name in lacking]
    return "; ".join(faults)


def _attributes(checked: _Checked) -> str:
    from MedSAM2Lib.dicom.required import missing

    return "; ".join(f"{name} is missing" for name in missing(checked.dataset))
