"""A segmentation as a DICOM-SEG: checked, written to a partial file, read back, compared voxel by voxel, then named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from MedSAM2Lib.dicom.dependency import check_dependencies
from MedSAM2Lib.dicom.files import appearing, check_target, save
from MedSAM2Lib.dicom.grid import Affine, SourceGrid, has_right_angles, overlaps_source, snapped
from MedSAM2Lib.dicom.importing import ImportedSegmentation, import_dicom_seg
from MedSAM2Lib.dicom.label_layers import LabelLayers, Labels, layered, marked
from MedSAM2Lib.dicom.quiet import quiet
from MedSAM2Lib.dicom.refusals import SegExportError, SegWarning
from MedSAM2Lib.dicom.segment_info import AlgorithmInfo, SegmentInfo, check_segments, is_one_text
from MedSAM2Lib.dicom.source import Source, SourceSeries, check_source, read_source

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class ExportResult:
    """A file that was written, read back and found identical.

    ``segments`` are as written: numbers from 1, labels that fit, codes, tracking identities to be kept for the next
    export. ``skipped_segments`` are the labels of those without voxels.
    """

    path: Path
    sop_instance_uid: str
    series_instance_uid: str
    frames: int
    segments: tuple[SegmentInfo, ...]
    skipped_segments: tuple[str, ...]
    warnings: tuple[SegWarning, ...]


def export_dicom_seg(
    source: Source | SourceSeries,
    labels: Labels,
    affine_lps: ArrayLike | None,
    segments: Sequence[SegmentInfo],
    out_dir: Path | str,
    *,
    kind: Literal["BINARY", "LABELMAP"] = "BINARY",
    compression: Literal["none", "deflate"] = "none",
    compact: bool = False,
    series_description: str = "MedSAM2 segmentation",
    content_creator: str = "",
    algorithm: AlgorithmInfo | None = None,
    frame_of_reference_uid: str | None = None,
    keep_empty: bool = False,
    use_study_date: bool = False,
    verify: bool = True,
    progress: Progress | None = None,
) -> ExportResult:
    """Writes ``out_dir``/<SOPInstanceUID>.dcm.

    Args:
        source: the images that the mask was drawn on: a folder, paths, datasets, or what ``read_source`` gave. Order
            makes no difference, pixels are not needed, and nothing in them is changed.
        labels: a label map ``[k, j, i]`` of whole numbers, several that may overlap, or a mask by number.
        affine_lps: 4x4, index (k, j, i) of ``labels`` to LPS in mm, see ``affine_lps_from``; None for a planar image.
        segments: what the numbers mean.
        out_dir: is made where only the last part of its path is missing.
        kind: LABELMAP is smaller, but takes no overlaps, and older programs cannot read it.
        compression: deflate is up to 100 times smaller, and some older programs cannot read it.
        compact: as small as can be: deflate, and LABELMAP where segments do not overlap.
        series_description, content_creator: said in the file.
        algorithm: this package and its version by default.
        frame_of_reference_uid: that of the mask, where it is known.
        keep_empty: segments without voxels are described, too.
        use_study_date: the file is dated as the study, for sets whose dates were shifted.
        verify: read back and compare before the file gets its name.
        progress: called with a part of 1 and what is going on.

    Raises SegExportError; nothing is left then.
    """
    tell = progress or (lambda part, text: None)
    algorithm = algorithm or AlgorithmInfo()
    check_dependencies()
    check_segments(segments, algorithm)
    _check_texts(series_description, content_creator)
    check_target(Path(out_dir))
    tell(0.0, "reading the source images")
    series = source if isinstance(source, SourceSeries) else read_source(source)
    grid = check_source(series)
    layers = layered(labels, segments, keep_empty)
    if compact:
        kind, compression = "LABELMAP" if len(layers.arrays) == 1 else "BINARY", "deflate"
    if kind == "LABELMAP" and len(layers.arrays) > 1:
        raise SegExportError(
            "E_OVERLAP", "Segments overlap, and a LABELMAP holds one a voxel: write the kind BINARY instead."
        )
    affine, warnings = _placed(series, grid, layers, affine_lps, frame_of_reference_uid)
    from MedSAM2Lib.dicom.descriptions import completed, names_patient
    from MedSAM2Lib.dicom.snapping import snapped_source
    from MedSAM2Lib.dicom.writing import FileSettings, built

    done, said = completed(layers.segments, series.first)
    if names_patient(series_description, series.first):
        sentence = "The series description holds the patient's name or identity."
        warnings = [*warnings, SegWarning("W_DESCRIPTION_PATIENT", sentence)]
    settings = FileSettings(kind, compression, series_description, content_creator, use_study_date)
    tell(0.1, "encoding")
    with quiet():
        dataset = built(snapped_source(series, grid), layers, affine, done, algorithm, settings)
    result = ExportResult(
        path=Path(out_dir) / f"{dataset.SOPInstanceUID}.dcm",
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        frames=int(dataset.NumberOfFrames),
        segments=tuple(done),
        skipped_segments=layers.skipped,
        warnings=(*warnings, *said, *_of_skipped(layers)),
    )
    with appearing(result.path) as partial:
        tell(0.5, "writing")
        with quiet():
            save(dataset, partial)
        del dataset
        if verify:
            tell(0.7, "reading back")
            _compare(partial, layers, affine)
    tell(1.0, "done")
    return result


def _check_texts(series_description: str, content_creator: str) -> None:
    for name, text in (("series description", series_description), ("content creator", content_creator)):
        if not is_one_text(text):
            raise SegExportError(
                "E_TEXT", "The {name} must be a text of at most 64 bytes without a backslash: shorten it.", name=name
            )


def _placed(
    series: SourceSeries,
    grid: SourceGrid | None,
    layers: LabelLayers,
    affine_lps: ArrayLike | None,
    frame_of_reference_uid: str | None,
) -> tuple[Affine | None, list[SegWarning]]:
    """The mask's place, on the source's voxels where it was meant to be."""
    if grid is None:
        if layers.shape != (1, *series.shape):
            raise SegExportError(
                "E_NO_FOR",
                "The source has no frame of reference, so the mask must be one slice of its {rows} rows and {columns} "
                "columns, and is {shape}: draw it on that image.",
                rows=series.shape[0],
                columns=series.shape[1],
                shape="x".join(map(str, layers.shape)),
            )
        return None, []
    own = str(series.first.FrameOfReferenceUID)
    if frame_of_reference_uid not in (None, own):
        raise SegExportError(
            "E_FOR_MISMATCH",
            "The mask lies in the frame of reference {mask} and the images in {own}: give the images that it was drawn "
            "on, or register and resample it to them.",
            mask=frame_of_reference_uid,
            own=own,
        )
    if affine_lps is None:
        raise ValueError("affine_lps is needed where the source has a place in the patient")
    affine = np.asarray(affine_lps, dtype=np.float64)
    if not overlaps_source(affine, *layers.extent(), grid):
        raise SegExportError(
            "E_OUTSIDE",
            "The mask lies wholly outside the source images: give the series that it was drawn on.",
        )
    fitting = snapped(affine, layers.shape, grid)
    if fitting is not None:
        return fitting, []
    if not has_right_angles(affine):
        raise SegExportError(
            "E_GRID",
            "The mask's voxels are sheared or have no size, and a DICOM-SEG takes none but upright ones: resample the "
            "mask to the source images first.",
        )
    sentence = (
        "The mask's voxels are not those of the source images: the file is right, but its frames refer to the series "
        "as a whole."
    )
    return affine, [SegWarning("W_OTHER_GRID", sentence)]


def _of_skipped(layers: LabelLayers) -> list[SegWarning]:
    if not layers.skipped:
        return []
    return [SegWarning("W_EMPTY_SEGMENTS", f"Left out as empty: {', '.join(layers.skipped)}.")]


def _compare(path: Path, layers: LabelLayers, affine: Affine | None) -> None:
    again = import_dicom_seg(path, None if affine is None else SourceGrid(affine, layers.shape))
    if not again.warnings and _same(layers, again):
        return
    raise SegExportError(
        "E_VERIFY",
        "The DICOM-SEG was read back and is not the same as the mask, so it was removed: please report this with the "
        "source's geometry.",
    )


def _same(layers: LabelLayers, again: ImportedSegmentation) -> bool:
    if len(layers.arrays) == len(again.layers) == 1:
        return np.array_equal(layers.arrays[0], again.layers[0])
    for k in range(layers.shape[0]):
        before, after = ([array[k] for array in arrays if array[k].any()] for arrays in (layers.arrays, again.layers))
        for number in range(1, len(layers.segments) + 1) if before or after else ():
            if not np.array_equal(marked(before, number), marked(after, number)):
                return False
    return True
