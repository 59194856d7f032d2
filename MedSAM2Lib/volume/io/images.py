"""Image files through SimpleITK, which keeps geometry in LPS mm as ``Volume`` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.volume.io.nifti_files import NIFTI_SUFFIXES, alone, check_complete, not_finite
from MedSAM2Lib.volume.io.quiet import quiet
from MedSAM2Lib.volume.volume import Volume

_LARGEST_SHEAR = 1e-3


def check_file(path: Path) -> None:
    """Raises VolumeError unless there is a file of at least one byte that may be read."""
    if not path.exists():
        raise VolumeError("E_VOLUME_MISSING", "{path} does not exist: check the path and its spelling.", path=path)
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise VolumeError(
            "E_VOLUME_UNREADABLE",
            "{path} cannot be opened ({reason}): check its permissions.",
            path=path,
            reason=error.strerror or error,
        ) from error
    if empty:
        raise VolumeError("E_VOLUME_UNREADABLE", "{path} is an empty file: copy or export it again.", path=path)


def check_upright(volume: Volume, path: Path) -> None:
    """Raises VolumeError where the axes of a volume are not at right angles."""
    directions = volume.direction
    if np.abs(directions.T @ directions - np.eye(3)).max() > _LARGEST_SHEAR:
        raise _sheared(path)


def read_image(path: Path, single_component: bool = False) -> sitk.Image:
    """An image file in three dimensions; 2D is brought to one slice.

    Args:
        path: an existing file.
        single_component: refuse colour and vector images.

    Raises VolumeError for a file that cannot be read whole, in time, of complex numbers, or in colour.
    """
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        check_complete(path)
    with alone(path) as readable:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(readable))
        try:
            with quiet():
                reader.ReadImageInformation()
            _check_kind(reader, path, single_component)
            with quiet():
                image = reader.Execute()
        except RuntimeError as error:
            raise _unreadable(path, error) from error
    while image.GetDimension() > 3:
        image = image[..., 0]
    return image if image.GetDimension() == 3 else sitk.JoinSeries(image)


def volume_from_file(path: Path) -> Volume:
    """The grey volume in an image file; voxels that are not finite numbers stay so. Raises as ``read_image``."""
    image = read_image(path, single_component=True)
    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind == "f" and path.name.lower().endswith(NIFTI_SUFFIXES):
        array.reshape(-1)[not_finite(path)] = np.nan
    return Volume.from_array(array, image.GetSpacing(), image.GetOrigin(), image.GetDirection(), path.name)


def image_on_grid(array: NDArray, volume: Volume) -> sitk.Image:
    """An image of ``array`` [k, j, i] on a volume's grid."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(volume.spacing)
    image.SetOrigin(volume.origin)
    image.SetDirection([float(value) for value in volume.direction.ravel()])
    return image


def _unreadable(path: Path, error: RuntimeError) -> VolumeError:
    if "orthonormal" in str(error):
        return _sheared(path)
    return VolumeError(
        "E_VOLUME_UNREADABLE",
        "{path} cannot be read as an image: it is damaged, incomplete or of an unknown format; copy it again, or "
        "export it as NRRD, NIfTI or DICOM.",
        path=path,
    )


def _sheared(path: Path) -> VolumeError:
    return VolumeError(
        "E_VOLUME_SHEARED",
        "The axes of {path} are not at right angles (a tilted gantry, or a registration that shears): resample it "
        "first, for example in 3D Slicer: harden its transform, then Resample Scalar/Vector/DWI Volume.",
        path=path,
    )


def _check_kind(reader: sitk.ImageFileReader, path: Path, single_component: bool) -> None:
    size, count = reader.GetSize(), reader.GetNumberOfComponents()
    pixel_type = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if len(size) > 3 and any(extent > 1 for extent in size[3:]):
        raise VolumeError(
            "E_VOLUME_TIME",
            "{path} holds {count} volumes ({size} voxels), one for each time point or channel: extract one first, for "
            'example the first by  python -c "import SimpleITK as s; '
            "s.WriteImage(s.ReadImage('{path}')[:, :, :, 0], 'frame.nrrd')\"",
            path=path,
            count=int(np.prod(size[3:])),
            size="x".join(map(str, size)),
        )
    if "complex" in pixel_type:
        raise VolumeError(
            "E_VOLUME_TYPE",
            "The voxels of {path} are complex numbers, not grey values: write their magnitude to a file first.",
            path=path,
        )
    if single_component and count != 1:
        raise VolumeError(
            "E_VOLUME_COLOUR",
            "{path} has {count} numbers a voxel (colours, vectors, complex numbers), not one grey value: extract one "
            'of them first, for example by  python -c "import SimpleITK as s; '
            "s.WriteImage(s.VectorIndexSelectionCast(s.ReadImage('{path}'), 0), 'grey.nrrd')\", or use 3D Slicer's "
            "module Vector to Scalar Volume.",
            path=path,
            count=count,
        )
