"""JSON that is saved with the scene: a text node that another node refers to."""

from __future__ import annotations

import json
from typing import Any

from slicer import vtkMRMLTextNode

from MedSAM2Lib.errors import InputError
from MedSAM2SlicerLib.scene.nodes import require


class JsonRecord:
    """One JSON object beside a node, found again by node reference: ids change when a scene is imported into another.

    Args:
        owner: the node that refers to the record; removing it leaves the text in the scene.
        role: of the node reference.
        name: of the text node, which is made at the first ``write``.
    """

    def __init__(self, owner: Any, role: str, name: str) -> None:
        self._owner = owner
        self._role = role
        self._name = name

    def read(self) -> dict[str, Any]:
        """What was written last, ``{}`` if nothing. Raises InputError ``E_RECORD`` where the text is no JSON object."""
        node = require(self._owner, "segmentation").GetNodeReference(self._role)
        text = node.GetText() if node is not None else None
        if not text:
            return {}
        try:
            told = json.loads(text)
        except json.JSONDecodeError:
            told = None
        if isinstance(told, dict):
            return told
        raise InputError(
            "E_RECORD",
            "The text {name} in the scene is damaged: delete it (Data module) to begin a new one.",
            name=node.GetName(),
        )

    def write(self, content: dict[str, Any]) -> None:
        """Replaces the record. Raises TypeError for what JSON cannot hold."""
        text = json.dumps(content, indent=1, sort_keys=True)
        scene = require(self._owner, "segmentation").GetScene()
        node = self._owner.GetNodeReference(self._role)
        if node is None:
            node = vtkMRMLTextNode()
            node.SetName(self._name)
            node.SetHideFromEditors(True)
            node = scene.AddNode(node)
            self._owner.SetNodeReferenceID(self._role, node.GetID())
        node.SetText(text)
