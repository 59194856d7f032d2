"""What a segment held before it was opened, and is not this program's: kept, whatever is propagated later.

Each commit leaves a check sum of every slice along k in the provenance. Slices that differ from it at the next opening
were drawn elsewhere. A few of them become keyframes, so that painting some slices and pressing Enter is enough; of many
(a whole organ from another program) the voxels are kept, and what is found is added to them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from MedSAM2Lib.types import BoolArray, SliceKey
from MedSAM2SlicerLib.session.ports import Box

MOST_KEYFRAMES = 16
"""As many slices as a memory bank holds."""

Marks = dict[int, int]
"""Check sums of slices along k that hold a voxel, by index."""


@dataclass(frozen=True, eq=False)
class Kept:
    """Voxels that nothing takes away: bool ``[n, j, i]`` of slices ``first`` and on along k."""

    first: int
    mask: BoolArray

    def put_into(self, mask: BoolArray, within: Box) -> None:
        """Adds the kept voxels to a mask of a part of the volume."""
        start, stop = max(self.first, within[0].start), min(self.first + len(self.mask), within[0].stop)
        if start < stop:
            part = self.mask[start - self.first : stop - self.first, within[1], within[2]]
            mask[start - within[0].start : stop - within[0].start] |= part


def slice_marks(mask: BoolArray, first: int = 0) -> Marks:
    """Check sums of the slices of ``mask`` [n, j, i], which begins at slice ``first``."""
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    return {first + int(index): zlib.crc32(np.packbits(mask[index]).tobytes()) for index in filled}


def read_marks(record: Mapping[str, Any]) -> Marks:
    """The check sums that a commit has left; none where there was no commit."""
    written = record.get("slices")
    return {int(key): int(value) for key, value in written.items()} if isinstance(written, dict) else {}


def drawn_elsewhere(mask: BoolArray, marks: Marks) -> list[int]:
    """Slices along k of a segment that are not what the last commit left, those emptied since included."""
    now = slice_marks(mask)
    return sorted(index for index in {*now, *marks} if now.get(index) != marks.get(index))


def kept_slices(mask: BoolArray, indices: list[int]) -> Kept | None:
    """The voxels of some slices of a segment [k, j, i]; None where there are none."""
    filled = [index for index in indices if mask[index].any()]
    if not filled:
        return None
    first, last = filled[0], filled[-1]
    part = np.zeros((last - first + 1, *mask.shape[1:]), dtype=bool)
    for index in filled:
        part[index - first] = mask[index]
    return Kept(first, part)


def keyframes_of(indices: list[int]) -> list[SliceKey]:
    """The slices as keyframes, where they are few; else none."""
    return [SliceKey("k", index) for index in indices] if len(indices) <= MOST_KEYFRAMES else []
