"""What goes wrong is said in one line; the scene is as it was, and the session goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from MedSAM2SlicerLib.scene.grids import create_segmentation
from MedSAM2SlicerLib.scene.segments import add_segment, set_status
from MedSAM2SlicerLib.session.state import SessionError
from MedSAM2SlicerLib.session.tickers import LoopTicker

from MedSAM2Lib.errors import DeviceError, ModelError
from MedSAM2Lib.types import SliceKey
from Testing.scene.ground import add_bent_transform, add_volume
from Testing.scene.session_ground import MIDDLE, ORGAN, Bench, GrowingEngine


def fail_after(bench: Bench, steps: int, error: BaseException) -> None:
    """The network fails once, after some more tracked slices."""
    runner = bench.engine.sessions[-1].runner
    real, left = runner.track, [steps]

    def track(batch: Any) -> Any:
        if left[0] == 0:
            runner.track = real
            raise error
        left[0] -= 1
        return real(batch)

    runner.track = track


def error_of(bench: Bench) -> SessionError:
    assert bench.state.error is not None
    return bench.state.error


def test_an_exception_in_the_engine_leaves_the_scene_and_a_trace_to_report(bench: Bench) -> None:
    bench.click()
    fail_after(bench, 4, ZeroDivisionError("a defect"))
    bench.propagate()
    error = error_of(bench)
    assert (error.code, error.expected) == ("E_ENGINE", False)
    assert "ZeroDivisionError: a defect" in error.sentence
    assert "in track" in error.trace
    assert not bench.voxels().any()
    assert bench.state.phase == "ready"
    assert np.array_equal(np.flatnonzero(bench.preview().any(axis=(1, 2))), [12])
    bench.propagate()
    assert bench.state.error is None
    assert len(bench.engine.sessions) == 2
    assert np.array_equal(bench.voxels(), bench.expected("3"))


@pytest.mark.parametrize(
    "error",
    [
        DeviceError("E_DEVICE_MEMORY", "The device {device} has no memory left for one slice.", device="cpu"),
        torch.OutOfMemoryError("out of memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_in_mid_propagation_is_said_and_the_session_is_ready_again(
    bench: Bench, error: BaseException
) -> None:
    bench.controller.set_orientations("1")
    bench.click()
    fail_after(bench, 4, error)
    bench.propagate()
    assert error_of(bench).code in ("E_DEVICE_MEMORY", "E_ENGINE", "E_MEMORY")
    assert bench.state.phase in ("ready", "reviewing")
    if isinstance(error, DeviceError):
        assert bench.voxels().any()
    bench.controller.whole_volume()
    bench.propagate()
    assert bench.state.error is None
    assert np.array_equal(bench.voxels(), bench.expected("1"))


def test_a_model_that_cannot_be_loaded_is_said_and_the_prompt_is_kept(bench: Bench) -> None:
    def missing() -> None:
        raise ModelError("E_MODEL_NOT_INSTALLED", "The model {name} is not installed.", name="large")

    bench.engine = GrowingEngine(missing)
    bench.click()
    assert error_of(bench).code == "E_MODEL_NOT_INSTALLED"
    assert bench.state.phase == "ready"
    assert bench.state.keyframes == (SliceKey("k", 12),)
    bench.engine = GrowingEngine()
    bench.propagate()
    assert bench.state.error is None
    assert np.array_equal(bench.voxels(), bench.expected("3"))


def test_a_click_outside_the_volume_leaves_no_prompt(bench: Bench) -> None:
    bench.click()
    bench.click((14.0, 13.0, 40.0))
    assert error_of(bench).code in ("E_CLICK_OUTSIDE", "E_PROMPT_OUTSIDE")
    assert bench.state.keyframes == (SliceKey("k", 12),)


def test_a_first_click_outside_is_refused_where_the_display_has_no_window_of_its_own_too(bench: Bench) -> None:
    bench.volume.GetDisplayNode().SetAutoWindowLevel(True)
    bench.click((14.0, 13.0, 40.0))
    assert error_of(bench).code in ("E_CLICK_OUTSIDE", "E_PROMPT_OUTSIDE")
    assert bench.state.keyframes == ()
    bench.click()
    assert bench.state.error is None and bench.state.previewed


def test_a_box_without_area_leaves_no_prompt_and_no_history(bench: Bench) -> None:
    bench.controller.add_box((3.0, 3.0, 12.0), (3.0, 9.0, 12.0), "k")
    bench.run()
    assert error_of(bench).code == "E_BOX_AREA"
    assert bench.state.keyframes == ()
    assert bench.state.previewed == ()


def test_a_negative_point_alone_asks_for_a_positive_one(bench: Bench) -> None:
    bench.click(positive=False)
    assert error_of(bench).code == "E_ONLY_NEGATIVE"
    bench.click((14.0, 13.0, 10.0))
    assert bench.state.error is None
    assert bench.state.previewed != ()


def test_enter_without_a_prompt_says_what_to_do(bench: Bench) -> None:
    bench.propagate()
    assert error_of(bench).code == "E_NO_PROMPT"
    assert bench.state.phase == "ready"


def test_a_locked_segment_is_not_changed(bench: Bench) -> None:
    bench.click()
    set_status(bench.segmentation, bench.segment_id, "completed")
    bench.propagate()
    assert error_of(bench).code == "E_SEGMENT_LOCKED"
    bench.click((14.0, 13.0, 10.0))
    assert error_of(bench).code == "E_SEGMENT_LOCKED"
    assert bench.state.keyframes == (SliceKey("k", 12),)
    assert not bench.voxels().any()


def test_a_segment_locked_in_mid_propagation_gets_its_mask_once_it_is_open_again(bench: Bench) -> None:
    bench.click()
    bench.controller.propagate()
    bench.run(lambda: len(bench.state.slices) >= 3)
    set_status(bench.segmentation, bench.segment_id, "completed")
    bench.run()
    assert error_of(bench).code == "E_SEGMENT_LOCKED"
    assert not bench.voxels().any()
    set_status(bench.segmentation, bench.segment_id, "in progress")
    bench.controller.accept_slice()
    assert bench.state.error is None
    assert bench.state.phase == "reviewing"
    assert np.array_equal(bench.voxels(), bench.expected("3"))


def test_a_hidden_segment_is_not_changed(bench: Bench) -> None:
    bench.segmentation.GetDisplayNode().SetSegmentVisibility(bench.segment_id, False)
    bench.click()
    assert error_of(bench).code == "E_SEGMENT_HIDDEN"


def test_nodes_that_cannot_be_segmented_are_refused_and_leave_nothing_behind(bench: Bench) -> None:
    bent = add_volume(bench.scene, ORGAN.shape, name="bent")
    bent.SetAndObserveTransformNodeID(add_bent_transform(bench.scene).GetID())
    nodes = bench.scene.GetNumberOfNodes()
    bench.controller.open(bent, bench.segmentation, bench.segment_id)
    assert error_of(bench).code == "E_TRANSFORM_NONLINEAR"
    assert bench.state.phase == "idle"
    assert bench.scene.GetNumberOfNodes() < nodes
    smaller = add_volume(bench.scene, (5, 6, 7), name="smaller")
    grid = create_segmentation(bench.scene, smaller, "other grid")
    add_segment(grid, "other")
    bench.controller.open(bench.volume, grid, add_segment(grid, "organ"))
    bench.open()
    bench.click()
    assert bench.state.previewed == (SliceKey("k", 12),)


def test_nothing_open_is_said_and_nothing_raised(scene: Any) -> None:
    from MedSAM2SlicerLib.session.controller import SessionController
    from MedSAM2SlicerLib.session.scene_parts import MrmlScene

    session = SessionController(lambda choice: None, MrmlScene(scene), LoopTicker())  # type: ignore[arg-type, return-value]
    for call in (session.propagate, session.accept_slice, session.suggest, session.clear_prompts):
        call()
        assert session.state.error is not None
        assert session.state.error.code == "E_NOTHING_OPEN"
    session.add_point(MIDDLE, "k")
    assert not session.undo()
    assert session.estimates() == ()
    assert session.settle("before the scene was saved", wait=True)
    assert session.close()
