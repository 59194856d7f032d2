"""The page "Export DICOM-SEG" in the real panel: what it finds, what its buttons mend, what it writes and reads."""

from __future__ import annotations

import shutil
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from MedSAM2Lib.errors import MedSAM2Error
from SlicerHost import testing
from Testing.panel.panel_ground import PanelBench
from Testing.scene.dicom_ground import SHAPE, add_segments, blocks, read_by_highdicom, write_ct
from Testing.scene.ground import OBLIQUE, add_transform, add_volume
from Testing.scene.session_ground import MIDDLE, ORGAN, fill
from Testing.scene.test_export_plugin import BasePlugin, Exportable

NAMES = ["liver", "left kidney", "spleen"]


class Opened:
    """The panel on a volume from a DICOM series with three segments; the section is open."""

    def __init__(self, bench: PanelBench, folder: Path, names: list[str] = NAMES) -> None:
        self.bench = bench
        self.page = bench.panel.pages.export
        bench.volume = self.volume = slicer.util.loadVolume(str(folder))
        testing.settle()
        self.masks = blocks(self.volume.GetImageData().GetDimensions()[::-1])
        self.segmentation, self.ids = add_segments(self.volume, self.masks[: len(names)], names)
        bench.panel.selection.choose_segmentation(self.segmentation)
        bench.panel.refresh()
        self.page.widget.parent().collapsed = False
        self.rest()

    def find(self, name: str) -> Any:
        import qt

        return self.page.widget.findChild(qt.QWidget, name)

    @property
    def lines(self) -> dict[str, Any]:
        """Lines by their code, or check where all is well."""
        self.rest()
        return {line.code or line.check: line for line in self.page._lines}

    def press_fix(self, code: str) -> None:
        place = [line.code for line in self.page._lines].index(code)
        self.press(self.find(f"ExportLineButton{place}"))

    def press(self, button: Any) -> None:
        self.bench.press(button)
        self.rest()

    def rest(self) -> None:
        """Until nothing is read or written any more."""
        self.bench.rest(lambda: not self.page._run.running)
        testing.settle()

    def export(self, folder: Path) -> Path:
        self.find("ExportFolderEdit").currentPath = str(folder)
        self.press(self.find("ExportButton"))
        self.rest()
        assert "identical" in self.said, self.said
        return max(folder.glob("*.dcm"), key=lambda path: path.stat().st_mtime_ns)

    @property
    def said(self) -> str:
        return self.find("ExportSaidLabel").text


@pytest.fixture
def opened(bench: PanelBench, tmp_path: Path) -> Opened:
    return Opened(bench, write_ct(tmp_path / "ct"))


def test_two_clicks_write_the_file_and_the_line_says_what_it_is(opened: Opened, tmp_path: Path) -> None:
    opened.find("ExportFolderEdit").currentPath = str(tmp_path / "out")
    file = opened.export(tmp_path / "out")
    assert str(file) in opened.said and "Read back: identical." in opened.said and "kB" in opened.said
    for mask, found in zip(opened.masks, read_by_highdicom(file, opened.volume).values()):
        assert np.array_equal(mask, found)


def test_what_is_previewed_is_put_into_its_segment_first(bench: PanelBench, tmp_path: Path) -> None:
    opened = Opened(bench, write_ct(tmp_path / "ct", shape=ORGAN.shape), ["organ"])
    fill(opened.volume, ORGAN)
    bench.panel.selection.choose_segment(opened.ids[0])
    bench.rest()
    before = bench.voxels(opened.ids[0])
    bench.click(MIDDLE)
    preview = bench.preview()
    assert preview.any() and np.array_equal(bench.voxels(opened.ids[0]), before)
    file = opened.export(tmp_path / "out")
    found = read_by_highdicom(file, opened.volume)["organ"]
    assert np.array_equal(found, bench.voxels(opened.ids[0])) and not np.array_equal(found, before)
    assert np.array_equal(found | preview, found)
    assert "before the DICOM-SEG was written" in bench.line


