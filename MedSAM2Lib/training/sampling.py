"""Which slices of which body, and which square of them, become one clip.

A clip is T parallel slices cut out by one square window and resampled to the network's S x S pixels. Slice positions
count voxel centres; windows count voxel edges: voxel i reaches from i to i + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.training.anatomy import LabelVolume
from MedSAM2Lib.training.tissues import Tissue

LEAST_KEY_AREA = 9
LEAST_PIECE_SHARE = 0.85
FAVOURED = (
    Tissue.ORGAN,
    Tissue.LESION,
    Tissue.LIVER,
    Tissue.SPLEEN,
    Tissue.KIDNEY,
    Tissue.BILE,
    Tissue.WALL,
    Tissue.PANCREAS,
)
LARGEST_SIDE = 128.0
SMALLEST_CLICK_SIDE = 14.0


@dataclass(frozen=True)
class Body:
    """A label volume with the bounding box of every label, so that one object is found without a look at all voxels."""

    volume: LabelVolume
    boxes: tuple[tuple[slice, ...] | None, ...]

    @staticmethod
    def of(volume: LabelVolume) -> Body:
        """Index one label volume."""
        found = ndimage.find_objects(volume.labels, max_label=len(volume.tissues) - 1)
        return Body(volume, (None, *found))

    def object_mask(self, target: int) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
        """The box (three slices) of a target and its mask in that box."""
        found = [self.boxes[int(label)] for label in np.flatnonzero(self.volume.targets[target])]
        boxes = [box for box in found if box is not None]
        box = tuple(
            slice(min(part[axis].start for part in boxes), max(part[axis].stop for part in boxes)) for axis in range(3)
        )
        return box, self.volume.targets[target][self.volume.labels[box]]


@dataclass(frozen=True)
class ClipGeometry:
    """Where one clip lies in a body.

    Attributes:
        axis: the axis (0 k, 1 j, 2 i) perpendicular to the slices; the other two, in order, are rows and columns.
        positions: [T] slice positions along the axis, the prompted one first.
        thickness: slice thickness in voxels.
        top, left, width: the square window's upper left edge and side, in voxel edges.
        flips: whether rows and columns run backwards; ``transpose`` swaps them after that.
    """

    axis: int
    positions: NDArray[np.float64]
    thickness: float
    top: float
    left: float
    width: float
    flips: tuple[bool, bool] = (False, False)
    transpose: bool = False


@dataclass(frozen=True)
class TargetChoice:
    """One object of a body and the slice on which it is prompted."""

    target: int
    axis: int
    key: int
    area_profile: NDArray[np.int64]
    rows: tuple[int, int]
    columns: tuple[int, int]


def target_tissue(volume: LabelVolume, target: int) -> Tissue:
    """The tissue of the first label of a target."""
    return Tissue(int(volume.tissues[np.flatnonzero(volume.targets[target])[0]]))


def choose_target(rng: np.random.Generator, body: Body, leave: bool) -> TargetChoice:
    """Draw until the object is nearly in one piece on its key slice, for a click means one piece."""
    while True:
        choice = _draw_target(rng, body, leave)
        if choice is not None:
            return choice


def _draw_target(rng: np.random.Generator, body: Body, leave: bool) -> TargetChoice | None:
    """An object, an axis and a key slice; with ``leave`` the key slice lies in the outer third of the object.

    Kinds of tissue are drawn with equal chances first, so that many small vertebrae do not crowd out the organs; organs
    and lesions count three times.
    """
    volume = body.volume
    kinds = np.array([int(target_tissue(volume, index)) for index in range(len(volume.targets))])
    weights = np.array([1.0 / np.sum(kinds == kind) for kind in kinds])
    weights *= np.where(np.isin(kinds, FAVOURED), 3.0, 1.0)
    target = int(rng.choice(len(kinds), p=weights / weights.sum()))
    axis = int(rng.choice(3, p=[0.6, 0.2, 0.2]))
    return choose_slice(rng, body, target, axis, leave)


def choose_slice(rng: np.random.Generator, body: Body, target: int, axis: int, leave: bool) -> TargetChoice | None:
    """A key slice of an object along an axis; None where the object is not nearly in one piece there."""
    volume = body.volume
    box, mask = body.object_mask(target)
    order = (axis, *(other for other in range(3) if other != axis))
    mask = mask.transpose(order)
    starts = [box[other].start for other in order]
    profile = np.zeros(volume.labels.shape[axis], dtype=np.int64)
    profile[starts[0] : starts[0] + mask.shape[0]] = mask.sum(axis=(1, 2))
    least = max(min(LEAST_KEY_AREA, int(profile.max())), 0.12 * float(profile.max()))
    candidates = np.flatnonzero(profile >= least)
    chances = np.sqrt(profile[candidates]).astype(np.float64)
    if leave:
        place = np.abs(np.linspace(-1, 1, len(candidates)))
        chances = chances * np.where(place > 0.4, 1.0, 0.1)
    key = int(rng.choice(candidates, p=chances / chances.sum()))
    section = mask[key - starts[0]]
    pieces, count = ndimage.label(section)
    if count > 1 and np.bincount(pieces.ravel())[1:].max() < LEAST_PIECE_SHARE * section.sum():
        return None
    rows = starts[1] + np.flatnonzero(section.any(axis=1))
    columns = starts[2] + np.flatnonzero(section.any(axis=0))
    return TargetChoice(
        target, axis, key, profile, (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)
    )


def slice_positions(
    rng: np.random.Generator, choice: TargetChoice, count: int, leave: bool, scattered: bool
) -> NDArray:
    """[count] positions along the axis, the key slice first.

    Neighbours at a constant step (0.4 to 2 voxels) in one direction; with ``leave`` towards the nearer end of the
    object, with a step that reaches past it; ``scattered`` gives unordered slices on both sides, as in a set of images.
    """
    if count == 1:
        return np.array([float(choice.key)])
    present = np.flatnonzero(choice.area_profile)
    last = len(choice.area_profile) - 1
    to_end = {1: present[-1] - choice.key + 1, -1: choice.key - present[0] + 1}
    if scattered:
        reach = 0.6 * (present[-1] - present[0] + 3)
        offsets = rng.uniform(-reach, reach, count - 1)
    else:
        side = int(rng.choice((-1, 1)))
        step = float(np.exp(rng.uniform(np.log(0.4), np.log(2.0))))
        if leave:
            side = min(to_end, key=lambda sign: (to_end[sign], sign))
            step = float(np.clip(to_end[side] / (count - 1) * rng.uniform(0.9, 2.2), 0.4, 3.0))
        offsets = side * step * np.arange(1, count, dtype=np.float64)
    return np.concatenate([[float(choice.key)], np.clip(choice.key + offsets, 0, last)])


def choose_window(
    rng: np.random.Generator, choice: TargetChoice, sides: tuple[int, int], centre: tuple[float, float] | None = None
) -> tuple[float, float, float]:
    """The square window (top, left, width) in voxels round the object on the key slice.

    The width is 1.35 to 5 times the longer side of the object, mostly below 2.5, at times less than the object when
    ``centre`` is given. Half of the windows are moved back inside the slice.
    """
    height, width = choice.rows[1] - choice.rows[0], choice.columns[1] - choice.columns[0]
    zoom = float(rng.uniform(1.35, 2.3)) if rng.random() < 0.65 else float(np.exp(rng.uniform(np.log(1.35), np.log(5))))
    if centre is not None and rng.random() < 0.15:
        zoom = float(rng.uniform(0.7, 1.35))
    side = float(np.clip(zoom * max(height, width), 9.0, LARGEST_SIDE))
    middle_row = 0.5 * (choice.rows[0] + choice.rows[1])
    middle_column = 0.5 * (choice.columns[0] + choice.columns[1])
    if centre is not None:
        middle_row, middle_column = centre
    slack = 0.08 * side
    top = middle_row - 0.5 * side + float(rng.uniform(-slack, slack))
    left = middle_column - 0.5 * side + float(rng.uniform(-slack, slack))
    if rng.random() < 0.5:
        top = float(np.clip(top, 0, max(0.0, sides[0] - side)))
        left = float(np.clip(left, 0, max(0.0, sides[1] - side)))
    return top, left, side


def choose_click_window(
    rng: np.random.Generator, choice: TargetChoice, click: tuple[float, float], zooms: tuple[float, float]
) -> tuple[float, float, float]:
    """The square window (top, left, width) centred on a click (row, column), as a click is first looked at.

    A click knows no scale: the width is the object's longer side times a number between ``zooms``, all scales alike.
    """
    longer = max(choice.rows[1] - choice.rows[0], choice.columns[1] - choice.columns[0])
    zoom = float(np.exp(rng.uniform(np.log(zooms[0]), np.log(zooms[1]))))
    side = float(np.clip(zoom * longer, SMALLEST_CLICK_SIDE, LARGEST_SIDE))
    return click[0] - 0.5 * side, click[1] - 0.5 * side, side


def click_on(rng: np.random.Generator, body: Body, choice: TargetChoice) -> tuple[float, float]:
    """A click (row, column), in voxel edges, on a voxel of the object on its key slice; more often deep inside."""
    box, mask = body.object_mask(choice.target)
    section = np.take(mask, choice.key - box[choice.axis].start, axis=choice.axis)
    depth = ndimage.distance_transform_edt(np.pad(section, 1))[1:-1, 1:-1]
    chances = depth.ravel() ** 1.5
    row, column = divmod(int(rng.choice(chances.size, p=chances / chances.sum())), section.shape[1])
    starts = [part.start for axis, part in enumerate(box) if axis != choice.axis]
    return starts[0] + row + float(rng.uniform(0.2, 0.8)), starts[1] + column + float(rng.uniform(0.2, 0.8))
