"""A DICOM-SEG as a segmentation that can be worked on, on the volume's voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from slicer import vtkMRMLSegmentEditorNode, vtkSlicerSegmentEditorLogic

from MedSAM2Lib.dicom import SegmentInfo, SegWarning, SourceGrid, affine_lps_from, import_dicom_seg
from MedSAM2SlicerLib.export.series import INSTANCES
from MedSAM2SlicerLib.export.terms import Terms, write_terms
from MedSAM2SlicerLib.scene.geometry import RAS_TO_LPS, check_volume, ijk_to_local_matrix, volume_shape
from MedSAM2SlicerLib.scene.grids import create_segmentation
from MedSAM2SlicerLib.scene.segment_tags import ALGORITHM_NAME, ALGORITHM_TYPE, TRACKING_ID, TRACKING_UID, set_tag
from MedSAM2SlicerLib.scene.segments import add_segment
from MedSAM2SlicerLib.scene.voxels import bounding_box, oriented_image


@dataclass(frozen=True, eq=False)
class ReadSegmentation:
    """The new node, and what the user should know of it."""

    node: Any
    warnings: tuple[SegWarning, ...]


def read_dicom_seg(path: Path, volume_node: Any) -> ReadSegmentation:
    """A new segmentation with the file's segments: voxels, names, colours, codes and identities.

    Raises SegExportError as ``import_dicom_seg`` does, also where the file does not fit the volume's grid, and those of
    ``check_volume``; the scene is unchanged then.
    """
    check_volume(volume_node)
    affine = affine_lps_from(RAS_TO_LPS @ ijk_to_local_matrix(volume_node))
    read = import_dicom_seg(path, SourceGrid(affine, volume_shape(volume_node)))
    node = create_segmentation(volume_node.GetScene(), volume_node, f"{volume_node.GetName()} DICOM-SEG")
    writer = _Writer(node, volume_node)
    for info in read.segments:
        color = None if info.rgb is None else [part / 255 for part in info.rgb]
        segment_id = add_segment(node, info.label, color)
        _describe(node.GetSegmentation().GetSegment(segment_id), info)
        writer.put(segment_id, read.mask(info.number or 0))
    return ReadSegmentation(node, (*read.warnings, *_of_other_images(read.source_uids, volume_node)))


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

    def put(self, segment_id: str, mask: NDArray) -> None:
        box = bounding_box(mask)
        if box is None:
            return
        image = oriented_image(mask[box], box, self._volume)
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
