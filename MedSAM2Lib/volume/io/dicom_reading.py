"""A DICOM series as a volume, in stored units times slope plus intercept (Hounsfield units for CT)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.volume.io.dicom_files import DicomSlice, choose_series, list_dicom_series, read_header
from MedSAM2Lib.volume.io.dicom_stack import arrange
from MedSAM2Lib.volume.io.quiet import quiet
from MedSAM2Lib.volume.volume import Volume


def read_dicom(path: Path, series: str | None = None) -> Volume:
    """The volume of a series: of a folder, or the one that a file belongs to.

    Args:
        path: a folder, or a DICOM file.
        series: SeriesInstanceUID or 1-based number, for a folder with several; a file speaks for itself.

    Raises VolumeError; see ``read_volume``.
    """
    if path.is_dir():
        chosen = choose_series(list_dicom_series(path), series, path)
    else:
        uid = _header(path).series_uid
        chosen = next(one for one in list_dicom_series(path.parent) if one.uid == uid)
    ordered, ijk_to_world = arrange(chosen.slices)
    return Volume(_voxels(ordered), ijk_to_world, path.resolve().name)


def _header(path: Path) -> DicomSlice:
    own = read_header(path)
    if own is None:
        raise VolumeError(
            "E_DICOM_NONE",
            "{path} is a DICOM object without an image: give a slice of the series, or its folder.",
            path=path,
        )
    return own


def _voxels(slices: Sequence[DicomSlice]) -> NDArray:
    """The slices' values, ``[k, j, i]``, in a type that holds all of them: slopes may differ from slice to slice."""
    pixels = [_pixels(one.path) for one in slices]
    stacked = np.empty((len(pixels), *pixels[0].shape), dtype=np.result_type(*{image.dtype for image in pixels}))
    for index, image in enumerate(pixels):
        stacked[index] = image
    return stacked


def _pixels(path: Path) -> NDArray:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    with quiet():
        try:
            return np.asarray(sitk.GetArrayFromImage(reader.Execute())[0])
        except RuntimeError as error:
            raise VolumeError(
                "E_DICOM_SLICE",
                "The pixels of {path} cannot be decoded: the file is damaged, incomplete or compressed in a way "
                "unknown here; copy the series again, or export it without compression.",
                path=path,
            ) from error
