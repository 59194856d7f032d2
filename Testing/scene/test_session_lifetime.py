"""Whatever goes away while a session is at work, the scene stays consistent and the session can go on with another."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from MedSAM2SlicerLib.scene.grids import create_segmentation
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.scene.segments import add_segment, labelmap_of
from slicer import vtkMRMLScene

from MedSAM2Lib.types import SliceKey
from Testing.scene.ground import add_volume, save_bundle
from Testing.scene.session_ground import MIDDLE, ORGAN, Bench, fill

MARKS = ("vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsROINode")


def idle(bench: Bench) -> None:
    pass


def clicked(bench: Bench) -> None:
    bench.click()


def encoding(bench: Bench) -> None:
    bench.controller.add_point(MIDDLE, "k")


def propagating(bench: Bench) -> None:
    bench.click()
    bench.controller.propagate()
    bench.run(lambda: len(bench.state.slices) >= 3)


def gathering(bench: Bench) -> None:
    bench.click()
    bench.controller.propagate()
    bench.run(lambda: bench.controller._core.stepper.current == "gather")


def reviewing(bench: Bench) -> None:
    bench.click()
    bench.propagate()


MOMENTS = (idle, clicked, encoding, propagating, gathering, reviewing)
Moment = Callable[[Bench], None]
at_any_moment = pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)


def goes_on_elsewhere(bench: Bench) -> None:
    """A new volume and segmentation can be segmented as if nothing had happened."""
    bench.run()
    bench.volume = add_volume(bench.scene, ORGAN.shape)
    fill(bench.volume, ORGAN)
    bench.segmentation = create_segmentation(bench.scene, bench.volume, "another")
    bench.open(add_segment(bench.segmentation, "organ"))
    assert bench.state.error is None
    bench.click()
    bench.propagate()
    assert np.array_equal(bench.voxels(), bench.expected("3"))


def scratch_nodes(scene: Any) -> list[str]:
    return [node.GetName() for node in nodes_of(scene, "vtkMRMLSegmentationNode") if "preview" in node.GetName()]


@at_any_moment
def test_the_volume_may_be_deleted(bench: Bench, moment: Moment) -> None:
    moment(bench)
    committed = bench.voxels()
    bench.scene.RemoveNode(bench.volume)
    assert bench.state.phase == "idle"
    assert scratch_nodes(bench.scene) == []
    kept = labelmap_of(bench.segmentation.GetSegmentation().GetSegment(bench.segment_id))
    assert np.count_nonzero(kept[0] if kept else 0) == np.count_nonzero(committed)
    goes_on_elsewhere(bench)


@at_any_moment
def test_the_segmentation_may_be_deleted(bench: Bench, moment: Moment) -> None:
    moment(bench)
    bench.scene.RemoveNode(bench.segmentation)
    assert bench.state.phase == "idle"
    assert scratch_nodes(bench.scene) == []
    goes_on_elsewhere(bench)


@at_any_moment
def test_the_segment_may_be_deleted(bench: Bench, moment: Moment) -> None:
    moment(bench)
    other = bench.add_segment()
    bench.segmentation.GetSegmentation().RemoveSegment(bench.segment_id)
    assert bench.state.phase == "idle"
    assert [node.GetName() for kind in MARKS for node in nodes_of(bench.scene, kind)] == []
    bench.run()
    bench.open(other)
    bench.click()
    bench.propagate()
    assert np.array_equal(bench.voxels(), bench.expected("3"))


@at_any_moment
def test_another_segment_may_be_deleted(bench: Bench, moment: Moment) -> None:
    other = bench.add_segment()
    moment(bench)
    bench.segmentation.GetSegmentation().RemoveSegment(other)
    bench.run()
    assert bench.state.segment_id == bench.segment_id
    bench.click((14.0, 13.0, 10.0))
    bench.propagate()
    assert bench.voxels().any()
    assert bench.state.error is None


@at_any_moment
def test_the_scene_may_be_closed_and_nothing_of_it_is_committed(bench: Bench, moment: Moment) -> None:
    moment(bench)
    bench.scene.Clear(False)
    assert bench.state.phase == "idle"
    bench.run()
    assert bench.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    goes_on_elsewhere(bench)


@at_any_moment
def test_the_module_may_be_left_and_what_was_shown_is_committed(bench: Bench, moment: Moment) -> None:
    moment(bench)
    before = bench.voxels()
    bench.controller.leave()
    bench.run()
    assert bench.state.previewed == ()
    assert not bench.preview().any()
    if moment is idle:
        assert not bench.voxels().any()
    else:
        assert np.count_nonzero(bench.voxels()) >= max(1, np.count_nonzero(before))
    if moment is clicked:
        assert str(bench.state.message) == "The preview was put into the segment when the module was left."


@at_any_moment
def test_the_program_may_end(bench: Bench, moment: Moment) -> None:
    moment(bench)
    assert bench.controller.close(60.0)
    assert scratch_nodes(bench.scene) == []
    assert not bench.ticker.active


@at_any_moment
def test_the_volume_may_get_other_voxels(bench: Bench, moment: Moment) -> None:
    moment(bench)
    bench.run()
    fill(bench.volume, np.roll(ORGAN, 2, axis=0))
    bench.volume.InvokeEvent(bench.volume.ImageDataModifiedEvent)
    assert bench.state.error is None
    assert bench.state.segment_id == bench.segment_id
    opened = bench.controller._core.open
    assert opened is not None
    bench.click((14.0, 13.0, 16.0))
    bench.controller.whole_volume()
    bench.propagate()
    assert bench.voxels()[23].any() == np.roll(ORGAN, 2, axis=0)[23].any()
    assert bench.voxels()[22].any()


def test_changing_the_segment_commits_the_preview_of_the_first(bench: Bench) -> None:
    other = bench.add_segment()
    first = bench.segment_id
    bench.click()
    shown = bench.preview() > 0
    bench.open(other)
    assert np.array_equal(bench.voxels(first), shown)
    assert bench.state.segment_id == other
    assert bench.state.keyframes == ()
    assert not bench.preview().any()


def test_changing_the_segment_in_mid_propagation_commits_to_the_first(bench: Bench) -> None:
    other = bench.add_segment()
    first = bench.segment_id
    propagating(bench)
    bench.open(other)
    assert bench.voxels(first).any()
    assert not bench.voxels(other).any()
    assert bench.state.segment_id == other


def test_two_segments_share_the_engine_s_session_and_keep_their_knowledge(bench: Bench) -> None:
    other, first = bench.add_segment(), bench.segment_id
    bench.controller.set_orientations("1")
    bench.click()
    bench.propagate()
    bench.open(other)
    bench.click((14.0, 13.0, 2.0))
    bench.open(first)
    assert len(bench.engine.sessions) == 1
    assert bench.state.slices
    steps = len(bench.tracked)
    bench.propagate()
    assert bench.tracked[steps:] == []


def test_saving_the_scene_commits_first(bench: Bench) -> None:
    bench.click()
    shown = bench.preview() > 0
    bench.scene.StartState(vtkMRMLScene.SaveState)
    assert np.array_equal(bench.voxels(), shown)
    assert bench.state.previewed == ()


def written(file: Path) -> Any:
    """The voxels of a file with one segment, as if it were any image."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0


