"""`medsam2 dicom-seg` from the command line: there and back, its refusals, and `medsam2 segment --dicom-seg`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from MedSAM2Lib.cli import main
from MedSAM2Lib.commands.dicom_seg_tags import described_by_header, described_by_name
from MedSAM2Lib.dicom import affine_lps_from, ijk_to_world_from, read_segment_file
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import PropagationRequest, SliceResult
from MedSAM2Lib.volume.io import read_volume, write_dicom_series, write_mask
from MedSAM2Lib.volume.io.labels import Segment, read_labels
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.dicom_ground import SHAPE, affine_of, assert_same, blobs, masks_of, read_by_highdicom, saved, series
from Testing.engine.phantoms import two_organs

DESCRIBED = [
    {
        "number": number,
        "label": label,
        "category": {"scheme": "SCT", "value": "123037004", "meaning": "Anatomical Structure"},
        "type": {"scheme": "SCT", "value": value, "meaning": meaning},
        "rgb": [10 * number, 100, 200],
    }
    for number, label, value, meaning in ((1, "Leber", "10200004", "Liver"), (2, "Niere", "64033007", "Kidney"))
]
DESCRIBED.append(
    {"number": 3, "label": "Rest", "algorithm_type": "MANUAL", "tracking_id": "r", "tracking_uid": "1.2.9"}
)
DESCRIBED[1].update(algorithm_type="AUTOMATIC", algorithm_name="Other", algorithm_version="7")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return saved(series(), tmp_path / "ct")


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    file = tmp_path / "segments.json"
    file.write_text(json.dumps(DESCRIBED))
    return file


def written_mask(path: Path, labels: object, names: Sequence[str] = ()) -> Path:
    array = labels if isinstance(labels, np.ndarray) else labels[0]
    write_mask(path, labels, Volume(array, ijk_to_world_from(affine_of())), names)
    return path


def dicom_seg(*arguments: object) -> int:
    return main(["dicom-seg", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize("options", [(), ("--compact",), ("--kind", "labelmap"), ("--use-study-date",)])
def test_a_mask_goes_out_and_comes_back_with_its_descriptions(
    options: tuple[str, ...], source: Path, segments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = written_mask(tmp_path / "mask.nii.gz", blobs())
    out = tmp_path / "seg"
    assert dicom_seg("export", mask, "--source", source, "--segments", segments, "--out", out, *options) == 0
    (file,) = out.iterdir()
    told = capsys.readouterr()
    assert str(file) in told.out
    assert "identical" in told.out
    assert told.err == "W_DEFAULT_TERMINOLOGY: Segment 'Rest' has no terminology: it was written as Tissue.\n"
    assert file.name == f"{pydicom.dcmread(file).SOPInstanceUID}.dcm"
    assert_same(read_by_highdicom(file, affine_of(), SHAPE), masks_of(blobs()))

    again, described = tmp_path / "again.seg.nrrd", tmp_path / "again.json"
    assert dicom_seg("import", file, "--grid", source, "--out", again, "--segments", described) == 0
    read = read_labels(again)
    assert np.array_equal(read.layers[0], blobs())
    assert read.grid is not None
    assert np.allclose(affine_lps_from(read.grid.ijk_to_world), affine_of(), atol=1e-5)
    assert [one.name for one in read.segments or []] == ["Leber", "Niere", "Rest"]
    assert b"SCT^10200004^Liver" in again.read_bytes()[:4000]
    kept = read_segment_file(described)
    assert [one.tracking_uid for one in kept][2] == "1.2.9"
    assert kept[0].rgb == (10, 100, 200)
    assert [one.algorithm and one.algorithm.name for one in kept] == ["MedSAM2Slicer", "Other", None]
    assert kept[1].algorithm is not None and kept[1].algorithm.version == "7"

    assert dicom_seg("check", out, "--source", source) == 0
    assert "FAIL" not in capsys.readouterr().out


def test_a_grid_of_other_images_is_told(
    source: Path, segments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, out = written_mask(tmp_path / "mask.nrrd", blobs()), tmp_path / "seg"
    assert dicom_seg("export", mask, "--source", source, "--segments", segments, "--out", out) == 0
    other = saved(series(SeriesInstanceUID="1.2.8"), tmp_path / "other")
    warning = "W_OTHER_SERIES: The file refers to other images than those of the grid: see that it fits.\n"
    for grid, told in ((source, ""), (mask, ""), (other, warning)):
        capsys.readouterr()
        assert dicom_seg("import", out, "--grid", grid, "--out", tmp_path / "again.seg.nrrd") == 0
        assert capsys.readouterr().err == told


def test_overlapping_segments_of_a_segmentation_file_keep_their_names(source: Path, tmp_path: Path) -> None:
    masks = [blobs() == 1, np.roll(blobs() == 1, 3, 2), blobs() == 2]
    mask = written_mask(tmp_path / "mask.seg.nrrd", masks, ["liver", "liver tumor", "rt kidney"])
    assert dicom_seg("export", mask, "--source", source, "--out", tmp_path / "seg", "--compact") == 0
    (file,) = (tmp_path / "seg").iterdir()
    dataset = pydicom.dcmread(file)
    assert dataset.SegmentationType == "BINARY"
    types = [item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for item in dataset.SegmentSequence]
    assert types == ["Liver", "Neoplasm", "Kidney"]
    assert_same(read_by_highdicom(file, affine_of(), SHAPE), dict(enumerate(masks, start=1)))
    assert dicom_seg("import", file, "--grid", source, "--out", tmp_path / "again.seg.nrrd") == 0
    read = read_labels(tmp_path / "again.seg.nrrd")
    assert [one.name for one in read.segments or []] == ["liver", "liver tumor", "rt kidney"]
    for one, wanted in zip(read.segments or [], masks):
        assert np.array_equal(read.layers[one.layer] == one.value, wanted)
    assert dicom_seg("import", file, "--out", tmp_path / "again.nii.gz") == 2


def test_codes_colours_and_identities_of_a_segmentation_file_are_kept(
    source: Path, segments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, again = written_mask(tmp_path / "mask.nrrd", blobs()), tmp_path / "again.seg.nrrd"
    places = ("--source", source, "--out")
    assert dicom_seg("export", mask, *places, tmp_path / "one", "--segments", segments) == 0
    assert dicom_seg("import", tmp_path / "one", "--grid", source, "--out", again) == 0
    assert dicom_seg("export", again, *places, tmp_path / "two") == 0
    files = [tmp_path / name / "described.json" for name in ("one", "two")]
    for file in files:
        assert dicom_seg("import", file.parent, "--out", tmp_path / "any.nrrd", "--segments", file) == 0
    first, second = map(read_segment_file, files)
    for one, other in zip(first, second):
        assert replace(one, rgb=None) == replace(other, rgb=None)
        assert np.abs(np.subtract(one.rgb, other.rgb)).max() <= 1
    assert [one.algorithm and one.algorithm.name for one in second] == ["MedSAM2Slicer", "Other", None]


def test_tags_that_say_nothing_leave_a_segment_to_the_table_and_a_copy_gets_its_own_identity() -> None:
    spleen = "TerminologyEntry:any~SCT^123037004^Anatomical Structure~SCT^78961009^Spleen~^^~any~^^~^^"
    tissue = "TerminologyEntry:any~SRT^T-D0050^Tissue~SRT^T-D0050^Tissue~^^~any~^^~^^"
    mine = f"Segmentation.Status:done|DICOM.TrackingUID:1.2.9|DICOM.TrackingID:a|{spleen}|"
    told = [
        Segment("liver", 0, 1, mine, "1 0.5 0", color_is_automatic=True),
        Segment("liver_1", 0, 2, mine, "0 0 1"),
        Segment("liver", 0, 3, tissue, "0 0 1", color_is_automatic=True),
        Segment("liver", 0, 4, "DICOM.TrackingUID:none|TerminologyEntry:any", "0 0 1"),
        Segment("thing", 0, 5, "", "no colour", color_is_automatic=True),
    ]
    found = described_by_header(told)
    assert [one.type and one.type.meaning for one in found] == ["Spleen", "Spleen", "Liver", "Liver", None]
    assert [one.tracking_uid for one in found] == ["1.2.9", None, None, None, None]
    table = described_by_name("liver", 3).rgb
    assert [one.rgb for one in found] == [(255, 128, 0), (0, 0, 255), table, (0, 0, 255), None]


def test_names_that_a_label_map_cannot_keep_are_told(
    source: Path, segments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, out = written_mask(tmp_path / "mask.nrrd", blobs()), tmp_path / "seg"
    assert dicom_seg("export", mask, "--source", source, "--segments", segments, "--out", out) == 0
    for name, more, notes in (("a.nii.gz", (), 1), ("b.seg.nrrd", (), 0), ("c.nrrd", ("--segments", "d.json"), 0)):
        more = tuple(str(tmp_path / one) if one.endswith(".json") else one for one in more)
        capsys.readouterr()
        assert dicom_seg("import", out, "--out", tmp_path / name, *more) == 0
        told = capsys.readouterr().err
        assert told.count("note: ") == told.count(".seg.nrrd") == notes


def test_one_slice_stands_for_its_series(source: Path, segments: Path, tmp_path: Path) -> None:
    mask, out = written_mask(tmp_path / "mask.nrrd", blobs()), tmp_path / "seg"
    saved(series(SeriesInstanceUID="1.2.8"), tmp_path / "both")
    for path in source.iterdir():
        path.rename(tmp_path / "both" / f"other_{path.name}")
    one = tmp_path / "both" / "other_0003.dcm"
    assert dicom_seg("export", mask, "--source", one, "--segments", segments, "--out", out) == 0
    (file,) = out.iterdir()
    (referred,) = pydicom.dcmread(file).ReferencedSeriesSequence
    assert referred.SeriesInstanceUID == pydicom.dcmread(one).SeriesInstanceUID
    assert len({uid.ReferencedSOPInstanceUID for uid in referred.ReferencedInstanceSequence}) > 1
    assert dicom_seg("check", file, "--source", one) == 0


def test_a_mask_without_a_place_lies_on_the_source_and_its_own_grid_is_the_smallest(
    source: Path, segments: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "mask.npy", blobs())
    out = tmp_path / "seg"
    assert dicom_seg("export", tmp_path / "mask.npy", "--source", source, "--segments", segments, "--out", out) == 0
    (file,) = out.iterdir()
    assert_same(read_by_highdicom(file, affine_of(), SHAPE), masks_of(blobs()))
    assert dicom_seg("import", file, "--out", tmp_path / "own.nrrd") == 0
    own = read_volume(tmp_path / "own.nrrd")
    first, last = np.flatnonzero(blobs().any(axis=(1, 2)))[[0, -1]]
    assert np.array_equal(own.array, blobs()[first : last + 1])
    assert dicom_seg("import", file, "--grid", tmp_path / "own.nrrd", "--out", tmp_path / "on_it.nrrd") == 0
    assert np.array_equal(read_volume(tmp_path / "on_it.nrrd").array, own.array)


def test_a_check_that_fails_is_named_with_exit_code_one(
    source: Path, segments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = written_mask(tmp_path / "mask.nrrd", blobs())
    out = tmp_path / "seg"
    assert dicom_seg("export", mask, "--source", source, "--segments", segments, "--out", out) == 0
    (file,) = out.iterdir()
    dataset = pydicom.dcmread(file)
    dataset.PatientID = "someone else"
    del dataset.SegmentSequence[1].TrackingUID
    del dataset.ContentLabel
    dataset.save_as(file)
    capsys.readouterr()
    assert dicom_seg("check", file, "--source", source) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert "FAIL  A4 identity of the source: PatientID differs" in lines
    assert "FAIL  A5 segments described: segment 2 has no TrackingUID" in lines
    assert "FAIL  A6 mandatory attributes: ContentLabel is missing" in lines


def refused(code: str, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
    capsys.readouterr()
    assert dicom_seg(*arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"{code}: ")
    assert told.err.count("\n") == 1


def test_refusals_are_one_line_with_the_code_and_write_nothing(
    source: Path, segments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, out = written_mask(tmp_path / "mask.nrrd", blobs()), tmp_path / "seg"
    others = ("--segments", segments, "--out", out)
    halves = tmp_path / "halves.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(blobs() * np.float32(0.5)), str(halves))
    none = tmp_path / "nan.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.full(SHAPE, np.nan, dtype=np.float32)), str(none))
    np.save(tmp_path / "small.npy", blobs()[1:])
    refused("E_NO_SOURCE", capsys, "export", mask, "--source", tmp_path / "nowhere", *others)
    refused("E_NO_SOURCE", capsys, "export", mask, "--source", source, "--series", "1.7", *others)
    refused("E_MASK_TYPE", capsys, "export", halves, "--source", source, *others)
    refused("E_MASK_TYPE", capsys, "export", tmp_path, "--source", source, *others)
    refused("E_MASK_TYPE", capsys, "export", none, "--source", source, *others)
    refused("E_OUTSIDE", capsys, "export", tmp_path / "small.npy", "--source", source, *others)
    refused("E_UNDESCRIBED_LABEL", capsys, "export", mask, "--source", source, "--out", out)
    refused("E_IO", capsys, "export", mask, "--source", source, "--segments", segments, "--out", mask)
    refused("E_NOT_SEG", capsys, "import", source / "0000.dcm", "--out", tmp_path / "again.nrrd")
    refused("E_NOT_SEG", capsys, "check", source, "--source", source)
    saved(series(SeriesInstanceUID="1.2.8"), tmp_path / "two")
    for path in source.iterdir():
        path.rename(tmp_path / "two" / f"other_{path.name}")
    refused("E_MIXED_SERIES", capsys, "export", mask, "--source", tmp_path / "two", *others)
    assert not out.exists()
    assert not (tmp_path / "again.nrrd").exists()
    assert dicom_seg("export", mask, "--source", tmp_path / "two", "--series", "1.2.8", *others) == 0


@pytest.mark.parametrize(
    ("options", "kind"), [((), "LABELMAP"), (("--kind", "binary"), "BINARY"), (("--kind", "labelmap"), "LABELMAP")]
)
def test_a_kind_that_is_asked_for_is_kept_when_it_is_compact(
    options: Sequence[str], kind: str, source: Path, segments: Path, tmp_path: Path
) -> None:
    mask, out = written_mask(tmp_path / "mask.nrrd", blobs()), tmp_path / "seg"
    places = ("--source", source, "--segments", segments, "--out", out)
    assert dicom_seg("export", mask, *places, "--compact", *options) == 0
    (file,) = out.iterdir()
    dataset = pydicom.dcmread(file)
    assert (dataset.SegmentationType, dataset.file_meta.TransferSyntaxUID.name[:8]) == (kind, "Deflated")


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        ("{", "E_SEGMENTS_FILE", "no JSON"),
        ("[]", "E_SEGMENTS_FILE", "list"),
        ('[{"number": 0, "label": "a"}]', "E_SEGMENTS_FILE", "number from 1"),
        ('[{"number": 1, "label": "a", "colour": 1}]', "E_SEGMENTS_FILE", "colour"),
        ('[{"number": 1, "label": "a", "rgb": [0, 0, 256]}]', "E_SEGMENTS_FILE", "0 to 255"),
        ('[{"number": 1, "label": 5}]', "E_SEGMENTS_FILE", "no text"),
        ('[{"number": 1}]', "E_EMPTY_LABEL", "Segment 1"),
        ('[{"number": 1, "label": "a\\ud800"}]', "E_SEGMENTS_FILE", "surrogates"),
        ('[{"number": 1, "label": "a", "algorithm_name": 5}]', "E_SEGMENTS_FILE", "algorithm of segment 'a'"),
        ('[{"number": 1, "label": "a", "tracking_uid": 12}]', "E_TRACKING", "UID of segment 'a'"),
        ('[{"number": 1, "label": "a", "type": {"value": "1", "scheme": "SCT"}}]', "E_TERMINOLOGY", "type of segment"),
    ],
)
def test_a_bad_file_of_segments_is_refused(
    content: str, code: str, told: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content)
    mask = written_mask(tmp_path / "mask.nrrd", blobs(count=1))
    refused_arguments = ("export", mask, "--source", source, "--segments", file, "--out", tmp_path / "seg")
    capsys.readouterr()
    assert dicom_seg(*refused_arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{code}: ")
    assert told in error
    assert not (tmp_path / "seg").exists()


def test_segment_writes_the_object_as_dicom_seg_beside_its_mask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array, _ = two_organs()
    volume = Volume.from_array(array.astype(np.int16), (1.2, 1.2, 2.0), name="ct")
    write_dicom_series(tmp_path / "ct", volume)
    prompt = ("--object", "liver", "--point", "11,14,10", "--orientations", "1", "--device", "cpu")
    mask, out = tmp_path / "mask.nrrd", tmp_path / "seg"
    assert main(["segment", str(tmp_path / "ct"), *prompt, "--out", str(mask), "--dicom-seg", str(out)]) == 0
    (file,) = out.iterdir()
    assert str(file) in capsys.readouterr().out
    written = read_volume(mask)
    read = read_by_highdicom(file, affine_lps_from(written.ijk_to_world), written.shape)
    assert_same(read, masks_of(written.array))
    item = pydicom.dcmread(file).SegmentSequence[0]
    assert (item.SegmentLabel, item.SegmentAlgorithmType) == ("liver", "SEMIAUTOMATIC")
    assert item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Liver"

    other, described = tmp_path / "other.nrrd", tmp_path / "described.json"
    described.write_text("[]")
    for volume_file, more, told in (
        (mask, (), "no DICOM series"),
        (tmp_path / "ct", ("--segments", str(tmp_path / "nothing.json")), "nothing.json"),
        (tmp_path / "ct", ("--segments", str(described), "--report", str(described)), "would be lost"),
    ):
        asked = ["segment", str(volume_file), *prompt, "--out", str(other), "--dicom-seg", str(tmp_path / "no"), *more]
        assert main(asked) == 2
        assert told in capsys.readouterr().err
    assert described.read_text() == "[]"
    assert not other.exists()
    assert not (tmp_path / "no").exists()


def test_an_interrupted_run_writes_no_dicom_seg_and_says_how_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TrackingSession.propagate

    def cut_short(session: TrackingSession, request: PropagationRequest) -> Iterator[SliceResult]:
        yield next(iter(real(session, request)))
        raise KeyboardInterrupt

    monkeypatch.setattr(TrackingSession, "propagate", cut_short)
    array, _ = two_organs()
    write_dicom_series(tmp_path / "the ct", Volume.from_array(array.astype(np.int16), (1.2, 1.2, 2.0), name="ct"))
    prompt = ("--object", "liver", "--point", "11,14,10", "--orientations", "1", "--device", "cpu")
    mask, out = tmp_path / "mask.seg.nrrd", tmp_path / "seg"
    asked = ["segment", str(tmp_path / "the ct"), *prompt, "--series", "1", "--out", str(mask), "--dicom-seg", str(out)]
    assert main(asked) == 130
    assert mask.exists()
    assert not out.exists()
    (line,) = (one for one in capsys.readouterr().err.splitlines() if "no DICOM-SEG was written" in one)
    assert main(shlex.split(line[line.index("medsam2 ") :])[1:]) == 0
    (file,) = out.iterdir()
    assert pydicom.dcmread(file).SegmentSequence[0].SegmentLabel == "liver"
