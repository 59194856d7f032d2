"""Saving what was corrected as a training case."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from SlicerHost.start import Host
from Testing.panel.volumes import add_segmentation, add_volume, box_mask, unforeseen


class Opened:
    """The page on a real volume and a real segment."""

    def __init__(self, settles: bool = True) -> None:
        from MedSAM2SlicerLib.panel.training_page import TrainingPage
        from MedSAM2SlicerLib.session.cases import Cases

        self.volume = add_volume(name="patient 1")
        self.segmentation = add_segmentation(self.volume, box_mask())
        self.segment_id = self.segmentation.GetSegmentation().GetNthSegmentID(0)
        chosen = SimpleNamespace(volume=self.volume, segmentation=self.segmentation)
        self.settled: list[str] = []
        self.settles = settles
        self.settings = SimpleNamespace(training_folder="")
        self.page = TrainingPage(Cases(lambda: chosen, lambda: (-160.0, 240.0), self.settle), self.settings, unforeseen)

    def settle(self, reason: str, wait: bool) -> bool:
        self.settled.append(reason)
        return self.settles

    def find(self, name: str) -> Any:
        import qt

        return self.page.widget.findChild(qt.QWidget, name)

    def save_into(self, folder: Path) -> None:
        self.find("TrainingFolderEdit").currentPath = str(folder)
        self.find("SaveTrainingCaseButton").click()


@pytest.fixture
def opened(host: Host) -> Opened:
    return Opened()


def test_a_case_holds_the_volume_its_segments_and_how_they_came_about(opened: Opened, tmp_path: Path) -> None:
    from MedSAM2SlicerLib.scene.provenance import ProvenanceStore

    from MedSAM2Lib.volume.io import read_mask_prompt, read_volume

    ProvenanceStore(opened.segmentation.GetScene(), opened.segmentation).write(opened.segment_id, {"model": "embedded"})
    opened.save_into(tmp_path / "cases")
    case = tmp_path / "cases" / "patient_1"
    assert str(case) in opened.find("TrainingSaidLabel").text
    assert sorted(path.name for path in case.iterdir()) == ["image.nrrd", "mask.seg.nrrd", "provenance.json"]
    volume = read_volume(case / "image.nrrd")
    assert np.array_equal(read_mask_prompt(case / "mask.seg.nrrd", volume, None), box_mask() > 0)
    told = json.loads((case / "provenance.json").read_text())
    assert told["window"] == [-160.0, 240.0]
    assert list(told["segments"].values()) == [{"model": "embedded"}]
    assert opened.settled == ["before the training case was saved"]
    assert opened.settings.training_folder == str(tmp_path / "cases")


def test_a_second_case_of_the_same_volume_overwrites_nothing(opened: Opened, tmp_path: Path) -> None:
    opened.save_into(tmp_path)
    opened.save_into(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["patient_1", "patient_1-2"]


def test_without_a_folder_or_a_segmentation_nothing_can_be_saved(opened: Opened) -> None:
    from MedSAM2SlicerLib.session.state import SessionState

    assert not opened.find("SaveTrainingCaseButton").enabled
    opened.find("TrainingFolderEdit").currentPath = "/somewhere"
    assert opened.find("SaveTrainingCaseButton").enabled
    opened.volume.GetScene().RemoveNode(opened.segmentation)
    opened.page.render(SessionState())
    assert not opened.find("SaveTrainingCaseButton").enabled


def test_an_empty_segmentation_and_a_folder_that_cannot_be_made_are_said(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    opened.save_into(tmp_path / "file")
    assert "could not be written" in opened.find("TrainingSaidLabel").text
    opened.segmentation.GetSegmentation().RemoveAllSegments()
    opened.save_into(tmp_path / "cases")
    assert "No segment" in opened.find("TrainingSaidLabel").text
    assert not (tmp_path / "cases").exists()


def test_while_the_engine_cannot_be_stopped_nothing_is_saved(host: Host, tmp_path: Path) -> None:
    opened = Opened(settles=False)
    opened.save_into(tmp_path / "cases")
    assert "still at work" in opened.find("TrainingSaidLabel").text
    assert not (tmp_path / "cases").exists()
