"""What the module remembers of a scene: chosen nodes and options, saved with it.

Slicer keeps such values as text in a vtkMRMLScriptedModuleNode; here each has a name and a type. Volume and
segmentation are node references: ids change when a scene is imported into another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

from slicer import vtkMRMLScriptedModuleNode
from vtk import vtkCommand

from MedSAM2Lib.types import AXES, Axis, Orientations
from MedSAM2SlicerLib.scene.nodes import Observers, require

MODULE_NAME = "MedSAM2Slicer"
Tool = Literal["", "point", "box"]

_VOLUME_ROLE, _SEGMENTATION_ROLE = "medsam2Volume", "medsam2Segmentation"


class Parameters:
    """Typed access to a parameter node. Setting a value to what it is changes nothing and calls nothing.

    ``changed`` is called after any change, whoever made it. Raises InputError ``E_NODE_GONE`` for a deleted node.
    """

    def __init__(self, node: Any) -> None:
        self.node = node
        self.changed: Callable[[], None] | None = None
        self._observers = Observers()
        self._observers.observe(node, vtkCommand.ModifiedEvent, self._on_modified)

    @staticmethod
    def of(scene: Any) -> Parameters:
        """The scene's parameters; their node is made where the scene has none."""
        node = scene.GetSingletonNode(MODULE_NAME, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(MODULE_NAME)
            node.SetName(MODULE_NAME)
            node.SetModuleName(MODULE_NAME)
            node = scene.AddNode(node)
        return Parameters(node)

    @property
    def volume(self) -> Any:
        """The volume node, or None."""
        return self._require().GetNodeReference(_VOLUME_ROLE)

    @volume.setter
    def volume(self, node: Any) -> None:
        self._refer(_VOLUME_ROLE, node)

    @property
    def segmentation(self) -> Any:
        """The segmentation node, or None."""
        return self._require().GetNodeReference(_SEGMENTATION_ROLE)

    @segmentation.setter
    def segmentation(self, node: Any) -> None:
        self._refer(_SEGMENTATION_ROLE, node)

    @property
    def segment_id(self) -> str:
        """The chosen segment's id within the segmentation; empty if none."""
        return self._get("segment")

    @segment_id.setter
    def segment_id(self, value: str) -> None:
        self._set("segment", value)

    @property
    def tool(self) -> Tool:
        """The latched prompt tool; empty if none."""
        return _one_of(self._get("tool"), get_args(Tool), "")

    @tool.setter
    def tool(self, value: Tool) -> None:
        self._set("tool", value)

    @property
    def positive(self) -> bool:
        """Whether a plain click is a positive point."""
        return self._get("positive") != "false"

    @positive.setter
    def positive(self, value: bool) -> None:
        self._set("positive", "true" if value else "false")

    @property
    def axis(self) -> Axis:
        """The axis to propagate along."""
        return _one_of(self._get("axis"), AXES, "k")

    @axis.setter
    def axis(self, value: Axis) -> None:
        self._set("axis", value)

    @property
    def first(self) -> int | None:
        """First slice of the range along ``axis``; None for the volume's."""
        return _whole(self._get("first"))

    @first.setter
    def first(self, value: int | None) -> None:
        self._set("first", "" if value is None else str(int(value)))

    @property
    def last(self) -> int | None:
        """Last slice of the range, inclusive; None for the volume's."""
        return _whole(self._get("last"))

    @last.setter
    def last(self, value: int | None) -> None:
        self._set("last", "" if value is None else str(int(value)))

    @property
    def orientations(self) -> Orientations:
        """How many axes look at the object; three if nothing was chosen."""
        return _one_of(self._get("orientations"), get_args(Orientations), "3")

    @orientations.setter
    def orientations(self, value: Orientations) -> None:
        self._set("orientations", value)

    @property
    def memory(self) -> str:
        """The kind of memory bank by its name; empty for the model's own."""
        return self._get("memory")

    @memory.setter
    def memory(self, value: str) -> None:
        self._set("memory", value)

    @property
    def model(self) -> str:
        """The model by its name in the catalogue or its path; empty for the default."""
        return self._get("model")

    @model.setter
    def model(self, value: str) -> None:
        self._set("model", value)

    @property
    def window(self) -> tuple[float, float] | None:
        """Intensities (low, high) that become black and white; None before the first prompt."""
        words = self._get("window").split()
        try:
            low, high = map(float, words)
        except ValueError:
            return None
        return low, high

    @window.setter
    def window(self, value: tuple[float, float] | None) -> None:
        self._set("window", "" if value is None else f"{float(value[0])!r} {float(value[1])!r}")

    def close(self) -> None:
        """Stops watching the node; may be called twice."""
        self._observers.close()

    def _get(self, name: str) -> str:
        return str(self._require().GetParameter(name) or "")

    def _set(self, name: str, value: str) -> None:
        if self._get(name) != value:
            self._require().SetParameter(name, value)

    def _refer(self, role: str, node: Any) -> None:
        if self._require().GetNodeReference(role) is not node:
            self.node.SetNodeReferenceID(role, node.GetID() if node is not None else None)

    def _require(self) -> Any:
        return require(self.node, "module's parameters")

    def _on_modified(self, _caller: Any, _event: str) -> None:
        if self.changed is not None:
            self.changed()


def _one_of(text: str, values: Any, default: Any) -> Any:
    return text if text in values else default


def _whole(text: str) -> int | None:
    return int(text) if text.lstrip("-").isdigit() else None
