"""What the module's self-test does in the running application: a phantom, one box, and how well the mask fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from MedSAM2Lib.evaluation.phantom import make_phantom
from MedSAM2Lib.types import IJK, BoolArray
from MedSAM2SlicerLib.sample_data import add_phantom


def dice_from_a_box(segment: Callable[..., Any]) -> float:
    """Dice of the 3D mask that ``segment`` makes of a box around the phantom's organ on its largest slice along k.

    Adds a volume and a segmentation node to the scene. ``segment`` is ``MedSAM2SlicerLogic.segment``.
    """
    phantom = make_phantom()
    volume_node = add_phantom(phantom)
    segmentation_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "MedSAM2 self-test")
    segmentation_node.CreateDefaultDisplayNodes()
    segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    segment_id = segmentation_node.GetSegmentation().AddEmptySegment("organ")
    segment(volume_node, segmentation_node, segment_id, box=box_around(phantom.truth))
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume_node) > 0
    return float(
        2 * np.count_nonzero(mask & phantom.truth) / (np.count_nonzero(mask) + np.count_nonzero(phantom.truth))
    )


def box_around(truth: BoolArray) -> tuple[IJK, IJK]:
    """Two opposite corners (i, j, k) of the box around a mask [k, j, i] on its largest slice along k."""
    k = int(truth.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(truth[k])
    return (float(columns.min()), float(rows.min()), float(k)), (float(columns.max()), float(rows.max()), float(k))
