"""DICOM series: ours, pydicom's and a real one come back; what is no regular stack is refused with its millimetres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian

from MedSAM2Lib.errors import OutputError, VolumeError
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.io import list_dicom_series, read_volume, write_dicom_series
from MedSAM2Lib.volume.volume import Volume

STEEP = np.deg2rad(25)
LYING = np.array([[1, 0, 0], [0, np.cos(STEEP), -np.sin(STEEP)], [0, np.sin(STEEP), np.cos(STEEP)]])
DIRECTIONS = {"straight": np.eye(3), "oblique": LYING, "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])}

Change = Callable[[int, FileDataset], None]


def ct(direction: np.ndarray | None = None, slices: int = 6) -> Volume:
    array = np.random.default_rng(0).integers(-1024, 2000, (slices, 9, 8)).astype(np.int16)
    return Volume.from_array(array, (0.7, 0.9, 3.0), (10.5, -20.25, 33.125), direction, "phantom")


def series(folder: Path, change: Change = lambda index, slice_: None, slices: int = 6) -> Path:
    """A series of our writer, its files changed one by one by pydicom."""
    for index, path in enumerate(write_dicom_series(folder, ct(slices=slices))):
        dataset = pydicom.dcmread(path)
        change(index, dataset)
        dataset.save_as(path)
    return folder


def move(dataset: FileDataset, x: float = 0, y: float = 0, z: float = 0) -> None:
    place = [float(value) for value in dataset.ImagePositionPatient]
    dataset.ImagePositionPatient = [round(value + step, 4) for value, step in zip(place, (x, y, z))]


def refusal_of(path: Path, code: str, chosen: str | None = None) -> str:
    with pytest.raises(VolumeError) as refusal:
        read_volume(path, chosen)
    assert refusal.value.code == code
    return str(refusal.value)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_written_series_comes_back(tmp_path: Path, direction: str) -> None:
    volume = ct(DIRECTIONS[direction])
    write_dicom_series(tmp_path / "ct", volume)
    again = read_volume(tmp_path / "ct")
    assert np.array_equal(again.array, volume.array)
    assert np.allclose(again.ijk_to_world, volume.ijk_to_world, atol=1e-5)
    assert again.name == "ct"


def test_a_left_handed_volume_comes_back_from_its_other_end(tmp_path: Path) -> None:
    volume = ct(np.diag([1.0, 1.0, -1.0]))
    write_dicom_series(tmp_path, volume)
    again = read_volume(tmp_path)
    assert np.array_equal(again.array, volume.array[::-1])
    assert np.allclose(again.ijk_to_world @ (0, 0, 5, 1), volume.ijk_to_world @ (0, 0, 0, 1))


def test_written_files_are_ct_slices_with_the_window_and_names_given(tmp_path: Path) -> None:
    paths = write_dicom_series(
        tmp_path,
        ct(),
        patient_name="Doe^Jane",
        patient_id="7",
        series_description="Thin",
        window=Window(-160, 240),
        seed=3,
    )
    slices = [pydicom.dcmread(path) for path in paths]
    assert [one.InstanceNumber for one in slices] == [1, 2, 3, 4, 5, 6]
    assert {one.SOPClassUID.name for one in slices} == {"CT Image Storage"}
    assert len({one.SOPInstanceUID for one in slices}) == 6
    assert len({(one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID) for one in slices}) == 1
    first = slices[0]
    assert (first.PatientName, first.PatientID, first.SeriesDescription, first.Modality) == (
        "Doe^Jane",
        "7",
        "Thin",
        "CT",
    )
    assert (first.WindowCenter, first.WindowWidth, first.RescaleSlope, first.RescaleIntercept) == (40, 400, 1, -1024)
    assert np.array_equal(first.pixel_array.astype(int) - 1024, ct().array[0])
    assert all(len(uid) <= 64 for uid in (first.SOPInstanceUID, first.StudyInstanceUID))


def test_the_same_seed_writes_the_same_files_and_another_other_identifiers(tmp_path: Path) -> None:
    first, again, other = (
        write_dicom_series(tmp_path / name, ct(), seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert pydicom.dcmread(first[0]).SeriesInstanceUID != pydicom.dcmread(other[0]).SeriesInstanceUID


@pytest.mark.parametrize("value", [40000, -40000, 0.5, float("nan")])
def test_values_that_ct_slices_cannot_hold_are_refused(tmp_path: Path, value: float) -> None:
    array = np.zeros((2, 3, 4))
    array[1, 1, 1] = value
    with pytest.raises(VolumeError, match="whole numbers from -32768 to 31743") as refusal:
        write_dicom_series(tmp_path / "ct", Volume.from_array(array))
    assert refusal.value.code == "E_DICOM_VALUES"
    assert not (tmp_path / "ct").exists()


def test_the_extreme_values_come_back(tmp_path: Path) -> None:
    array = np.array([[[-32768, 31743], [0, -1024]]], dtype=np.int16)
    write_dicom_series(tmp_path, Volume.from_array(array))
    assert np.array_equal(read_volume(tmp_path).array, array)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file") as refusal:
        write_dicom_series(tmp_path / "file" / "ct", ct())
    assert refusal.value.code == "E_OUT_FOLDER"


def test_names_of_files_say_nothing_of_their_order_and_strangers_are_passed_over(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct")
    for index, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"IM{(index * 5) % 6}")
    (folder / "notes.txt").write_text("read me")
    (folder / ".DS_Store").write_bytes(bytes(range(256)) * 20)
    (folder / "empty").touch()
    (folder / "inner").mkdir()
    assert np.array_equal(read_volume(folder).array, ct().array)


def test_one_file_stands_for_its_series(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct")
    write_dicom_series(tmp_path / "other", ct(slices=2), seed=5)
    for path in (tmp_path / "other").iterdir():
        path.rename(folder / f"other_{path.name}")
    assert read_volume(folder / "slice_0003.dcm").shape == (6, 9, 8)
    assert read_volume(folder / "other_slice_0001.dcm").shape == (2, 9, 8)


def test_one_slice_is_as_thick_as_it_says(tmp_path: Path) -> None:
    write_dicom_series(tmp_path, ct(slices=1))
    assert read_volume(tmp_path).spacing == pytest.approx((0.7, 0.9, 3.0))


def test_slope_and_intercept_are_applied_slice_by_slice(tmp_path: Path) -> None:
    def rescale(index: int, dataset: FileDataset) -> None:
        dataset.RescaleSlope = "1" if index == 0 else "0.25"

    volume = read_volume(series(tmp_path, rescale))
    stored = ct().array.astype(float) + 1024
    expected = stored * np.array([1, *[0.25] * 5])[:, None, None] - 1024
    assert np.allclose(volume.array, expected)


def two_series(folder: Path) -> tuple[Path, str]:
    def second(index: int, dataset: FileDataset) -> None:
        dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.SeriesDescription = "1.2.3", 2, "Scout"

    series(folder)
    for path in series(folder.with_name("second"), second, slices=3).iterdir():
        path.rename(folder / f"second_{path.name}")
    return folder, "1.2.3"


def test_several_series_are_listed_and_one_is_read_by_number_or_uid(tmp_path: Path) -> None:
    folder, uid = two_series(tmp_path / "both")
    sentence = refusal_of(folder, "E_DICOM_SERIES")
    assert "1: CT 'Phantom', 6 files" in sentence
    assert f"2: CT 'Scout', 3 files, UID {uid}" in sentence
    listed = list_dicom_series(folder)
    assert [(one.number, one.description, len(one.slices)) for one in listed] == [(1, "Phantom", 6), (2, "Scout", 3)]
    assert read_volume(folder, "1").shape == (6, 9, 8)
    assert read_volume(folder, "2").shape == (3, 9, 8)
    assert read_volume(folder, uid).shape == (3, 9, 8)
    assert "'3'" in refusal_of(folder, "E_DICOM_SERIES_UNKNOWN", "3")


def test_a_blank_series_uid_is_a_series_like_another(tmp_path: Path) -> None:
    def blank(index: int, dataset: FileDataset) -> None:
        dataset.SeriesInstanceUID = ""

    assert read_volume(series(tmp_path, blank)).shape == (6, 9, 8)


def gap(index: int, dataset: FileDataset) -> None:
    if index > 2:
        move(dataset, z=6)


def uneven(index: int, dataset: FileDataset) -> None:
    if index == 3:
        move(dataset, z=0.6)


def tilt(index: int, dataset: FileDataset) -> None:
    move(dataset, y=3.0 * index * np.tan(np.deg2rad(12)))


def aside(index: int, dataset: FileDataset) -> None:
    if index == 2:
        move(dataset, x=4)


def duplicate(index: int, dataset: FileDataset) -> None:
    if index == 4:
        move(dataset, z=-3)


def turned(index: int, dataset: FileDataset) -> None:
    if index == 5:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def skewed(index: int, dataset: FileDataset) -> None:
    dataset.ImageOrientationPatient = [1, 0, 0, 0.2, 0.98, 0]


def smaller(index: int, dataset: FileDataset) -> None:
    if index == 1:
        dataset.Rows, dataset.PixelData = 8, dataset.PixelData[: 8 * 8 * 2]


def finer(index: int, dataset: FileDataset) -> None:
    if index == 1:
        dataset.PixelSpacing = [0.45, 0.35]


def nowhere(index: int, dataset: FileDataset) -> None:
    if index == 1:
        del dataset.ImagePositionPatient


def immeasurable(index: int, dataset: FileDataset) -> None:
    del dataset.PixelSpacing


def colour(index: int, dataset: FileDataset) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = bytes(9 * 8 * 3)


def frames(index: int, dataset: FileDataset) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.3"
    dataset.NumberOfFrames, dataset.PixelData = 2, dataset.PixelData * 2


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (gap, "E_DICOM_GAP", ["slice_0003.dcm and slice_0004.dcm", "9.00 mm", "3.00 mm", "about 2 missing"]),
        (uneven, "E_DICOM_UNEVEN", ["2.40 to 3.60 mm", "3D Slicer"]),
        (tilt, "E_DICOM_TILT", ["12.00 degrees", "3.19 mm", "3D Slicer"]),
        (aside, "E_DICOM_SHIFT", ["slice_0003.dcm", "4.00 mm"]),
        (duplicate, "E_DICOM_DUPLICATE", ["slice_0004.dcm and slice_0005.dcm", "42.12 mm", "keep the files of one"]),
        (turned, "E_DICOM_ORIENTATION", ["slice_0006.dcm", "90.0 degrees"]),
        (skewed, "E_DICOM_ORIENTATION", ["right angles"]),
        (smaller, "E_DICOM_SIZE", ["8x9", "8x8", "slice_0002.dcm"]),
        (finer, "E_DICOM_SPACING", ["0.35x0.45 mm", "slice_0002.dcm"]),
        (nowhere, "E_DICOM_POSITION", ["slice_0002.dcm", "ImagePositionPatient"]),
        (immeasurable, "E_DICOM_POSITION", ["slice_0001.dcm", "PixelSpacing"]),
        (colour, "E_DICOM_COLOUR", ["slice_0001.dcm", "3 values a pixel"]),
        (frames, "E_DICOM_FRAMES", ["slice_0001.dcm", "2 frames", "dcm2niix"]),
    ],
)
def test_what_is_no_regular_stack_is_refused_with_names_and_measures(
    tmp_path: Path, change: Change, code: str, told: list[str]
) -> None:
    sentence = refusal_of(series(tmp_path, change), code)
    for part in told:
        assert part in sentence


def test_distances_that_change_little_by_little_are_uneven_as_well(tmp_path: Path) -> None:
    def stretched(index: int, dataset: FileDataset) -> None:
        move(dataset, z=0.14 * max(0, index - 30))

    assert "3.00 to 3.14 mm" in refusal_of(series(tmp_path, stretched, slices=60), "E_DICOM_UNEVEN")


@pytest.mark.parametrize("step", [0.625, 1.25, 3.27])
def test_positions_rounded_to_a_tenth_are_even_enough(tmp_path: Path, step: float) -> None:
    def rounded(index: int, dataset: FileDataset) -> None:
        dataset.ImagePositionPatient = [10.5, -20.25, round(33.1 + step * index, 1)]

    assert read_volume(series(tmp_path, rounded, slices=30)).spacing[2] == pytest.approx(step, abs=0.1 / 29)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_damaged_slice_is_named(tmp_path: Path, share: float, capfd: pytest.CaptureFixture[str]) -> None:
    folder = series(tmp_path)
    path = folder / "slice_0002.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    sentence = refusal_of(folder, "E_DICOM_SLICE")
    assert "slice_0002.dcm" in sentence
    assert "again" in sentence
    assert capfd.readouterr().err == ""


def test_objects_without_grey_slices_are_passed_over(tmp_path: Path) -> None:
    folder = series(tmp_path)
    for number, storage in enumerate(["481.3", "88.11", "66.4", "11.1"]):
        dataset = pydicom.dcmread(folder / "slice_0001.dcm")
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = f"1.2.840.10008.5.1.4.1.1.{storage}"
        dataset.SeriesInstanceUID = f"1.2.{number}"
        if storage != "66.4":
            del dataset.PixelData
        dataset.save_as(folder / f"other_{number}.dcm")
    assert read_volume(folder).shape == (6, 9, 8)
    assert "without an image" in refusal_of(folder / "other_0.dcm", "E_DICOM_NONE")


def test_a_folder_without_dicom_says_what_it_holds_and_where_dicom_is(tmp_path: Path) -> None:
    assert "no files" in refusal_of(tmp_path, "E_DICOM_NONE")
    (tmp_path / "scan.nii.gz").write_bytes(b"x")
    assert "scan.nii.gz" in refusal_of(tmp_path, "E_DICOM_NONE")
    series(tmp_path / "inner")
    assert str(tmp_path / "inner") in refusal_of(tmp_path, "E_DICOM_NONE")
    for place in ("patient/study 1/CT", "patient/study 1/MR"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "IM1").write_bytes((tmp_path / "inner" / "slice_0001.dcm").read_bytes())
    sentence = refusal_of(tmp_path, "E_DICOM_NONE")
    assert ", ".join(str(tmp_path / part) for part in ("inner", "patient/study 1/CT", "patient/study 1/MR")) in sentence
    assert "one of those folders" in sentence
    assert f"but in {tmp_path / 'patient/study 1/CT'}, {tmp_path / 'patient/study 1/MR'}: " in refusal_of(
        tmp_path / "patient", "E_DICOM_NONE"
    )


def test_a_picture_without_a_place_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    def bare(index: int, dataset: FileDataset) -> None:
        del dataset.ImagePositionPatient
        del dataset.ImageOrientationPatient

    volume = read_volume(series(tmp_path, bare, slices=1))
    assert volume.spacing == pytest.approx((0.7, 0.9, 3.0))
    assert volume.origin == (0, 0, 0)


def test_a_real_series_agrees_with_pydicom(shared_data: Path) -> None:
    folder = shared_data / "ct_dicom"
    volume = read_volume(folder)
    assert volume.shape == (20, 512, 512)
    assert volume.spacing == pytest.approx((0.9765625, 0.9765625, 2.0))
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    lowest = min(headers, key=lambda one: one.ImagePositionPatient[2])
    assert volume.origin == pytest.approx([float(value) for value in lowest.ImagePositionPatient])
    assert volume.array.min() >= -1024
    air, body = volume.array[:, 5, 5], volume.array[:, 250, 250]
    assert air.mean() < -900
    assert body.mean() > -200


def test_a_real_series_with_blank_identifiers_is_the_same_volume(shared_data: Path) -> None:
    repaired, published = (read_volume(shared_data / name) for name in ("ct_dicom", "ct_dicom_as_published"))
    assert repaired.checksum() == published.checksum()
