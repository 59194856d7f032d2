"""From a path to a volume, whatever lies there."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from MedSAM2Lib.volume.io.arrays import ARRAY_SUFFIXES, read_array_volume
from MedSAM2Lib.volume.io.dicom_files import starts_as_dicom
from MedSAM2Lib.volume.io.dicom_reading import read_dicom
from MedSAM2Lib.volume.io.images import check_file, check_upright, volume_from_file
from MedSAM2Lib.volume.io.quiet import quiet
from MedSAM2Lib.volume.volume import Volume


def read_volume(path: str | Path, series: str | None = None) -> Volume:
    """A volume from NRRD, NIfTI, MetaImage or any other image file in 3D, ``.npy``, ``.npz``, or DICOM.

    Args:
        path: an image file, or a folder with a DICOM series. One DICOM file stands for its whole series, as far as that
            lies in its folder. ``.npz`` holds ``imgs`` [k, j, i] and, if known, ``spacing`` (i, j, k in mm), ``origin``
            and ``direction``. A 2D image is a volume of one slice.
        series: which DICOM series of a folder with several: its SeriesInstanceUID, or its number in
            ``list_dicom_series``, which the refusal shows. All else ignores it.

    Raises VolumeError for what is missing, damaged, incomplete, in colour, in time, sheared, or not on a regular grid.
    """
    path = Path(path)
    if path.is_dir():
        return read_dicom(path, series)
    check_file(path)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        volume = read_array_volume(path)
    elif _is_dicom(path):
        return read_dicom(path, series)
    else:
        volume = volume_from_file(path)
    check_upright(volume, path)
    return volume


def _is_dicom(path: Path) -> bool:
    if starts_as_dicom(path):
        return True
    with quiet():
        return bool(sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "GDCMImageIO")
