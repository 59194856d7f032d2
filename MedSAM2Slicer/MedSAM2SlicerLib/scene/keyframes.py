"""Slices whose mask is the user's, by segment; saved with the scene."""

from __future__ import annotations

from typing import Any

from MedSAM2Lib.types import AXES, SliceKey
from MedSAM2SlicerLib.scene.records import JsonRecord

Keyframes = tuple[tuple[str, tuple[SliceKey, ...]], ...]
ROLE = "medsam2Keyframes"


class MaskKeyframes:
    """The keyframes of a segmentation. Their masks are what the segment holds there."""

    def __init__(self, segmentation_node: Any) -> None:
        self._record = JsonRecord(segmentation_node, ROLE, "MedSAM2 keyframes")
        self._keys: dict[str, set[SliceKey]] = {
            segment_id: {SliceKey(axis, index) for axis in AXES for index in told.get(axis, ())}
            for segment_id, told in self._record.read().items()
        }

    def of(self, segment_id: str) -> list[SliceKey]:
        """In the order k, j, i, then by index."""
        return sorted(self._keys.get(segment_id, ()), key=lambda key: (AXES.index(key.axis), key.index))

    def add(self, segment_id: str, key: SliceKey) -> None:
        if key not in self._keys.setdefault(segment_id, set()):
            self._keys[segment_id].add(key)
            self._save()

    def drop(self, segment_id: str, key: SliceKey) -> None:
        if key in self._keys.get(segment_id, ()):
            self._keys[segment_id].remove(key)
            self._save()

    def clear(self, segment_id: str) -> None:
        if self._keys.pop(segment_id, None):
            self._save()

    def snapshot(self) -> Keyframes:
        return tuple((segment_id, tuple(self.of(segment_id))) for segment_id in sorted(self._keys))

    def restore(self, keyframes: Keyframes) -> None:
        if keyframes != self.snapshot():
            self._keys = {segment_id: set(keys) for segment_id, keys in keyframes}
            self._save()

    def _save(self) -> None:
        self._record.write(
            {
                segment_id: {axis: sorted(key.index for key in keys if key.axis == axis) for axis in AXES}
                for segment_id, keys in self._keys.items()
                if keys
            }
        )
