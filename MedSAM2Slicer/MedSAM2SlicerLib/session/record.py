"""How a segment came about, as data for the scene: model, window, prompts, slices corrected, seconds, versions."""

from __future__ import annotations

from typing import Any

import MedSAM2Lib
from MedSAM2Lib.types import BoxPrompt, PointPrompt, Prompt
from MedSAM2SlicerLib.session.before import slice_marks
from MedSAM2SlicerLib.session.core import Open
from MedSAM2SlicerLib.session.state import SessionState


def write_record(opened: Open, state: SessionState) -> None:
    """Writes into the scene how the segment at hand came about, and check sums of its slices."""
    opened.parts.provenance.write(opened.segment_id, written_record(opened, state, opened.segment_id))


def written_record(opened: Open, state: SessionState, segment_id: str) -> dict[str, Any]:
    """What is written at a commit: numbers, strings, lists and dicts only."""
    ready = opened.ready
    return {
        "model": ready.model if ready is not None else state.model,
        "checksum": ready.checksum if ready is not None else "",
        "device": ready.device if ready is not None else "",
        "window": list(state.window) if state.window is not None else None,
        "memory": state.memory,
        "orientations": state.orientations,
        "axis": state.axis,
        "range": list(state.range) if state.range is not None else None,
        "prompts": [described(prompt) for prompt in opened.prompts().values()],
        "slices_corrected": [[key.axis, key.index] for key in opened.hand_drawn()],
        "seconds": round(opened.seconds, 3),
        "slices": {str(index): mark for index, mark in slice_marks(opened.parts.segments.mask(segment_id)).items()},
        "versions": {
            "MedSAM2Slicer": MedSAM2Lib.__version__,
            **(dict(ready.versions) if ready is not None else {}),
        },
    }


def described(prompt: Prompt) -> dict[str, Any]:
    """A prompt in voxel coordinates (i, j, k)."""
    if isinstance(prompt, PointPrompt):
        return {"kind": "point", "ijk": list(prompt.ijk), "axis": prompt.axis, "positive": prompt.positive}
    if isinstance(prompt, BoxPrompt):
        return {"kind": "box", "first": list(prompt.first), "last": list(prompt.last), "axis": prompt.axis}
    return {"kind": "mask", "axis": prompt.axis, "slice": prompt.slice.index}