def test_a_bundle_holds_what_was_previewed_each_time_it_is_saved(bench: Bench, tmp_path: Path) -> None:
    for turn, index in enumerate((12, 10)):
        bench.click((14.0, 13.0, float(index)))
        shown = bench.preview() > 0
        assert shown.any() and not bench.voxels()[index].any()
        save_bundle(bench.scene, tmp_path / "scene.mrb")
        assert np.array_equal(bench.voxels()[index], shown[index]) and bench.state.previewed == ()
        assert "before the scene was saved" in str(bench.state.message)
        with zipfile.ZipFile(tmp_path / "scene.mrb") as bundle:
            (name,) = [each for each in bundle.namelist() if each.endswith(".seg.nrrd")]
            bundle.extract(name, tmp_path / str(turn))
        assert written(tmp_path / str(turn) / name).sum() == bench.voxels().sum()


@pytest.mark.parametrize("again", [False, True])
def test_a_file_of_the_segmentation_alone_holds_what_was_previewed(bench: Bench, tmp_path: Path, again: bool) -> None:
    bench.segmentation.AddDefaultStorageNode()
    storage = bench.segmentation.GetStorageNode()
    if again:
        bench.click()
        bench.controller.accept_slice()
        storage.SetFileName(str(tmp_path / "only.seg.nrrd"))
        assert storage.WriteData(bench.segmentation)
    bench.click((14.0, 13.0, 10.0))
    assert bench.state.previewed
    storage.SetFileName(str(tmp_path / "only.seg.nrrd"))
    assert storage.WriteData(bench.segmentation)
    assert bench.state.previewed == () and bench.voxels()[10].any()
    assert written(tmp_path / "only.seg.nrrd").sum() == bench.voxels().sum()
    assert not bench.segmentation.GetModifiedSinceRead()


def test_saving_in_mid_propagation_waits_for_the_commit(bench: Bench) -> None:
    propagating(bench)
    bench.scene.StartState(vtkMRMLScene.SaveState)
    assert bench.voxels().any()
    assert not bench.controller.busy


def test_a_segment_that_is_not_there_is_not_opened(bench: Bench) -> None:
    bench.controller.open(bench.volume, bench.segmentation, "no such segment")
    assert bench.state.error is not None
    assert bench.state.error.code == "E_NO_SEGMENT"
    bench.open()
    assert bench.state.error is None
    bench.click()
    assert bench.state.previewed == (SliceKey("k", 12),)
