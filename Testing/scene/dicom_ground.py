"""Scenes for the tests of DICOM-SEG: volumes from DICOM series, segments on them, and other readers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from MedSAM2SlicerLib.export.preflight import Subject
from MedSAM2SlicerLib.export.series import SeriesReader
from MedSAM2SlicerLib.scene.geometry import RAS_TO_LPS, ijk_to_local_matrix, volume_shape
from MedSAM2SlicerLib.scene.grids import create_segmentation
from MedSAM2SlicerLib.scene.segments import add_segment
from MedSAM2SlicerLib.scene.voxels import bounding_box, oriented_image

from MedSAM2Lib.types import BoolArray
from MedSAM2Lib.volume.io import write_dicom_series
from MedSAM2Lib.volume.volume import Volume
from SlicerHost.dicom import DicomDatabase, load_series
from SlicerHost.scene import Core
from Testing.scene.ground import block, rigid

SHAPE = (8, 24, 20)
NAME, IDENTITY = "Doe^Jane", "MRN77310"


def write_ct(folder: Path, ijk_to_world: np.ndarray | None = None, shape: Sequence[int] = SHAPE) -> Path:
    """A series of seeded noise of a patient called Jane Doe; ``ijk_to_world`` is in LPS."""
    array = np.random.default_rng(0).integers(-1000, 1000, tuple(shape)).astype(np.int16)
    matrix = np.diag([0.8, 0.9, 2.5, 1.0]) if ijk_to_world is None else ijk_to_world
    write_dicom_series(folder, Volume(array, matrix, "ct"), patient_name=NAME, patient_id=IDENTITY)
    return folder


def oblique() -> np.ndarray:
    """4x4 in LPS of a turned, anisotropic volume."""
    return rigid((0.3, -0.2, 0.5), (0.45, 1.3, 4.0), (12.0, -30.0, 55.0), (1, 1, 1))


def load_ct(core: Core, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The series as Slicer loads it, from a database that knows its instances."""
    monkeypatch.setattr(slicer, "dicomDatabase", DicomDatabase(), raising=False)
    return load_series(core, folder)


def file_of_instance(uid: str) -> str:
    return str(slicer.dicomDatabase.fileForInstance(uid))


def subject_of(volume: Any, segmentation: Any, folder: Path | None = None) -> Subject:
    return Subject(volume, segmentation, SeriesReader(file_of_instance), folder)


def blocks(shape: Sequence[int]) -> list[BoolArray]:
    """Three blocks that do not touch, not symmetric in any way."""
    k, j, i = shape
    return [
        block(shape, slice(1, k // 2), slice(2, j // 3), slice(1, i // 2)),
        block(shape, slice(2, k - 2), slice(j // 2, j - 3), slice(3, i // 3)),
        block(shape, slice(k // 2, k), slice(1, j // 2), slice(2 * i // 3, i - 1)),
    ]


def add_segments(volume: Any, masks: Sequence[BoolArray], names: Sequence[str]) -> tuple[Any, list[str]]:
    """A segmentation drawn by hand, one segment for each mask, which may overlap."""
    segmentation = create_segmentation(volume.GetScene(), volume, "Segmentation")
    ids = [add_segment(segmentation, name) for name in names]
    editor = slicer.vtkMRMLSegmentEditorNode()
    editor.SetOverwriteMode(editor.OverwriteNone)
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetSegmentEditorNode(editor)
    for segment_id, mask in zip(ids, masks):
        box = bounding_box(mask)
        if box is not None:
            image = oriented_image(mask[box], box, volume)
            logic.ModifySegmentByLabelmap(segmentation, segment_id, image, logic.ModificationModeAdd, True, False)
    return segmentation, ids


def read_by_highdicom(file: Path, volume: Any) -> dict[str, BoolArray]:
    """Masks by label on the volume's grid, as highdicom reads them."""
    import highdicom

    segmentation = highdicom.seg.segread(file)
    affine = (RAS_TO_LPS @ ijk_to_local_matrix(volume))[:, [2, 1, 0, 3]]
    grid = highdicom.VolumeGeometry(
        affine=affine,
        spatial_shape=volume_shape(volume),
        coordinate_system="PATIENT",
        frame_of_reference_uid=segmentation.FrameOfReferenceUID,
    )
    found = {}
    for number in segmentation.segment_numbers:
        mask = segmentation.get_volume(segment_numbers=[number], combine_segments=True, rescale_fractional=False)
        found[segmentation.get_segment_description(number).segment_label] = mask.match_geometry(grid).array > 0
    return found


def read_by_dcmqi(file: Path, volume: Any, folder: Path) -> list[BoolArray]:
    """Masks on the volume's grid, one for each segment, as dcmqi's segimage2itkimage reads them.

    It writes a file a segment, and one for all of a label map.
    """
    import SimpleITK as sitk

    pytest.importorskip("dcmqi", reason="dcmqi is not installed")
    folder.mkdir()
    program = Path(sys.executable).with_name("segimage2itkimage")
    command = [str(program), "--inputDICOM", str(file), "--outputDirectory", str(folder), "--outputType", "nrrd"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    grid = _itk_grid(volume)
    files = sorted(folder.glob("*.nrrd"), key=lambda path: int(path.stem.split("-")[0].split("_")[0]))
    found = []
    for each in files:
        image = sitk.Resample(sitk.ReadImage(str(each)), grid, sitk.Transform(), sitk.sitkNearestNeighbor)
        labels = sitk.GetArrayFromImage(image)
        found += [labels == value for value in np.unique(labels) if value]
    return found


def _itk_grid(volume: Any) -> Any:
    import SimpleITK as sitk

    matrix = RAS_TO_LPS @ ijk_to_local_matrix(volume)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    grid = sitk.Image([int(size) for size in reversed(volume_shape(volume))], sitk.sitkUInt8)
    grid.SetSpacing(spacing.tolist())
    grid.SetOrigin(matrix[:3, 3].tolist())
    grid.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    return grid
