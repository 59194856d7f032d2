"""Slicer's dialog "Export to DICOM", of which there are stand-ins: it is offered our exporter only where all passes."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from SlicerHost.scene import Core
from Testing.scene.dicom_ground import SHAPE, add_segments, blocks, load_ct, read_by_highdicom, write_ct


class Exportable:
    """qSlicerDICOMExportable: what an exporter says, and the folder that the dialog gives it."""

    def __init__(self) -> None:
        self.name = self.tooltip = self.pluginClass = self.directory = ""
        self.subjectHierarchyItemID, self.confidence = 0, 0.5
        self.tags: dict[str, str] = {}

    def setTag(self, name: str, value: str) -> None:  # noqa: N802
        self.tags[name] = value


class BasePlugin:
    """DICOMLib.DICOMPlugin."""

    def __init__(self) -> None:
        self.loadType = "Generic DICOM"


@pytest.fixture
def plugins(core: Core, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    library = types.ModuleType("DICOMLib")
    library.DICOMPlugin = BasePlugin  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "DICOMLib", library)
    monkeypatch.setattr(slicer, "modules", types.SimpleNamespace(dicomPlugins={}), raising=False)
    monkeypatch.setattr(slicer, "qSlicerDICOMExportable", Exportable, raising=False)
    return slicer.modules.dicomPlugins


def test_a_segmentation_that_passes_is_offered_and_written_and_no_other(
    core: Core, plugins: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAM2SlicerLib.dicom_plugin import NAME, register_dicom_plugin

    assert register_dicom_plugin()
    plugin = plugins[NAME]()
    volume = load_ct(core, write_ct(tmp_path / "ct"), monkeypatch)
    masks = blocks(SHAPE)
    segmentation, _ = add_segments(volume, masks, ["liver", "spleen", "cyst"])
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(core.scene)
    item = hierarchy.GetItemByDataNode(segmentation)
    (exportable,) = plugin.examineForExport(item)
    assert (exportable.pluginClass, exportable.confidence, exportable.tags) == (NAME, 0.9, {"Modality": "SEG"})
    assert "liver, spleen, cyst" in exportable.tooltip
    exportable.directory = str(tmp_path / "out")
    assert plugin.export([exportable]) == ""
    (file,) = (tmp_path / "out").iterdir()
    assert all(np.array_equal(mask, found) for mask, found in zip(masks, read_by_highdicom(file, volume).values()))
    assert plugin.examineForExport(hierarchy.GetItemByDataNode(volume)) == []
    volume.SetAttribute("DICOM.instanceUIDs", "")
    assert plugin.examineForExport(item) == []
    assert "DICOM images" in plugin.export([exportable])
    assert len(list((tmp_path / "out").iterdir())) == 1
    core.scene.RemoveNode(volume)
    assert plugin.examineForExport(item) == []


def test_an_application_without_exporters_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from MedSAM2SlicerLib.dicom_plugin import register_dicom_plugin

    monkeypatch.setattr(slicer, "modules", types.SimpleNamespace(), raising=False)
    assert not register_dicom_plugin()
