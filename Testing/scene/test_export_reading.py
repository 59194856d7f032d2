"""A DICOM-SEG read back is a segmentation like any other: the same voxels and words, open to the session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from MedSAM2SlicerLib.export.exporting import keep_identities, prepare
from MedSAM2SlicerLib.export.hierarchy import put_under_study
from MedSAM2SlicerLib.export.preflight import preflight
from MedSAM2SlicerLib.export.reading import boxes_of, read_dicom_seg
from MedSAM2SlicerLib.export.terms import Terms, read_terms, write_terms
from MedSAM2SlicerLib.scene.grids import check_segmentation
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.scene.segment_tags import (
    ALGORITHM_NAME,
    ALGORITHM_TYPE,
    TRACKING_ID,
    TRACKING_UID,
    get_tag,
    mark_as_ours,
    set_tag,
)
from MedSAM2SlicerLib.scene.segments import segment_ids, segment_mask

from MedSAM2Lib.dicom import Code, SegExportError
from MedSAM2Lib.types import BoolArray
from SlicerHost.scene import Core
from Testing.engine.dicom_ground import flat, saved
from Testing.scene.dicom_ground import (
    SHAPE,
    add_segments,
    blocks,
    load_ct,
    oblique,
    read_by_dcmqi,
    read_by_highdicom,
    subject_of,
    write_ct,
)
from Testing.scene.ground import OBLIQUE, add_transform, add_volume, block
from Testing.scene.session_ground import MIDDLE, ORGAN, bench_on, fill

FLAT_SHAPE = (1, *SHAPE[1:])
TAGS = (ALGORITHM_TYPE, TRACKING_ID, TRACKING_UID)


def masks_of(segmentation: Any, volume: Any) -> list[BoolArray]:
    return [segment_mask(segmentation, each, volume) for each in segment_ids(segmentation)]


def segments_of(segmentation: Any) -> list[Any]:
    return [segmentation.GetSegmentation().GetSegment(each) for each in segment_ids(segmentation)]


def overlapping() -> list[BoolArray]:
    whole = block(SHAPE, slice(1, 7), slice(3, 20), slice(2, 15))
    inner = block(SHAPE, slice(2, 5), slice(6, 12), slice(5, 18))
    return [whole, inner, whole & inner]


@pytest.fixture
def volume(core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of an oblique series."""
    return load_ct(core, write_ct(tmp_path / "ct", oblique()), monkeypatch)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("masks", [blocks(SHAPE), overlapping()], ids=["apart", "overlapping"])
def test_everything_of_a_segment_comes_back_and_other_readers_see_the_same(
    volume: Any, tmp_path: Path, masks: list[BoolArray], compact: bool
) -> None:
    before, ids = add_segments(volume, masks, ["liver", "Läsion 肝", "cyst"])
    first = segments_of(before)[0]
    write_terms(first, Terms(Code("123037004", "SCT", "Anatomical Structure"), Code("10200004", "SCT", "Liver")))
    mark_as_ours(first)
    set_tag(segments_of(before)[1], ALGORITHM_TYPE, "AUTOMATIC")
    set_tag(segments_of(before)[1], ALGORITHM_NAME, "Another program")
    written = prepare(subject_of(volume, before)).run(tmp_path / "out", compact)
    keep_identities(before, ids, written.segments)
    read = read_dicom_seg(written.path, volume)
    assert read.warnings == ()
    check_segmentation(read.node, volume)
    for mask, again in zip(masks, masks_of(read.node, volume)):
        assert np.array_equal(mask, again)
    for one, other in zip(segments_of(before), segments_of(read.node)):
        assert one.GetName() == other.GetName()
        assert np.abs(np.array(one.GetColor()) - other.GetColor()).max() < 0.01
        assert [get_tag(one, name) or "MANUAL" for name in TAGS] == [get_tag(other, name) for name in TAGS]
        assert get_tag(one, ALGORITHM_NAME) == get_tag(other, ALGORITHM_NAME)
    assert read_terms(segments_of(read.node)[0]) == read_terms(first)
    for mask, found in zip(masks, read_by_highdicom(written.path, volume).values()):
        assert np.array_equal(mask, found)
    for mask, found in zip(masks, read_by_dcmqi(written.path, volume, tmp_path / "dcmqi"), strict=True):
        assert np.array_equal(mask, found)


def test_a_file_of_a_part_of_the_volume_lies_in_its_place_also_under_a_transform(volume: Any, tmp_path: Path) -> None:
    masks = [block(SHAPE, slice(3, 4), slice(5, 6), slice(7, 9))]
    before, _ = add_segments(volume, masks, ["dot"])
    path = prepare(subject_of(volume, before)).run(tmp_path / "out").path
    volume.SetAndObserveTransformNodeID(add_transform(volume.GetScene(), OBLIQUE).GetID())
    read = read_dicom_seg(path, volume)
    check_segmentation(read.node, volume)
    assert np.array_equal(masks_of(read.node, volume)[0], masks[0])


