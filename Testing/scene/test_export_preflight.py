"""The list before a DICOM-SEG: each thing that can stand in its way is told by its code, and mended by its fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import slicer
from MedSAM2SlicerLib.export.exporting import prepare
from MedSAM2SlicerLib.export.lines import Line, ready
from MedSAM2SlicerLib.export.mending import mend
from MedSAM2SlicerLib.export.preflight import Subject, preflight
from MedSAM2SlicerLib.export.series import INSTANCES
from MedSAM2SlicerLib.scene.grids import create_segmentation
from MedSAM2SlicerLib.scene.segments import segment_ids, segment_mask

from MedSAM2Lib.dicom import Code, SegExportError, import_dicom_seg
from MedSAM2Lib.errors import InputError
from SlicerHost.scene import Core
from Testing.scene.dicom_ground import IDENTITY, SHAPE, add_segments, blocks, load_ct, subject_of, write_ct
from Testing.scene.ground import OBLIQUE, add_bent_transform, add_transform, add_volume

DESCRIBED = "~SCT^123037004^Anatomical Structure~SCT^{value}^{meaning}~^^~~^^~^^"


class Ground:
    """A volume of a series, and three segments with names and codes: all in order."""

    def __init__(self, core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.core, self.out, self.ct = core, tmp_path / "out", write_ct(tmp_path / "ct")
        self.volume = load_ct(core, self.ct, monkeypatch)
        self.masks = blocks(SHAPE)
        self.segmentation, self.ids = add_segments(self.volume, self.masks, ["liver", "spleen", "kidney"])
        for segment_id, value in zip(self.ids, ("10200004", "78961009", "64033007")):
            self.set_terms(segment_id, DESCRIBED.format(value=value, meaning="Organ"))
        self.subject = subject_of(self.volume, self.segmentation)

    def segment(self, number: int) -> Any:
        return self.segmentation.GetSegmentation().GetSegment(self.ids[number])

    def set_terms(self, segment_id: str, text: str) -> None:
        segment = self.segmentation.GetSegmentation().GetSegment(segment_id)
        segment.SetTag(segment.GetTerminologyEntryTagName(), text)

    def lines(self, subject: Subject | None = None) -> dict[str, Line]:
        """Lines that are not in order, by code."""
        return {line.code: line for line in preflight(subject or self.subject) if line.state != "ok"}

    def one(self) -> Line:
        (line,) = self.lines().values()
        return line

    def mend(self) -> None:
        """Presses the button of the only line, and goes on with what it gives; the list is in order then."""
        fix = self.one().fix
        assert fix is not None
        self.segmentation = mend(fix, self.subject)
        self.ids = segment_ids(self.segmentation)
        self.subject = subject_of(self.volume, self.segmentation)
        assert self.lines() == {}

    def written(self) -> list[np.ndarray]:
        """Masks as the file has them."""
        job = prepare(self.subject)
        read = import_dicom_seg(job.run(self.out).path, job.grid)
        return [read.mask(info.number or 0) for info in read.segments]


@pytest.fixture
def ground(core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    return Ground(core, tmp_path, monkeypatch)


def test_where_all_is_in_order_each_thing_has_its_line(ground: Ground) -> None:
    lines = preflight(ground.subject)
    assert [line.check for line in lines] == [
        *("source", "geometry", "terminology", "empty segments", "names", "dependency")
    ]
    assert all(line.state == "ok" and not line.code and line.fix is None for line in lines)
    assert "8 images" in lines[0].sentence


@pytest.mark.parametrize("uids", ["", "Unknown Unknown", "{first} Unknown", "1.2.3 {first}"])
def test_a_volume_whose_images_are_not_known_needs_the_folder_of_its_series(ground: Ground, uids: str) -> None:
    first = ground.volume.GetAttribute(INSTANCES).split()[0]
    ground.volume.SetAttribute(INSTANCES, uids.format(first=first))
    line = ground.one()
    assert (line.code, line.state, line.fix) == ("E_NO_SOURCE", "fails", "choose folder")
    assert ground.volume.GetName() in line.sentence
    if uids:
        assert f"{1 if 'first' in uids else 2} of 2" in line.sentence
    with pytest.raises(SegExportError) as refusal:
        prepare(ground.subject)
    assert refusal.value.code == "E_NO_SOURCE"
    ground.subject = subject_of(ground.volume, ground.segmentation, ground.ct)
    assert ground.lines() == {}
    assert all(np.array_equal(mask, found) for mask, found in zip(ground.masks, ground.written()))


def test_a_series_without_identifiers_is_refused_before_anything_is_written(ground: Ground) -> None:
    for file in sorted(ground.ct.iterdir())[:3]:
        dataset = pydicom.dcmread(file)
        dataset.StudyInstanceUID = ""
        dataset.save_as(file)
    line = ground.one()
    assert (line.code, line.fix) == ("E_SOURCE_UID", "choose folder")
    assert "3 of 8" in line.sentence


def test_a_folder_of_images_elsewhere_in_the_patient_is_told(ground: Ground, tmp_path: Path) -> None:
    far = np.diag([0.8, 0.9, 2.5, 1.0])
    far[:3, 3] = 500.0
    folder = write_ct(tmp_path / "far", far)
    ground.subject = subject_of(ground.volume, ground.segmentation, folder)
    line = ground.one()
    assert (line.code, line.state, line.fix) == ("E_OUTSIDE", "fails", "choose folder")


def test_a_resampled_volume_is_written_on_its_own_voxels_and_that_is_said(ground: Ground) -> None:
    matrix = np.diag([-1.1, -1.1, 1.7, 1.0])
    matrix[:3, 3] = (-2.0, -3.0, 2.0)
    resampled = add_volume(ground.core.scene, (8, 12, 12), matrix, "resampled")
    masks = blocks((8, 12, 12))
    segmentation, _ = add_segments(resampled, masks, ["liver", "spleen", "kidney"])
    subject = subject_of(resampled, segmentation, ground.ct)
    lines = ground.lines(subject)
    assert lines["W_OTHER_GRID"].state == "warning" and "resampled" in lines["W_OTHER_GRID"].sentence
    job = prepare(subject)
    read = import_dicom_seg(job.run(ground.out).path, job.grid)
    assert all(np.array_equal(mask, read.mask(number)) for number, mask in enumerate(masks, start=1))


def both(ground: Ground) -> None:
    transform = add_transform(ground.core.scene, OBLIQUE)
    for node in (ground.volume, ground.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())


def both_bent(ground: Ground) -> None:
    bent = add_bent_transform(ground.core.scene)
    for node in (ground.volume, ground.segmentation):
        node.SetAndObserveTransformNodeID(bent.GetID())


def only_the_segmentation(ground: Ground) -> None:
    shift = np.eye(4)
    shift[0, 3] = -0.8
    ground.segmentation.SetAndObserveTransformNodeID(add_transform(ground.core.scene, shift).GetID())


@pytest.mark.parametrize("arrange", [both, both_bent, only_the_segmentation])
def test_under_a_transform_nothing_is_written_until_volume_and_segments_are_out_of_it(
    ground: Ground, arrange: Callable[[Ground], None]
) -> None:
    arrange(ground)
    line = ground.one()
    assert (line.code, line.state, line.fix) == ("E_TRANSFORM", "fails", "leave transform")
    expected = [np.roll(mask, int(arrange is only_the_segmentation), axis=2) for mask in ground.masks]
    ground.mend()
    assert ground.volume.GetTransformNodeID() is None and ground.segmentation.GetTransformNodeID() is None
    assert all(np.array_equal(mask, found) for mask, found in zip(expected, ground.written()))


def test_segments_on_other_voxels_than_the_volumes_are_converted(ground: Ground) -> None:
    matrix = np.diag([-1.3, -1.8, 2.5, 1.0])
    other = add_volume(ground.core.scene, (8, 12, 12), matrix, "other")
    segmentation, _ = add_segments(other, blocks((8, 12, 12)), ["liver", "spleen", "kidney"])
    for segment_id in segment_ids(segmentation):
        segment = segmentation.GetSegmentation().GetSegment(segment_id)
        segment.SetTag(segment.GetTerminologyEntryTagName(), DESCRIBED.format(value="10200004", meaning="Liver"))
    ground.segmentation = segmentation
    ground.subject = subject_of(ground.volume, segmentation)
    assert (ground.one().code, ground.one().fix) == ("E_GEOMETRY_MISMATCH", "convert")
    ground.mend()
    found = [segment_mask(ground.segmentation, each, ground.volume) for each in ground.ids]
    assert all(mask.any() for mask in found)
    assert all(np.array_equal(mask, written) for mask, written in zip(found, ground.written()))


def test_voxels_beyond_the_volume_are_counted_and_left_out(ground: Ground) -> None:
    larger = add_volume(ground.core.scene, (8, 24, 26), np.diag([-0.8, -0.9, 2.5, 1.0]), "larger")
    masks = [np.zeros((8, 24, 26), dtype=bool) for _ in range(3)]
    for number, mask in enumerate(masks):
        mask[:, 8 * number : 8 * number + 3, 15:24] = True
    segmentation, _ = add_segments(larger, masks, ["liver", "spleen", "kidney"])
    lines = ground.lines(subject_of(ground.volume, segmentation))
    assert f"{3 * 8 * 3 * 4} voxels" in lines["W_BEYOND_VOLUME"].sentence


def test_a_segment_without_terminology_is_told_with_what_its_name_suggests(ground: Ground) -> None:
    ground.set_terms(ground.ids[0], "")
    line = ground.one()
    assert (line.code, line.state, line.fix) == ("W_DEFAULT_TERMINOLOGY", "warning", "describe")
    assert "liver = Liver" in line.sentence
    ground.mend()
    assert prepare(ground.subject).segments[0].type == Code("10200004", "SCT", "Liver")


def test_a_name_that_suggests_nothing_is_written_as_tissue(ground: Ground) -> None:
    ground.set_terms(ground.ids[1], "")
    ground.segment(1).SetName("Qxyz 7")
    line = ground.one()
    assert (line.code, line.fix) == ("W_DEFAULT_TERMINOLOGY", None)
    assert "Qxyz 7" in line.sentence
    assert prepare(ground.subject).segments[1].type == Code("85756007", "SCT", "Tissue")


@pytest.mark.parametrize(
    "text", ["~SRT^T-D0050^Tissue~SRT^T-62000^Liver~^^~~^^~^^", "x~SCT^^~SCT^10200004^~~", "~^^b~"]
)
def test_codes_that_no_file_can_hold_stop_the_export_and_are_replaced(ground: Ground, text: str) -> None:
    ground.set_terms(ground.ids[0], text)
    line = ground.one()
    assert (line.code, line.state, line.fix) == ("E_TERMINOLOGY", "fails", "describe")
    ground.mend()
    assert prepare(ground.subject).segments[0].type == Code("10200004", "SCT", "Liver")


def test_broken_codes_without_a_suggestion_become_tissue(ground: Ground) -> None:
    ground.set_terms(ground.ids[0], "~SRT^T-D0050^Qxyz~SRT^X-1^Qxyz~^^~~^^~^^")
    ground.segment(0).SetName("Qxyz 7")
    assert ground.one().code == "E_TERMINOLOGY"
    mend("describe", ground.subject)
    assert set(ground.lines()) == {"W_DEFAULT_TERMINOLOGY"}


def test_empty_segments_are_left_out_and_a_segmentation_without_any_voxel_is_refused(ground: Ground) -> None:
    ground.segmentation.GetSegmentation().AddEmptySegment("nothing", "nothing")
    line = ground.one()
    assert (line.code, line.state) == ("W_EMPTY_SEGMENTS", "warning")
    assert "nothing" in line.sentence
    assert [info.label for info in prepare(ground.subject).segments] == ["liver", "spleen", "kidney"]
    empty = create_segmentation(ground.core.scene, ground.volume, "empty")
    for each in (empty, add_segments(ground.volume, [np.zeros(SHAPE, dtype=bool)], ["liver"])[0]):
        lines = ground.lines(subject_of(ground.volume, each))
        assert lines["E_EMPTY_MASK"].state == "fails" and each.GetName() in lines["E_EMPTY_MASK"].sentence


@pytest.mark.parametrize(
    ("names", "code", "state", "mended"),
    [
        (["", "spleen", " "], "E_EMPTY_LABEL", "fails", ["Organ", "spleen", "Organ 2"]),
        (["organ", "organ", "organ"], "W_DUPLICATE_LABEL", "warning", ["organ", "organ 2", "organ 3"]),
        (["x" * 70, "spleen", "ä" * 40], "W_LABEL_CHANGED", "warning", ["x" * 64, "spleen", "ä" * 32]),
        (["left\\right", "spleen", "kidney"], "W_LABEL_CHANGED", "warning", ["left/right", "spleen", "kidney"]),
        (["liver of Jane", "spleen", f"{IDENTITY} cyst"], "W_LABEL_PATIENT", "warning", ["Organ", "spleen", "Organ 2"]),
    ],
)
def test_names_that_a_file_should_not_hold_are_told_and_corrected(
    ground: Ground, names: list[str], code: str, state: str, mended: list[str]
) -> None:
    for number, name in enumerate(names):
        ground.segment(number).SetName(name)
    line = ground.one()
    assert (line.code, line.state, line.fix) == (code, state, "rename")
    ground.mend()
    assert [info.label for info in prepare(ground.subject).segments] == mended


def test_where_the_libraries_are_too_old_direct_export_says_what_it_needs_and_the_rest_is_looked_at(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAM2Lib.dicom import dependency

    monkeypatch.setattr(dependency, "_version", {"pydicom": "2.4.4"}.get)
    ground.set_terms(ground.ids[0], "")
    ground.segment(1).SetName("")
    lines = ground.lines()
    assert set(lines) == {"E_DEPENDENCY", "W_DEFAULT_TERMINOLOGY", "E_EMPTY_LABEL"}
    assert "5.12" in lines["E_DEPENDENCY"].sentence and "pip install" not in lines["E_DEPENDENCY"].sentence
    assert not ready(lines.values())
    mend("describe", ground.subject)
    mend("rename", ground.subject)
    assert set(ground.lines()) == {"E_DEPENDENCY"}


def test_without_volume_or_segmentation_there_is_nothing_to_look_at(ground: Ground) -> None:
    for subject, code in (
        (subject_of(None, ground.segmentation), "E_NO_VOLUME"),
        (subject_of(ground.volume, None), "E_NO_SEGMENTATION"),
    ):
        with pytest.raises(InputError) as refusal:
            preflight(subject)
        assert refusal.value.code == code


def test_no_database_is_like_one_that_knows_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedSAM2SlicerLib.dicom_database import can_import, file_of_instance

    monkeypatch.setattr(slicer, "dicomDatabase", None)
    assert file_of_instance("1.2.3") == "" and not can_import()
