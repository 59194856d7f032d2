"""Nodes that may be deleted at any moment, and observers that are taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


class Observers:
    """Observers of VTK objects, all removed by ``close``, in whatever state those objects are by then."""

    def __init__(self) -> None:
        self._tags: list[tuple[Any, int]] = []

    def observe(self, watched: Any, event: int | str, callback: Callback) -> None:
        """Calls ``callback(watched, event name)`` on every event."""
        self._tags.append((watched, watched.AddObserver(event, callback)))

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
