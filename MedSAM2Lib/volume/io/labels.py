"""Label maps and segmentation files as named objects, one mask each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.types import BoolArray
from MedSAM2Lib.volume.io.arrays import ARRAY_SUFFIXES, has_geometry, read_array_volume
from MedSAM2Lib.volume.io.images import check_file, read_image
from MedSAM2Lib.volume.io.masks import SEGMENTATION_SUFFIX, check_grid, on_whole_grid
from MedSAM2Lib.volume.volume import Volume

LABEL_KEYS = ("gts", "segs", "mask")
"""Names of a label map in a ``.npz`` file, the first that is there."""


@dataclass(frozen=True, eq=False)
class LabelledObject:
    """One object of a label map: its name and its voxels, boolean [k, j, i] on the volume's grid."""

    name: str
    mask: BoolArray


@dataclass(frozen=True)
class Segment:
    """A segment by its name, the layer of the file that holds it, and its label there."""

    name: str
    layer: int
    value: int


@dataclass(frozen=True, eq=False)
class LabelFile:
    """What a label file holds: integer layers [k, j, i], their grid where it has one, the segments that it names."""

    layers: list[NDArray]
    grid: Volume | None
    segments: list[Segment] | None


def read_objects(path: str | Path, volume: Volume, names: Mapping[int, str] | None = None) -> Iterator[LabelledObject]:
    """The objects of a file, one at a time, in the order of their labels; values of 0 and below are background.

    Args:
        path: a label map in any format of ``read_volume`` but DICOM, a ``.npz`` file with ``gts``, or a ``.seg.nrrd``
            file, whose segments may overlap and may cover a part of the volume only.
        volume: gives the grid.
        names: of labels; a segmentation file brings its own. ``label 3`` where there is none.

    Raises VolumeError for a bad file, for labels that are not whole numbers and where no voxel is labelled, and
    PromptError for another grid.
    """
    path = Path(path)
    check_file(path)
    read = read_labels(path)
    found = 0
    for segment in read.segments if read.segments is not None else _segments_of(read.layers, names or {}):
        mask = np.asarray(read.layers[segment.layer] == segment.value)
        if not mask.any():
            continue
        mask = on_volume(mask, read.grid, volume, path)
        found += 1
        yield LabelledObject(segment.name, mask)
    if not found:
        raise VolumeError(
            "E_LABELS_EMPTY",
            "{path} has no labelled voxel: label at least one object, or take the file away.",
            path=path,
        )


def on_volume(mask: BoolArray, grid: Volume | None, volume: Volume, path: Path) -> BoolArray:
    """A mask of a label file on the volume's grid. Raises PromptError where it lies on another one."""
    place = grid
    if grid is not None and path.name.lower().endswith(SEGMENTATION_SUFFIX):
        mask, place = on_whole_grid(mask, grid, volume)
    check_grid(mask, place, volume, path)
    return mask


def read_labels(path: Path) -> LabelFile:
    """A label file as it is stored. Raises VolumeError for a bad file and for values that are not whole numbers."""
    if path.suffix.lower() in ARRAY_SUFFIXES:
        read = read_array_volume(path, LABEL_KEYS)
        return LabelFile([_whole_numbers(read.array, path)], read if has_geometry(path) else None, None)
    image = read_image(path)
    array = sitk.GetArrayFromImage(image)
    layers = [array] if array.ndim == 3 else [array[..., place] for place in range(array.shape[3])]
    layers = [_whole_numbers(layer, path) for layer in layers]
    grid = Volume.from_array(layers[0], image.GetSpacing(), image.GetOrigin(), image.GetDirection(), path.name)
    return LabelFile(layers, grid, _named_segments(image, len(layers)))


def _named_segments(image: sitk.Image, layers: int) -> list[Segment] | None:
    """The segments in the header of a 3D Slicer segmentation; None where it names none."""
    header = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    segments: list[Segment] = []
    while (prefix := f"Segment{len(segments)}_") + "LabelValue" in header:
        layer, value = header.get(prefix + "Layer", "0"), header[prefix + "LabelValue"]
        if not (layer.isdecimal() and value.isdecimal() and int(layer) < layers):
            return None
        segments.append(Segment(header.get(prefix + "Name", f"label {value}"), int(layer), int(value)))
    return segments or None


def _segments_of(layers: list[NDArray], names: Mapping[int, str]) -> Iterator[Segment]:
    for layer, array in enumerate(layers):
        for value in np.unique(array):
            if value > 0:
                yield Segment(names.get(int(value), f"label {int(value)}"), layer, int(value))


def _whole_numbers(array: NDArray, path: Path) -> NDArray:
    """Labels as integers; some programs write them as real numbers."""
    if array.dtype.kind != "f":
        return array
    labels = np.rint(array)
    if not np.array_equal(labels, array):
        raise VolumeError(
            "E_LABELS_FRACTIONS",
            "{path} holds fractions, not labels: a label map has one whole number for each object, 0 for none.",
            path=path,
        )
    return labels.astype(np.int64)
