"""Where a node stands in Slicer's subject hierarchy."""

from __future__ import annotations

from typing import Any

from slicer import vtkMRMLSubjectHierarchyConstants, vtkMRMLSubjectHierarchyNode


def put_under_study(segmentation_node: Any, volume_node: Any) -> bool:
    """Moves the segmentation to the study that the volume is of; False where the volume stands under none."""
    hierarchy = vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume_node.GetScene())
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume_node))
    item = hierarchy.GetItemByDataNode(segmentation_node)
    if not study or not item or hierarchy.GetItemLevel(study) != vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy():
        return False
    hierarchy.SetItemParent(item, study)
    return True
