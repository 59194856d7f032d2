"""Nodes that may be deleted at any moment, and observers that are taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import vtk

from MedSAM2Lib.errors import InputError

Callback = Callable[[Any, str], None]


def is_alive(node: Any) -> bool:
    """Whether there is such a node, and it is still in a scene."""
    return node is not None and node.GetScene() is not None


def require(node: Any, what: str) -> Any:
    """The node; raises InputError ``E_NODE_GONE`` where it was deleted or its scene was closed."""
    if is_alive(node):
        return node
    raise InputError("E_NODE_GONE", "The {what} is no longer in the scene: choose another one.", what=what)


def nodes_of(scene: Any, class_name: str) -> list[Any]:
    """All nodes of a class, in the order of the scene."""
    return [scene.GetNthNodeByClass(index, class_name) for index in range(scene.GetNumberOfNodesByClass(class_name))]


def remove_node(node: Any) -> None:
    """Takes a displayable node and its display nodes out of the scene; nothing happens where it is already gone."""
    if not is_alive(node):
        return
    scene = node.GetScene()
    displays = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    for each in filter(is_alive, (node, *displays)):
        scene.RemoveNode(each)


class _WeakCallback:
    """Calls a method as long as its object lives; harmless even while the garbage collector takes it apart."""

    __slots__ = ("_name", "_owner")

    def __init__(self, method: Any) -> None:
        self._owner = ref(method.__self__)
        self._name = method.__name__

    def __call__(self, caller: Any, event: str) -> None:
        reference = getattr(self, "_owner", None)
        owner = reference() if reference is not None else None
        if owner is not None:
            getattr(owner, self._name)(caller, event)


class _WeakNodeCallback(_WeakCallback):
    """The same for an event that is about a node, which is what the method gets."""

    __slots__ = ()
    CallDataType = vtk.VTK_OBJECT

    def __call__(self, _caller: Any, _event: str, node: Any) -> None:  # type: ignore[override]
        super().__call__(node, _event)


class Observers:
    """Observers of VTK objects, all removed by ``close``, in whatever state those objects are by then.

    Callbacks are methods whose objects are held weakly: one that is forgotten without ``close`` is not called again.
    """

    def __init__(self) -> None:
        self._tags: list[tuple[Any, int]] = []

    def observe(self, watched: Any, event: int | str, callback: Callback) -> None:
        """Calls the method ``callback(watched, event name)`` on every event."""
        self._tags.append((watched, watched.AddObserver(event, _WeakCallback(callback))))

    def observe_nodes(self, scene: Any, event: int | str, callback: Callback) -> None:
        """Calls the method ``callback(node, event name)`` on every event of a scene that is about a node."""
        self._tags.append((scene, scene.AddObserver(event, _WeakNodeCallback(callback))))

    def forget(self, watched: Any) -> None:
        """Removes the observers of one object."""
        for each, tag in self._tags:
            if each is watched:
                each.RemoveObserver(tag)
        self._tags = [(each, tag) for each, tag in self._tags if each is not watched]

    def close(self) -> None:
        """Removes all; may be called twice."""
        for watched, tag in self._tags:
            watched.RemoveObserver(tag)
        self._tags.clear()
