"""A DICOM-SEG as a segmentation that can be worked on, on the volume's voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slicer import vtkMRMLSegmentEditorNode, vtkSlicerSegmentEditorLogic

from MedSAM2Lib.dicom import SegmentInfo, SegWarning, SourceGrid, affine_lps_from, import_dicom_seg
from MedSAM2Lib.dicom.importing import ImportedSegmentation
from MedSAM2Lib.errors import InputError
from MedSAM2SlicerLib.export.series import INSTANCES
from MedSAM2SlicerLib.export.terms import Terms, write_terms
from MedSAM2SlicerLib.scene.geometry import RAS_TO_LPS, check_volume, ijk_to_local_matrix, volume_shape
from MedSAM2SlicerLib.scene.grids import create_segmentation
from MedSAM2SlicerLib.scene.segment_tags import ALGORITHM_NAME, ALGORITHM_TYPE, TRACKING_ID, TRACKING_UID, set_tag
from MedSAM2SlicerLib.scene.segments import Box, add_segment
from MedSAM2SlicerLib.scene.voxels import oriented_image, union


@dataclass(frozen=True, eq=False)
class ReadSegmentation:
    """The new node, and what the user should know of it."""

    node: Any
    warnings: tuple[SegWarning, ...]


@dataclass(frozen=True, eq=False)
class FoundSegments:
    """What a file holds on a volume's grid; ``boxes`` are by number the layer of a segment, and its smallest box."""

    imported: ImportedSegmentation
    grid: SourceGrid
    boxes: dict[int, tuple[NDArray, Box]]


@dataclass(frozen=True, eq=False)
class ReadingJob:
    """Reads a file onto a grid, without a node."""

    path: Path
    grid: SourceGrid

    def run(self) -> FoundSegments:
        """On any thread. Raises SegExportError as ``import_dicom_seg`` does."""
        imported = import_dicom_seg(self.path, self.grid)
        boxes = {number: (layer, box) for layer in imported.layers for number, box in boxes_of(layer).items()}
        return FoundSegments(imported, self.grid, boxes)


def prepare_reading(path: Path, volume_node: Any) -> ReadingJob:
    """Takes what is needed out of the scene. Raises InputError as ``check_volume`` does."""
    return ReadingJob(path, _grid_of(volume_node))


def put_into_scene(found: FoundSegments, volume_node: Any) -> ReadSegmentation:
    """A new segmentation with the file's segments: voxels, names, colours, codes and identities.

    Raises InputError as ``check_volume`` does, and ``E_VOLUME_CHANGED`` where the volume has another grid by now; the
    scene is unchanged then.
    """
    grid, read = _grid_of(volume_node), found.imported
    if grid.shape != found.grid.shape or not np.array_equal(grid.affine_lps, found.grid.affine_lps):
        raise InputError(
            "E_VOLUME_CHANGED", "{name} was changed while the file was read: read it again.", name=volume_node.GetName()
        )
    node = create_segmentation(volume_node.GetScene(), volume_node, f"{volume_node.GetName()} DICOM-SEG")
    writer = _Writer(node, volume_node)
    for info in read.segments:
        color = None if info.rgb is None else [part / 255 for part in info.rgb]
        segment_id = add_segment(node, info.label, color)
        _describe(node.GetSegmentation().GetSegment(segment_id), info)
        number = info.number or 0
        if number in found.boxes:
            layer, box = found.boxes[number]
            writer.put(segment_id, layer[box] == number, box)
    return ReadSegmentation(node, (*read.warnings, *_of_other_images(read.source_uids, volume_node)))


def read_dicom_seg(path: Path, volume_node: Any) -> ReadSegmentation:
    """All three steps at once. Raises as they do; the scene is unchanged then."""
    return put_into_scene(prepare_reading(path, volume_node).run(), volume_node)


def boxes_of(layer: NDArray) -> dict[int, Box]:
    """The smallest box of each number in a label map ``[k, j, i]``, 0 left out; slice by slice, for little memory."""
    boxes: dict[int, Box] = {}
    for k, plane in enumerate(layer):
        for number in np.flatnonzero(np.bincount(plane.ravel())):
            if number:
                j, i = (np.flatnonzero((plane == number).any(axis=axis)) for axis in (1, 0))
                box = (slice(k, k + 1), slice(int(j[0]), int(j[-1]) + 1), slice(int(i[0]), int(i[-1]) + 1))
                boxes[int(number)] = union(boxes.get(int(number), box), box) or box
    return boxes


def _grid_of(volume_node: Any) -> SourceGrid:
    check_volume(volume_node)
    affine = affine_lps_from(RAS_TO_LPS @ ijk_to_local_matrix(volume_node))
    return SourceGrid(affine, volume_shape(volume_node))


def _of_other_images(source_uids: Sequence[str], volume_node: Any) -> list[SegWarning]:
    own = str(volume_node.GetAttribute(INSTANCES) or "").split()
    if not own or not source_uids or set(own) & set(source_uids):
        return []
    sentence = f"The file refers to other images than those of {volume_node.GetName()}: see that it fits."
    return [SegWarning("W_OTHER_SERIES", sentence)]


class _Writer:
    """Puts masks into empty segments; they may overlap."""

    def __init__(self, segmentation_node: Any, volume_node: Any) -> None:
        self._segmentation, self._volume = segmentation_node, volume_node
        self._settings = vtkMRMLSegmentEditorNode()
        self._settings.SetOverwriteMode(vtkMRMLSegmentEditorNode.OverwriteNone)
        self._logic = vtkSlicerSegmentEditorLogic()
        self._logic.SetSegmentEditorNode(self._settings)

    def put(self, segment_id: str, mask: NDArray, box: Box) -> None:
        """``mask`` is that of the box."""
        image = oriented_image(mask, box, self._volume)
        mode = self._logic.ModificationModeAdd
        extent = image.GetExtent()
        self._logic.ModifySegmentByLabelmap(self._segmentation, segment_id, image, mode, extent, True, False)


def _describe(segment: Any, info: SegmentInfo) -> None:
    codes = Terms(info.category, info.type, info.type_modifier, info.region, info.region_modifier)
    write_terms(segment, codes)
    tags = {TRACKING_ID: info.tracking_id, TRACKING_UID: info.tracking_uid, ALGORITHM_TYPE: info.algorithm_type}
    if info.algorithm is not None and info.algorithm_type != "MANUAL":
        tags[ALGORITHM_NAME] = info.algorithm.name
    for name, text in tags.items():
        if text:
            set_tag(segment, name, text)
