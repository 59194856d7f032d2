"""Volumes as numpy files: ``.npy`` with voxels only, ``.npz`` with geometry, as MedSAM2's data sets have it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.volume.volume import Volume

ARRAY_SUFFIXES = (".npy", ".npz")
VOXEL_KEYS = ("imgs",)
MASK_KEYS = ("gts", "segs", "mask", "imgs")


def read_array_volume(path: Path, keys: tuple[str, ...] = VOXEL_KEYS) -> Volume:
    """The volume in a ``.npy`` or ``.npz`` file; the first of ``keys`` that is there names the voxels of the latter.

    Where geometry is missing, voxels are 1 mm cubes along the patient's axes. Raises VolumeError.
    """
    content = _load(path)
    voxels = content.get("") if "" in content else next((content[key] for key in keys if key in content), None)
    if voxels is None:
        raise VolumeError(
            "E_NPZ_KEYS",
            "{path} holds {found} but not {wanted}: store the voxels [k, j, i] under that name.",
            path=path,
            found=", ".join(content) or "nothing",
            wanted=" or ".join(keys),
        )
    if voxels.ndim == 4:
        raise VolumeError(
            "E_VOLUME_TIME",
            "{path} holds {count} volumes ({shape}), one for each time point or channel: extract one first, for "
            "example the first by  python -c \"import numpy as n; n.save('frame.npy', n.load('{path}'){key}[0])\"",
            path=path,
            count=voxels.shape[0],
            shape="x".join(map(str, voxels.shape)),
            key="" if "" in content else f"['{next(key for key in keys if key in content)}']",
        )
    return Volume.from_array(
        _native(voxels[np.newaxis] if voxels.ndim == 2 else voxels),
        _numbers(content, "spacing", np.ones(3), path).tolist(),
        _numbers(content, "origin", np.zeros(3), path).tolist(),
        _numbers(content, "direction", np.eye(3), path),
        path.name,
    )


def has_geometry(path: Path) -> bool:
    """Whether the file says where its voxels lie."""
    return path.suffix.lower() == ".npz" and {"spacing", "origin", "direction"} <= set(_load(path))


def _load(path: Path) -> Mapping[str, NDArray]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise VolumeError(
            "E_VOLUME_UNREADABLE",
            "{path} cannot be read as a numpy file of numbers: it may be damaged or incomplete, so save it again.",
            path=path,
        ) from error


def _native(array: NDArray) -> NDArray:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _numbers(content: Mapping[str, NDArray], key: str, default: NDArray, path: Path) -> NDArray:
    if key not in content:
        return default
    values = content[key]
    if values.size != default.size or values.dtype.kind not in "uif":
        raise VolumeError(
            "E_NPZ_GEOMETRY",
            "'{key}' in {path} is not {count} numbers: store it for i, j, k (x, y, z) in mm.",
            key=key,
            path=path,
            count=default.size,
        )
    return values.astype(np.float64).reshape(default.shape)
