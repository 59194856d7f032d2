"""Reading and writing through `slicer.util`, scenes into a new process, and DICOM as Slicer's importer leaves it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from SlicerHost.start import Host
from Testing.panel.volumes import add_segmentation, add_volume, box_mask, oblique

REPOSITORY = Path(__file__).resolve().parents[2]
READ_BACK = """
import sys
from SlicerHost.start import open_host
open_host(with_window=False)
import numpy as np, slicer
slicer.util.loadScene(sys.argv[1], {})
volume, segmentation = slicer.util.getNode("scan"), slicer.util.getNode("Segmentation")
points = slicer.util.getNode("F")
np.savez(
    sys.argv[2],
    voxels=slicer.util.arrayFromVolume(volume),
    mask=slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "box", volume),
    points=slicer.util.arrayFromMarkupsControlPoints(points),
)
"""


def in_a_new_process(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_a_scene_saved_as_mrb_is_the_same_in_a_new_process(host: Host, tmp_path: Path) -> None:
    volume = add_volume(oblique(), "scan")
    add_segmentation(volume, box_mask()).SetName("Segmentation")
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    points.AddControlPoint(1.5, -2.5, 30.0)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"), {})
    in_a_new_process(READ_BACK, str(tmp_path / "scene.mrb"), str(tmp_path / "read.npz"))
    with np.load(tmp_path / "read.npz") as read:
        np.testing.assert_array_equal(read["voxels"], slicer.util.arrayFromVolume(volume))
        np.testing.assert_array_equal(read["mask"], box_mask())
        np.testing.assert_allclose(read["points"], [[1.5, -2.5, 30.0]])


def test_a_scene_can_be_added_to_one_that_is_not_empty(host: Host, tmp_path: Path) -> None:
    add_volume(name="first")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"), {})
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {})
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 2


@pytest.mark.parametrize(
    ("kind", "ending"), [("volume", ".nrrd"), ("volume", ".nii.gz"), ("segmentation", ".seg.nrrd")]
)
def test_a_node_is_written_and_read_back(host: Host, tmp_path: Path, kind: str, ending: str) -> None:
    volume = add_volume(name="scan")
    file = str(tmp_path / f"written{ending}")
    if kind == "volume":
        assert slicer.util.saveNode(volume, file, {})
        read = slicer.util.loadVolume(file, {})
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(read), slicer.util.arrayFromVolume(volume))
    else:
        assert slicer.util.saveNode(add_segmentation(volume, box_mask()), file, {})
        read = slicer.util.loadSegmentation(file, {})
        np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(read, "box", volume), box_mask())


def test_a_markups_file_is_read(host: Host, tmp_path: Path) -> None:
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    points.AddControlPoint(1.0, 2.0, 3.0)
    assert slicer.util.saveNode(points, str(tmp_path / "f.mrk.json"), {})
    read = slicer.util.loadMarkups(str(tmp_path / "f.mrk.json"))
    np.testing.assert_allclose(slicer.util.arrayFromMarkupsControlPoints(read), [[1.0, 2.0, 3.0]])


def test_a_file_that_is_no_volume_raises_and_leaves_the_scene_as_it_was(host: Host, tmp_path: Path) -> None:
    (tmp_path / "broken.nrrd").write_bytes(b"not an image")
    with pytest.raises(RuntimeError, match="broken"):
        slicer.util.loadVolume(str(tmp_path / "broken.nrrd"), {})
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_a_dicom_series_knows_its_instances_and_has_the_window_of_its_header(host: Host, shared_data: Path) -> None:
    folder = shared_data / "ct_dicom"
    if not folder.is_dir():
        pytest.skip(f"the DICOM series is not here: {folder}")
    import pydicom

    node = slicer.util.loadVolume(str(folder), {})
    uids = node.GetAttribute("DICOM.instanceUIDs").split()
    voxels = slicer.util.arrayFromVolume(node)
    assert voxels.shape == (20, 512, 512)
    assert len(set(uids)) == 20
    to_ras = ijk_to_ras(node)
    for k in (0, 7, 19):
        header = pydicom.dcmread(slicer.dicomDatabase.fileForInstance(uids[k]), stop_before_pixels=True)
        assert header.SOPInstanceUID == uids[k]
        x, y, z = header.ImagePositionPatient
        np.testing.assert_allclose(to_ras[:3] @ [0, 0, k, 1], [-x, -y, z], atol=1e-3)
    first = pydicom.dcmread(slicer.dicomDatabase.fileForInstance(uids[0]), stop_before_pixels=True)
    width = first.WindowWidth if isinstance(first.WindowWidth, float) else first.WindowWidth[0]
    assert node.GetDisplayNode().GetWindow() == pytest.approx(float(width))


def ijk_to_ras(node: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def test_a_volume_has_an_item_in_the_subject_hierarchy(host: Host) -> None:
    volume = add_volume(name="scan")
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    assert hierarchy.GetItemName(hierarchy.GetItemByDataNode(volume)) == "scan"
