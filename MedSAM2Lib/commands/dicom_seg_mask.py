"""Mask files as `medsam2 dicom-seg` takes and makes them: label maps and segmentation files, layers and names kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.commands.dicom_seg_tags import described_by_header, tags_of
from MedSAM2Lib.dicom import ImportedSegmentation, SegExportError, SegmentInfo, ijk_to_world_from
from MedSAM2Lib.errors import InputError, VolumeError
from MedSAM2Lib.volume.io import MASK_SUFFIXES, replacing, write_mask
from MedSAM2Lib.volume.io.images import check_file
from MedSAM2Lib.volume.io.labels import LabelFile, Segment, read_labels
from MedSAM2Lib.volume.io.segmentation_nrrd import Layers, distinct_color, write_segmentation
from MedSAM2Lib.volume.volume import Volume

_SUFFIX = ".seg.nrrd"


@dataclass(frozen=True, eq=False)
class MaskFile:
    """Label maps ``[k, j, i]``, each number in one of them; what the file says of numbers 1, 2, ... where it does.

    ``grid`` is None where the file says nothing of its place.
    """

    layers: list[NDArray]
    segments: list[SegmentInfo]
    grid: Volume | None


def read_mask_file(path: Path) -> MaskFile:
    """A mask file. Raises VolumeError for a bad one, SegExportError ``E_MASK_TYPE`` for a folder, and for fractions."""
    if path.is_dir():
        raise SegExportError(
            "E_MASK_TYPE", "{path} is a folder, and a mask file is needed: give a label map or .seg.nrrd.", path=path
        )
    check_file(path)
    try:
        read = read_labels(path)
    except VolumeError as error:
        if error.code != "E_LABELS_FRACTIONS":
            raise
        raise SegExportError(
            "E_MASK_TYPE",
            "{path} holds fractions or voxels that are no numbers, and a mask must hold whole numbers: 0 for nothing, "
            "a number for each segment.",
            path=path,
        ) from error
    if read.segments is None:
        return MaskFile(read.layers, [], read.grid)
    return _numbered(read, read.segments)


def keeps_names(path: Path) -> bool:
    """Whether a mask file of this name holds more than numbers."""
    return path.name.lower().endswith(_SUFFIX)


def write_imported(path: Path, imported: ImportedSegmentation) -> None:
    """A DICOM-SEG's segments as a mask file: names, colours, codes and identities are kept in ``.seg.nrrd``.

    Raises InputError for another suffix, and for overlapping segments in a label map; OutputError.
    """
    matrix = np.eye(4) if imported.affine_lps is None else ijk_to_world_from(imported.affine_lps)
    volume = Volume(imported.layers[0], matrix, path.name)
    if not keeps_names(path):
        if len(imported.layers) > 1 and path.name.lower().endswith(MASK_SUFFIXES):
            raise InputError("E_MASK_OVERLAP", "Segments overlap: write {path} as .seg.nrrd.", path=path)
        write_mask(path, imported.layers[0], volume)
        return
    places = [(_layer_of(imported, one), one.number or 0) for one in imported.segments]
    with replacing(path) as partial:
        write_segmentation(
            partial,
            Layers(imported.layers, places),
            volume,
            [one.label for one in imported.segments],
            [_color(one) for one in imported.segments],
            [tags_of(one) for one in imported.segments],
        )


def _numbered(read: LabelFile, segments: Sequence[Segment]) -> MaskFile:
    """The file's own labels where each is used once and they run from 1, else the places of its segments."""
    described = described_by_header(segments)
    if [one.value for one in segments] == list(range(1, len(segments) + 1)):
        return MaskFile(read.layers, described, read.grid)
    kind = np.uint8 if len(segments) < 256 else np.uint16
    layers = [np.zeros(layer.shape, dtype=kind) for layer in read.layers]
    for number, one in enumerate(segments, start=1):
        layers[one.layer][read.layers[one.layer] == one.value] = number
    return MaskFile(layers, described, read.grid)


def _layer_of(imported: ImportedSegmentation, segment: SegmentInfo) -> int:
    return next((place for place, layer in enumerate(imported.layers) if (layer == segment.number).any()), 0)


def _color(segment: SegmentInfo) -> tuple[float, float, float]:
    if segment.rgb is None:
        return distinct_color((segment.number or 1) - 1)
    red, green, blue = (part / 255 for part in segment.rgb)
    return red, green, blue
