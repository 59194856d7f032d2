"""Volumes for tests of the views: a bright box in noise, upright or oblique."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

SHAPE_KJI = (24, 40, 32)
UPRIGHT = np.diag([-1.5, -1.5, 2.5, 1.0])


def oblique() -> np.ndarray:
    """An IJK-to-RAS whose axes are turned by 20 and 10 degrees."""
    a, b = np.deg2rad([20, 10])
    about_s = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_r = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_s @ about_r @ UPRIGHT[:3, :3]
    matrix[:3, 3] = (12, -7, 30)
    return matrix


def box_mask() -> np.ndarray:
    mask = np.zeros(SHAPE_KJI, np.uint8)
    mask[8:16, 12:28, 10:22] = 1
    return mask


def add_volume(ijk_to_ras: np.ndarray = UPRIGHT, name: str = "box") -> Any:
    """A volume in the scene, shown and fitted in all views."""
    values = np.random.default_rng(0).integers(20, 60, SHAPE_KJI).astype(np.int16) + 100 * box_mask().astype(np.int16)
    node = slicer.util.addVolumeFromArray(values, ijkToRAS=ijk_to_ras, name=name)
    node.CreateDefaultDisplayNodes()
    slicer.app.coreIOManager().show(node)
    return node


def add_segmentation(volume: Any, mask: np.ndarray) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment_id = node.GetSegmentation().AddEmptySegment("box", "box", [1.0, 0.0, 0.0])
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment_id, volume)
    return node


def unforeseen(error: BaseException) -> None:
    """Where a part of the panel reports what nobody foresaw: a test fails there."""
    raise error
