"""Where in an image to look for the object, for models that were trained with a region of interest around it.

The whole image is looked at, the places where the prompted images have the object, and overlapping windows; the two
best looks are repeated in a region fitted to what was found. The best look is one that the network trusts, whose mask
does not touch the border, and which shows much the same as a prompted image does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    """What the network found in one frame of an image.

    ``shown`` are places of the images that it was shown; ``likeness`` is the highest cosine similarity of the frame's
    embedding to that of a prompted image.
    """

    frame: SliceFrame
    record: SliceRecord
    entry: MemoryEntry | None = None
    shown: tuple[int, ...] = ()
    likeness: float = 0.0


def without_memory(look: Look) -> Look:
    """A look to keep for every image of a set: its logits on the host, and no memory map."""
    record = replace(look.record, low_res_logits=look.record.low_res_logits.cpu(), pointer=look.record.pointer.cpu())
    return replace(look, record=record, entry=None)


def first_regions(grid: SliceGrid, prompted: Sequence[SliceFrame]) -> list[Region]:
    """The whole image in a square, the prompted frames' places in it, and windows that overlap by half or more."""
    rows, columns = grid.shape
    whole = float(max(rows, columns))
    regions = [square_around(grid, (rows / 2, columns / 2), whole)]
    regions += [same_place(frame, grid) for frame in prompted]
    for side in (share * whole for share in WINDOW_SHARES):
        centres = [(row, column) for row in _centres(rows, side) for column in _centres(columns, side)]
        regions += [square_around(grid, centre, side) for centre in centres]
    return list(dict.fromkeys(regions))


def same_place(frame: SliceFrame, grid: SliceGrid) -> Region:
    """A square frame of another image brought to this one, whatever their sizes."""
    row = (frame.top + frame.bottom) / 2 * grid.shape[0] / frame.shape[0]
    column = (frame.left + frame.right) / 2 * grid.shape[1] / frame.shape[1]
    return square_around(grid, (row, column), (frame.bottom - frame.top) * max(grid.shape) / max(frame.shape))


def refitted_regions(grid: SliceGrid, looks: Sequence[Look], zoom: float) -> list[Region]:
    """Regions ``zoom`` times as large as what the best looks found."""
    best = sorted((look for look in looks if _found(look)), key=worth, reverse=True)[:LOOKS_REFITTED]
    extents = [mask_extent(pixel_mask(look.frame, numpy_logits(look.record))) for look in best]
    return list(dict.fromkeys(around_extent(grid, extent, zoom) for extent in extents if extent is not None))


def worth(look: Look) -> float:
    """Predicted IoU plus likeness less the share of the frame's border that the mask touches; -inf without an object.

    Measured on three kinds of synthetic sets (49, 16 and 12 images with the object): Dice .87, .84 and .72 where
    without likeness and prompted places it is .79, .87 and .53.
    """
    if not _found(look):
        return -math.inf
    mask = numpy_logits(look.record) > 0
    touching = float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())
    return look.record.predicted_iou + look.likeness - touching


def _found(look: Look) -> bool:
    return look.record.object_score > 0 and bool((look.record.low_res_logits > 0).any())


def _centres(length: int, side: float) -> list[float]:
    if length <= side:
        return [length / 2]
    count = math.ceil((length - side) / (side / 2)) + 1
    return [float(centre) for centre in np.linspace(side / 2, length - side / 2, count)]
