"""The prompts of a segmentation's segments, as Markups in the scene.

What the store holds and what the scene shows are one: prompts are saved with the scene, can be dragged and deleted
there, and the store tells its owner when that happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Union

from slicer import vtkMRMLMarkupsNode, vtkMRMLScene, vtkMRMLTransformableNode
from vtk import vtkCommand

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.types import BoxPrompt, PointPrompt, Prompt, SliceKey
from MedSAM2SlicerLib.scene import prompt_nodes
from MedSAM2SlicerLib.scene.keyframes import Keyframes, MaskKeyframes
from MedSAM2SlicerLib.scene.nodes import Observers, is_alive, nodes_of, require
from MedSAM2SlicerLib.scene.prompt_nodes import BOX, POINTS, PROMPT, SEGMENT, SEGMENTATION_ROLE, PromptGeometry
from MedSAM2SlicerLib.scene.segments import require_segment, segment_ids, segment_name

DrawnPrompt = Union[PointPrompt, BoxPrompt]
_Known = dict[str, tuple[str, DrawnPrompt]]

_POINT_EVENTS = (
    vtkMRMLMarkupsNode.PointModifiedEvent,
    vtkMRMLMarkupsNode.PointPositionDefinedEvent,
    vtkMRMLMarkupsNode.PointRemovedEvent,
)


@dataclass(frozen=True)
class PromptSnapshot:
    """All prompts and mask keyframes of a segmentation at one moment."""

    prompts: tuple[tuple[str, str, DrawnPrompt], ...]
    keyframes: Keyframes


class PromptStore:
    """Prompts by segment, drawn in the scene.

    ``changed`` is called with a segment's id when somebody moved, placed or deleted one of its prompts in the scene, at
    the end of a drag; never for what the store itself did. Once the segmentation or the volume was deleted, writing
    raises InputError ``E_NODE_GONE``, and nothing is called any more.
    """

    def __init__(self, scene: Any, volume_node: Any, segmentation_node: Any) -> None:
        self.changed: Callable[[str], None] | None = None
        self._scene = scene
        self._volume = require(volume_node, "volume")
        self._segmentation = require(segmentation_node, "segmentation")
        self._geometry = PromptGeometry(volume_node)
        self._keyframes = MaskKeyframes(segmentation_node)
        self._nodes: list[Any] = []
        self._known: _Known = {}
        self._active: str | None = None
        self._limited = False
        self._own = 0
        self._dragging = False
        self._observers = Observers()
        self._observers.observe(scene, vtkMRMLScene.NodeRemovedEvent, self._on_node_removed)
        self._observers.observe(volume_node, vtkMRMLTransformableNode.TransformModifiedEvent, self._on_volume)
        self._observers.observe(volume_node, vtkCommand.ModifiedEvent, self._on_volume)
        self._adopt_nodes()

    def add(self, segment_id: str, prompt: Prompt) -> str:
        """Draws a prompt, at voxel centres, and returns its id.

        Raises InputError ``E_NO_SEGMENT`` or ``E_NODE_GONE``, and PromptError ``E_PROMPT_KIND`` for a mask: that is a
        keyframe.
        """
        require(self._volume, "volume")
        require_segment(self._segmentation, segment_id)
        if not isinstance(prompt, (PointPrompt, BoxPrompt)):
            raise PromptError("E_PROMPT_KIND", "A mask is no mark in the scene: set its slice as a keyframe.")
        prompt_id = self._next_id()
        self._draw(prompt_id, segment_id, prompt)
        return prompt_id

    def remove(self, prompt_id: str) -> None:
        """Takes a prompt away; nothing happens where it is already gone."""
        if self._known.pop(prompt_id, None) is None:
            return
        with self._own_changes():
            for node in list(self._nodes):
                self._erase(node, prompt_id)

    def clear(self, segment_id: str) -> None:
        """Takes all prompts and mask keyframes of a segment away."""
        for prompt_id in self.prompts(segment_id):
            self.remove(prompt_id)
        self._keyframes.clear(segment_id)

    def prompts(self, segment_id: str) -> dict[str, Prompt]:
        """The segment's prompts by id, in the order they were made."""
        mine = {key: prompt for key, (segment, prompt) in self._known.items() if segment == segment_id}
        return {key: mine[key] for key in sorted(mine, key=_number)}

    def segment_of(self, prompt_id: str) -> str | None:
        """Whose prompt it is; None where it is gone."""
        known = self._known.get(prompt_id)
        return known[0] if known else None

    def set_active_segment(self, segment_id: str | None) -> None:
        """Shows the prompts of this segment only; none for None."""
        self._active, self._limited = segment_id, True
        for node in self._nodes:
            self._show(node)

    def set_mask_keyframe(self, segment_id: str, key: SliceKey) -> None:
        """Remembers that the segment's mask on a slice is the user's."""
        require_segment(self._segmentation, segment_id)
        self._keyframes.add(segment_id, key)

    def mask_keyframes(self, segment_id: str) -> list[SliceKey]:
        """The slices whose mask is the user's, by axis and index."""
        return self._keyframes.of(segment_id)

    def drop_mask_keyframe(self, segment_id: str, key: SliceKey) -> None:
        """Forgets that a mask is the user's."""
        self._keyframes.drop(segment_id, key)

    def snapshot(self) -> PromptSnapshot:
        """What there is now, for ``restore``."""
        prompts = tuple((key, *self._known[key]) for key in sorted(self._known, key=_number))
        return PromptSnapshot(prompts, self._keyframes.snapshot())

    def restore(self, snapshot: PromptSnapshot) -> None:
        """Makes prompts and keyframes what they were, ids included. Prompts of segments that are gone stay away."""
        require(self._volume, "volume")
        living = segment_ids(require(self._segmentation, "segmentation"))
        wanted = {key: (segment, prompt) for key, segment, prompt in snapshot.prompts if segment in living}
        for prompt_id, known in list(self._known.items()):
            if wanted.get(prompt_id) != known:
                self.remove(prompt_id)
        for prompt_id, (segment_id, prompt) in wanted.items():
            if prompt_id not in self._known:
                self._draw(prompt_id, segment_id, prompt)
        self._keyframes.restore(snapshot.keyframes)

    def close(self, remove: bool = False) -> None:
        """Stops watching; ``remove`` takes the marks out of the scene. May be called twice, and after a scene's end."""
        self._observers.close()
        if remove:
            for node in filter(is_alive, self._nodes):
                node.GetScene().RemoveNode(node)
        self._nodes.clear()
        self._known.clear()

    def _draw(self, prompt_id: str, segment_id: str, prompt: DrawnPrompt) -> None:
        prompt = prompt_nodes.rounded(prompt)
        with self._own_changes():
            name = segment_name(self._segmentation, segment_id)
            if isinstance(prompt, PointPrompt):
                node = self._points_node(segment_id, name, prompt.positive)
                prompt_nodes.add_point(node, self._geometry, prompt_id, prompt)
            else:
                node = prompt_nodes.make_box_node(
                    self._scene, self._segmentation, segment_id, name, prompt_id, prompt.axis
                )
                self._take(node)
                prompt_nodes.draw_box(node, self._geometry, prompt)
        self._known[prompt_id] = (segment_id, prompt)

    def _points_node(self, segment_id: str, name: str, positive: bool) -> Any:
        for node in self._nodes:
            if node.IsA(POINTS) and _segment(node) == segment_id and prompt_nodes.is_positive(node) == positive:
                return node
        node = prompt_nodes.make_points_node(self._scene, self._segmentation, segment_id, name, positive)
        self._take(node)
        return node

    def _erase(self, node: Any, prompt_id: str) -> None:
        if node.IsA(BOX):
            gone = node.GetAttribute(PROMPT) == prompt_id
        else:
            index = prompt_nodes.point_index(node, prompt_id)
            if index >= 0:
                node.RemoveNthControlPoint(index)
            gone = index >= 0 and node.GetNumberOfControlPoints() == 0
        if gone:
            self._release(node)
            self._scene.RemoveNode(node)

    def _adopt_nodes(self) -> None:
        """Takes over the prompts that came with the scene; those of segments that are gone are taken away."""
        living = segment_ids(self._segmentation)
        with self._own_changes():
            for node in self._nodes_in_scene():
                if _segment(node) in living:
                    self._take(node)
                else:
                    self._scene.RemoveNode(node)
            self._known = self._read()

    def _nodes_in_scene(self) -> list[Any]:
        marks = [*nodes_of(self._scene, POINTS), *nodes_of(self._scene, BOX)]
        return [node for node in marks if node.GetNodeReference(SEGMENTATION_ROLE) is self._segmentation]

    def _take(self, node: Any) -> None:
        self._nodes.append(node)
        node.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
        for event in _POINT_EVENTS:
            self._observers.observe(node, event, self._on_points)
        self._observers.observe(node, vtkMRMLMarkupsNode.PointStartInteractionEvent, self._on_drag_start)
        self._observers.observe(node, vtkMRMLMarkupsNode.PointEndInteractionEvent, self._on_drag_end)
        self._show(node)

    def _release(self, node: Any) -> None:
        self._observers.forget(node)
        self._nodes = [other for other in self._nodes if other is not node]

    def _show(self, node: Any) -> None:
        display = node.GetDisplayNode()
        if display is not None:
            display.SetVisibility(not self._limited or _segment(node) == self._active)

    def _read(self) -> _Known:
        """All prompts as the scene shows them; points that somebody placed get an id."""
        known: _Known = {}
        unnamed = max([_number(key) for key in self._known], default=0) + 1
        for node in self._nodes:
            if node.IsA(BOX):
                known[str(node.GetAttribute(PROMPT))] = (_segment(node), prompt_nodes.read_box(node, self._geometry))
                continue
            found = prompt_nodes.read_points(node, self._geometry)
            new = [f"p{unnamed + place}" for place in range(sum(not key for key, _ in found))]
            unnamed += len(new)
            if new:
                prompt_nodes.name_points(node, new)
            waiting = iter(new)
            known.update({key or next(waiting): (_segment(node), prompt) for key, prompt in found})
        return known

    def _synchronize(self) -> None:
        """Takes over what changed in the scene, and tells whose prompts did."""
        before = self._known
        with self._own_changes():
            self._known = self._read()
            for node in self._nodes:
                if node.IsA(BOX):
                    prompt_nodes.draw_box(node, self._geometry, prompt_nodes.read_box(node, self._geometry))
        differing = [key for key in {**before, **self._known} if before.get(key) != self._known.get(key)]
        for segment_id in dict.fromkeys({**before, **self._known}[key][0] for key in differing):
            if self.changed is not None:
                self.changed(segment_id)

    def _on_points(self, _caller: Any, _event: str) -> None:
        if not self._own and not self._dragging and self._usable():
            self._synchronize()

    def _on_drag_start(self, _caller: Any, _event: str) -> None:
        self._dragging = True

    def _on_drag_end(self, caller: Any, event: str) -> None:
        self._dragging = False
        self._on_points(caller, event)

    def _on_node_removed(self, _caller: Any, _event: str) -> None:
        if self._own or self._scene.IsClosing() or not self._usable():
            return
        present = self._nodes_in_scene()
        gone = [node for node in self._nodes if node not in present]
        for node in gone:
            self._release(node)
        if gone:
            self._dragging = False
            self._synchronize()

    def _on_volume(self, _caller: Any, _event: str) -> None:
        """Prompts keep their voxels when the volume is moved, hardened or given another geometry."""
        if self._own or not self._usable() or self._volume.GetImageData() is None:
            return
        with self._own_changes():
            for node in self._nodes:
                if node.GetTransformNodeID() != self._volume.GetTransformNodeID():
                    node.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
        geometry = PromptGeometry(self._volume)
        if not geometry.same_as(self._geometry):
            snapshot = self.snapshot()
            for prompt_id in list(self._known):
                self.remove(prompt_id)
            self._geometry = geometry
            self.restore(snapshot)

    def _usable(self) -> bool:
        return is_alive(self._volume) and is_alive(self._segmentation)

    def _next_id(self) -> str:
        return f"p{max([_number(key) for key in self._known], default=0) + 1}"

    @contextmanager
    def _own_changes(self) -> Iterator[None]:
        self._own += 1
        try:
            yield
        finally:
            self._own -= 1


def _segment(node: Any) -> str:
    return str(node.GetAttribute(SEGMENT))


def _number(prompt_id: str) -> int:
    digits = prompt_id[1:]
    return int(digits) if digits.isdigit() else 0