def test_boxes_of_a_label_map_are_the_smallest_that_hold_each_number() -> None:
    layer = np.zeros((6, 7, 8), dtype=np.uint16)
    layer[1, 2, 3] = layer[4, 5, 1] = 7
    layer[0:3, 0, 4:8] = 300
    boxes = boxes_of(layer)
    assert boxes == {
        7: (slice(1, 5), slice(2, 6), slice(1, 4)),
        300: (slice(0, 3), slice(0, 1), slice(4, 8)),
    }
    assert boxes_of(np.zeros((2, 2, 2), dtype=np.uint8)) == {}


def test_what_does_not_fit_is_refused_and_leaves_the_scene_as_it_was(core: Core, volume: Any, tmp_path: Path) -> None:
    before, _ = add_segments(volume, blocks(SHAPE), ["a", "b", "c"])
    path = prepare(subject_of(volume, before)).run(tmp_path / "out").path
    other = add_volume(core.scene, (6, 9, 8), np.diag([-1.1, -1.1, 1.7, 1.0]))
    text = tmp_path / "text.dcm"
    text.write_text("no DICOM")
    count = core.scene.GetNumberOfNodes()
    cases = [
        (path, other, "E_GRID"),
        (text, volume, "E_NOT_SEG"),
        (next((tmp_path / "ct").iterdir()), volume, "E_NOT_SEG"),
        (tmp_path / "absent.dcm", volume, "E_IO"),
    ]
    for file, on, code in cases:
        with pytest.raises(SegExportError) as refusal:
            read_dicom_seg(file, on)
        assert refusal.value.code == code
    assert core.scene.GetNumberOfNodes() == count


def test_a_file_of_other_images_is_read_with_a_word_about_it(
    core: Core, volume: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = add_segments(volume, blocks(SHAPE), ["a", "b", "c"])
    path = prepare(subject_of(volume, before)).run(tmp_path / "out").path
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    assert [warning.code for warning in read_dicom_seg(path, volume).warnings] == ["W_OTHER_SERIES"]


def test_a_segment_that_was_read_back_is_prompted_and_propagated_further(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = load_ct(core, write_ct(tmp_path / "ct", shape=ORGAN.shape), monkeypatch)
    fill(volume, ORGAN)
    half = ORGAN & (np.arange(ORGAN.shape[0]) < 12)[:, None, None]
    before, _ = add_segments(volume, [half], ["organ"])
    path = prepare(subject_of(volume, before)).run(tmp_path / "out").path
    node = read_dicom_seg(path, volume).node
    with bench_on(core.scene, volume, node, segment_ids(node)[0]) as bench:
        bench.click(MIDDLE)
        bench.propagate()
        assert np.array_equal(bench.voxels(), bench.expected() | half)
        assert not np.array_equal(bench.voxels(), half)
        again = prepare(subject_of(volume, node)).run(tmp_path / "out")
        assert np.array_equal(read_by_highdicom(again.path, volume)["organ"], bench.voxels())
        assert again.segments[0].algorithm_type == "SEMIAUTOMATIC"


def test_what_was_exported_stands_under_the_study_of_its_volume(core: Core, volume: Any) -> None:
    segmentation, _ = add_segments(volume, blocks(SHAPE), ["a", "b", "c"])
    (hierarchy,) = nodes_of(core.scene, "vtkMRMLSubjectHierarchyNode")
    assert not put_under_study(segmentation, volume)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    assert put_under_study(segmentation, volume)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentation)) == study


def test_the_mask_of_one_flat_image_goes_out_and_comes_back_onto_that_image_only(
    core: Core, volume: Any, tmp_path: Path
) -> None:
    picture = add_volume(core.scene, FLAT_SHAPE, np.diag([-1.0, -1.0, 1.0, 1.0]))
    mask = block(FLAT_SHAPE, slice(0, 1), slice(3, 20), slice(5, 11))
    before, _ = add_segments(picture, [mask], ["liver"])
    folder = saved([flat(Rows=FLAT_SHAPE[1], Columns=FLAT_SHAPE[2])], tmp_path / "picture")
    path = prepare(subject_of(picture, before, folder)).run(tmp_path / "out").path
    assert np.array_equal(masks_of(read_dicom_seg(path, picture).node, picture)[0], mask)
    elsewhere, _ = add_segments(volume, blocks(SHAPE), ["a", "b", "c"])
    assert preflight(subject_of(volume, elsewhere, folder))[0].code == "E_NO_FOR"
    count = core.scene.GetNumberOfNodes()
    with pytest.raises(SegExportError, match="one flat image") as refusal:
        read_dicom_seg(path, volume)
    assert refusal.value.code == "E_GRID"
    assert core.scene.GetNumberOfNodes() == count
