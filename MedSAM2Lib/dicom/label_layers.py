"""What a user marked, as few label maps as the overlaps allow, numbered from 1 without gaps as DICOM asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Union

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.dicom.refusals import SegExportError
from MedSAM2Lib.dicom.segment_info import SegmentInfo, numbers_of

Labels = Union[NDArray, Sequence[NDArray], Mapping[int, NDArray]]


@dataclass(frozen=True, eq=False)
class LabelLayers:
    """Label maps ``[k, j, i]`` (uint8 or uint16) that hold the numbers 1 to n once each; they may overlap one another.

    ``segments`` are those numbers' descriptions in their order, ``skipped`` the labels of those left out as empty.
    """

    arrays: tuple[NDArray, ...]
    segments: tuple[SegmentInfo, ...]
    skipped: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        k, j, i = self.arrays[0].shape
        return k, j, i

    def extent(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The first and the last marked voxel along k, j, i."""
        first, last = np.array(self.shape), np.zeros(3, dtype=np.intp)
        for array in self.arrays:
            for k in range(array.shape[0]):
                if not array[k].any():
                    continue
                j, i = (np.flatnonzero(array[k].any(axis=axis)) for axis in (1, 0))
                first = np.minimum(first, (k, j[0], i[0]))
                last = np.maximum(last, (k, j[-1], i[-1]))
        return first, last


def layered(labels: Labels, segments: Sequence[SegmentInfo], keep_empty: bool = False) -> LabelLayers:
    """Label maps ready to be written.

    Args:
        labels: a label map ``[k, j, i]`` of whole numbers; several, which may overlap, each number in one of them; or
            a mask by number.
        segments: what the numbers mean.
        keep_empty: whether segments without voxels are written.

    Raises SegExportError ``E_MASK_TYPE``, ``E_UNDESCRIBED_LABEL``, ``E_EMPTY_MASK``.
    """
    numbers = numbers_of(segments)
    arrays = _arrays(labels, len(segments))
    counts = [counts_of(array) for array in arrays]
    present = {number for one in counts for number in one}
    strangers = sorted(present - set(numbers))
    if strangers:
        raise SegExportError(
            "E_UNDESCRIBED_LABEL",
            "No segment describes what the mask holds under label {listed}: describe each label in the list of "
            "segments, or remove it from the mask.",
            listed=", ".join(map(str, strangers[:5])) + (", ..." if len(strangers) > 5 else ""),
        )
    if not present:
        raise SegExportError(
            "E_EMPTY_MASK", "No voxel of the mask is marked, so there is nothing to export: mark at least one."
        )
    kept = [place for place, number in enumerate(numbers) if keep_empty or number in present]
    table = {numbers[place]: new for new, place in enumerate(kept, start=1)}
    kind = np.uint8 if len(kept) < 256 else np.uint16
    return LabelLayers(
        tuple(_renumbered(array, table, kind) for array, one in zip(arrays, counts) if one),
        tuple(segments[place] for place in kept),
        tuple(one.label for place, one in enumerate(segments) if place not in set(kept)),
    )


def packed(masks: Iterable[tuple[int, NDArray]], kind: type[np.unsignedinteger]) -> list[NDArray]:
    """Masks by number in the first label map that each fits."""
    layers: list[NDArray] = []
    for number, mask in masks:
        marked = mask != 0
        layer = next((one for one in layers if not one[marked].any()), None)
        if layer is None:
            layer = np.zeros(mask.shape, dtype=kind)
            layers.append(layer)
        layer[marked] = number
    return layers


def marked(layers: Iterable[NDArray], number: int) -> NDArray[np.bool_]:
    """Where any of several label maps, or of slices of them, has a number."""
    return np.asarray(np.any([layer == number for layer in layers], axis=0))


def _arrays(labels: Labels, count: int) -> list[NDArray]:
    if isinstance(labels, Mapping):
        for mask in labels.values():
            _check(mask)
        most = max(labels, default=0)
        return packed(labels.items(), np.uint8 if most < 256 else np.uint16) or [np.zeros((1, 1, 1), dtype=np.uint8)]
    arrays = [labels] if isinstance(labels, np.ndarray) else list(labels)
    for array in arrays:
        _check(array)
        if array.shape != arrays[0].shape:
            raise _mask_type(f"layers of {array.shape} and {arrays[0].shape} voxels")
    return arrays


def _check(array: NDArray) -> None:
    if array.ndim != 3 or array.size == 0:
        raise _mask_type(f"{array.ndim} dimensions")
    if array.dtype.kind not in "bui":
        raise _mask_type(f"voxels of type {array.dtype}")
    if array.dtype.kind == "i" and array.min() < 0:
        raise _mask_type(f"negative labels (down to {array.min()})")
    if array.max() > np.iinfo(np.uint16).max:
        raise _mask_type(f"labels up to {array.max()}")


def _mask_type(found: str) -> SegExportError:
    return SegExportError(
        "E_MASK_TYPE",
        "The mask has {found}, and must be a volume of whole numbers from 0 to 65535: 0 for nothing, a number for each "
        "segment.",
        found=found,
    )


def counts_of(array: NDArray) -> dict[int, int]:
    """How many voxels each number of a label map has, 0 left out; far quicker than numpy.unique."""
    total = np.zeros(int(array.max()) + 1, dtype=np.int64)
    for pixels in array:
        total += np.bincount(pixels.ravel(), minlength=total.size)
    return {int(number): int(total[number]) for number in np.flatnonzero(total) if number}


def _renumbered(array: NDArray, table: Mapping[int, int], kind: type[np.unsignedinteger]) -> NDArray:
    if array.dtype == kind and all(old == new for old, new in table.items()):
        return array
    lookup = np.zeros(int(array.max()) + 1, dtype=kind)
    for old, new in table.items():
        if old < lookup.size:
            lookup[old] = new
    renumbered = np.empty(array.shape, dtype=kind)
    for k, pixels in enumerate(array):
        renumbered[k] = lookup[pixels.astype(np.intp)]
    return renumbered
