"""A disk that cannot be written to: one clear line, the scene as it was, and nothing half written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2Lib.weights.catalogue import find_entry, read_catalogue
from SlicerHost import testing
from Testing.panel.panel_ground import PanelBench, middle_point
from Testing.panel.unwritable import KINDS, unwritable_folder
from Testing.scene.session_ground import MIDDLE, ORGAN


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with unwritable_folder(request.param, tmp_path) as folder:
        yield folder


@pytest.fixture
def segmented(bench: PanelBench) -> PanelBench:
    """A segment with its prompt, its provenance and a preview that is not committed yet."""
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.enter()
    bench.click((14, 13, 10))
    return bench


def widget(bench: PanelBench, name: str) -> Any:
    import qt

    return bench.panel.widget.findChild(qt.QWidget, name)


def look(bench: PanelBench) -> tuple[Any, ...]:
    """All that must not be lost: voxels, prompts and how the segment came about."""
    opened = bench.panel.controller._core.open
    segment_id = bench.panel.selection.segment_id
    record = opened.parts.provenance.read(segment_id)
    return bench.voxels().tobytes(), dict(opened.prompts()), record["prompts"], bench.volume.GetName()


def test_a_training_case_that_cannot_be_written_costs_one_line(segmented: PanelBench, place: Path) -> None:
    bench = segmented
    widget(bench, "TrainingFolderEdit").currentPath = str(place)
    for _ in range(2):
        widget(bench, "SaveTrainingCaseButton").click()
        bench.rest()
        said = widget(bench, "TrainingSaidLabel").text
        assert said.startswith(f"The case could not be written to {place} (") and "\n" not in said
        assert bench.error is None
        before = look(bench)
    assert look(bench) == before and not bench.state.previewed, "the preview was committed, as the page says"
    assert bench.panel.settings.training_folder != str(place)
    bench.click((14, 13, 14))
    assert bench.error is None and bench.state.previewed


@pytest.mark.parametrize("name", ["out.mrb", "out.png"])
def test_a_scene_and_a_picture_that_cannot_be_written_are_one_line_and_leave_nothing(
    segmented: PanelBench, place: Path, name: str
) -> None:
    from MedSAM2SlicerLib.panel.outcome_files import save_scene, save_screenshot

    bench = segmented
    bench.panel.controller.settle("before the scene was saved", wait=True)
    bench.rest()
    before = look(bench)
    with pytest.raises(MedSAM2Error) as refused:
        (save_scene if name == "out.mrb" else save_screenshot)(place / name)
    assert refused.value.code == "E_OUT_WRITE"
    assert str(place / name) in str(refused.value) and "\n" not in str(refused.value)
    assert look(bench) == before
    assert not list(Path("/sys").glob(".partial-*"))


def test_slicers_own_saving_may_fail_and_the_scene_is_intact(segmented: PanelBench, place: Path) -> None:
    bench = segmented
    assert not slicer.util.saveScene(str(place / "scene.mrb"))
    bench.rest()
    assert np.array_equal(bench.voxels()[10], bench.expected_slice(middle_point(), middle_point(ijk=(14, 13, 10))))
    before = look(bench)
    bench.click((14, 13, 14))
    assert bench.error is None and bench.state.previewed
    assert look(bench)[0] == before[0]


def test_where_no_temporary_file_can_be_written_a_download_says_so_and_does_not_start(
    bench: PanelBench, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = widget(bench, "ModelsTable")
    table.selectRow([entry.name for entry in read_catalogue()].index("medsam2-latest"))
    widget(bench, "ModelLicenceBox").click()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    widget(bench, "ModelDownloadButton").click()
    testing.settle()
    assert widget(bench, "ModelSaidLabel").text.startswith("No temporary file can be written (")
    assert bench.error is None and not widget(bench, "ModelCancelButton").visible


def test_settings_that_cannot_be_kept_hold_until_the_end(bench: PanelBench, place: Path) -> None:
    import qt
    from MedSAM2SlicerLib.panel.user_settings import UserSettings

    settings = UserSettings(qt.QSettings(str(place / "settings.ini"), qt.QSettings.IniFormat))
    settings.device = "cpu"
    settings.seconds_per_slice = 0.5
    assert (settings.device, settings.seconds_per_slice) == ("cpu", 0.5)


def test_a_models_folder_that_cannot_be_written_is_said_by_the_download_itself(place: Path, tmp_path: Path) -> None:
    from Testing.engine.local_hub import LocalHub, serving
    from Testing.panel.test_setup_models import Watched, hub_environment

    entry = find_entry("medsam2-2411", read_catalogue())
    assert entry.repository is not None
    with serving(LocalHub(entry.repository, entry.file, b"model")) as hub:
        state = Watched(entry, place, environment=hub_environment(hub.address, tmp_path)).run()
    assert state.phase == "failed"
    assert "choose another" in state.message and "--folder" in state.message and "\n" not in state.message
    assert "network" not in state.message, state.message
