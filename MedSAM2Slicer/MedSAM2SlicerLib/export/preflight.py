"""What is looked at before a DICOM-SEG is written, so that nothing is found out halfway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from MedSAM2Lib.dicom import (
    AlgorithmInfo,
    SegExportError,
    SourceGrid,
    SourceSeries,
    affine_lps_from,
    check_dependencies,
    check_segments,
    check_transform,
)
from MedSAM2Lib.dicom.descriptions import fitting_label, names_patient
from MedSAM2Lib.dicom.grid import overlaps_source, snapped
from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2SlicerLib.export.described import Counted, counted_segments, segment_info
from MedSAM2SlicerLib.export.lines import Line, failing, good, listed, note
from MedSAM2SlicerLib.export.series import SeriesReader
from MedSAM2SlicerLib.export.suggestions import suggestion_for
from MedSAM2SlicerLib.export.terms import read_terms
from MedSAM2SlicerLib.scene.geometry import (
    RAS_TO_LPS,
    check_volume,
    ijk_to_local_matrix,
    parent_to_world_matrix,
    volume_shape,
)
from MedSAM2SlicerLib.scene.grids import check_segmentation
from MedSAM2SlicerLib.scene.segments import segment_mask
from MedSAM2SlicerLib.scene.voxels import bounding_box, union


@dataclass(frozen=True, eq=False)
class Subject:
    """What is to be exported: nodes, how their series is found, and the folder of it that the user chose, if any."""

    volume: Any
    segmentation: Any
    reader: SeriesReader
    folder: Path | None = None

    @property
    def affine_lps(self) -> np.ndarray:
        """4x4 of the volume's index (k, j, i) to LPS in mm, parent transforms left out."""
        return affine_lps_from(RAS_TO_LPS @ ijk_to_local_matrix(self.volume))


def preflight(subject: Subject) -> tuple[Line, ...]:
    """One line or more for each check; nothing is changed.

    Raises InputError where there is no volume or no segmentation to look at.
    """
    check_volume_exists(subject)
    dependency = _dependency()
    source, series, grid = _source(subject, dependency.state == "ok")
    geometry, segments = _geometry(subject)
    lines = [source, geometry]
    if segments is not None:
        full = [each for each in segments if each.voxels]
        lines[1:] = _place(subject, geometry, full, grid)
        lines += [_terminology(full), _empty(subject, segments)]
        lines += _names(full, series)
    return (*lines, dependency)


def check_volume_exists(subject: Subject) -> None:
    """Raises InputError ``E_NO_VOLUME``, ``E_NODE_GONE``, ``E_VOLUME_KIND`` or ``E_NO_SEGMENTATION``."""
    try:
        check_volume(subject.volume)
    except InputError as error:
        if error.code != "E_TRANSFORM_NONLINEAR":  # told as a line
            raise
    if subject.segmentation is None or subject.segmentation.GetScene() is None:
        raise InputError("E_NO_SEGMENTATION", "There is no segmentation: choose one, or make a new one.")


def _dependency() -> Line:
    try:
        check_dependencies()
    except SegExportError as error:
        slicer_error = SegExportError(
            "E_DEPENDENCY",
            "Direct export needs Slicer 5.12 or newer: here {package} {least} is wanted, and {found}. Terminology and "
            "tags are set all the same, for the exporter of Slicer or of the extension QuantitativeReporting.",
            **error.fields,
        )
        return failing("dependency", slicer_error)
    return good("dependency", "The DICOM libraries are there.")


def _source(subject: Subject, readable: bool) -> tuple[Line, SourceSeries | None, SourceGrid | None]:
    try:
        files = subject.reader.files(subject.volume, subject.folder)
        if not readable:
            return good("source", "The images of the series were found."), None, None
        series, grid = subject.reader.read(files)
        if grid is None:
            _check_flat(subject, series)
    except SegExportError as error:
        return failing("source", error, "choose folder"), None, None
    return good("source", "{count} images of the series were found.", count=len(series.datasets)), series, grid


def _check_flat(subject: Subject, series: SourceSeries) -> None:
    """Raises SegExportError ``E_NO_FOR`` unless the volume is the one flat image of the series."""
    if volume_shape(subject.volume) != (1, *series.shape):
        raise SegExportError(
            "E_NO_FOR",
            "The source is a flat image of {rows} rows and {columns} columns without a place in the patient, and "
            "{name} is another: choose the folder of the series that it was loaded from.",
            rows=series.shape[0],
            columns=series.shape[1],
            name=subject.volume.GetName(),
        )


def _geometry(subject: Subject) -> tuple[Line, list[Counted] | None]:
    """The line, and the segments where their voxels can be looked at."""
    volume, segmentation = subject.volume, subject.segmentation
    try:
        for node in (volume, segmentation):
            check_transform(_to_world(node), node.GetName())
    except SegExportError as error:
        return failing("geometry", error, "leave transform"), None
    try:
        check_segmentation(segmentation, volume)
    except MedSAM2Error as error:
        return failing("geometry", error, "convert" if error.code == "E_GEOMETRY_MISMATCH" else None), None
    return good("geometry", "The segments lie on the voxels of the series."), counted_segments(segmentation, volume)


