"""SAM 2's memory: every prompted slice, the nearest tracked slices behind the one at hand, and their pointers.

Ravi et al. 2024, "SAM 2: Segment Anything in Images and Videos" (arXiv 2408.00714), section 4 and its released
configuration: 7 maps, 16 pointers, stride 1. The two directions of a propagation do not see each other's tracked
slices, as when the published predictor's state is reset between them.
"""

from __future__ import annotations

from collections.abc import Sequence

from MedSAM2Lib.memory.bank import (
    BankState,
    MemoryEntry,
    MemoryQuery,
    MemorySelection,
    ShownMap,
    ShownPointer,
)
from MedSAM2Lib.types import BankEvent, Direction


class TemporalMemory:
    """The published bank.

    Args:
        map_count: rows of the temporal position table (7 as published): one for prompted slices, the others for the
            nearest tracked slices.
        pointer_count: at most this many slices' distances give pointers (16 as published).
    """

    needs_embeddings = False

    def __init__(self, map_count: int = 7, pointer_count: int = 16) -> None:
        self.map_count = map_count
        self.pointer_count = pointer_count
        self.events: list[BankEvent] = []
        self._prompted: dict[int, MemoryEntry] = {}
        self._tracked: dict[tuple[Direction, int], MemoryEntry] = {}

    @property
    def capacity(self) -> None:
        """Nothing leaves."""
        return

    def add(self, entry: MemoryEntry) -> None:
        """Keeps the entry; all tracked ones stay, so that a correction anywhere finds the slices behind it.

        A tracked entry of a prompted slice is not taken: what the user said holds.
        """
        if entry.prompted:
            self.discard(entry.slice_index)
            self._prompted[entry.slice_index] = entry
            self._note(entry)
        elif entry.slice_index not in self._prompted:
            self._tracked[(entry.direction, entry.slice_index)] = entry
            self._note(entry)

    def discard(self, slice_index: int) -> None:
        """Forgets one slice, and what was noted of it."""
        self._prompted.pop(slice_index, None)
        self._tracked.pop((1, slice_index), None)
        self._tracked.pop((-1, slice_index), None)
        self.events = [event for event in self.events if event.slice_index != slice_index]

    def clear_tracked(self) -> None:
        """Forgets every tracked slice, and what was noted of them."""
        self._tracked.clear()
        self.events = [event for event in self.events if event.direction == 0]

    def entries(self) -> Sequence[MemoryEntry]:
        """Prompted entries in the order they came, then the tracked ones."""
        return [*self._prompted.values(), *self._tracked.values()]

    def state(self) -> BankState:
        """All that the bank holds now."""
        return BankState(tuple(self._prompted.values()), tuple(self._tracked.values()), (), tuple(self.events))

    def restore(self, state: BankState) -> None:
        """Holds what ``state`` says and nothing else."""
        self._prompted = {entry.slice_index: entry for entry in state.prompted}
        self._tracked = {(entry.direction, entry.slice_index): entry for entry in state.tracked}
        self.events = list(state.events)

    def select(self, query: MemoryQuery) -> MemorySelection:
        """All prompted maps (last temporal row), the tracked maps 6 to 1 slices behind, pointers up to 15 behind.

        Prompted pointers count only from slices already passed in the direction of travel. Raises LookupError while
        nothing is prompted.
        """
        if not self._prompted:
            raise LookupError("a temporal memory needs a prompted slice before it can be shown to another one")
        limit = min(query.slice_count, self.pointer_count)
        return MemorySelection(
            maps=(*self._prompted_maps(), *self._tracked_maps(query)),
            pointers=(*self._prompted_pointers(query), *self._tracked_pointers(query, limit)),
            pointer_limit=limit,
        )

    def _prompted_maps(self) -> list[ShownMap]:
        return [ShownMap(entry, self.map_count - 1) for entry in self._prompted.values()]

    def _tracked_maps(self, query: MemoryQuery) -> list[ShownMap]:
        behind = range(self.map_count - 1, 0, -1)
        found = ((distance, self._behind(query, distance)) for distance in behind)
        return [ShownMap(entry, distance - 1) for distance, entry in found if entry is not None]

    def _prompted_pointers(self, query: MemoryQuery) -> list[ShownPointer]:
        distances = ((query.slice_index - entry.slice_index) * query.direction for entry in self._prompted.values())
        return [
            ShownPointer(entry, distance)
            for entry, distance in zip(self._prompted.values(), distances)
            if distance >= 0
        ]

    def _tracked_pointers(self, query: MemoryQuery, limit: int) -> list[ShownPointer]:
        found = ((distance, self._behind(query, distance)) for distance in range(1, limit))
        return [ShownPointer(entry, distance) for distance, entry in found if entry is not None]

    def _behind(self, query: MemoryQuery, distance: int) -> MemoryEntry | None:
        return self._tracked.get((query.direction, query.slice_index - query.direction * distance))

    def _note(self, entry: MemoryEntry) -> None:
        reason = "prompted" if entry.prompted else "tracked"
        self.events.append(BankEvent(entry.slice_index, entry.direction, True, None, reason))
