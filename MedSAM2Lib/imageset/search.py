"""Where in an image to look for the object, for models that were trained with a region of interest around it.

The whole image and overlapping windows are looked at; the two best looks are repeated in a region fitted to what was
found. Dice on synthetic images with the object, masks of a predicted IoU over .8: from the whole image alone .56, from
windows too .77; on whole slices of bodies .40 and .85; on the slices of a phantom with a small organ 0 and .52.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from MedSAM2Lib.imageset.images import pixel_mask
from MedSAM2Lib.memory.bank import MemoryEntry
from MedSAM2Lib.tracking.runner import SliceRecord
from MedSAM2Lib.tracking.tracks import numpy_logits
from MedSAM2Lib.tracking.view import mask_extent
from MedSAM2Lib.types import SliceFrame
from MedSAM2Lib.volume.region import Region, SliceGrid, around_extent, square_around

WINDOW_SHARES = (0.6, 0.45)
LOOKS_REFITTED = 2


@dataclass(frozen=True, eq=False)
class Look:
    """What the network found in one frame of an image; ``shown`` are places of the images that it was shown."""

    frame: SliceFrame
    record: SliceRecord
    entry: MemoryEntry | None = None
    shown: tuple[int, ...] = ()


def without_memory(look: Look) -> Look:
    """A look to keep for every image of a set: its logits on the host, and no memory map."""
    record = replace(look.record, low_res_logits=look.record.low_res_logits.cpu(), pointer=look.record.pointer.cpu())
    return replace(look, record=record, entry=None)


def first_regions(grid: SliceGrid) -> list[Region]:
    """The whole image in a square, and windows of 0.6 and 0.45 times its larger side that overlap by half or more."""
    rows, columns = grid.shape
    whole = float(max(rows, columns))
    regions = [square_around(grid, (rows / 2, columns / 2), whole)]
    for side in (share * whole for share in WINDOW_SHARES):
        centres = [(row, column) for row in _centres(rows, side) for column in _centres(columns, side)]
        regions += [square_around(grid, centre, side) for centre in centres]
    return regions


def refitted_regions(grid: SliceGrid, looks: list[Look], zoom: float) -> list[Region]:
    """Regions ``zoom`` times as large as what the best looks found."""
    best = sorted((look for look in looks if worth(look) > -1.0), key=worth, reverse=True)[:LOOKS_REFITTED]
    extents = [mask_extent(pixel_mask(look.frame, numpy_logits(look.record))) for look in best]
    return list(dict.fromkeys(around_extent(grid, extent, zoom) for extent in extents if extent is not None))


def worth(look: Look) -> float:
    """Predicted IoU less the share of the frame's border that the mask touches; -1 without an object."""
    mask = numpy_logits(look.record) > 0
    if look.record.object_score <= 0 or not mask.any():
        return -1.0
    return look.record.predicted_iou - float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())


def _centres(length: int, side: float) -> list[float]:
    if length <= side:
        return [length / 2]
    count = math.ceil((length - side) / (side / 2)) + 1
    return [float(centre) for centre in np.linspace(side / 2, length - side / 2, count)]
