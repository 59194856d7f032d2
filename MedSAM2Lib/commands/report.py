"""The report of a segmentation, as JSON: everything needed to do it again, and how sure the model was."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from MedSAM2Lib import __version__
from MedSAM2Lib.tracking.engine import SELF_SORTING, stop_rule_for
from MedSAM2Lib.types import AXES, BankView, BoxPrompt, PointPrompt, Prompt, SliceResult, Suggestion
from MedSAM2Lib.volume.io import replacing

if TYPE_CHECKING:
    from MedSAM2Lib.commands.segmentation import ReadyModel, Segmentation, SegmentSettings
    from MedSAM2Lib.tracking.session import TrackingSession

_PACKAGES = ("torch", "numpy", "scipy", "SimpleITK", "safetensors")


def build_report(done: Segmentation, model: ReadyModel, settings: SegmentSettings) -> dict[str, Any]:
    """The report as plain data."""
    session, loaded = done.session, model.loaded
    return {
        "program": {"name": "medsam2", "version": __version__, "command": sys.argv},
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}},
        "model": {"name": loaded.name, "file": str(loaded.path), "sha256": loaded.checksum},
        "volume": {
            "file": str(settings.volume),
            "size_ijk": list(done.volume.array.shape[::-1]),
            "spacing_mm_ijk": [float(value) for value in done.volume.spacing],
            "sha256": done.volume.checksum(),
        },
        "settings": {
            "axis": settings.axis,
            "orientations": settings.orientations,
            "memory": settings.memory,
            "bank": _bank_report(model, settings),
            "range": settings.range,
            "stop": asdict(stop_rule_for(loaded.config, settings.stop)),
            "seed": settings.seed,
            "image_size": loaded.config.image_size,
            "device": str(model.context.device),
            "precision": str(model.context.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "cpu_count": os.cpu_count(),
            "window": [session.view.window.low, session.view.window.high],
            "fit": model.options.fit,
            "zoom": model.options.zoom,
        },
        "interrupted": done.interrupted,
        "seconds": {stage: round(seconds, 4) for stage, seconds in done.seconds.items()},
        "slices_computed": done.slices_computed,
        "slices_encoded": session.features.counts.encoded,
        "notices": list(model.context.notices),
        "objects": [_object_report(done, place + 1, name) for place, name in enumerate(done.names)],
    }


def report_text(report: dict[str, Any]) -> str:
    """The report as it stands in its file."""
    return json.dumps(report, indent=2) + "\n"


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Writes the report whole or not at all; raises OutputError."""
    with replacing(path) as partial:
        partial.write_text(report_text(report), encoding="utf-8")


def _bank_report(model: ReadyModel, settings: SegmentSettings) -> dict[str, Any] | None:
    """How a self-sorting bank chose; None for other memories."""
    options = model.options.self_sorting
    return asdict(options) if settings.memory == SELF_SORTING and options is not None else None


def _object_report(done: Segmentation, object_id: int, name: str) -> dict[str, Any]:
    results = done.results_of(object_id)
    return {
        "name": name,
        "label": object_id,
        "prompts": [_prompt_report(prompt) for prompt in done.session.objects[object_id].prompts],
        "voxels": int(np.count_nonzero(done.labels == object_id)),
        "region_order": "first row, first column, last row, last column; voxel n covers n to n + 1",
        "regions": {result.key.axis: list(result.frame.region) for result in results},
        "suggested_prompt": _suggestion_report(done.session.suggest(object_id)),
        "slices": [_slice_report(result, done.session) for result in results],
        "banks": [_bank_view(view) for axis in AXES if (view := done.session.bank(object_id, axis)) is not None],
    }


def _slice_report(result: SliceResult, session: TrackingSession) -> dict[str, Any]:
    """A slice of an axis; ``shown`` are the slices of that axis whose memory the network was shown for it."""
    logits = session.voxel_logits(result) if session.is_given(result) else result.logits
    return {
        "axis": result.key.axis,
        "index": result.key.index,
        "prompted": result.prompted,
        "predicted_iou": round(result.predicted_iou, 4),
        "object_score": round(result.object_score, 4),
        "object": bool((logits > 0).any()),
        "shown": list(result.shown),
    }


def _bank_view(view: BankView) -> dict[str, Any]:
    """A memory bank at the end: which slices it holds, and every offer with what it pushed out and why."""
    return {
        "axis": view.axis,
        "capacity": view.capacity,
        "holds": [{"slice": one.index, "direction": one.direction, "prompted": one.prompted} for one in view.slices],
        "events": [asdict(event) for event in view.events],
    }


def _suggestion_report(suggestion: Suggestion | None) -> dict[str, Any] | None:
    """Where another prompt would help most; None where nothing is in doubt."""
    if suggestion is None:
        return None
    return {
        "axis": suggestion.slice.axis,
        "slice": suggestion.slice.index,
        "point": list(suggestion.ijk),
        "doubt": round(suggestion.doubt, 4),
        "reason": suggestion.reason,
    }


def _prompt_report(prompt: Prompt) -> dict[str, Any]:
    """A prompt as plain data; a mask by its slice, size and checksum."""
    if isinstance(prompt, PointPrompt):
        return {
            "point": list(prompt.ijk),
            "axis": prompt.axis,
            "slice": prompt.slice.index,
            "positive": prompt.positive,
        }
    if isinstance(prompt, BoxPrompt):
        return {"box": [*prompt.first, *prompt.last], "axis": prompt.axis, "slice": prompt.slice.index}
    checksum = hashlib.sha256(np.packbits(prompt.mask).tobytes()).hexdigest()
    return {
        "mask_on_slice": prompt.slice.index,
        "axis": prompt.axis,
        "pixels": int(np.count_nonzero(prompt.mask)),
        "sha256": checksum,
    }
