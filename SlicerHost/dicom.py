"""DICOM as Slicer's importer leaves it: a volume that knows its instances, with the window of its header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk

from .scene import Core


class DicomDatabase:
    """ctkDICOMDatabase, of which there is the way from an instance's UID to its file."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}

    def fileForInstance(self, uid: str) -> str:
        return self._files.get(uid, "")

    def instanceForFile(self, file_name: str) -> str:
        return next((uid for uid, known in self._files.items() if known == file_name), "")

    def insert(self, uid: str, file_name: str) -> None:
        self._files[uid] = file_name

    @property
    def isOpen(self) -> bool:
        return True


def load_series(core: Core, folder: Path) -> Any:
    """Load the first image series of a folder as a scalar volume; None where there is none.

    The node gets `DICOM.instanceUIDs`, one for each slice from the first to the last k, and the header's
    window; the files can be asked of `slicer.dicomDatabase`.
    """
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    if not series:
        return None
    files = reader.GetGDCMSeriesFileNames(str(folder), series[0])
    names = vtk.vtkStringArray()
    for file in files:
        names.InsertNextValue(file)
    name = header(files[0]).get("0008|103e", "").strip() or folder.name
    node = core.logics["volumes"].AddArchetypeScalarVolume(files[0], name, 0, names)
    if node is None:
        return None
    headers = {file: header(file) for file in files}
    order = along_k(node, files, headers)
    uids = [headers[file]["0008|0018"].strip("\0 ") for file in order]
    for uid, file in zip(uids, order, strict=True):
        slicer.dicomDatabase.insert(uid, file)
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    take_window(node, headers[files[len(files) // 2]])
    return node


def header(file: str) -> dict[str, str]:
    """The data elements of one file, by "gggg|eeee"."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(file)
    reader.ReadImageInformation()
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


def along_k(node: Any, files: tuple[str, ...], headers: dict[str, dict[str, str]]) -> list[str]:
    """The files in the order of the volume's slices, by their ImagePositionPatient."""
    ras_to_ijk = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(ras_to_ijk)

    def index(file: str) -> float:
        x, y, z = (float(part) for part in headers[file]["0020|0032"].split("\\"))
        return ras_to_ijk.MultiplyPoint([-x, -y, z, 1.0])[2]

    return sorted(files, key=index)


def take_window(node: Any, elements: dict[str, str]) -> None:
    """Show with the header's WindowCenter and WindowWidth, the first of several; automatic where there are none."""
    center, width = elements.get("0028|1050", ""), elements.get("0028|1051", "")
    if center.strip() and width.strip():
        display = node.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevel(float(width.split("\\")[0]), float(center.split("\\")[0]))
