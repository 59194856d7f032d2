"""What a segment says of itself goes into the file and comes back: codes, colours, identities, who made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from MedSAM2SlicerLib.export.described import segment_info
from MedSAM2SlicerLib.export.service import DicomSeg
from MedSAM2SlicerLib.export.terms import Terms, completed, read_terms, write_terms
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.segment_tags import (
    ALGORITHM_NAME,
    ALGORITHM_TYPE,
    TRACKING_ID,
    TRACKING_UID,
    get_tag,
    set_tag,
)

from MedSAM2Lib.dicom import Code, import_dicom_seg
from SlicerHost.scene import Core
from Testing.scene.dicom_ground import SHAPE, add_segments, blocks, file_of_instance, load_ct, write_ct
from Testing.scene.ground import open_bundle, save_bundle

LIVER = Code("10200004", "SCT", "Liver")
ORGAN = Code("123037004", "SCT", "Anatomical Structure")
LEFT = Code("7771000", "SCT", "Left")
REGION = Code("818981001", "SCT", "Abdomen")


class Chosen:
    """The choice of a user who has a volume of a series and two segments of it."""

    def __init__(self, core: Core, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.volume = load_ct(core, write_ct(folder), monkeypatch)
        self.segmentation, self.ids = add_segments(self.volume, blocks(SHAPE)[:2], ["liver", "spleen"])
        self.settled: list[str] = []
        self.exports = DicomSeg(lambda: self, self.settle, file_of_instance)

    def settle(self, reason: str, wait: bool) -> bool:
        self.settled.append(reason)
        return True

    def segment(self, number: int) -> Any:
        return self.segmentation.GetSegmentation().GetSegment(self.ids[number])

    def export(self, folder: Path) -> pydicom.Dataset:
        job = self.exports.prepare()
        written = job.run(folder)
        self.exports.keep(job, written)
        return pydicom.dcmread(written.path)


@pytest.fixture
def chosen(core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chosen:
    return Chosen(core, tmp_path / "ct", monkeypatch)


def identities(file: pydicom.Dataset) -> list[tuple[str, str]]:
    return [(item.TrackingID, item.TrackingUID) for item in file.SegmentSequence]


def test_a_second_export_is_a_new_file_of_the_same_objects(chosen: Chosen, tmp_path: Path) -> None:
    first = chosen.export(tmp_path / "out")
    Committer(chosen.volume, chosen.segmentation).commit(chosen.ids[0], blocks(SHAPE)[2])
    chosen.segmentation.GetSegmentation().RemoveSegment(chosen.ids[1])
    second = chosen.export(tmp_path / "out")
    assert identities(second) == identities(first)[:1]
    assert len({uid for _, uid in identities(first)}) == 2
    assert first.SOPInstanceUID != second.SOPInstanceUID and first.SeriesInstanceUID != second.SeriesInstanceUID
    assert len(list((tmp_path / "out").glob("*"))) == 2


def test_identities_are_saved_with_the_scene(chosen: Chosen, core: Core, tmp_path: Path) -> None:
    before = identities(chosen.export(tmp_path / "out"))
    save_bundle(core.scene, tmp_path / "scene.mrb")
    open_bundle(core.scene, tmp_path / "scene.mrb", tmp_path / "unpacked")
    chosen.volume = core.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    chosen.segmentation = core.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert identities(chosen.export(tmp_path / "out")) == before


def test_codes_colour_and_who_made_it_are_in_the_file(chosen: Chosen, tmp_path: Path) -> None:
    write_terms(chosen.segment(0), Terms(ORGAN, LIVER, LEFT, REGION, LEFT))
    chosen.segment(0).SetColor(0.2, 0.4, 0.6)
    Committer(chosen.volume, chosen.segmentation).commit(chosen.ids[0], blocks(SHAPE)[2])
    liver, spleen = chosen.export(tmp_path / "out").SegmentSequence
    kind = liver.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("10200004", "SCT", "Liver")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    region = liver.AnatomicRegionSequence[0]
    assert (region.CodeMeaning, region.AnatomicRegionModifierSequence[0].CodeMeaning) == ("Abdomen", "Left")
    assert (liver.SegmentAlgorithmType, liver.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "MedSAM2Slicer")
    assert spleen.SegmentAlgorithmType == "MANUAL" and "SegmentAlgorithmName" not in spleen
    set_tag(chosen.segment(1), ALGORITHM_TYPE, "AUTOMATIC")
    set_tag(chosen.segment(1), ALGORITHM_NAME, "Another program")
    liver, spleen = chosen.export(tmp_path / "again").SegmentSequence
    assert (liver.SegmentAlgorithmName, spleen.SegmentAlgorithmName) == ("MedSAM2Slicer", "Another program")
    (path,) = (tmp_path / "out").iterdir()
    rgb = import_dicom_seg(path).segments[0].rgb
    assert rgb is not None and np.abs(np.array(rgb) - (51, 102, 153)).max() <= 2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", None),
        ("a~b", None),
        ("~^^~SCT^10200004^Liver", LIVER),
        ("c~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~r~^^~^^", LIVER),
        ("c~SCT^123037004^Anatomical Structure~ SCT ^10200004^ Liver ^x~^^~r~^^~^^~more", LIVER),
        ("c~~SCT^10200004", Code("10200004", "SCT", "")),
        ("~~~~~~~~~", None),
    ],
)
def test_tags_of_any_shape_are_read_as_far_as_they_say_something(chosen: Chosen, text: str, kind: Code | None) -> None:
    segment = chosen.segment(0)
    segment.SetTag(segment.GetTerminologyEntryTagName(), text)
    assert read_terms(segment).type == kind
    assert completed(read_terms(segment)).type == (kind or Code("85756007", "SCT", "Tissue"))


def test_a_tag_is_written_as_slicer_reads_it_and_its_contexts_stay(chosen: Chosen) -> None:
    import slicer

    segment = chosen.segment(0)
    terms = Terms(ORGAN, LIVER, LEFT, REGION)
    write_terms(segment, terms)
    segment.SetTag(
        segment.GetTerminologyEntryTagName(),
        get_tag(segment, segment.GetTerminologyEntryTagName()).replace("Anatomic codes", "Own codes"),
    )
    write_terms(segment, terms)
    text = get_tag(segment, segment.GetTerminologyEntryTagName())
    assert "~Own codes" in text and read_terms(segment) == terms
    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    logic.DeserializeTerminologyEntry(text, entry)
    assert entry.GetTypeObject().GetCodeValue() == "10200004"
    assert entry.GetTypeModifierObject().GetCodeMeaning() == "Left"
    assert entry.GetAnatomicRegionObject().GetCodeMeaning() == "Abdomen"


def test_identities_that_no_file_can_hold_are_replaced(chosen: Chosen, tmp_path: Path) -> None:
    set_tag(chosen.segment(0), TRACKING_ID, "a\\b")
    set_tag(chosen.segment(0), TRACKING_UID, "lesion 1")
    ((first_id, first_uid), _) = identities(chosen.export(tmp_path / "out"))
    assert first_id == first_uid == get_tag(chosen.segment(0), TRACKING_UID)
    assert first_uid.startswith("2.25.")


def test_a_copy_of_a_segment_gets_an_identity_of_its_own(chosen: Chosen, tmp_path: Path) -> None:
    for number in (0, 1):
        set_tag(chosen.segment(number), TRACKING_ID, "lesion")
        set_tag(chosen.segment(number), TRACKING_UID, "1.2.9")
    first, second = identities(chosen.export(tmp_path / "out"))
    assert first == ("lesion", "1.2.9")
    assert second[1].startswith("2.25.") and get_tag(chosen.segment(1), TRACKING_UID) == second[1]


def test_an_algorithm_type_that_dicom_does_not_know_counts_as_manual(chosen: Chosen) -> None:
    set_tag(chosen.segment(0), ALGORITHM_TYPE, "magic")
    assert segment_info(chosen.segment(0), 1).algorithm_type == "MANUAL"
    assert get_tag(chosen.segment(0), TRACKING_ID) == get_tag(chosen.segment(0), TRACKING_UID) == ""
