"""What every room may name: slices, prompts, results, and the Protocols at the seams. numpy only.

Conventions, everywhere in this package:

* arrays of a volume are ``[k, j, i]``; voxel coordinates are written ``(i, j, k)``, integers at voxel centres;
* a slice is ``(axis, index)`` with axis ``"k"``, ``"j"`` or ``"i"``; its pixels are the two remaining array axes
  in array order: ``[j, i]`` along k, ``[k, i]`` along j, ``[k, j]`` along i;
* ``(row, column)`` name the pixels of a slice in that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Union

import numpy as np
from numpy.typing import NDArray

Axis = Literal["k", "j", "i"]
AXES: tuple[Axis, Axis, Axis] = ("k", "j", "i")

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
IJK = tuple[float, float, float]

NOT_COMPUTED = -1024.0
"""Logit of a voxel that no slice result covers, and of every voxel of a slice without the object (as in SAM 2)."""


def array_dimension(axis: Axis) -> int:
    """Dimension of a ``[k, j, i]`` array that runs along ``axis``: 0, 1 or 2."""
    return AXES.index(axis)


def ijk_position(axis: Axis) -> int:
    """Place of ``axis`` in an ``(i, j, k)`` coordinate: 2 for k, 1 for j, 0 for i."""
    return 2 - AXES.index(axis)


def in_plane_axes(axis: Axis) -> tuple[Axis, Axis]:
    """Axes of a slice's rows and columns, in that order."""
    rows, columns = (other for other in AXES if other != axis)
    return rows, columns


@dataclass(frozen=True)
class SliceKey:
    """One slice of a volume: the axis it is perpendicular to, and its index along that axis (0-based)."""

    axis: Axis
    index: int


@dataclass(frozen=True)
class PointPrompt:
    """A click at voxel coordinates ``(i, j, k)`` on the slice of ``axis`` through it; negative means "not this"."""

    ijk: IJK
    axis: Axis = "k"
    positive: bool = True

    @property
    def slice(self) -> SliceKey:
        return SliceKey(self.axis, round(self.ijk[ijk_position(self.axis)]))


@dataclass(frozen=True)
class BoxPrompt:
    """A box on one slice, by two opposite voxel corners ``(i, j, k)``, inclusive; both lie on the slice of ``axis``.

    ``first`` holds the lower coordinates and ``last`` the higher ones, however the corners were given.
    """

    first: IJK
    last: IJK
    axis: Axis = "k"

    def __post_init__(self) -> None:
        lower = tuple(map(min, self.first, self.last))
        higher = tuple(map(max, self.first, self.last))
        object.__setattr__(self, "first", lower)
        object.__setattr__(self, "last", higher)

    @property
    def slice(self) -> SliceKey:
        return SliceKey(self.axis, round(self.first[ijk_position(self.axis)]))


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """The object's mask on one slice: boolean ``[rows, columns]`` on the volume's own voxels."""

    slice: SliceKey
    mask: BoolArray

    @property
    def axis(self) -> Axis:
        return self.slice.axis


Prompt = Union[PointPrompt, BoxPrompt, MaskPrompt]


@dataclass(frozen=True)
class SliceFrame:
    """The rectangle of a slice that the network sees as its square image.

    Edges are in voxel units of the slice with voxel ``n`` covering ``[n, n + 1)``, so that the whole slice is
    ``top=0, left=0, bottom=rows, right=columns``. They may lie outside the slice (padding) and be fractional (zoom).
    """

    key: SliceKey
    shape: tuple[int, int]
    top: float
    left: float
    bottom: float
    right: float

    @property
    def region(self) -> tuple[float, float, float, float]:
        """``(top, left, bottom, right)``, the same for every slice of one propagation."""
        return (self.top, self.left, self.bottom, self.right)


@dataclass(frozen=True, eq=False)
class SliceResult:
    """What the engine says of one object on one slice.

    ``logits`` are float32 ``[h, w]``, low-resolution and spread over ``frame``; positive means object.
    ``predicted_iou`` is the network's own estimate (0 to 1), ``object_score`` a logit: positive means present.
    ``prompted`` says that the user prompted this slice, ``shown`` which slices of its axis memory attention was shown.
    """

    object_id: int
    frame: SliceFrame
    logits: FloatArray
    predicted_iou: float
    object_score: float
    prompted: bool = False
    shown: tuple[int, ...] = ()

    @property
    def key(self) -> SliceKey:
        return self.frame.key


@dataclass(frozen=True)
class StopRule:
    """When a direction of propagation ends by itself.

    A slice is a miss if its object score or predicted IoU is at or below its threshold, or its mask is empty;
    ``misses`` of them in a row end that direction. After a slice without any mask the object is back once ``misses``
    slices in a row are none; fewer are dropped. ``enabled=False`` runs to the end of the range.
    """

    enabled: bool = True
    object_score: float = 0.0
    predicted_iou: float = 0.0
    misses: int = 2


Orientations = Literal["1", "3", "auto"]
"""How many axes look at the object: the request's own, all three, or those that are worth it."""