@pytest.fixture
def dicom_plugins(host: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Slicer's exporters, of which there are none yet."""
    library = types.ModuleType("DICOMLib")
    library.DICOMPlugin = BasePlugin  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "DICOMLib", library)
    monkeypatch.setattr(slicer.modules, "dicomPlugins", {}, raising=False)
    monkeypatch.setattr(slicer, "qSlicerDICOMExportable", Exportable, raising=False)
    return slicer.modules.dicomPlugins


def test_what_is_previewed_is_put_into_its_segment_before_slicers_own_dialog_writes_it(
    dicom_plugins: dict[str, Any], bench: PanelBench, tmp_path: Path
) -> None:
    from MedSAM2SlicerLib import dicom_plugin

    opened = Opened(bench, write_ct(tmp_path / "ct", shape=ORGAN.shape), ["organ"])
    fill(opened.volume, ORGAN)
    bench.panel.selection.choose_segment(opened.ids[0])
    bench.rest()
    bench.click(MIDDLE)
    preview = bench.preview()
    assert dicom_plugin.register_dicom_plugin()  # at the end of the start, when a panel may be there already
    exportable = Exportable()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    exportable.subjectHierarchyItemID = hierarchy.GetItemByDataNode(opened.segmentation)
    exportable.directory = str(tmp_path / "out")
    assert dicom_plugins[dicom_plugin.NAME]().export([exportable]) == ""
    (file,) = (tmp_path / "out").iterdir()
    found = read_by_highdicom(file, opened.volume)["organ"]
    assert preview.any() and np.array_equal(found | preview, found)
    assert np.array_equal(found, bench.voxels(opened.ids[0]))
    assert "before the DICOM-SEG was written" in bench.line


def test_overlapping_segments_are_each_in_a_compact_file(opened: Opened, tmp_path: Path) -> None:
    whole = np.zeros(SHAPE, dtype=bool)
    whole[1:7, 3:20, 2:15] = True
    inner = np.roll(whole, 4, axis=2)
    segmentation, _ = add_segments(opened.volume, [whole, inner], ["liver", "cyst"])
    opened.bench.panel.selection.choose_segmentation(segmentation)
    opened.bench.panel.refresh()
    opened.find("ExportCompactCheck").click()
    file = opened.export(tmp_path / "out")
    found = read_by_highdicom(file, opened.volume)
    assert np.array_equal(found["liver"], whole) and np.array_equal(found["cyst"], inner)


def test_suggested_codes_are_taken_with_one_press(opened: Opened) -> None:
    assert "liver = Liver" in opened.lines["W_DEFAULT_TERMINOLOGY"].sentence
    opened.press_fix("W_DEFAULT_TERMINOLOGY")
    assert set(opened.lines) == {"source", "geometry", "terminology", "empty segments", "names", "dependency"}
    kidney = opened.segmentation.GetSegmentation().GetSegment(opened.ids[1])
    text = vtk.reference("")
    assert kidney.GetTag(kidney.GetTerminologyEntryTagName(), text)
    assert "64033007^Kidney" in text and "^Left" in text


def test_a_row_tells_its_state_in_words_and_only_a_row_that_can_be_mended_has_a_button(opened: Opened) -> None:
    opened.segmentation.GetSegmentation().GetSegment(opened.ids[0]).SetName("")
    opened.press(opened.find("ExportLookButton"))
    for place, line in enumerate(opened.page._lines):
        text = opened.find(f"ExportLineLabel{place}").text
        assert line.sentence in text
        assert {"ok": "in order", "warning": "note", "fails": "not yet"}[line.state] in text
        assert opened.find(f"ExportLineButton{place}").isHidden() == (line.fix is None)
    assert not opened.find("ExportButton").enabled
    opened.press_fix("E_EMPTY_LABEL")
    assert opened.find("ExportButton").enabled


