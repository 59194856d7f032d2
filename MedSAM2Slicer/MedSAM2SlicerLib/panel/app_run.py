"""What `medsam2 app` asks of a running panel: open, prompt, propagate, save, picture, quit."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2Lib.types import IJK, Axis, BoxPrompt, PointPrompt, ijk_position
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.panel.hands import Hands
from MedSAM2SlicerLib.panel.outcome_files import save_scene, save_screenshot
from MedSAM2SlicerLib.panel.propagating import MEMORIES, ORIENTATIONS
from MedSAM2SlicerLib.scene.geometry import ras_to_ijk, volume_data
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.scene.segments import segment_mask, segment_name
from MedSAM2SlicerLib.scene.windows import prompted_window

SCENES = (".mrb", ".mrml")
EXIT_BAD_INPUT = 2


@dataclass(frozen=True)
class AppJob:
    """The command's options; ``objects`` are names, empty where none was given, with their prompts.

    ``range`` is first and last slice along ``axis``, or ``"all"``, or None for the panel's own. ``ijk_to_lps`` is the
    grid that they count in, rows of a 4x4 matrix; None where that is the volume node's own. ``window`` is low and high,
    ``"auto"`` for what the engine finds best, or ``"display"`` for what Slicer shows by itself.
    """

    volume: str | None
    ijk_to_lps: list[list[float]] | None
    objects: tuple[tuple[str, tuple[PointPrompt | BoxPrompt, ...]], ...]
    propagate: bool
    orientations: str | None
    memory: str | None
    axis: Axis
    range: tuple[int, int] | str | None
    window: tuple[float, float] | str
    model: str | None
    save: str | None
    screenshot: str | None
    quit: bool

    @staticmethod
    def read(text: str) -> AppJob:
        """From the JSON that `medsam2 app` writes."""
        data = json.loads(text)
        objects = tuple((each["name"], tuple(map(_prompt, each["prompts"]))) for each in data.pop("objects"))
        return AppJob(objects=objects, **data)


def run(text: str) -> None:
    """Does a job on the panel of this application; ends the application with it where that was asked for.

    What the user must change is said on standard error, and the exit status is then 2.
    """
    job = AppJob.read(text)
    status = 0
    try:
        AppRun(job).do()
    except MedSAM2Error as error:
        print(f"medsam2: {error}", file=sys.stderr, flush=True)
        status = EXIT_BAD_INPUT
    if job.quit:
        slicer.util.exit(status)


class AppRun:
    """One job, step by step."""

    def __init__(self, job: AppJob) -> None:
        self._job = job
        self._panel = slicer.util.getModuleWidget("MedSAM2Slicer").panel
        self._hands = Hands(self._panel)
        self._touched: list[tuple[Any, str]] = []

    def do(self) -> None:
        """Everything that was asked for, in the order a user would do it. Raises MedSAM2Error."""
        self._set_options()
        if self._job.volume is not None:
            self._open(Path(self._job.volume))
        if self._panel.selection.volume is not None:
            self._set_window(self._panel.selection.volume)
        for name, prompts in self._job.objects:
            self._segment(name, prompts)
        if self._job.save is not None:
            self._panel.controller.settle("before the scene was saved", wait=True)
            self._hands.wait()
        for segmentation, segment_id in self._touched:
            self._report(segmentation, segment_id)
        if self._job.save is not None:
            save_scene(Path(self._job.save))
            print(f"saved: {self._job.save}", flush=True)
        if self._job.screenshot is not None:
            save_screenshot(Path(self._job.screenshot))
            print(f"screenshot: {self._job.screenshot}", flush=True)

    def _open(self, path: Path) -> None:
        try:
            if path.suffix.lower() in SCENES:
                slicer.util.loadScene(str(path))
            else:
                slicer.util.loadVolume(str(path))
        except RuntimeError as error:
            raise InputError(
                "E_APP_VOLUME",
                "{path} cannot be opened: give a volume (.nrrd, .nii.gz, .mha), a folder of one DICOM series, or a "
                "scene (.mrb).",
                path=path,
            ) from error
        self._hands.wait()
        if self._panel.selection.volume is None:
            volumes = nodes_of(self._panel.scene, "vtkMRMLScalarVolumeNode")
            self._panel.selection.adopt_volume(volumes[0] if volumes else None)
        self._hands.wait()

    def _set_options(self) -> None:
        job, panel = self._job, self._panel
        if job.model is not None:
            panel.selection.parameters.model = job.model
            panel.controller.set_model(job.model)
        if job.orientations is not None:
            self._hands.choose("orientationsCombo", ORIENTATIONS.index(job.orientations))
        if job.memory is not None:
            self._hands.choose("memoryCombo", MEMORIES.index(job.memory))

    def _segment(self, name: str, prompts: tuple[PointPrompt | BoxPrompt, ...]) -> None:
        hands, selection = self._hands, self._panel.selection
        if name:
            hands.press("addSegmentButton")
            segment = selection.segmentation.GetSegmentation().GetSegment(selection.segment_id)
            segment.SetName(name)
            segment.SetNameAutoGenerated(False)
        for prompt in prompts:
            if isinstance(prompt, PointPrompt):
                hands.click(self._in_node(prompt.ijk), prompt.axis, prompt.positive)
            else:
                hands.drag(self._in_node(prompt.first), self._in_node(prompt.last), prompt.axis)
        self._set_range()
        if self._job.propagate:
            hands.press("propagateButton")
        self._panel.views.show_voxel(selection.volume, self._in_node(_inside(prompts[0])))
        self._touched.append((selection.segmentation, selection.segment_id))
        for notice in self._panel.state.notices:
            print(notice, file=sys.stderr, flush=True)

    def _set_range(self) -> None:
        if self._job.range == "all":
            self._hands.press("wholeButton")
        elif self._job.range is not None:
            place = ijk_position(self._job.axis)
            ends = []
            for index in self._job.range:
                ijk = [0.0, 0.0, 0.0]
                ijk[place] = float(index)
                ends.append(self._in_node(ijk)[place])
            self._panel.ui.rangeWidget.setValues(min(ends), max(ends))

    def _in_node(self, ijk: Sequence[float]) -> IJK:
        """Coordinates of the job's grid as the volume node counts, which Slicer mirrors where a file is left-handed."""
        if self._job.ijk_to_lps is None:
            i, j, k = ijk
        else:
            x, y, z, _ = np.array(self._job.ijk_to_lps) @ [*ijk, 1.0]
            i, j, k = (round(value, 3) for value in ras_to_ijk(self._panel.selection.volume, (-x, -y, z)))
        return i, j, k

    def _prompt_in_node(self, prompt: PointPrompt | BoxPrompt) -> PointPrompt | BoxPrompt:
        if isinstance(prompt, PointPrompt):
            return replace(prompt, ijk=self._in_node(prompt.ijk))
        return replace(prompt, first=self._in_node(prompt.first), last=self._in_node(prompt.last))

    def _set_window(self, volume: Any) -> None:
        """Sets the window as a user would before the first prompt; the panel takes it from the display then."""
        if self._job.window == "display":
            return
        if self._job.window == "auto":
            prompts = [prompt for _, prompts in self._job.objects for prompt in prompts]
            if not prompts:
                return
            low, high = prompted_window(volume_data(volume), self._prompt_in_node(prompts[0]))
        else:
            low, high = self._job.window
        display = volume.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(low, high)
        application.process_events()

    def _report(self, segmentation: Any, segment_id: str) -> None:
        name = segment_name(segmentation, segment_id)
        voxels = int(segment_mask(segmentation, segment_id, self._panel.selection.volume).sum())
        count = len(self._panel.state.previewed) if segment_id == self._panel.selection.segment_id else 0
        preview = f"; a preview on {count} slices is not in it yet" if count else ""
        print(f"{name}: {voxels} voxels in the segment{preview}", flush=True)


def _inside(prompt: PointPrompt | BoxPrompt) -> IJK:
    """The point, or the middle of the box."""
    if isinstance(prompt, PointPrompt):
        return prompt.ijk
    i, j, k = ((low + high) / 2 for low, high in zip(prompt.first, prompt.last))
    return i, j, k


def _prompt(data: Mapping[str, Any]) -> PointPrompt | BoxPrompt:
    if data["kind"] == "point":
        return PointPrompt(_ijk(data["ijk"]), data["axis"], data["positive"])
    return BoxPrompt(_ijk(data["first"]), _ijk(data["last"]), data["axis"])


def _ijk(values: list[float]) -> IJK:
    i, j, k = values
    return i, j, k
