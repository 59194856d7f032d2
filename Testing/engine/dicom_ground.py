"""What tests of DICOM-SEG share: headers of series of any geometry, masks, and how two other programs read a file."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from MedSAM2Lib.dicom import Code, SegmentInfo
from MedSAM2Lib.dicom.outside_tools import program

SHAPE = (12, 40, 48)
SPACING = (3.0, 0.9, 0.7)
CT = "1.2.840.10008.5.1.4.1.1.2"
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
LIVER = Code("10200004", "SCT", "Liver")
KIDNEY = Code("64033007", "SCT", "Kidney")
LEFT = Code("7771000", "SCT", "Left")
SEGMENTS = [
    SegmentInfo("liver", ANATOMY, LIVER, rgb=(221, 130, 101)),
    SegmentInfo("left kidney", ANATOMY, KIDNEY, LEFT, rgb=(185, 102, 83), algorithm_type="AUTOMATIC"),
    SegmentInfo("node", ANATOMY, LIVER, region=KIDNEY, region_modifier=LEFT, algorithm_type="MANUAL"),
]


def affine_of(
    spacing: Sequence[float] = SPACING,
    origin: Sequence[float] = (-20.5, 31.25, -400.0),
    turn: Sequence[float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """Index (k, j, i) to LPS: a grid of this spacing (k, j, i in mm), turned by degrees about x, y, z."""
    a, b, c = np.radians(turn)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (about_z @ about_y @ about_x)[:, ::-1] * np.asarray(spacing)
    affine[:3, 3] = origin
    return affine


def image(**values: object) -> Dataset:
    """A header of a CT image with all that it should have, and ``values`` set or, where None, taken away."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CT, generate_uid(), "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID = "Müller^Jörg", "P-0815"
    dataset.PatientBirthDate, dataset.PatientSex = "19500102", "O"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200304", "101112", "S1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "A1", "Roe^Richard"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.PositionReferenceIndicator = 3, 1, ""
    dataset.Manufacturer = "Maker"
    dataset.Rows, dataset.Columns = SHAPE[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    for name, value in values.items():
        if value is None:
            dataset.pop(pydicom.datadict.tag_for_keyword(name), None)
        else:
            setattr(dataset, name, value)
    return dataset


def series(affine: np.ndarray | None = None, shape: Sequence[int] = SHAPE, **values: object) -> list[Dataset]:
    """Headers of the slices of a grid, in its order."""
    affine = affine_of() if affine is None else affine
    steps = affine[:3, :3]
    spacing = np.linalg.norm(steps, axis=0)
    directions = [round(float(value), 8) for axis in (2, 1) for value in steps[:, axis] / spacing[axis]]
    slices = []
    for k in range(shape[0]):
        place = {
            "Rows": shape[1],
            "Columns": shape[2],
            "InstanceNumber": k + 1,
            "ImagePositionPatient": [round(float(value), 6) for value in (affine @ (k, 0, 0, 1))[:3]],
            "ImageOrientationPatient": directions,
            "PixelSpacing": [float(spacing[1]), float(spacing[2])],
            "SliceThickness": float(spacing[0]),
        }
        slices.append(image(**{**place, **values}))
    return slices


def flat(**values: object) -> Dataset:
    """A header of one image without a place in the patient."""
    return image(**{"FrameOfReferenceUID": None, "PositionReferenceIndicator": None, **values})


def saved(datasets: Sequence[Dataset], folder: Path, pixels: bool = False) -> Path:
    """The headers as files of a folder, with black pixels where wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if pixels:
            dataset.PixelData = bytes(int(dataset.Rows) * int(dataset.Columns) * 2)
        dataset.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return folder


def blobs(shape: Sequence[int] = SHAPE, count: int = 3) -> np.ndarray:
    """A label map of boxes, none of them symmetric: a flip along any axis changes it."""
    labels = np.zeros(shape, dtype=np.uint8)
    k, j, i = shape
    labels[k // 6 : k // 2, j // 5 : j // 2, i // 4 : i // 2] = 1
    if count > 1:
        labels[k // 3 : k - 2, j // 2 + 1 : j - 2, i // 8 : i // 3] = 2
    if count > 2:
        labels[k // 2 : k // 2 + 1, 3:6, i - 9 : i - 2] = 3
    return labels


def read_by_highdicom(path: Path, affine: np.ndarray, shape: Sequence[int]) -> dict[int, np.ndarray]:
    """Each segment's mask on a grid, as highdicom reads it."""
    import highdicom

    segmentation = highdicom.seg.segread(path)
    geometry = highdicom.VolumeGeometry(affine, shape, "PATIENT", segmentation.FrameOfReferenceUID)
    found = {}
    for number in segmentation.segment_numbers:
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True, relabel=True)
        found[int(number)] = volume.match_geometry(geometry).array > 0
    return {number: mask for number, mask in found.items() if number and mask.any()}


def read_by_dcmqi(path: Path, affine: np.ndarray, shape: Sequence[int], folder: Path) -> dict[int, np.ndarray]:
    """Each segment's mask on a grid, as dcmqi reads it: each of its voxels must fall onto one of the grid's."""
    reader = program("segimage2itkimage")
    assert reader is not None
    folder.mkdir(parents=True, exist_ok=True)
    command = [reader, "--inputDICOM", path, "--outputDirectory", folder, "--prefix", "q", "--outputType", "nrrd"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "W:" not in done.stdout + done.stderr
    found: dict[int, np.ndarray] = {}
    for file in folder.glob("q-*.nrrd"):
        made = sitk.ReadImage(str(file))
        array = sitk.GetArrayFromImage(made)
        for number in np.unique(array[array > 0]):
            places = np.argwhere(array == number)[:, ::-1]
            world = (
                np.array(made.GetOrigin()) + places * made.GetSpacing() @ np.array(made.GetDirection()).reshape(3, 3).T
            )
            index = np.linalg.inv(affine) @ np.column_stack([world, np.ones(len(world))]).T
            whole = np.rint(index[:3])
            assert np.abs(index[:3] - whole).max() < 0.01
            mask = np.zeros(tuple(shape), dtype=bool)
            mask[tuple(whole.astype(int))] = True
            found[int(number)] = mask
    return found


def masks_of(labels: np.ndarray) -> dict[int, np.ndarray]:
    return {int(number): labels == number for number in np.unique(labels) if number}


def assert_same(read: dict[int, np.ndarray], wanted: dict[int, np.ndarray]) -> None:
    assert sorted(read) == sorted(wanted)
    for number, mask in wanted.items():
        assert np.array_equal(read[number], mask), number


def validity_errors(path: Path) -> list[str]:
    """Lines of dciodvfy that say Error."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace")
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
