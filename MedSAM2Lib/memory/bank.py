"""The one Protocol behind which every memory bank lives, and the plain records that pass through it.

A bank belongs to one object on one axis. It decides which entries to keep and which of them a slice is shown; it knows
neither the network nor the prompts. Symbols: C model channels, Cm memory channels, H = W = image size / 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from MedSAM2Lib.types import BankEvent, Direction


@dataclass(frozen=True, eq=False)
class MemoryEntry:
    """What is remembered of one object on one slice.

    ``map`` is the memory encoder's output [1, Cm, H, W], bf16 as published. ``pointer`` is the object pointer [1, C].
    ``embedding`` is the slice's raw top feature map [1, C, H, W], bf16 as a rule, for banks that compare slices by
    content; it is ``None`` for banks that do not (see ``MemoryBank.needs_embeddings``).
    """

    slice_index: int
    direction: Direction
    map: Tensor
    pointer: Tensor
    predicted_iou: float
    object_score: float
    embedding: Tensor | None = None

    @property
    def prompted(self) -> bool:
        return self.direction == 0


@dataclass(frozen=True, eq=False)
class MemoryQuery:
    """The slice at hand: its index, the direction of travel, how many slices its axis has, its top feature map."""

    slice_index: int
    direction: Direction
    slice_count: int
    embedding: Tensor | None = None


@dataclass(frozen=True)
class ShownMap:
    """A memory map shown to a slice, with the row of the temporal position table that goes with it (0 = nearest)."""

    entry: MemoryEntry
    temporal_row: int


@dataclass(frozen=True)
class ShownPointer:
    """An object pointer shown to a slice, with its signed distance in slices along the direction of travel."""

    entry: MemoryEntry
    distance: int


@dataclass(frozen=True)
class MemorySelection:
    """What one slice is shown. ``pointer_limit`` normalises the pointers' distances (SAM 2.1's temporal position)."""

    maps: tuple[ShownMap, ...]
    pointers: tuple[ShownPointer, ...]
    pointer_limit: int

    @property
    def slices(self) -> tuple[int, ...]:
        """Indices of the slices whose maps are shown, in the order of the sequence."""
        return tuple(shown.entry.slice_index for shown in self.maps)


@dataclass(frozen=True, eq=False)
class BankState:
    """All that a bank holds, whichever bank it is, so that another one of its kind can go on from there.

    ``prompted`` and ``tracked`` entries in the order they came; ``latest`` the entries tracked last, at most one for
    each direction, whether or not they are among ``tracked``; ``events`` all that was noted.
    """

    prompted: tuple[MemoryEntry, ...] = ()
    tracked: tuple[MemoryEntry, ...] = ()
    latest: tuple[MemoryEntry, ...] = ()
    events: tuple[BankEvent, ...] = ()


class MemoryBank(Protocol):
    """Keeps entries and selects among them; see ``TemporalMemory`` for the published rule.

    ``capacity`` is how many entries are kept for each direction, prompted ones included; None where nothing leaves.
    """

    needs_embeddings: bool

    @property
    def capacity(self) -> int | None: ...

    def add(self, entry: MemoryEntry) -> None:
        """Offers an entry; a prompted one always stays and replaces what was remembered of its slice."""
        ...

    def discard(self, slice_index: int) -> None:
        """Forgets a slice, prompted or tracked; nothing happens if it is not remembered."""
        ...

    def clear_tracked(self) -> None:
        """Forgets every tracked slice and keeps the prompted ones."""
        ...

    def select(self, query: MemoryQuery) -> MemorySelection:
        """What the slice at hand is shown; raises LookupError while no prompted entry is there."""
        ...

    def entries(self) -> Sequence[MemoryEntry]:
        """Everything remembered, prompted entries first, for reports and panels."""
        ...

    def state(self) -> BankState:
        """All that the bank holds now."""
        ...

    def restore(self, state: BankState) -> None:
        """Holds what ``state`` says and nothing else."""
        ...