def _to_world(node: Any) -> np.ndarray:
    """4x4; NaN where a parent transform is no matrix."""
    try:
        return parent_to_world_matrix(node)
    except InputError:
        return np.full((4, 4), np.nan)


def _place(subject: Subject, line: Line, full: Sequence[Counted], grid: SourceGrid | None) -> Iterator[Line]:
    """The geometry against the series: outside of it, or on other voxels than its own."""
    beyond = sum(each.beyond for each in full)
    if beyond:
        yield note(
            "geometry", "W_BEYOND_VOLUME", None, "{count} voxels lie beyond the volume and are left out.", count=beyond
        )
    affine, shape = subject.affine_lps, volume_shape(subject.volume)
    if grid is None or snapped(affine, shape, grid) is not None:
        if not beyond:
            yield line
        return
    if full and not _overlaps(subject, full, grid):
        yield failing(
            "geometry",
            SegExportError(
                "E_OUTSIDE",
                "The segments of {name} lie wholly outside of the series' images: choose the folder of the series that "
                "they were drawn on.",
                name=subject.segmentation.GetName(),
            ),
            "choose folder",
        )
        return
    yield note(
        "geometry",
        "W_OTHER_GRID",
        None,
        "{name} is not on the voxels of its series (it was resampled or turned): the file keeps the voxels of {name}.",
        name=subject.volume.GetName(),
    )


def _overlaps(subject: Subject, full: Sequence[Counted], grid: SourceGrid) -> bool:
    box = None
    for each in full:
        box = union(box, bounding_box(segment_mask(subject.segmentation, each.segment_id, subject.volume)))
    if box is None:
        return True
    first, last = np.array([side.start for side in box]), np.array([side.stop - 1 for side in box])
    return overlaps_source(subject.affine_lps, first, last, grid)


def _terminology(full: Sequence[Counted]) -> Line:
    for number, each in enumerate(full, start=1):
        try:
            check_segments([segment_info(each.segment, number)], AlgorithmInfo())
        except SegExportError as error:
            if error.code == "E_TERMINOLOGY":
                return failing("terminology", error, "describe")
    bare = [each for each in full if not read_terms(each.segment).described]
    if not bare:
        return good("terminology", "Every segment has a category and a type.")
    names = listed(each.name for each in bare)
    found = [(each.name, suggestion_for(each.segment)) for each in bare]
    pairs = [f"{name} = {terms.meaning}" for name, terms in found if terms is not None]
    if pairs:
        template = "Without terminology, written as Tissue: {names}. Suggested: {pairs}."
        return note("terminology", "W_DEFAULT_TERMINOLOGY", "describe", template, names=names, pairs=listed(pairs))
    return note(
        "terminology",
        "W_DEFAULT_TERMINOLOGY",
        None,
        "Without terminology, written as Tissue: {names}. Names such as liver or left kidney are recognised.",
        names=names,
    )


def _empty(subject: Subject, segments: Sequence[Counted]) -> Line:
    empty = [each.name for each in segments if not each.voxels]
    if len(empty) == len(segments):
        return failing(
            "empty segments",
            SegExportError(
                "E_EMPTY_MASK",
                "No segment of {name} has a voxel: segment something first.",
                name=subject.segmentation.GetName(),
            ),
        )
    if empty:
        template = "Without a voxel, left out of the file: {names}."
        return note("empty segments", "W_EMPTY_SEGMENTS", None, template, names=listed(empty))
    return good("empty segments", "Every segment has voxels.")


def _names(full: Sequence[Counted], series: SourceSeries | None) -> Iterator[Line]:
    names = [each.name for each in full]
    nameless = sum(not name.strip() for name in names)
    if nameless:
        error = SegExportError("E_EMPTY_LABEL", "Segments without a name: {count}. Give each one.", count=nameless)
        yield failing("names", error, "rename")
    doubled = [name for name, count in Counter(names).items() if count > 1 and name.strip()]
    if doubled:
        template = "{names}: several segments of one name, which readers cannot tell apart."
        yield note("names", "W_DUPLICATE_LABEL", "rename", template, names=listed(doubled))
    changed = [name for name in names if name.strip() and fitting_label(name) != name]
    if changed:
        template = "{names}: too long for DICOM (64 bytes), or with a backslash; it would be written as {written}."
        written = listed(fitting_label(name) for name in changed)
        yield note("names", "W_LABEL_CHANGED", "rename", template, names=listed(changed), written=written)
    personal = [] if series is None else personal_names(names, series)
    if personal:
        template = "{names}: the name of a segment holds the patient's name or identity."
        yield note("names", "W_LABEL_PATIENT", "rename", template, names=listed(personal))
    if not (nameless or doubled or changed or personal):
        yield good("names", "Every segment has a name of its own.")


def personal_names(names: Sequence[str], series: SourceSeries) -> list[str]:
    """Names that hold the patient's name or identity."""
    return [name for name in names if name.strip() and names_patient(name, series.first)]
