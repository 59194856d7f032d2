"""Where a segment came from: model, window, prompts, corrected slices, seconds; as JSON text in the scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from MedSAM2SlicerLib.scene.records import JsonRecord

ROLE = "medsam2Provenance"


class ProvenanceStore:
    """One JSON object for each segment of a segmentation.

    Segment ids live in the segmentation and stay when a scene is imported into another. Raises InputError
    ``E_NODE_GONE`` once the segmentation was deleted, ``E_RECORD`` where the text was damaged.
    """

    def __init__(self, scene: Any, segmentation_node: Any) -> None:
        del scene  # the record lies in the segmentation's scene
        self._record = JsonRecord(segmentation_node, ROLE, "MedSAM2 provenance")

    def segments(self) -> tuple[str, ...]:
        """Ids of the segments that have a provenance, removed ones included."""
        return tuple(self._record.read())

    def read(self, segment_id: str) -> dict[str, Any]:
        """What was written of a segment, ``{}`` if nothing."""
        told = self._record.read().get(segment_id, {})
        return dict(told)

    def write(self, segment_id: str, content: Mapping[str, Any]) -> None:
        """Replaces what is known of a segment. Raises TypeError for what JSON cannot hold."""
        self._record.write({**self._record.read(), segment_id: dict(content)})

    def update(self, segment_id: str, **values: Any) -> None:
        """Changes single entries."""
        self.write(segment_id, {**self.read(segment_id), **values})

    def remove(self, segment_id: str) -> None:
        """Forgets a segment."""
        told = self._record.read()
        if told.pop(segment_id, None) is not None:
            self._record.write(told)

    def close(self) -> None:
        """Nothing to take back; the text stays in the scene."""
