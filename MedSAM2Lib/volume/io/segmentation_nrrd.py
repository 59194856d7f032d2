"""3D Slicer's segmentation files, ``.seg.nrrd``: label maps in layers, with names and colours in the header.

A reader of 3D Slicer (vtkMRMLSegmentationStorageNode) cuts a layer to the extent of its first segment, so all segments
of a layer name one extent, that of the layer.
"""

from __future__ import annotations

import colorsys
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.types import BoolArray
from MedSAM2Lib.volume.volume import Volume

Color = tuple[float, float, float]

_COMPRESSION = 4
_GZIP = 31
_GOLDEN_RATIO = 0.6180339887498949
_TISSUE_CODE = (
    "TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list~"
    "SCT^85756007^Tissue~SCT^85756007^Tissue~^^~Anatomic codes - DICOM master list~^^~^^"
)


@dataclass(frozen=True, eq=False)
class Layers:
    """Objects in as few label maps as their overlaps allow.

    ``arrays`` are uint8 or uint16 ``[k, j, i]``; ``places[n]`` is the layer and the label value of object n + 1.
    """

    arrays: list[NDArray]
    places: list[tuple[int, int]]


def in_layers(labels: NDArray | Sequence[BoolArray], shape: tuple[int, int, int]) -> Layers:
    """Label map or masks as layers: a label map is one already, a mask goes into the first layer that it fits.

    Raises ValueError for arrays of another shape, and labels of a type other than uint8 and uint16.
    """
    if isinstance(labels, np.ndarray) and labels.ndim == 3 and labels.dtype != np.bool_:
        if labels.shape != shape or labels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"labels must be uint8 or uint16 {shape}, not {labels.dtype} {labels.shape}")
        return Layers([labels], [(0, value) for value in range(1, int(labels.max()) + 1)])
    masks = [labels] if isinstance(labels, np.ndarray) and labels.ndim == 3 else list(labels)
    layers = Layers([], [])
    counts: list[int] = []
    for mask in masks:
        if mask.shape != shape:
            raise ValueError(f"a mask must have the volume's shape {shape}, not {mask.shape}")
        layer = next((place for place, array in enumerate(layers.arrays) if not array[mask].any()), len(counts))
        if layer == len(counts):
            layers.arrays.append(np.zeros(shape, dtype=np.uint8 if len(masks) < 256 else np.uint16))
            counts.append(0)
        counts[layer] += 1
        layers.arrays[layer][mask] = counts[layer]
        layers.places.append((layer, counts[layer]))
    return layers if masks else Layers([np.zeros(shape, dtype=np.uint8)], [])


def write_segmentation(
    path: Path,
    layers: Layers,
    volume: Volume,
    names: Sequence[str] = (),
    colors: Sequence[Color] | None = None,
    terminology: Sequence[str] | None = None,
) -> None:
    """Writes layers on a volume's grid; a name without voxels becomes an empty segment. Raises OSError.

    ``terminology`` holds each segment's tags from 3D Slicer's TerminologyEntry on; Tissue for all if None.
    """
    places = list(layers.places)
    for index in range(len(places), len(names)):
        places.append((0, index + 1))
    segments = dict(_segment_fields(layers, places, names, colors, terminology))
    header = "\n".join([*_nrrd_fields(layers, volume), *_SEGMENTATION_FIELDS, *map(_pair, segments.items())])
    packer = zlib.compressobj(_COMPRESSION, zlib.DEFLATED, _GZIP)
    with path.open("wb") as file:
        file.write(header.encode("utf-8") + b"\n\n")
        for index in range(volume.shape[0]):
            # the list of layers runs fastest in the file
            file.write(packer.compress(np.stack([array[index] for array in layers.arrays], axis=-1).tobytes()))
        file.write(packer.flush())


def distinct_color(index: int) -> Color:
    """The colour of the object at ``index``: hues a golden ratio apart."""
    return colorsys.hsv_to_rgb((0.33 + index * _GOLDEN_RATIO) % 1.0, 0.6, 0.9)


_SEGMENTATION_FIELDS = (
    "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
    "Segmentation_MasterRepresentation:=Binary labelmap",
    "Segmentation_SourceRepresentation:=Binary labelmap",
    "Segmentation_ReferenceImageExtentOffset:=0 0 0",
)


def _nrrd_fields(layers: Layers, volume: Volume) -> list[str]:
    count = len(layers.arrays)
    several = count > 1
    sizes = ([count] if several else []) + list(volume.shape[::-1])
    directions = (["none"] if several else []) + [_vector(column) for column in volume.ijk_to_world[:3, :3].T]
    fields = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {'unsigned char' if layers.arrays[0].dtype == np.uint8 else 'unsigned short'}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(map(str, sizes)),
        "space directions: " + " ".join(directions),
        "kinds: " + " ".join((["list"] if several else []) + ["domain"] * 3),
        "encoding: gzip",
        "space origin: " + _vector(volume.origin),
    ]
    if layers.arrays[0].dtype.itemsize > 1:
        fields.insert(-2, f"endian: {sys.byteorder}")
    return fields


def _segment_fields(
    layers: Layers,
    places: Sequence[tuple[int, int]],
    names: Sequence[str],
    colors: Sequence[Color] | None,
    terminology: Sequence[str] | None,
) -> Iterator[tuple[str, str]]:
    extents = [_extent(array) for array in layers.arrays]
    for index, (layer, value) in enumerate(places):
        color = colors[index] if colors is not None and index < len(colors) else distinct_color(index)
        named = index < len(names)
        code = terminology[index] if terminology is not None and index < len(terminology) else _TISSUE_CODE
        for key, text in {
            "ID": f"Segment_{index + 1}",
            "Name": names[index] if named else f"Segment_{index + 1}",
            "NameAutoGenerated": "0" if named else "1",
            "Color": " ".join(f"{part:.6g}" for part in color),
            "ColorAutoGenerated": "0" if colors is not None else "1",
            "Extent": extents[layer],
            "LabelValue": str(value),
            "Layer": str(layer),
            "Tags": f"Segmentation.Status:inprogress|{code}|",
        }.items():
            yield f"Segment{index}_{key}", text


def _extent(array: NDArray) -> str:
    """First and last voxel with a label along i, j, k; "0 -1" each where there is none."""
    bounds = []
    for dimension in (2, 1, 0):
        others = tuple(other for other in range(3) if other != dimension)
        marked = np.flatnonzero(array.any(axis=others))
        bounds += [int(marked[0]), int(marked[-1])] if marked.size else [0, -1]
    return " ".join(map(str, bounds))


def _pair(item: tuple[str, str]) -> str:
    key, value = item
    return f"{key}:=" + value.replace("\\", "\\\\").replace("\r", " ").replace("\n", "\\n")


def _vector(values: Sequence[float] | NDArray) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
