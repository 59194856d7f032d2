"""A volume as a series of CT Image Storage files, for phantoms: deterministic, down to its identifiers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MedSAM2Lib.errors import OutputError, VolumeError
from MedSAM2Lib.volume.intensity import CT_PRESETS, Window
from MedSAM2Lib.volume.io.images import image_on_grid
from MedSAM2Lib.volume.io.outputs import INCOMPLETE, replacing
from MedSAM2Lib.volume.io.quiet import quiet
from MedSAM2Lib.volume.volume import Volume

_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_INTERCEPT = -1024
_LOWEST, _HIGHEST = -32768, 32767 + _INTERCEPT
_LONGEST_NUMBER = 16


def write_dicom_series(
    folder: str | Path,
    volume: Volume,
    *,
    patient_name: str = "Phantom",
    patient_id: str = "PHANTOM",
    series_description: str = "Phantom",
    window: Window = CT_PRESETS["soft-tissue"],
    seed: int = 0,
) -> list[Path]:
    """Writes one file a slice of axis k, ``slice_0001.dcm`` on, and returns their paths.

    Args:
        folder: made if it is not there.
        volume: whole numbers, -32768 to 31743: Hounsfield units, stored in 16 bits with an intercept of -1024.
        patient_name, patient_id, series_description: ASCII.
        window: stored as the centre and width that viewers start with.
        seed: the same seed and volume give the same identifiers, and the same files.

    Raises VolumeError for other values, and OutputError.
    """
    folder = Path(folder)
    values = _hounsfield_units(volume)
    root = f"{seed} {volume.checksum()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "E_OUT_FOLDER",
            "The folder {path} cannot be made ({reason}): choose another place.",
            path=folder,
            reason=error.strerror or error,
        ) from error
    tags = _series_tags(root, window, series_description, patient_name, patient_id)
    image = image_on_grid(values, volume)
    paths = []
    for index in range(image.GetSize()[2]):
        path = folder / f"slice_{index + 1:04d}.dcm"
        single = image[:, :, index : index + 1]
        for tag, value in {**tags, **_slice_tags(root, single, index)}.items():
            single.SetMetaData(tag, value)
        _write(path, single)
        paths.append(path)
    return paths


def _hounsfield_units(volume: Volume) -> NDArray[np.int16]:
    values = volume.array.astype(np.float64)
    whole = np.isfinite(values) & (values == np.rint(values))
    if not whole.all() or values.min() < _LOWEST or values.max() > _HIGHEST:
        raise VolumeError(
            "E_DICOM_VALUES",
            "{name} has values from {low:g} to {high:g} that are not all whole numbers from {lowest} to {highest}: "
            "round or rescale them before writing CT slices.",
            name=volume.name,
            low=float(values.min()),
            high=float(values.max()),
            lowest=_LOWEST,
            highest=_HIGHEST,
        )
    return values.astype(np.int16)


def _series_tags(root: str, window: Window, description: str, patient_name: str, patient_id: str) -> dict[str, str]:
    return {
        "0008|0008": "DERIVED\\SECONDARY\\AXIAL",
        "0008|0016": _CT_IMAGE_STORAGE,
        "0008|0020": "20000101",
        "0008|0030": "120000",
        "0008|0060": "CT",
        "0008|0070": "MedSAM2Slicer",
        "0008|103e": description,
        "0010|0010": patient_name,
        "0010|0020": patient_id,
        "0020|000d": _uid(root, "study"),
        "0020|000e": _uid(root, "series"),
        "0020|0010": "1",
        "0020|0011": "1",
        "0020|0052": _uid(root, "frame of reference"),
        "0028|1050": _decimal((window.low + window.high) / 2),
        "0028|1051": _decimal(window.high - window.low),
        "0028|1052": str(_INTERCEPT),
        "0028|1053": "1",
        "0028|1054": "HU",
    }


def _slice_tags(root: str, single: sitk.Image, index: int) -> dict[str, str]:
    axes = np.array(single.GetDirection()).reshape(3, 3).T
    spacing = _decimal(single.GetSpacing()[2])
    return {
        "0008|0018": _uid(root, f"slice {index}"),
        "0018|0050": spacing,
        "0018|0088": spacing,
        "0020|0013": str(index + 1),
        "0020|0032": "\\".join(_decimal(value) for value in single.GetOrigin()),
        "0020|0037": "\\".join(_decimal(value) for value in axes[:2].ravel()),
    }


def _write(path: Path, image: sitk.Image) -> None:
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetImageIO("GDCMImageIO")
    with replacing(path) as partial, quiet():
        writer.SetFileName(str(partial))
        try:
            writer.Execute(image)
        except RuntimeError as error:
            raise OSError(INCOMPLETE) from error


def _uid(root: str, role: str) -> str:
    """A UID under 2.25 (ISO/IEC 9834-8), from a hash in place of a random number."""
    return f"2.25.{int.from_bytes(hashlib.sha256(f'{root} {role}'.encode()).digest()[:16], 'big')}"


def _decimal(value: float) -> str:
    """The most exact text of at most 16 characters, as DICOM's decimal strings must be."""
    return next(text for digits in range(16, 0, -1) if len(text := f"{value:.{digits}g}") <= _LONGEST_NUMBER)
