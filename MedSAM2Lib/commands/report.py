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
from MedSAM2Lib.tracking.engine import stop_rule_for
from MedSAM2Lib.types import BoxPrompt, PointPrompt, Prompt
from MedSAM2Lib.volume.io import replacing

if TYPE_CHECKING:
    from MedSAM2Lib.commands.segmentation import ReadyModel, Segmentation, SegmentSettings

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
            "orientations": 1,
            "memory": settings.memory,
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
        "slices_computed": len(done.results),
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


def _object_report(done: Segmentation, object_id: int, name: str) -> dict[str, Any]:
    results = [result for (owner, _), result in sorted(done.results.items()) if owner == object_id]
    return {
        "name": name,
        "label": object_id,
        "prompts": [_prompt_report(prompt) for prompt in done.session.objects[object_id].prompts],
        "voxels": int(np.count_nonzero(done.labels == object_id)),
        "region_order": "first row, first column, last row, last column; voxel n covers n to n + 1",
        "region": list(results[0].frame.region) if results else None,
        "slices": [
            {
                "axis": result.key.axis,
                "index": result.key.index,
                "prompted": result.prompted,
                "predicted_iou": round(result.predicted_iou, 4),
                "object_score": round(result.object_score, 4),
                "object": bool((result.logits > 0).any()),
            }
            for result in results
        ],
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