@dataclass(frozen=True)
class PropagationRequest:
    """What to propagate: objects (all by default), the axis, an inclusive range of slices along it, when to stop.

    ``stop`` None is the rule that the engine's model is good for. ``orientations`` other than 1 let further axes take
    part, seeded from the first one's result. ``update`` computes only what is missing or outdated: after a correction
    the interval around it, after a cancelled propagation the rest; False begins anew.
    """

    axis: Axis = "k"
    object_ids: Sequence[int] | None = None
    first: int | None = None
    last: int | None = None
    stop: StopRule | None = None
    orientations: Orientations = "1"
    update: bool = False


@dataclass(frozen=True, eq=False)
class FusedSlab:
    """What all orientations together say of slices ``first`` to ``first + n - 1`` along k.

    ``probability`` float32 [n, j, i], over 0.5 means object; ``disagreement`` float32 [n, j, i], 0 where the
    orientations say the same or only one was asked, 1 where they contradict each other fully.
    """

    first: int
    probability: FloatArray
    disagreement: FloatArray


@dataclass(frozen=True)
class Suggestion:
    """Where the next prompt helps most: a slice, a voxel ``(i, j, k)`` on it, how great the doubt is (0 to 1), why."""

    slice: SliceKey
    ijk: IJK
    doubt: float
    reason: str


Direction = Literal[-1, 0, 1]
"""+1 tracked towards higher slice indices, -1 towards lower ones, 0 prompted."""


@dataclass(frozen=True)
class BankEvent:
    """One offer to a memory bank: which slice, what became of it, which slice it pushed out, and why."""

    slice_index: int
    direction: Direction
    kept: bool
    pushed_out: int | None
    reason: str


@dataclass(frozen=True)
class RememberedSlice:
    """A slice that a memory bank holds; ``arrival`` is its place among the bank's events, from 0.

    ``prompted`` slices, by the user or by the engine itself, never leave. ``pushed_out`` are the slices that left for
    it: more than one where a prompted slice took a place in both directions.
    """

    index: int
    direction: Direction
    predicted_iou: float
    object_score: float
    arrival: int
    pushed_out: tuple[int, ...]

    @property
    def prompted(self) -> bool:
        return self.direction == 0


@dataclass(frozen=True)
class BankView:
    """The memory of one object along one axis, to be looked at.

    ``capacity`` is how many slices are kept for each direction, prompted ones included; None without such a limit.
    ``events`` are all offers of slices that have a result now, in their order. ``shown`` tells for each computed slice
    which slices' memory the network was shown, in that order.
    """

    axis: Axis
    capacity: int | None
    slices: tuple[RememberedSlice, ...]
    events: tuple[BankEvent, ...]
    shown: Mapping[int, tuple[int, ...]]

    @property
    def prompted_count(self) -> int:
        """Remembered slices that never leave."""
        return sum(one.prompted for one in self.slices)

    @property
    def grown(self) -> bool:
        """Whether more slices are prompted than the capacity holds, so that it has grown to keep them all."""
        return self.capacity is not None and self.prompted_count > self.capacity


class VolumeData(Protocol):
    """A grey volume: ``array`` float32 or integer ``[k, j, i]``, ``ijk_to_world`` 4x4 (LPS, mm), ``name``."""

    @property
    def array(self) -> NDArray: ...

    @property
    def ijk_to_world(self) -> NDArray[np.float64]: ...

    @property
    def name(self) -> str: ...


class SegmentationSession(Protocol):
    """Prompts in, slice results out, for several objects on one volume. Everything above the tracker talks to this."""

    def add_object(self, name: str) -> int:
        """A new object; returns its id, used in every later call."""
        ...

    def add_prompt(self, object_id: int, prompt: Prompt) -> tuple[Prompt, ...]:
        """Adds a prompt, and returns the object's earlier ones that it replaces: as a rule none.

        Where prompts of a slice contradict each other the later one holds: a mask replaces all others, a point or a
        box replaces a mask, a box another box, a point one of the other sign in the same pixel.
        Raises PromptError where it does not fit the volume.
        """
        ...

    def clear_prompts(self, object_id: int, key: SliceKey) -> None:
        """Removes all prompts of an object on one slice, and what was computed from them."""
        ...

    def preview(self, object_id: int, key: SliceKey) -> SliceResult:
        """The object on its prompted slice, at once; nothing is propagated."""
        ...

    def propagate(self, request: PropagationRequest) -> Iterator[SliceResult]:
        """One slice result a step, prompted slices included; not asking for the next one cancels."""
        ...

    def results(self, object_id: int) -> Sequence[SliceResult]:
        """Everything that holds of an object now, one result a slice, of all axes."""
        ...

    def fused(self, object_id: int, first: int, last: int) -> FusedSlab:
        """What all orientations together say of slices ``first`` to ``last`` along k."""
        ...

    def voxel_logits(self, result: SliceResult) -> FloatArray:
        """A result's logits on the slice's voxels, ``[rows, columns]``; NOT_COMPUTED outside its frame."""
        ...


class SegmentationEngine(Protocol):
    """A model, ready to open sessions on volumes."""

    def open(self, volume: VolumeData) -> SegmentationSession: ...
