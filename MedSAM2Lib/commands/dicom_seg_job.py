"""What `medsam2 dicom-seg` does: export, import, check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from MedSAM2Lib.commands.dicom_seg_mask import MaskFile, keeps_names, read_mask_file, write_imported
from MedSAM2Lib.commands.outputs import check_places
from MedSAM2Lib.dicom import (
    ExportResult,
    ImportedSegmentation,
    SegExportError,
    SegWarning,
    SourceGrid,
    SourceSeries,
    affine_lps_from,
    check_dependencies,
    check_dicom_seg,
    check_source,
    export_dicom_seg,
    import_dicom_seg,
    read_segment_file,
    read_source,
    write_segment_file,
)
from MedSAM2Lib.dicom.grid import Affine
from MedSAM2Lib.volume.io import read_volume

EXIT_FAILED = 1


def run_export(options: argparse.Namespace) -> int:
    """Writes a DICOM-SEG; returns 0. Raises MedSAM2Error."""
    check_dependencies()
    segments = None if options.segments is None else read_segment_file(options.segments)
    source = read_source(options.source, options.series)
    grid = check_source(source)
    mask = read_mask_file(options.mask)
    result = export_dicom_seg(
        source,
        mask.layers,
        _affine_of(mask, grid),
        mask.segments if segments is None else segments,
        options.out,
        kind="LABELMAP" if options.kind == "labelmap" else "BINARY",
        compression="deflate" if options.compact else "none",
        compact=options.compact and options.kind is None,
        series_description=options.description,
        content_creator=options.creator,
        keep_empty=options.keep_empty,
        use_study_date=options.use_study_date,
        progress=told_progress(),
    )
    tell(result)
    return 0


def tell(result: ExportResult) -> None:
    """Prints what was written, and the warnings."""
    tell_warnings(result.warnings)
    megabytes = result.path.stat().st_size / 1e6
    names = ", ".join(f"{one.label} ({one.type.meaning})" if one.type else one.label for one in result.segments)
    print(f"{result.path}: {megabytes:.2f} MB, {result.frames} frames, read back identical; {names}")


def tell_warnings(warnings: Sequence[SegWarning]) -> None:
    """Prints each warning on standard error as ``W_CODE: sentence``."""
    for warning in warnings:
        print(warning, file=sys.stderr)


def told_progress() -> Callable[[float, str], None] | None:
    """Says on a terminal what is going on; None elsewhere."""
    if not sys.stderr.isatty():
        return None
    return lambda part, text: print(f"{100 * part:3.0f} % {text}", file=sys.stderr)


def run_import(options: argparse.Namespace) -> int:
    """Writes the mask of a DICOM-SEG; returns 0. Raises MedSAM2Error."""
    check_dependencies()
    path = seg_file_in(options.file)
    check_places([place for place in (options.out, options.segments) if place is not None], [path])
    images = read_source(options.grid) if options.grid is not None and options.grid.is_dir() else None
    if images is not None:
        grid = check_source(images)
    else:
        grid = None if options.grid is None else _grid_of_volume(options.grid)
    imported = import_dicom_seg(path, grid)
    write_imported(options.out, imported)
    if options.segments is not None:
        write_segment_file(options.segments, imported.segments)
    elif not keeps_names(options.out):
        note = "names, codes and colours are not kept: write a .seg.nrrd, or add --segments FILE.json, to keep them"
        print(f"note: {note}", file=sys.stderr)
    tell_warnings([*imported.warnings, *_of_other_images(imported, images)])
    names = ", ".join(f"{one.number} {one.label}" for one in imported.segments)
    print(f"{options.out}: {'x'.join(map(str, imported.layers[0].shape))} voxels; {names}")
    return 0


def _grid_of_volume(path: Path) -> SourceGrid:
    volume = read_volume(path)
    return SourceGrid(affine_lps_from(volume.ijk_to_world), volume.shape)


def _of_other_images(imported: ImportedSegmentation, images: SourceSeries | None) -> list[SegWarning]:
    if images is None or not imported.source_uids:
        return []
    if {str(one.SOPInstanceUID) for one in images.datasets} & set(imported.source_uids):
        return []
    sentence = "The file refers to other images than those of the grid: see that it fits."
    return [SegWarning("W_OTHER_SERIES", sentence)]


def run_check(options: argparse.Namespace) -> int:
    """Prints each check; returns 0 where none fails, else 1. Raises MedSAM2Error."""
    results = check_dicom_seg(seg_file_in(options.file), options.source, options.series)
    for result in results:
        word = {True: "pass", False: "FAIL", None: "skip"}[result.passed]
        print(f"{word}  {result.name}" + (f": {result.detail}" if result.detail else ""))
    return EXIT_FAILED if any(result.passed is False for result in results) else 0


def seg_file_in(path: Path) -> Path:
    """The file, or the only .dcm file of a folder. Raises SegExportError."""
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.dcm"))
    if len(files) != 1:
        raise SegExportError(
            "E_NOT_SEG",
            "{path} holds {count} .dcm files: give the DICOM-SEG itself.",
            path=path,
            count=len(files) or "no",
        )
    return files[0]


def _affine_of(mask: MaskFile, grid: SourceGrid | None) -> Affine | None:
    """Where the mask lies; one without a place of its own must have the source's shape."""
    if grid is None:
        return None
    if mask.grid is not None:
        return affine_lps_from(mask.grid.ijk_to_world)
    shape = mask.layers[0].shape
    if shape != grid.shape:
        raise SegExportError(
            "E_OUTSIDE",
            "The mask says nothing of its place, and has {shape} voxels where the source has {wanted}: give the series "
            "that it was drawn on, or a mask in NRRD or NIfTI.",
            shape="x".join(map(str, shape)),
            wanted="x".join(map(str, grid.shape)),
        )
    return grid.affine_lps