def test_the_folder_of_the_series_is_asked_for_where_it_is_not_known(opened: Opened, tmp_path: Path) -> None:
    opened.volume.SetAttribute("DICOM.instanceUIDs", "")
    opened.press(opened.find("ExportLookButton"))
    assert opened.find("ExportSourceEdit").isHidden() or not opened.find("ExportSourceEdit").visible
    opened.press_fix("E_NO_SOURCE")
    assert opened.find("ExportSourceEdit").visible
    opened.find("ExportSourceEdit").currentPath = str(tmp_path / "out")
    assert "E_NO_SOURCE" in opened.lines
    assert f"{tmp_path / 'out'} is no folder" in opened.said
    opened.find("ExportSourceEdit").currentPath = str(tmp_path / "ct")
    assert "E_NO_SOURCE" not in opened.lines and opened.said == ""
    file = opened.export(tmp_path / "out")
    assert np.array_equal(read_by_highdicom(file, opened.volume)["liver"], opened.masks[0])


def test_out_of_a_transform_with_one_press(opened: Opened, tmp_path: Path) -> None:
    transform = add_transform(slicer.mrmlScene, OBLIQUE)
    for node in (opened.volume, opened.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    opened.press(opened.find("ExportLookButton"))
    opened.press_fix("E_TRANSFORM")
    assert "E_TRANSFORM" not in opened.lines
    file = opened.export(tmp_path / "out")
    assert np.array_equal(read_by_highdicom(file, opened.volume)["spleen"], opened.masks[2])


def test_a_copy_on_the_volumes_voxels_is_gone_on_with(opened: Opened, tmp_path: Path) -> None:
    other = add_volume(slicer.mrmlScene, (8, 12, 12), np.diag([-1.3, -1.8, 2.5, 1.0]), "other")
    segmentation, _ = add_segments(other, blocks((8, 12, 12)), NAMES)
    with pytest.raises(MedSAM2Error):
        opened.bench.panel.selection.choose_segmentation(segmentation)
    opened.bench.panel.refresh()
    opened.press_fix("E_GEOMETRY_MISMATCH")
    chosen = opened.bench.panel.selection.segmentation
    assert chosen is not segmentation and not segmentation.GetDisplayNode().GetVisibility()
    assert opened.find("ExportButton").enabled


def test_what_has_changed_is_looked_at_again_without_a_press(opened: Opened) -> None:
    opened.segmentation.GetSegmentation().GetSegment(opened.ids[0]).SetName("spleen")
    opened.bench.panel.refresh()
    assert "W_DUPLICATE_LABEL" in opened.lines


def test_a_place_that_cannot_be_written_is_said_and_nothing_is_left(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    opened.find("ExportFolderEdit").currentPath = str(tmp_path / "file")
    opened.press(opened.find("ExportButton"))
    opened.rest()
    assert str(tmp_path / "file") in opened.said
    assert (tmp_path / "file").read_text() == "in the way"
    opened.find("ExportFolderEdit").currentPath = "  "
    assert not opened.find("ExportButton").enabled


def test_while_a_file_is_written_the_event_loop_goes_on_and_the_bar_tells_how_far(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAM2SlicerLib.export.exporting import ExportJob

    may_end, run = threading.Event(), ExportJob.run

    def slow(job: Any, folder: Path, compact: bool, progress: Any) -> Any:
        progress(0.4, "encoding")
        assert may_end.wait(30)
        return run(job, folder, compact, progress)

    monkeypatch.setattr(ExportJob, "run", slow)
    opened.find("ExportFolderEdit").currentPath = str(tmp_path / "out")
    opened.bench.press(opened.find("ExportButton"), rest=False)
    opened.bench.rest(lambda: opened.find("ExportProgressBar").value == 40)
    assert opened.find("ExportProgressBar").visible and opened.find("ExportDoingLabel").text == "encoding"
    assert not opened.find("ExportButton").enabled and not (tmp_path / "out").exists()
    may_end.set()
    opened.rest()
    assert not opened.find("ExportProgressBar").visible and len(list((tmp_path / "out").iterdir())) == 1


def test_headers_are_read_beside_the_event_loop_and_only_once(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedSAM2SlicerLib.export.series import SeriesReader

    may_end, load, loads = threading.Event(), SeriesReader.load, []

    def slow(reader: Any, files: Any) -> None:
        loads.append(threading.current_thread())
        assert may_end.wait(30)
        load(reader, files)

    monkeypatch.setattr(SeriesReader, "load", slow)
    opened.bench.press(opened.find("ExportLookButton"), rest=False)
    testing.settle()
    assert opened.find("ExportDoingLabel").text == "Reading the series" and not opened.find("ExportButton").enabled
    may_end.set()
    opened.rest()
    assert opened.find("ExportButton").enabled
    opened.segmentation.GetSegmentation().GetSegment(opened.ids[0]).SetName("another")
    opened.bench.panel.refresh()
    opened.rest()
    assert len(loads) == 1 and loads[0] is not threading.main_thread()


class StandInDatabase:
    """DICOMLib.DICOMUtils, of which there is the import of a folder: it keeps copies, refuses, or raises (None)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, takes: bool | None = True) -> None:
        self.files: dict[str, bytes] = {}
        self.folders: list[Path] = []
        module = types.ModuleType("DICOMLib.DICOMUtils")
        module.importDicom = self.import_dicom  # type: ignore[attr-defined]
        self.takes = takes
        monkeypatch.setitem(sys.modules, "DICOMLib", types.ModuleType("DICOMLib"))
        monkeypatch.setitem(sys.modules, "DICOMLib.DICOMUtils", module)

    def import_dicom(self, folder: str, database: Any, copyFiles: bool) -> bool:  # noqa: N803
        assert database is slicer.dicomDatabase and copyFiles
        self.folders.append(Path(folder))
        self.files.update({path.name: path.read_bytes() for path in Path(folder).iterdir()})
        if self.takes is None:
            raise RuntimeError("the database is locked")
        return self.takes


@pytest.mark.parametrize("takes", [True, False])
def test_where_slicer_has_a_dicom_database_the_file_goes_there_and_the_node_under_its_study(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    database = StandInDatabase(monkeypatch, takes)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(opened.volume), study)
    opened.press(opened.find("ExportLookButton"))
    assert opened.find("ExportPlaceBox").currentIndex == 1 and not opened.find("ExportFolderEdit").visible
    spare = tmp_path / "deep" / "kept"
    opened.find("ExportFolderEdit").currentPath = str(spare)
    opened.press(opened.find("ExportButton"))
    opened.rest()
    assert len(database.files) == 1 and not database.folders[0].exists(), (opened.said, opened.bench.line)
    under = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(opened.segmentation)) == study
    assert under == takes
    assert ("in the DICOM database" if takes else "did not take the file") in opened.said
    assert spare.exists() != takes
    if not takes:
        (file,) = spare.iterdir()
        assert str(file) in opened.said and database.files == {file.name: file.read_bytes()}


@pytest.mark.parametrize("how", ["refuses", "raises"])
def test_a_file_that_neither_database_nor_folder_takes_stays_where_it_was_written_and_that_is_said(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    database = StandInDatabase(monkeypatch, takes=None if how == "raises" else False)
    (tmp_path / "file").write_text("in the way")
    opened.press(opened.find("ExportLookButton"))
    opened.find("ExportFolderEdit").currentPath = str(tmp_path / "file")
    opened.press(opened.find("ExportButton"))
    (file,) = database.folders[0].iterdir()
    assert str(file) in opened.said and read_by_highdicom(file, opened.volume)
    assert opened.find("ExportButton").enabled
    assert (opened.bench.error is not None) == (how == "raises")
    shutil.rmtree(file.parent)


class SlowExport:
    """Exports of the whole application: they end, well or with an error, once they may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        from MedSAM2SlicerLib.export.exporting import ExportJob

        self.may_end, self.began = threading.Event(), threading.Event()
        run = ExportJob.run

        def slow(job: Any, folder: Path, compact: bool, progress: Any) -> Any:
            self.began.set()
            assert self.may_end.wait(30)
            if error is not None:
                raise error
            return run(job, folder, compact, progress)

        monkeypatch.setattr(ExportJob, "run", slow)


@pytest.mark.parametrize("takes", [True, False])
def test_a_file_under_way_when_the_panel_closes_is_finished_and_goes_where_it_should(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, takes: bool
) -> None:
    database, slow = StandInDatabase(monkeypatch, takes), SlowExport(monkeypatch)
    opened.press(opened.find("ExportLookButton"))
    opened.find("ExportFolderEdit").currentPath = str(tmp_path / "kept")
    opened.bench.press(opened.find("ExportButton"), rest=False)
    assert slow.began.wait(30)
    threading.Timer(0.2, slow.may_end.set).start()
    opened.page.close()
    assert len(database.files) == 1 and not database.folders[0].exists()
    if takes:
        assert not (tmp_path / "kept").exists() and not caplog.records
    else:
        (file,) = (tmp_path / "kept").iterdir()
        assert str(file) in caplog.text


def test_an_error_of_a_file_under_way_when_the_panel_closes_is_in_the_log(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = SlowExport(monkeypatch, MedSAM2Error("E_IO", "The disk is full."))
    opened.find("ExportFolderEdit").currentPath = str(tmp_path / "out")
    opened.bench.press(opened.find("ExportButton"), rest=False)
    threading.Timer(0.2, slow.may_end.set).start()
    opened.page.close()
    assert "The disk is full." in caplog.text


def test_a_writer_that_does_not_end_in_time_keeps_its_folder_and_the_log_names_it(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from MedSAM2SlicerLib.panel import export_run

    monkeypatch.setattr(export_run, "CLOSING_SECONDS", 0.05)
    StandInDatabase(monkeypatch)
    slow = SlowExport(monkeypatch)
    opened.press(opened.find("ExportLookButton"))
    opened.bench.press(opened.find("ExportButton"), rest=False)
    folder, work = opened.page._run._temporary, opened.page._run._work
    opened.page.close()
    assert folder.is_dir() and str(folder) in caplog.text
    slow.may_end.set()
    assert work.wait(30) and work.error is None and len(list(folder.iterdir())) == 1
    shutil.rmtree(folder)


def test_a_file_is_read_back_chosen_and_worked_on(opened: Opened, tmp_path: Path) -> None:
    file = opened.export(tmp_path / "out")
    assert not opened.find("ReadSegButton").enabled
    opened.find("ReadSegEdit").currentPath = str(file)
    opened.press(opened.find("ReadSegButton"))
    chosen = opened.bench.panel.selection.segmentation
    assert chosen is not opened.segmentation and chosen.GetName() in opened.find("ReadSegSaidLabel").text
    assert [opened.bench.panel.selection.segment_ids() != [], opened.bench.panel.selection.is_open] == [True, True]
    for segment_id, mask in zip(opened.bench.panel.selection.segment_ids(), opened.masks):
        assert np.array_equal(opened.bench.voxels(segment_id), mask)
    opened.find("ReadSegEdit").currentPath = str(tmp_path / "absent.dcm")
    opened.press(opened.find("ReadSegButton"))
    assert "absent.dcm" in opened.find("ReadSegSaidLabel").text


def test_a_file_is_read_beside_the_event_loop_and_what_has_gone_meanwhile_is_said(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAM2SlicerLib.export.reading import ReadingJob

    may_end, run, threads = threading.Event(), ReadingJob.run, []

    def slow(job: Any) -> Any:
        threads.append(threading.current_thread())
        assert may_end.wait(30)
        return run(job)

    monkeypatch.setattr(ReadingJob, "run", slow)
    file = opened.export(tmp_path / "out")
    opened.find("ReadSegEdit").currentPath = str(file)
    opened.bench.press(opened.find("ReadSegButton"), rest=False)
    testing.settle()
    assert opened.find("ExportDoingLabel").visible and opened.find("ExportDoingLabel").text == "Reading the DICOM-SEG"
    assert not any(opened.find(name).enabled for name in ("ReadSegButton", "ExportButton", "ExportLookButton"))
    count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    opened.volume.SetSpacing(1.0, 2.0, 3.0)
    may_end.set()
    opened.rest()
    assert "changed while the file was read" in opened.find("ReadSegSaidLabel").text
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == count
    assert threads and threads[0] is not threading.main_thread() and opened.find("ReadSegButton").enabled


def test_slicers_table_of_segments_is_offered_where_the_application_has_its_terminology_selector(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    shown: list[Any] = []

    class Table(qt.QTableWidget):  # type: ignore[misc]
        def setMRMLScene(self, scene: Any) -> None:
            assert scene is slicer.mrmlScene

        def setSegmentationNode(self, node: Any) -> None:
            shown.append(node)

    assert not opened.find("ExportTermsButton").visible
    monkeypatch.setattr(slicer, "qMRMLSegmentsTableView", Table)
    monkeypatch.setattr(slicer, "qSlicerTerminologyNavigatorWidget", object, raising=False)
    opened.press(opened.find("ExportLookButton"))
    opened.press(opened.find("ExportTermsButton"))
    assert shown == [opened.segmentation]


def test_with_nothing_chosen_the_page_says_so_and_offers_nothing(bench: PanelBench) -> None:
    page = bench.panel.pages.export
    page.widget.parent().collapsed = False
    testing.settle()
    assert not page._export.enabled
    assert "Choose a volume" in page._said.text


def test_every_control_is_reached_by_the_keyboard(opened: Opened) -> None:
    """From the first one on, Tab comes to each that is shown and enabled."""
    import qt

    opened.volume.SetAttribute("DICOM.instanceUIDs", "")
    opened.press(opened.find("ExportLookButton"))
    opened.press_fix("E_NO_SOURCE")
    kinds = (qt.QPushButton, qt.QComboBox, qt.QCheckBox, qt.QLineEdit)
    controls = [each for kind in kinds for each in opened.page.widget.findChildren(kind)]
    shown = {each for each in controls if each.visible and each.enabled}
    assert len(shown) >= 7
    reached, at = set(), opened.find("ExportLineButton0")
    for _step in range(500):
        reached.add(at)
        at = at.nextInFocusChain()
    assert shown <= reached
    for widget in shown:
        assert widget.focusPolicy & qt.Qt.TabFocus, widget.objectName


def test_why_nothing_can_be_exported_is_said_in_words(opened: Opened) -> None:
    opened.find("ExportFolderEdit").currentPath = " "
    assert not opened.find("ExportButton").enabled and "Name a folder" in opened.find("ExportWhyLabel").text
    opened.segmentation.GetSegmentation().GetSegment(opened.ids[0]).SetName("")
    opened.press(opened.find("ExportLookButton"))
    assert "not yet" in opened.find("ExportWhyLabel").text
    opened.press_fix("E_EMPTY_LABEL")
    opened.find("ExportFolderEdit").currentPath = "/somewhere"
    assert opened.find("ExportButton").enabled and opened.find("ExportWhyLabel").isHidden()


def test_the_panel_is_made_without_an_error_to_tell(bench: PanelBench) -> None:
    assert bench.error is None and bench.panel.pages.export._folder.currentPath
