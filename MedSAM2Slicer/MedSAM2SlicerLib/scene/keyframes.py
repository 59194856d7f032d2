"""Slices whose mask is the user's, by segment; saved with the scene.

The volume's grid is saved beside them. Slicer stores a volume with left-handed axes turned round, and its slices then
have other indices; keyframes are found again by where they lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.types import AXES, Axis, SliceKey, ijk_position
from MedSAM2SlicerLib.scene.geometry import ijk_to_local_matrix, inverse, nearest_index, volume_shape
from MedSAM2SlicerLib.scene.records import JsonRecord

Keyframes = tuple[tuple[str, tuple[SliceKey, ...]], ...]
ROLE = "medsam2Keyframes"

_ALONG = 1e-3


class MaskKeyframes:
    """The keyframes of a segmentation on a volume. Their masks are what the segment holds there."""

    def __init__(self, segmentation_node: Any, volume_node: Any) -> None:
        self._record = JsonRecord(segmentation_node, ROLE, "MedSAM2 keyframes")
        self._volume = volume_node
        self._grid = ijk_to_local_matrix(volume_node)
        self._keys: dict[str, set[SliceKey]] = self._read()

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

    def regrid(self) -> None:
        """The volume was moved with its slices: they keep their indices."""
        self._grid = ijk_to_local_matrix(self._volume)
        if self._keys:
            self._save()

    def _read(self) -> dict[str, set[SliceKey]]:
        told = self._record.read()
        if "grid" not in told:
            return {}
        old_to_new = inverse(self._grid) @ np.asarray(told["grid"], dtype=np.float64)
        keys = {}
        for segment_id, indices in told["segments"].items():
            old = [SliceKey(axis, int(index)) for axis in AXES for index in indices.get(axis, ())]
            keys[segment_id] = {key for key in (self._moved(each, old_to_new) for each in old) if key is not None}
        return keys

    def _moved(self, key: SliceKey, old_to_new: NDArray[np.float64]) -> SliceKey | None:
        """The slice in the volume as it is now; None where it is no slice of it any more."""
        direction = old_to_new[:3, ijk_position(key.axis)]
        axis: Axis = max(AXES, key=lambda each: abs(direction[ijk_position(each)]))
        along = ijk_position(axis)
        across = np.delete(old_to_new[along, :3], ijk_position(key.axis))
        index = nearest_index(float(direction[along] * key.index + old_to_new[along, 3]))
        inside = 0 <= index < volume_shape(self._volume)[::-1][along]
        flat = abs(abs(direction[along]) - 1) < _ALONG and np.abs(across).max() < _ALONG
        return SliceKey(axis, index) if inside and flat else None

    def _save(self) -> None:
        segments = {
            segment_id: {axis: sorted(key.index for key in keys if key.axis == axis) for axis in AXES}
            for segment_id, keys in self._keys.items()
            if keys
        }
        self._record.write({"grid": self._grid.tolist(), "segments": segments})
