"""`medsam2 app`, run: checked first, then done by the panel in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from MedSAM2Lib.commands.outputs import check_places, check_suffix
from MedSAM2Lib.commands.prompt_options import NamedObject, objects_from
from MedSAM2Lib.commands.segment import parse_range
from MedSAM2Lib.errors import InputError, VolumeError
from MedSAM2Lib.types import BoolArray, BoxPrompt, PointPrompt, Prompt
from MedSAM2Lib.volume.intensity import parse_window
from MedSAM2Lib.volume.io import read_volume

EXIT_PANEL_FAILED = 3
_KNOWN_CODES = (0, 2)
_SCENES = (".mrb", ".mrml")
_PACKAGES = {"slicer": "slicer-core>=5.12", "PySide6": "PySide6-Essentials>=6.8,!=6.12.0"}


def run_app(options: argparse.Namespace) -> int:
    """Opens the panel, and has it do what the options say; returns the exit code. Raises InputError, OutputError."""
    job = job_of(options)
    command = command_for(options, job)
    code = subprocess.run(command, check=False).returncode
    return code if code in _KNOWN_CODES else EXIT_PANEL_FAILED


def job_of(options: argparse.Namespace) -> dict[str, Any]:
    """What the panel is asked to do, as JSON holds it, after the checks that need no panel."""
    named = objects_from(options.prompts, options.axis, _no_masks) if options.prompts else []
    _check_volume(options, named)
    check_suffix("--save", options.save, ".mrb")
    check_suffix("--screenshot", options.screenshot, ".png")
    outputs = [path for path in (options.save, options.screenshot) if path is not None]
    check_places(outputs, [] if options.volume is None else [options.volume])
    # A single object without a name takes the segment that the panel chooses.
    unnamed = not any(one.kind == "object" for one in options.prompts)
    return {
        "volume": _absolute(options.volume),
        "ijk_to_lps": _grid_of(options.volume) if named else None,
        "objects": [{"name": "" if unnamed else one.name, "prompts": list(map(_plain, one.prompts))} for one in named],
        "propagate": options.propagate,
        "orientations": options.orientations,
        "memory": options.memory,
        "axis": options.axis,
        "range": "all" if options.range == "all" else parse_range(options.range),
        "window": _window(options.window),
        "model": options.model,
        "save": _absolute(options.save),
        "screenshot": _absolute(options.screenshot),
        "quit": options.quit,
    }


def command_for(options: argparse.Namespace, job: dict[str, Any]) -> list[str]:
    """The process that opens the panel and does the job. Raises InputError where there can be none here."""
    _check_packages()
    _check_display()
    # By name: the Slicer side is another package, which the engine does not know.
    module_file = import_module("MedSAM2SlicerLib.resources").module_file
    code = f"from MedSAM2SlicerLib.panel.app_run import run; run({json.dumps(json.dumps(job))})"
    arguments = ["--module", str(module_file()), "--size", options.size, "--python-code", code]
    if options.palette is not None:
        arguments += ["--palette", options.palette]
    return [sys.executable, "-m", "SlicerHost", *arguments]


def _check_volume(options: argparse.Namespace, named: Sequence[NamedObject]) -> None:
    if options.volume is not None and not options.volume.exists():
        raise VolumeError(
            "E_VOLUME_MISSING", "{path} does not exist: check the path and its spelling.", path=options.volume
        )
    if options.volume is None and named:
        raise InputError("E_APP_NO_VOLUME", "The prompts are of no volume: give a VOLUME to open.")
    if options.propagate and not named:
        raise InputError("E_NO_PROMPT", "Nothing to propagate: give at least one --point or --box.")
    if not re.fullmatch(r"[1-9]\d{2,3}x[1-9]\d{2,3}", options.size):
        raise InputError("E_APP_SIZE", "--size '{size}' is not of the form 1400x900.", size=options.size)


def _window(text: str) -> list[float] | str:
    """``auto``, ``display``, or low and high."""
    if text in ("auto", "display"):
        return text
    window = parse_window(text)
    return [window.low, window.high]


def _grid_of(path: Path) -> list[list[float]] | None:
    """What prompts count in: the file's own voxels, which Slicer may mirror when it reads them; None for a scene."""
    if path.suffix.lower() in _SCENES:
        return None
    return read_volume(path).ijk_to_world.tolist()


def _check_packages() -> None:
    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise InputError(
            "E_APP_PACKAGES",
            "The panel needs packages that are not installed; install them with: {python} -m pip install {missing}",
            python=sys.executable,
            missing=" ".join(f"'{package}'" for package in missing),
        )
    if find_spec("SlicerHost") is None or find_spec("MedSAM2SlicerLib") is None:
        raise InputError(
            "E_APP_PANEL",
            "The panel is not installed beside the engine: install MedSAM2Slicer by pip, or run this in its clone "
            "after `make setup`.",
        )


def _check_display() -> None:
    known = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in known):
        raise InputError(
            "E_APP_DISPLAY",
            "There is no display to open a window on: run QT_QPA_PLATFORM=offscreen medsam2 app ... --quit, or "
            "xvfb-run medsam2 app ..., or connect with ssh -X.",
        )


def _plain(prompt: Prompt) -> dict[str, Any]:
    if isinstance(prompt, PointPrompt):
        return {"kind": "point", "ijk": list(prompt.ijk), "axis": prompt.axis, "positive": prompt.positive}
    assert isinstance(prompt, BoxPrompt)
    return {"kind": "box", "first": list(prompt.first), "last": list(prompt.last), "axis": prompt.axis}


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def _no_masks(path: Path, label: int | None) -> BoolArray:
    raise AssertionError("the app has no --mask")
