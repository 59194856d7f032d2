"""JSON that is saved with the scene: a text node that another node refers to."""

from __future__ import annotations

import json
from typing import Any

from slicer import vtkMRMLTextNode

from MedSAM2SlicerLib.scene.nodes import require


class JsonRecord:
    """One JSON object beside a node, found again by node reference: ids change when a scene is imported into another.

    Args:
        owner: the segmentation that refers to the record; removing it leaves the text in the scene.
        role: of the node reference.
        name: of the text node, which is made at the first ``write``.

    Raises InputError ``E_NODE_GONE`` once the owner was deleted.
    """

    def __init__(self, owner: Any, role: str, name: str) -> None:
        self._owner = owner
        self._role = role
        self._name = name

    def read(self) -> dict[str, Any]:
        """What was written last; ``{}`` if nothing, or if somebody made the text something else than a JSON object."""
        return _parsed(self._text_node()) or {}

    def write(self, content: dict[str, Any]) -> None:
        """Replaces the record; text that is no JSON object stays. Raises TypeError for what JSON cannot hold."""
        text = json.dumps(content, indent=1, sort_keys=True)
        node = self._text_node()
        if node is None or (node.GetText() and _parsed(node) is None):
            node = self._new_text_node()
        node.SetText(text)

    def _text_node(self) -> Any:
        return require(self._owner, "segmentation").GetNodeReference(self._role)

    def _new_text_node(self) -> Any:
        node = vtkMRMLTextNode()
        node.SetName(self._name)
        node.SetHideFromEditors(True)
        node = self._owner.GetScene().AddNode(node)
        self._owner.SetNodeReferenceID(self._role, node.GetID())
        return node


def _parsed(text_node: Any) -> dict[str, Any] | None:
    text = text_node.GetText() if text_node is not None else None
    try:
        told = json.loads(text or "null")
    except json.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None
