"""A DICOM-SEG back as label maps: on its own grid or on that of the images, overlapping segments in layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.dicom.dependency import check_dependencies
from MedSAM2Lib.dicom.grid import Affine, SourceGrid
from MedSAM2Lib.dicom.label_layers import counts_of, marked, packed
from MedSAM2Lib.dicom.quiet import quiet
from MedSAM2Lib.dicom.refusals import SegExportError, SegWarning
from MedSAM2Lib.dicom.segment_info import SegmentInfo

if TYPE_CHECKING:
    from MedSAM2Lib.dicom.reading import SegFile, SegFrame


@dataclass(frozen=True, eq=False)
class ImportedSegmentation:
    """What a DICOM-SEG holds.

    ``layers`` are label maps ``[k, j, i]`` whose values are the ``number`` of ``segments``, each number in one layer.
    ``affine_lps`` is 4x4, index (k, j, i) to LPS in mm, and None for a planar image on no grid, whose layers are
    ``[1, rows, columns]``. ``source_uids`` are the images that the file refers to.
    """

    layers: list[NDArray]
    segments: tuple[SegmentInfo, ...]
    affine_lps: Affine | None
    frame_of_reference_uid: str | None
    source_uids: tuple[str, ...]
    warnings: tuple[SegWarning, ...] = ()

    def mask(self, number: int) -> NDArray[np.bool_]:
        """The voxels of a segment, ``[k, j, i]``."""
        return marked(self.layers, number)


def import_dicom_seg(path: Path | str, grid: SourceGrid | None = None) -> ImportedSegmentation:
    """Reads a DICOM-SEG: BINARY, LABELMAP, or FRACTIONAL cut at one half.

    Args:
        path: the file.
        grid: put onto this grid, as of ``check_source``; its own smallest grid if None.

    Raises SegExportError ``E_NOT_SEG``, ``E_GRID`` where the voxels do not fall onto the grid's, ``E_NONUNIFORM`` where
    the file has no regular grid of its own, ``E_IO``, ``E_DEPENDENCY``.
    """
    check_dependencies()
    from MedSAM2Lib.dicom.descriptions import segment_from
    from MedSAM2Lib.dicom.placing import own_grid, place
    from MedSAM2Lib.dicom.reading import SegFile

    try:
        with quiet():
            file = SegFile(Path(path))
    except OSError as error:
        raise SegExportError(
            "E_IO", "{path} cannot be read ({reason}): check the path.", path=path, reason=error.strerror or error
        ) from error
    frames = file.frames()
    numbers = file.numbers
    segments = tuple(segment_from(item) for item in file.dataset.SegmentSequence if int(item.SegmentNumber) in numbers)
    affine: Affine | None
    warnings: tuple[SegWarning, ...] = ()
    if any(frame.matrix is None for frame in frames):
        affine, layers = None if grid is None else grid.affine_lps, _flat(file, frames)
        if grid is not None and grid.shape != layers[0].shape:
            raise SegExportError(
                "E_GRID",
                "The DICOM-SEG is of one flat image of {rows} rows and {columns} columns without a place in the "
                "patient: give that image as the grid, or none.",
                rows=file.shape[0],
                columns=file.shape[1],
            )
    else:
        affine, shape = own_grid(file, frames) if grid is None else (grid.affine_lps, grid.shape)
        layers, lost = place(file, frames, affine, shape)
        if lost:
            warnings = (SegWarning("W_OUTSIDE_GRID", f"{lost} marked voxels lie outside the grid and were left out."),)
    _check_described(file, frames, layers)
    return ImportedSegmentation(
        layers=layers,
        segments=segments,
        affine_lps=affine,
        frame_of_reference_uid=str(file.dataset.get("FrameOfReferenceUID") or "") or None,
        source_uids=_source_uids(file),
        warnings=warnings,
    )


def _check_described(file: SegFile, frames: list[SegFrame], layers: list[NDArray]) -> None:
    """Raises SegExportError ``E_NOT_SEG`` where voxels are of a segment that the file does not describe."""
    found = set(counts_of(layers[0])) if file.is_label_map else {frame.segment or 0 for frame in frames}
    strange = sorted(found - file.numbers)
    if strange:
        raise SegExportError(
            "E_NOT_SEG",
            "The DICOM-SEG is damaged: it marks voxels as segment {number}, which it does not describe: export it "
            "again.",
            number=strange[0],
        )


def _flat(file: SegFile, frames: list[SegFrame]) -> list[NDArray]:
    """Masks of one planar image: frames lie over each other."""
    if file.is_label_map:
        return [file.pixels(frames[0])[None].copy()]
    kind = np.uint8 if len(file.dataset.SegmentSequence) < 256 else np.uint16
    return packed(((frame.segment or 0, file.pixels(frame)[None]) for frame in frames), kind)


def _source_uids(file: SegFile) -> tuple[str, ...]:
    return tuple(
        str(instance.ReferencedSOPInstanceUID)
        for series in file.dataset.get("ReferencedSeriesSequence") or []
        for instance in series.ReferencedInstanceSequence
    )
