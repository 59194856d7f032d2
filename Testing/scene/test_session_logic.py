"""Segmenting by one call, without a panel, and going on in a scene that was saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.session.logic import segment
from slicer import vtkMRMLScene

from MedSAM2Lib.errors import InputError, ModelError, PromptError
from MedSAM2Lib.types import MaskPrompt, PointPrompt, SliceKey
from SlicerHost.scene import start_core
from Testing.scene.ground import paint
from Testing.scene.session_ground import MIDDLE, ORGAN, Bench, GrowingEngine, bench_of, bench_on


def call(bench: Bench, **options: Any) -> Any:
    bench.controller.drop()
    nodes = (bench.volume, bench.segmentation, bench.segment_id)
    return segment(*nodes, engine_factory=bench.make_engine, **options)


@pytest.mark.parametrize("orientations", [1, 3])
def test_one_call_gives_what_the_session_gives(bench: Bench, orientations: Any) -> None:
    report = call(bench, points=[MIDDLE], orientations=orientations)
    assert np.array_equal(bench.voxels(), bench.expected(str(orientations)))  # type: ignore[arg-type]
    assert report.voxels == report.changed_voxels == np.count_nonzero(bench.voxels())
    assert report.slices == np.count_nonzero(bench.voxels().any(axis=(1, 2)))
    assert report.least_trusted is not None
    assert [node.GetName() for node in nodes_of(bench.scene, "vtkMRMLSegmentationNode")] == ["Segmentation"]


def test_a_box_negative_points_and_a_range(bench: Bench) -> None:
    points = [PointPrompt((2.0, 2.0, 12.0), positive=False), MIDDLE]
    call(bench, points=points, box=((4.0, 5.0, 12.0), (24.0, 21.0, 12.0)), slices=(10, 14))
    assert np.flatnonzero(bench.voxels().any(axis=(1, 2))).tolist() == list(range(10, 15))


def test_a_mask_of_one_slice_is_enough_and_stays(bench: Bench) -> None:
    drawn = ORGAN[12].copy()
    drawn[:12] = False
    call(bench, mask=MaskPrompt(SliceKey("k", 12), drawn), orientations=1)
    assert np.array_equal(bench.voxels()[12], drawn)
    assert bench.voxels()[8].any()
    assert bench.record()["slices_corrected"] == [["k", 12]]


def test_what_is_wrong_is_raised_and_the_segment_is_as_it_was(bench: Bench) -> None:
    with pytest.raises(PromptError, match="no prompt"):
        call(bench)
    with pytest.raises(PromptError, match="negative points only"):
        call(bench, points=[PointPrompt(MIDDLE, positive=False)])
    with pytest.raises(InputError, match="none of 1, 3 and auto"):
        call(bench, points=[MIDDLE], orientations=2)
    with pytest.raises(InputError):
        segment(bench.volume, bench.segmentation, "nothing", [MIDDLE], engine_factory=bench.make_engine)
    assert not bench.voxels().any()


def test_a_missing_model_and_a_failing_engine_are_raised(bench: Bench) -> None:
    def missing() -> None:
        raise ModelError("E_MODEL_NOT_INSTALLED", "The model {name} is not installed.", name="large")

    def failing() -> None:
        raise ZeroDivisionError("a defect")

    for before_open, kind in ((missing, ModelError), (failing, RuntimeError)):
        bench.engine = GrowingEngine(before_open)
        with pytest.raises(kind):
            call(bench, points=[MIDDLE])
    assert not bench.voxels().any()


@pytest.fixture
def reloaded(scene: Any, tmp_path: Path) -> Any:
    """A session with a click, a propagation and a drawn slice, saved, and the scene that was loaded from the file."""
    with bench_of(scene) as bench:
        bench.click()
        bench.propagate()
        mine = np.zeros_like(ORGAN)
        mine[9, 2:5, 2:6] = True
        paint(bench.segmentation, bench.segment_id, mine, bench.volume)
        bench.controller.look_at_edits()
        bench.propagate()
        voxels = bench.voxels()
        scene.StartState(vtkMRMLScene.SaveState)
        assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
        scene.EndState(vtkMRMLScene.SaveState)
    core = start_core()
    core.scene.Clear(False)
    assert core.scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    (segmentation,) = nodes_of(core.scene, "vtkMRMLSegmentationNode")
    with bench_on(core.scene, core.scene.GetFirstNodeByName("CT"), segmentation, "organ") as bench:
        yield bench, voxels


def test_a_saved_scene_is_gone_on_with(reloaded: Any) -> None:
    bench, voxels = reloaded
    assert np.array_equal(bench.voxels(), voxels)
    assert bench.state.keyframes == (SliceKey("k", 9), SliceKey("k", 12))
    assert bench.state.hand_drawn == (SliceKey("k", 9),)
    assert bench.state.window == (0.0, 100.0)
    assert (bench.state.axis, bench.state.range) == ("k", (0, 23))
    bench.click((14.0, 13.0, 16.0))
    bench.propagate()
    assert bench.state.error is None
    assert np.array_equal(bench.voxels()[9], voxels[9])
    assert bench.voxels()[16].any()
    assert bench.choices[-1].window == (0.0, 100.0)
