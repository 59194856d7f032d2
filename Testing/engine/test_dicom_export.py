"""What is written as DICOM-SEG comes back voxel for voxel, by this package, by highdicom and by dcmqi."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from MedSAM2Lib.dicom import (
    SegExportError,
    SegmentInfo,
    SourceGrid,
    check_dicom_seg,
    check_source,
    export_dicom_seg,
    import_dicom_seg,
    read_source,
)
from MedSAM2Lib.dicom.grid import snapped
from MedSAM2Lib.dicom.outside_tools import program
from Testing.engine.dicom_ground import (
    SEGMENTS,
    SHAPE,
    affine_of,
    assert_same,
    blobs,
    flat,
    image,
    masks_of,
    read_by_dcmqi,
    read_by_highdicom,
    saved,
    series,
    validity_errors,
)

needs_dcmqi = pytest.mark.skipif(program("segimage2itkimage") is None, reason="dcmqi is not installed")
needs_validator = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
KINDS = [("BINARY", "none"), ("BINARY", "deflate"), ("LABELMAP", "none"), ("LABELMAP", "deflate")]


def enhanced() -> list[Dataset]:
    """A multi-frame CT whose frames run from the last slice to the first."""
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    slices = series(ContentDate="20200304", ContentTime="101112", RescaleIntercept=0, RescaleSlope=1)
    slices = [image(**{element.keyword: element.value for element in one}) for one in slices]
    for one in slices:
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.BitsStored, one.HighBit, one.KVP, one.AcquisitionNumber = 16, 15, 120, 1
        one.PixelData = bytes(SHAPE[1] * SHAPE[2] * 2)
    made = highdicom.legacy.LegacyConvertedEnhancedCTImage(slices[::-1], generate_uid(), 4, generate_uid(), 1)
    assert float(made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient[2]) > -380
    return [made]


def jittered() -> list[Dataset]:
    rng = np.random.default_rng(0)
    slices = series()
    for one in slices:
        place = [float(value) for value in one.ImagePositionPatient]
        one.ImagePositionPatient = [round(value + shift, 6) for value, shift in zip(place, rng.uniform(-4e-3, 4e-3, 3))]
    return slices


def cropped() -> np.ndarray:
    affine = affine_of()
    affine[:3, 3] = (affine @ (2, 5, 7, 1))[:3]
    return affine


@dataclass(frozen=True)
class Case:
    """A source and a mask on some grid, and the codes of warnings to be told."""

    source: Callable[[], list[Dataset]] = series
    affine: np.ndarray = field(default_factory=affine_of)
    shape: tuple[int, int, int] = SHAPE
    warned: tuple[str, ...] = ()
    references: str = "each frame"


OBLIQUE = affine_of(spacing=(6.0, 1.3, 0.45), turn=(20, -15, 30))
DESCENDING = affine_of(spacing=(-3.0, 0.9, 0.7))
PERMUTED = affine_of()[:, [2, 0, 1, 3]]
ACCEPTED = {
    "straight": Case(),
    "oblique, anisotropic": Case(lambda: series(OBLIQUE), OBLIQUE),
    "mask from the last slice to the first": Case(
        affine=affine_of() @ np.array([[-1.0, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    ),
    "descending slices, left-handed mask": Case(lambda: series(DESCENDING), DESCENDING),
    "axes of the mask in another order": Case(affine=PERMUTED, shape=(48, 12, 40), references="none needed"),
    "enhanced multi-frame": Case(enhanced),
    "positions off by micrometres": Case(jittered),
    "cropped": Case(affine=cropped(), shape=(7, 20, 24)),
    "resampled to 1.3 mm": Case(
        affine=affine_of(spacing=(1.3, 1.3, 1.3)),
        shape=(20, 24, 22),
        warned=("W_OTHER_GRID",),
        references="none needed",
    ),
    "rotated": Case(affine=affine_of(turn=(0, 0, 25)), warned=("W_OTHER_GRID",), references="none needed"),
    "one slice": Case(lambda: series(shape=(1, *SHAPE[1:])), shape=(1, *SHAPE[1:])),
    "without optional and empty attributes": Case(
        lambda: series(
            **dict.fromkeys(
                [
                    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"),
                    *("StudyDate", "StudyTime", "ReferringPhysicianName", "SliceThickness", "SeriesNumber"),
                    *("PositionReferenceIndicator", "SpecificCharacterSet"),
                ]
            )
        )
    ),
}


@needs_dcmqi
@pytest.mark.parametrize("name", ACCEPTED)
def test_each_geometry_is_read_back_identical_by_two_other_programs(name: str, tmp_path: Path) -> None:
    case = ACCEPTED[name]
    labels = blobs(case.shape) if case.shape[0] > 3 else (blobs((6, *case.shape[1:]))[1:2] == 1)
    labels = labels.astype(np.uint8)
    source = case.source()
    grid = check_source(read_source(source))
    assert grid is not None
    written = snapped(case.affine, case.shape, grid)
    written = case.affine if written is None else written
    segments = SEGMENTS[: int(labels.max())]
    for kind, compression in KINDS if name == "straight" else [KINDS[0], KINDS[3]]:
        result = export_dicom_seg(
            source, labels, case.affine, segments, tmp_path / kind, kind=kind, compression=compression
        )
        assert tuple(one.code for one in result.warnings) == case.warned
        own = import_dicom_seg(result.path, SourceGrid(case.affine, case.shape))
        assert_same({number: own.mask(number) for number in masks_of(labels)}, masks_of(labels))
        assert_same(read_by_highdicom(result.path, written, case.shape), masks_of(labels))
        read = read_by_dcmqi(result.path, case.affine, case.shape, tmp_path / f"{kind}{compression}")
        assert_same(read, masks_of(labels))
        if case.references == "each frame":
            frames = pydicom.dcmread(result.path).PerFrameFunctionalGroupsSequence
            assert all(len(one.DerivationImageSequence[0].SourceImageSequence) == 1 for one in frames)


@needs_dcmqi
def test_overlapping_segments_come_back_each_on_its_own(tmp_path: Path) -> None:
    shape = (12, 21, 27)  # frames do not begin at whole bytes
    first = blobs(shape) == 1
    masks = {1: first, 2: np.roll(first, (1, 2, 3), (0, 1, 2)), 3: np.roll(first, 4, 0), 4: blobs(shape) == 2}
    segments = [SegmentInfo(f"part {number}", number=number) for number in masks]
    result = export_dicom_seg(series(shape=shape), masks, affine_of(), segments, tmp_path / "out")
    assert pydicom.dcmread(result.path).SegmentsOverlap == "YES"
    own = import_dicom_seg(result.path, SourceGrid(affine_of(), shape))
    assert len(own.layers) == 2
    assert_same({number: own.mask(number) for number in masks}, masks)
    assert_same(read_by_highdicom(result.path, affine_of(), shape), masks)
    assert_same(read_by_dcmqi(result.path, affine_of(), shape, tmp_path / "dcmqi"), masks)
    checks = check_dicom_seg(result.path, series(shape=shape))
    assert [one.name for one in checks if one.passed is False and one.name[:2] != "A4"] == []


def test_masks_of_layers_and_of_numbers_give_the_same_file(tmp_path: Path) -> None:
    labels = blobs()
    odd, even = np.where(labels % 2 == 1, labels, 0), np.where(labels == 2, labels, 0)
    results = [
        export_dicom_seg(series(), given, affine_of(), SEGMENTS, tmp_path)
        for given in (labels, [odd, even], masks_of(labels), labels.astype(np.int64))
    ]
    read = [import_dicom_seg(one.path, SourceGrid(affine_of(), SHAPE)) for one in results]
    for one in read:
        assert_same({number: one.mask(number) for number in (1, 2, 3)}, masks_of(labels))


def test_numbers_with_gaps_are_renumbered_and_empty_segments_left_out_unless_asked(tmp_path: Path) -> None:
    labels = np.where(blobs() == 1, 7, np.where(blobs() == 2, 300, 0)).astype(np.uint16)
    segments = [SegmentInfo("seven", number=7), SegmentInfo("nothing", number=9), SegmentInfo("more", number=300)]
    result = export_dicom_seg(series(), labels, affine_of(), segments, tmp_path)
    assert [(one.number, one.label) for one in result.segments] == [(1, "seven"), (2, "more")]
    assert result.skipped_segments == ("nothing",)
    assert "W_EMPTY_SEGMENTS" in [one.code for one in result.warnings]
    assert_same(read_by_highdicom(result.path, affine_of(), SHAPE), masks_of(np.where(labels == 300, 2, labels == 7)))
    kept = export_dicom_seg(series(), labels, affine_of(), segments, tmp_path, keep_empty=True)
    assert [one.label for one in import_dicom_seg(kept.path).segments] == ["seven", "nothing", "more"]


def test_what_a_file_says_of_its_segments_comes_back_and_identities_stay_over_exports(tmp_path: Path) -> None:
    first = export_dicom_seg(series(), blobs(), affine_of(), SEGMENTS, tmp_path)
    read = import_dicom_seg(first.path)
    assert read.segments == first.segments
    for given, one in zip(SEGMENTS, read.segments):
        assert (one.label, one.category, one.type, one.type_modifier) == (
            given.label,
            given.category,
            given.type,
            given.type_modifier,
        )
        assert (one.region, one.region_modifier, one.algorithm_type) == (
            given.region,
            given.region_modifier,
            given.algorithm_type,
        )
        assert given.rgb in (None, one.rgb)
    second = export_dicom_seg(series(), blobs(), affine_of(), read.segments, tmp_path)
    assert [one.tracking_uid for one in second.segments] == [one.tracking_uid for one in read.segments]
    assert len({one.tracking_uid for one in read.segments}) == 3
    assert first.series_instance_uid != second.series_instance_uid
    dataset = pydicom.dcmread(first.path)
    algorithm = dataset.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, bool(algorithm.AlgorithmVersion)) == ("MedSAM2Slicer", True)
    assert "SegmentationAlgorithmIdentificationSequence" not in dataset.SegmentSequence[2]
    assert dataset.SegmentSequence[0].RecommendedDisplayCIELabValue == [41661, 41167, 40792]
    assert (dataset.SeriesNumber, dataset.file_meta.TransferSyntaxUID.name) == (103, "Explicit VR Little Endian")


@pytest.mark.parametrize(
    ("label", "written", "warned"),
    [
        ("肝臓", "肝臓", []),
        ("Größe", "Größe", []),
        ("a\\b", "a/b", ["W_LABEL_CHANGED"]),
        ("x" * 80, "x" * 64, ["W_LABEL_CHANGED"]),
        ("肝" * 30, "肝" * 21, ["W_LABEL_CHANGED"]),
        ("tumour of MÜLLER", "tumour of MÜLLER", ["W_LABEL_PATIENT"]),
        ("p-0815 liver", "p-0815 liver", ["W_LABEL_PATIENT"]),
    ],
)
def test_labels_of_any_letters_fit_or_are_changed_with_a_word(
    label: str, written: str, warned: list[str], tmp_path: Path
) -> None:
    segment = SegmentInfo(label, *(SEGMENTS[0].category, SEGMENTS[0].type))
    result = export_dicom_seg(series(), blobs(count=1), affine_of(), [segment], tmp_path)
    assert [one.code for one in result.warnings] == warned
    dataset = pydicom.dcmread(result.path)
    assert dataset.SegmentSequence[0].SegmentLabel == written
    assert str(dataset.PatientName) == "Müller^Jörg"
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    if shutil.which("dciodvfy"):
        assert validity_errors(result.path) == []


FLAT = {
    "secondary capture": ("1.2.840.10008.5.1.4.1.1.7", "OT"),
    "ultrasound": ("1.2.840.10008.5.1.4.1.1.6.1", "US"),
    "computed radiography": ("1.2.840.10008.5.1.4.1.1.1", "CR"),
    "digital X-ray": ("1.2.840.10008.5.1.4.1.1.1.1", "DX"),
    "X-ray angiography": ("1.2.840.10008.5.1.4.1.1.12.1", "XA"),
    "ophthalmic": ("1.2.840.10008.5.1.4.1.1.77.1.5.1", "OP"),
}


@needs_validator
@pytest.mark.parametrize("name", FLAT)
def test_masks_of_one_flat_image_come_back_and_refer_to_it(name: str, tmp_path: Path) -> None:
    storage, modality = FLAT[name]
    source = flat(SOPClassUID=storage, Modality=modality, PixelSpacing=[0.2, 0.2], NumberOfFrames=1)
    labels = blobs()[2:3]
    overlapping = {1: labels == 1, 2: np.roll(labels == 1, 4, 2)}
    for given, kind in (
        (np.where(labels == 1, 1, 0), "BINARY"),
        (np.where(labels == 1, 1, 0), "LABELMAP"),
        (overlapping, "BINARY"),
    ):
        result = export_dicom_seg(
            source=[source], labels=given, affine_lps=None, segments=SEGMENTS[:2], out_dir=tmp_path, kind=kind
        )
        read = import_dicom_seg(result.path)
        wanted = given if isinstance(given, dict) else masks_of(given)
        assert read.affine_lps is None
        assert_same({number: read.mask(number) for number in wanted}, wanted)
        assert read.source_uids == (source.SOPInstanceUID,)
        dataset = pydicom.dcmread(result.path)
        classes = {one.value for one in dataset.iterall() if one.keyword == "ReferencedSOPClassUID"}
        assert classes == {storage}
        if kind == "BINARY":
            assert validity_errors(result.path) == []
        checks = {one.name[:2]: one.passed for one in check_dicom_seg(result.path, [source])}
        assert [checks[name] for name in ("A4", "A5", "A6")] == [True, True, True]


@needs_validator
@needs_dcmqi
def test_a_real_series_with_three_segments_passes_every_check(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ct_dicom"
    grid = check_source(read_source(folder))
    assert grid is not None
    labels = blobs(grid.shape)
    result = export_dicom_seg(folder, labels, grid.affine_lps, SEGMENTS, tmp_path / "out")
    assert validity_errors(result.path) == []
    assert_same(read_by_dcmqi(result.path, grid.affine_lps, grid.shape, tmp_path / "dcmqi"), masks_of(labels))
    assert_same(read_by_highdicom(result.path, grid.affine_lps, grid.shape), masks_of(labels))
    checks = check_dicom_seg(result.path, folder)
    assert [one.passed for one in checks] == [True] * 6, checks
    small = export_dicom_seg(folder, labels, grid.affine_lps, SEGMENTS, tmp_path / "out", compact=True)
    assert [one.passed for one in check_dicom_seg(small.path, folder)] == [True] * 6
    assert small.path.stat().st_size < result.path.stat().st_size / 20


def test_source_files_and_datasets_give_the_same(tmp_path: Path) -> None:
    folder = saved(series(), tmp_path / "ct")
    (folder / "notes.txt").write_text("no image")
    results = [
        export_dicom_seg(source, blobs(), affine_of(), SEGMENTS, folder)
        for source in (folder, sorted(folder.glob("0*.dcm")), series())
    ]
    for one in results:
        assert_same(read_by_highdicom(one.path, affine_of(), SHAPE), masks_of(blobs()))


def test_marks_outside_the_grid_are_counted_and_other_grids_are_refused(tmp_path: Path) -> None:
    result = export_dicom_seg(series(), blobs(), affine_of(), SEGMENTS, tmp_path)
    flip = np.array([[1.0, 0, 0, 0], [0, -1, 0, 30], [0, 0, 1, 5], [0, 0, 0, 1]])
    part = import_dicom_seg(result.path, SourceGrid(affine_of() @ flip, (5, 20, 30)))
    wanted = blobs()[:5, 11:31, 5:35][:, ::-1]
    assert np.array_equal(part.layers[0], wanted)
    lost = np.count_nonzero(blobs()) - np.count_nonzero(wanted)
    assert [one.code for one in part.warnings] == ["W_OUTSIDE_GRID"]
    assert str(lost) in part.warnings[0].text
    for other in (
        affine_of(turn=(0, 0, 3)),
        affine_of(origin=(-20.2, 31.25, -400.0)),
        affine_of(spacing=(3, 0.9, 0.8)),
    ):
        with pytest.raises(SegExportError) as caught:
            import_dicom_seg(result.path, SourceGrid(other, SHAPE))
        assert caught.value.code == "E_GRID"


def test_a_flat_image_goes_onto_a_grid_of_its_size_and_no_other(tmp_path: Path) -> None:
    labels = np.where(blobs()[2:3] == 1, 1, 0)
    path = export_dicom_seg([flat()], labels, None, SEGMENTS[:1], tmp_path).path
    read = import_dicom_seg(path, SourceGrid(affine_of(), (1, *SHAPE[1:])))
    assert np.array_equal(read.mask(1), labels == 1)
    assert read.affine_lps is not None and np.array_equal(read.affine_lps, affine_of())
    with pytest.raises(SegExportError, match="one flat image of 40 rows and 48 columns") as caught:
        import_dicom_seg(path, SourceGrid(affine_of(), SHAPE))
    assert caught.value.code == "E_GRID"


def test_the_background_of_a_label_map_may_have_any_number(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(
        export_dicom_seg(series(), blobs(), affine_of(), SEGMENTS, tmp_path, kind="LABELMAP").path
    )
    pixels = dataset.pixel_array.copy()
    pixels[pixels == 0] = 255
    dataset.PixelData, dataset.PixelPaddingValue = pixels.tobytes(), 255
    dataset.SegmentSequence[0].SegmentNumber = 255
    dataset.save_as(tmp_path / "other.dcm")
    read = import_dicom_seg(tmp_path / "other.dcm", SourceGrid(affine_of(), SHAPE))
    assert [one.label for one in read.segments] == [one.label for one in SEGMENTS]
    assert np.array_equal(read.layers[0], blobs())
