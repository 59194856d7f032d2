"""The module file wires: what Slicer lists, the panel's life, sample data, the way in for scripts, the self-test."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
from MedSAM2SlicerLib import sample_data, self_test
from MedSAM2SlicerLib.scene.geometry import volume_data
from MedSAM2SlicerLib.scene.segments import add_segment
from MedSAM2SlicerLib.session.ports import EngineChoice, ReadyEngine
from MedSAM2SlicerLib.setup import dependencies, engine_factory

from MedSAM2Lib.evaluation.phantom import Phantom
from MedSAM2Lib.tracking.stand_in import RegionGrowingEngine
from MedSAM2Lib.volume.volume import Volume
from SlicerHost.start import Host

MODULE = Path(__file__).resolve().parents[2] / "MedSAM2Slicer"
NAME = "MedSAM2Slicer"


class RecordingPanel:
    """A panel that keeps what is asked of it."""

    made: list[RecordingPanel]

    def __init__(self) -> None:
        import qt

        self.widget = qt.QLabel("panel")
        self.calls: list[str] = []
        self.controller = SimpleNamespace(settle=lambda *args, **kwargs: self.calls.append("settle"))
        self.made.append(self)

    def enter(self) -> None:
        self.calls.append("enter")

    def exit(self) -> None:
        self.calls.append("exit")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[RecordingPanel]:
    """The panels that the module makes, in place of the real one."""
    made: list[RecordingPanel] = []
    stand_in = types.ModuleType("MedSAM2SlicerLib.panel.widget")
    stand_in.MedSAM2Panel = type("MedSAM2Panel", (RecordingPanel,), {"made": made})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "MedSAM2SlicerLib.panel.widget", stand_in)
    return made


@pytest.fixture
def module(host: Host) -> Iterator[Any]:
    yield host.load_module(MODULE, enter=False)
    slicer.mrmlScene.Clear()


@pytest.fixture
def phantom(monkeypatch: pytest.MonkeyPatch) -> Phantom:
    """A small phantom, with spacing and origin of its own, in place of the large one."""
    grey = np.full((10, 24, 20), -50, dtype=np.int16)
    grey[3:7, 8:18, 5:14] = 100
    volume = Volume.from_array(grey, (1.5, 2.0, 3.0), (-10.0, 20.0, 30.0), name="phantom")
    small = Phantom(volume, grey > 0, (9.0, 12.0, 5.0))
    monkeypatch.setattr(sample_data, "make_phantom", lambda: small)
    monkeypatch.setattr(self_test, "make_phantom", lambda: small)
    return small


def test_slicer_lists_the_module_under_segmentation_with_icon_help_and_sources(module: Any) -> None:
    assert module.title == "MedSAM2" and module.categories == ["Segmentation"]
    assert not module.icon.isNull() and module.contributors
    assert "not a medical device" in module.helpText and "2408.00874" in module.acknowledgementText


def test_the_panel_is_made_entered_left_and_closed_once(module: Any, panels: list[RecordingPanel]) -> None:
    representation = module.widgetRepresentation()
    widget = representation.self()
    (panel,) = panels
    representation.enter()
    representation.exit()
    widget.cleanup()
    widget.cleanup()
    widget.enter()
    assert panel.calls == ["enter", "exit", "close"]


def test_reloading_closes_the_panel_before_the_code_changes_and_makes_a_new_one(
    module: Any, panels: list[RecordingPanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAM2SlicerLib import reloading

    calls_at_reload: list[list[str]] = []
    monkeypatch.setattr(reloading, "reload_packages", lambda: calls_at_reload.append([*panels[0].calls]))
    widget = module.widgetRepresentation().self()
    widget.onReload()
    assert calls_at_reload == [["close"]]
    assert len(panels) == 2 and panels[0].calls == ["close"] and panels[1].calls == []


def test_sample_data_are_registered_when_slicer_is_up_and_the_phantom_needs_no_network(
    module: Any, phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: dict[str, dict[str, Any]] = {}
    stand_in = types.ModuleType("SampleData")
    stand_in.SampleDataLogic = types.SimpleNamespace(  # type: ignore[attr-defined]
        registerCustomSampleDataSource=lambda **source: sources.update({source["sampleName"]: source})
    )
    monkeypatch.setitem(sys.modules, "SampleData", stand_in)
    slicer.app.startupCompleted.emit()
    assert set(sources) == {"MedSAM2Phantom", "MedSAM2CTLiver"}
    assert Path(sources["MedSAM2Phantom"]["thumbnailFileName"]).is_file()
    ct = sources["MedSAM2CTLiver"]
    assert ct["checksums"].startswith("SHA256:") and ct["uris"].endswith(ct["checksums"].removeprefix("SHA256:"))

    (node,) = sources["MedSAM2Phantom"]["customDownloader"](None)
    volume = volume_data(node)
    np.testing.assert_array_equal(volume.array, phantom.volume.array)
    np.testing.assert_allclose(volume.ijk_to_world, phantom.volume.ijk_to_world)
    assert (
        slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID() == node.GetID()
    )


def test_without_the_module_sample_data_nothing_is_registered_and_nothing_fails(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "SampleData", None)
    slicer.app.startupCompleted.emit()


def test_a_script_segments_with_one_call_and_the_model_is_kept_for_the_next(
    module: Any, phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories: list[object] = []

    class Factory:
        def __init__(self) -> None:
            factories.append(self)

        def __call__(self, choice: EngineChoice) -> ReadyEngine:
            return ReadyEngine(RegionGrowingEngine())

    monkeypatch.setattr(engine_factory, "EngineFactory", Factory)
    logic = sys.modules[NAME].MedSAM2SlicerLogic()
    node = sample_data.add_phantom(phantom)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
    for name in ("first", "second"):
        segmentation.GetSegmentation().RemoveAllSegments()
        segment_id = add_segment(segmentation, name)
        report = logic.segment(node, segmentation, segment_id, points=[phantom.click], orientations=1)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, node) > 0
        np.testing.assert_array_equal(mask, phantom.truth)
        assert report.voxels == int(mask.sum())
    assert len(factories) == 1


def test_the_self_tests_score_is_the_dice_of_the_mask(module: Any, phantom: Phantom) -> None:
    seen: list[Any] = []

    def half(volume: Any, segmentation: Any, segment_id: str, box: Any) -> None:
        seen.append(box)
        mask = phantom.truth.copy()
        mask[:5] = False
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, segment_id, volume)

    assert self_test.dice_from_a_box(half) == pytest.approx(2 / 3)
    assert seen == [((5.0, 8.0, 3.0), (13.0, 17.0, 3.0))]


def test_the_self_test_fails_where_the_mask_does_not_fit(
    module: Any, phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "dice_from_a_box", lambda segment: 0.74)
    with pytest.raises(AssertionError):
        module.python_module.runTest()
    monkeypatch.setattr(self_test, "dice_from_a_box", lambda segment: 0.75)
    module.python_module.runTest()


def test_the_self_test_says_what_is_missing_and_segments_nothing(
    module: Any, phantom: Phantom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(self_test, "dice_from_a_box", lambda segment: pytest.fail("it was run"))
    real = importlib.metadata.version
    without_torch = dependencies.dependency_state(installed=lambda name: None if name == "torch" else real(name))
    monkeypatch.setattr(dependencies, "dependency_state", lambda: without_torch)
    module.python_module.runTest()
    assert "torch" in capsys.readouterr().out


@pytest.mark.long
def test_the_self_test_passes_with_the_embedded_model(module: Any) -> None:
    module.python_module.runTest()
    assert slicer.mrmlScene.GetFirstNodeByName("MedSAM2 self-test") is not None
