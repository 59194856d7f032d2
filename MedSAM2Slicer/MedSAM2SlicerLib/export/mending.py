"""What one button can do about a line of the pre-flight list. No voxel is lost by any of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MedSAM2Lib.dicom import AlgorithmInfo, SegExportError, SourceSeries, check_dependencies, check_segments
from MedSAM2Lib.dicom.descriptions import fitting_label
from MedSAM2SlicerLib.export.described import counted_segments, segment_info
from MedSAM2SlicerLib.export.lines import FixKey
from MedSAM2SlicerLib.export.preflight import Subject, personal_names
from MedSAM2SlicerLib.export.suggestions import suggestion_for
from MedSAM2SlicerLib.export.terms import TISSUE, Terms, completed, read_terms, write_terms
from MedSAM2SlicerLib.scene.geometry import parent_to_world_matrix
from MedSAM2SlicerLib.scene.grids import convert_segmentation


def mend(fix: FixKey, subject: Subject) -> Any:
    """Does it, and returns the segmentation to go on with: the same node, or a copy of it on the volume's voxels.

    "choose folder" is the user's to do. Raises InputError where it cannot be done.
    """
    if fix == "leave transform":
        return leave_transform(subject)
    if fix == "convert":
        return convert_segmentation(subject.segmentation, subject.volume)
    if fix == "describe":
        describe(subject)
    elif fix == "rename":
        rename(subject)
    return subject.segmentation


def leave_transform(subject: Subject) -> Any:
    """Volume and segmentation come out of their transforms: voxels are where the scanner saw them.

    Where the transforms differ the segments stay where they are in the volume, as a copy on its voxels.
    Raises InputError ``E_TRANSFORM_NONLINEAR`` where they differ and one of them is not linear.
    """
    volume, segmentation = subject.volume, subject.segmentation
    if volume.GetTransformNodeID() != segmentation.GetTransformNodeID():
        one, other = parent_to_world_matrix(volume), parent_to_world_matrix(segmentation)
        if not (abs(one - other) < 1e-9).all():
            segmentation = convert_segmentation(segmentation, volume)
    for node in (volume, segmentation):
        node.SetAndObserveTransformNodeID(None)
    return segmentation


def describe(subject: Subject) -> None:
    """Gives segments without valid codes those that their names suggest; tissue where a code is broken else."""
    for each in counted_segments(subject.segmentation, subject.volume):
        terms = read_terms(each.segment)
        valid = _is_valid(each.segment)
        if terms.described and valid:
            continue
        suggested = suggestion_for(each.segment)
        if suggested is not None:
            write_terms(each.segment, suggested)
        elif not valid:
            write_terms(each.segment, completed(Terms()))


def rename(subject: Subject) -> None:
    """Gives names to segments that have none, one that fits to those that are too long, and one each to doubles.

    A name that holds the patient's becomes what the segment is.
    """
    full = [each for each in counted_segments(subject.segmentation, subject.volume) if each.voxels]
    series = _series(subject)
    personal = set() if series is None else set(personal_names([each.name for each in full], series))
    taken: set[str] = set()
    for number, each in enumerate(full, start=1):
        name = fitting_label(each.name)
        if not name or each.name in personal:
            name = _kind(each.segment) or f"Segment {number}"
        name = _free(name, taken)
        taken.add(name)
        if name != each.name:
            each.segment.SetName(name)


def _free(name: str, taken: Sequence[str] | set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{fitting_label(name)[:56]} {number}"
    return free


def _kind(segment: Any) -> str:
    """The meaning of the segment's type, where it says more than tissue."""
    kind = read_terms(segment).type
    return kind.meaning if kind is not None and kind.value != TISSUE else ""


def _is_valid(segment: Any) -> bool:
    try:
        check_segments([segment_info(segment, 1)], AlgorithmInfo())
    except SegExportError as error:
        return error.code != "E_TERMINOLOGY"
    return True


def _series(subject: Subject) -> SourceSeries | None:
    try:
        check_dependencies()
        return subject.reader.read(subject.reader.files(subject.volume, subject.folder))[0]
    except SegExportError:
        return None
