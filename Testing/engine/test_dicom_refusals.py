"""Every reason not to write a DICOM-SEG: its code, a sentence with the measures, and nothing left on the disk."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from MedSAM2Lib.dicom import (
    AlgorithmInfo,
    Code,
    SegExportError,
    SegmentInfo,
    check_transform,
    dependency,
    export_dicom_seg,
    exporting,
    import_dicom_seg,
    source_files,
    writing,
)
from Testing.engine.dicom_ground import ANATOMY, LIVER, SEGMENTS, SHAPE, affine_of, blobs, flat, image, series

LISTED = {
    *("E_NO_SOURCE", "E_SOURCE_UID", "E_MIXED_SERIES", "E_MIXED_FOR", "E_FOR_MISMATCH", "E_MIXED_ORIENTATION"),
    *("E_DUPLICATE_POSITION", "E_NONUNIFORM", "E_TILT", "E_TRANSFORM", "E_OUTSIDE", "E_EMPTY_MASK"),
    *("E_UNDESCRIBED_LABEL", "E_OVERLAP", "E_TOO_MANY", "E_EMPTY_LABEL", "E_TERMINOLOGY", "E_ALGORITHM"),
    *("E_MASK_TYPE", "E_NO_FOR", "E_2D_MULTIFRAME", "E_IO", "E_DEPENDENCY"),
}
"""The codes that were agreed on; W_DEFAULT_TERMINOLOGY is a warning."""


def export(folder: Path, source: object = None, labels: object = None, **others: object) -> object:
    """An export that would work, with parts replaced."""
    given = {"affine_lps": affine_of(), "segments": SEGMENTS, **others}
    return export_dicom_seg(
        series() if source is None else source,
        blobs() if labels is None else labels,
        out_dir=given.pop("out_dir", folder / "out"),
        **given,
    )


def changed(change: Callable[[int, Dataset], None]) -> list[Dataset]:
    slices = series()
    for index, one in enumerate(slices):
        change(index, one)
    return slices


def moved(index: int, one: Dataset, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
    place = [float(value) for value in one.ImagePositionPatient]
    one.ImagePositionPatient = [round(value + step, 6) for value, step in zip(place, (x, y, z))]


def tilted(index: int, one: Dataset) -> None:
    moved(index, one, y=3.0 * index * np.tan(np.radians(15)))


def uneven(index: int, one: Dataset) -> None:
    moved(index, one, z=0.2 * (index > 5))


def scout(index: int, one: Dataset) -> None:
    if index == 4:
        one.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def beside(index: int, one: Dataset) -> None:
    if index == 4:
        moved(index, one, x=0.5)


def named(name: str, value: str, where: int = 3) -> list[Dataset]:
    def change(index: int, one: Dataset) -> None:
        if index == where:
            setattr(one, name, value)

    return changed(change)


def unsized(index: int, one: Dataset) -> None:
    del one.PixelSpacing


SHEAR = np.zeros((4, 4))
SHEAR[1, 2] = 0.1


def frames(count: int, **values: object) -> list[Dataset]:
    return [flat(Modality="XA", SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1", NumberOfFrames=count, **values)]


def overlapping() -> dict[int, np.ndarray]:
    first = blobs() == 1
    return {1: first, 2: np.roll(first, 2, 2)}


def taken_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "generate_uid", lambda prefix: "2.25.7")
    (folder / "out").mkdir()
    (folder / "out" / "2.25.7.dcm").write_bytes(b"mine")
    export(folder)


def full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(dataset: Dataset, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting, "save", save)
    export(folder)


def spoilt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = writing.built

    def shifted(source: object, layers: object, affine: np.ndarray, *others: object) -> Dataset:
        away = affine.copy()
        away[:3, 3] += affine[:3, 2]
        return built(source, layers, away, *others)

    monkeypatch.setattr(writing, "built", shifted)
    export(folder)


def without(package: str, version: str | None) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = dependency._version
        monkeypatch.setattr(dependency, "_version", lambda name: version if name == package else real(name))
        export(folder)

    return run


def in_the_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("in the way")
    export(folder, out_dir=folder / "file")


Refusal = tuple[str, str, Callable[[Path, pytest.MonkeyPatch], object], str]


def plain(code: str, name: str, told: str, **given: object) -> Refusal:
    """A refusal of one bad argument; functions are called first."""

    def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        export(folder, **{key: value() if callable(value) else value for key, value in given.items()})

    return code, name, run, told


def segment(**values: object) -> list[SegmentInfo]:
    return [SegmentInfo(**{"label": "liver", "category": ANATOMY, "type": LIVER, **values}), *SEGMENTS[1:]]


REFUSALS: list[Refusal] = [
    plain("E_NO_SOURCE", "no images", "no DICOM image", source=list),
    plain("E_NO_SOURCE", "no such folder", "nowhere", source=lambda: Path("nowhere")),
    plain("E_NO_SOURCE", "only other objects", "no DICOM image", source=lambda: [image(Modality="SEG")]),
    ("E_NO_SOURCE", "not loaded from DICOM", lambda f, m: source_files([], str, "CT"), "CT"),
    ("E_NO_SOURCE", "unknown", lambda f, m: source_files(["1.2", "Unknown"], lambda uid: __file__, "CT"), "1 of 2"),
    *(
        plain("E_SOURCE_UID", f"{name} blank", f"{name} is empty in 1 of 12", source=lambda name=name: named(name, ""))
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
    ),
    plain("E_MIXED_SERIES", "two series", "11 images of 1.2.3.4", source=lambda: named("SeriesInstanceUID", "1.9")),
    plain("E_MIXED_FOR", "two frames of reference", "1.9", source=lambda: named("FrameOfReferenceUID", "1.9")),
    plain("E_FOR_MISMATCH", "mask elsewhere", "1.9", frame_of_reference_uid="1.9"),
    plain("E_MIXED_ORIENTATION", "a scout", "1 of 12 are turned", source=lambda: changed(scout)),
    plain("E_MIXED_ORIENTATION", "another size", "2 sizes", source=lambda: named("Rows", 7)),
    plain("E_DUPLICATE_POSITION", "two time points", "12 of the source", source=lambda: [*series(), *series()]),
    plain(
        "E_NONUNIFORM",
        "a slice missing",
        "3.000 to 6.000 mm (about 1 missing)",
        source=lambda: [*series()[:5], *series()[6:]],
    ),
    plain("E_NONUNIFORM", "uneven", "3.000 to 3.200 mm", source=lambda: changed(uneven)),
    plain("E_NONUNIFORM", "one beside", "0.71 voxels beside", source=lambda: changed(beside)),
    plain("E_TILT", "gantry tilt", "15.00 degrees", source=lambda: changed(tilted)),
    ("E_TRANSFORM", "moved", lambda f, m: check_transform(np.diag([1, 1, 1.1, 1]), "CT"), "CT"),
    ("E_TRANSFORM", "a grid transform", lambda f, m: check_transform(np.full((4, 4), np.nan), "CT"), "CT"),
    plain("E_OUTSIDE", "far away", "outside", affine_lps=affine_of(origin=(500, 0, 0))),
    plain("E_OUTSIDE", "above", "outside", affine_lps=affine_of(origin=(-20.5, 31.25, -364.0))),
    plain("E_EMPTY_MASK", "no voxel", "at least one", labels=lambda: np.zeros(SHAPE, dtype=np.uint8)),
    plain("E_EMPTY_MASK", "no mask", "at least one", labels=dict),
    plain("E_UNDESCRIBED_LABEL", "two of three", "label 3", segments=SEGMENTS[:2]),
    plain(
        "E_UNDESCRIBED_LABEL", "a number twice", "2 is given", segments=[SegmentInfo("a", number=2), SegmentInfo("b")]
    ),
    plain("E_OVERLAP", "in a label map", "BINARY", labels=overlapping, kind="LABELMAP"),
    plain("E_TOO_MANY", "65536", "65536", segments=[SegmentInfo("a")] * 65536),
    plain("E_EMPTY_LABEL", "blank", "Segment 1", segments=segment(label="  ")),
    plain("E_TERMINOLOGY", "no type", "type of segment 'liver' is missing", segments=segment(type=None)),
    plain("E_TERMINOLOGY", "no value", "lacks", segments=segment(type=Code("", "SCT", "Liver"))),
    plain("E_TERMINOLOGY", "retired scheme", "SRT", segments=segment(type=Code("T-62000", "SRT", "Liver"))),
    plain("E_TERMINOLOGY", "long value", "16 letters", segments=segment(region=Code("1" * 17, "SCT", "Liver"))),
    plain("E_TERMINOLOGY", "backslash", "backslash", segments=segment(region=Code("1", "SCT", "a\\b"))),
    plain("E_TERMINOLOGY", "no category", "category of segment 'liver' is missing", segments=segment(category=None)),
    plain("E_EMPTY_LABEL", "nothing that can be seen", "Segment 1", segments=segment(label="\x01 \x7f")),
    plain("E_TRACKING", "no UID", "tracking UID of segment 'liver'", segments=segment(tracking_uid="lesion 1")),
    plain("E_TRACKING", "a long UID", "at most 64", segments=segment(tracking_uid="1." + "2" * 63)),
    plain("E_TRACKING", "a number", "tracking ID of segment 'liver'", segments=segment(tracking_id=5)),
    plain(
        "E_TRACKING",
        "of two segments",
        "UID of segment 'b' is that of another",
        segments=[SegmentInfo("a", tracking_uid="1.2"), SegmentInfo("b", tracking_uid="1.2")],
    ),
    plain("E_TRACKING", "two values", "backslash", segments=segment(tracking_id="a\\b")),
    plain("E_TEXT", "a long description", "series description", series_description="x" * 65),
    plain("E_TEXT", "two creators", "content creator", content_creator="Roe^Richard\\Doe^Jane"),
    plain("E_SOURCE_HEADER", "a date", "StudyDate", source=lambda: series(StudyDate="some day")),
    plain("E_SOURCE_HEADER", "a sex", "PatientSex", source=lambda: series(PatientSex="W")),
    plain("E_SOURCE_HEADER", "no rows", "Rows is missing in 12 of 12", source=lambda: series(Rows=None)),
    plain("E_SOURCE_HEADER", "no columns in one", "Columns is missing in 1", source=lambda: named("Columns", None)),
    plain("E_SOURCE_HEADER", "no size of pixels", "PixelSpacing", source=lambda: changed(unsized)),
    plain("E_GRID", "a sheared mask", "sheared", affine_lps=affine_of() + SHEAR),
    plain("E_ALGORITHM", "no version", "version", algorithm=AlgorithmInfo("MedSAM2", "")),
    plain("E_ALGORITHM", "unknown type", "MAGIC", segments=segment(algorithm_type="MAGIC")),
    plain("E_MASK_TYPE", "fractions", "float64", labels=lambda: blobs() * 0.5),
    plain("E_MASK_TYPE", "no numbers", "float64", labels=lambda: np.full(SHAPE, np.nan)),
    plain("E_MASK_TYPE", "negative", "-1", labels=lambda: blobs().astype(np.int16) - 1),
    plain("E_MASK_TYPE", "four dimensions", "4 dimensions", labels=lambda: blobs()[None]),
    plain("E_NO_FOR", "images without places", "2 source images", source=lambda: [flat(), flat()]),
    plain("E_NO_FOR", "another size", "40 rows and 48 columns", source=lambda: [flat()], labels=lambda: blobs()[:, 1:]),
    plain("E_2D_MULTIFRAME", "a film", "20 frames", source=lambda: frames(20)),
    ("E_IO", "a name that is taken", taken_name, "2.25.7.dcm"),
    ("E_IO", "a full disk", full_disk, "No space left"),
    ("E_IO", "a file in the way", in_the_way, "not a folder"),
    plain("E_IO", "no such folder", "not a folder", out_dir=Path("nowhere/at/all")),
    ("E_DEPENDENCY", "no highdicom", without("highdicom", None), "highdicom 0.27 or newer, and it is not installed"),
    ("E_DEPENDENCY", "an old pydicom", without("pydicom", "2.4.4"), "2.4.4 is installed"),
    ("E_VERIFY", "another mask in the file", spoilt, "not the same"),
]


@pytest.mark.parametrize(("code", "name", "run", "told"), REFUSALS, ids=[f"{one[0]}: {one[1]}" for one in REFUSALS])
def test_a_refusal_has_its_code_and_a_sentence_and_leaves_nothing(
    code: str,
    name: str,
    run: Callable[[Path, pytest.MonkeyPatch], object],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SegExportError) as caught:
        run(tmp_path, monkeypatch)
    assert caught.value.code == code
    assert told in str(caught.value)
    assert ":" in str(caught.value) or code == "E_EMPTY_MASK"
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in ("file", "2.25.7.dcm")]
    assert left == []
    if name == "a name that is taken":
        assert (tmp_path / "out" / "2.25.7.dcm").read_bytes() == b"mine"
    elif name != "a file in the way":
        assert not (tmp_path / "out").exists()


def test_every_code_that_was_agreed_on_is_provoked() -> None:
    assert {one[0] for one in REFUSALS} >= LISTED


def test_missing_terminology_is_a_warning(tmp_path: Path) -> None:
    result = export(tmp_path, labels=blobs(count=1), segments=[SegmentInfo("thing")])
    assert [one.code for one in result.warnings] == ["W_DEFAULT_TERMINOLOGY"]
    assert "thing" in str(result.warnings[0])
    assert result.segments[0].type == Code("85756007", "SCT", "Tissue")


def test_the_published_series_with_blank_identifiers_is_refused(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(SegExportError) as caught:
        export(tmp_path, source=shared_data / "ct_dicom_as_published")
    assert caught.value.code == "E_SOURCE_UID"
    assert "20 of 20" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_half_outside_the_source_is_kept_whole(tmp_path: Path) -> None:
    affine = affine_of()
    affine[:3, 3] = (affine @ (-4, 0, 0, 1))[:3]
    result = export(tmp_path, affine_lps=affine)
    read = import_dicom_seg(result.path)
    assert sum(np.count_nonzero(read.mask(number)) for number in (1, 2, 3)) == np.count_nonzero(blobs())


def test_other_files_are_no_dicom_seg(tmp_path: Path) -> None:
    from Testing.engine.dicom_ground import saved

    saved(series()[:1], tmp_path)
    (tmp_path / "text").write_text("text")
    for name, code in (("0000.dcm", "E_NOT_SEG"), ("text", "E_NOT_SEG"), ("nothing", "E_IO")):
        with pytest.raises(SegExportError) as caught:
            import_dicom_seg(tmp_path / name)
        assert caught.value.code == code


def test_a_damaged_dicom_seg_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    path = export(tmp_path).path
    whole = path.read_bytes()
    half = tmp_path / "half.dcm"
    half.write_bytes(whole[: len(whole) - 100])
    cases = [(half, "pixels are missing")]
    for name in ("SegmentSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        dataset = pydicom.dcmread(path)
        delattr(dataset, name)
        dataset.save_as(tmp_path / f"{name}.dcm")
        cases.append((tmp_path / f"{name}.dcm", name))
    dataset = pydicom.dcmread(path)
    del dataset.SegmentSequence[2]
    dataset.save_as(tmp_path / "two.dcm")
    map_path = export(tmp_path, kind="LABELMAP").path
    dataset = pydicom.dcmread(map_path)
    del dataset.SegmentSequence[3]
    dataset.save_as(tmp_path / "two_of_map.dcm")
    cases += [(tmp_path / "two.dcm", "segment 3"), (tmp_path / "two_of_map.dcm", "segment 3")]
    for file, told in cases:
        with pytest.raises(SegExportError) as caught:
            import_dicom_seg(file)
        assert caught.value.code == "E_NOT_SEG"
        assert told in str(caught.value)


def test_patients_names_in_other_texts_than_labels_are_told(tmp_path: Path) -> None:
    segments = [SegmentInfo("liver", ANATOMY, LIVER, tracking_id="P-0815 lesion"), *SEGMENTS[1:]]
    result = export(tmp_path, segments=segments, series_description="CT of Müller")
    assert {one.code for one in result.warnings} == {"W_TRACKING_PATIENT", "W_DESCRIPTION_PATIENT"}


def test_a_series_of_negative_number_and_of_pixels_sized_at_the_detector_is_written(tmp_path: Path) -> None:
    slices = changed(unsized)
    for one in slices:
        one.ImagerPixelSpacing, one.SeriesNumber = [0.9, 0.7], -200
    dataset = pydicom.dcmread(export(tmp_path, source=slices).path)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [0.9, 0.7]
    assert dataset.SeriesNumber == 100
