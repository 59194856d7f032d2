"""Medical SAM 2's memory: the most confident and mutually dissimilar slices, whatever their order.

Zhu et al. 2024, "Medical SAM 2: Segment medical images as video via Segment Anything Model 2" (arXiv 2408.00874),
section 3, and its released code, whose rule differs from the paper's text; both are here. The published bank serves
unordered 2D images only; for volumes each direction of travel keeps tracked slices of its own, so that what one
direction finds does not depend on how far the other one has come.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from MedSAM2Lib.memory.bank import (
    BankState,
    MemoryEntry,
    MemoryQuery,
    MemorySelection,
    ShownMap,
    ShownPointer,
)
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.memory.similarity import cosine_matrix, cosine_to
from MedSAM2Lib.types import BankEvent, Direction


class SelfSortingMemory:
    """The bank of one object on one axis.

    Args:
        options: how it chooses.
        map_count: rows of the temporal position table; remembered slices get the last one, which says "no time",
            the neighbour the first.
        pointer_count: normalises the pointers' distances, and is the largest one told.
        ordered: False for images without an order, where a slice index is only a name: all go in direction 1, there
            is no neighbour, and every pointer is told as far away as can be.
    """

    needs_embeddings = True

    def __init__(
        self, options: SelfSortingOptions, map_count: int = 7, pointer_count: int = 16, ordered: bool = True
    ) -> None:
        self.options = options
        self.ordered = ordered
        self.map_count = map_count
        self.pointer_count = pointer_count
        self.events: list[BankEvent] = []
        self._prompted: dict[int, MemoryEntry] = {}
        self._tracked: dict[Direction, list[MemoryEntry]] = {1: [], -1: []}
        self._latest: dict[Direction, MemoryEntry] = {}

    @property
    def capacity(self) -> int | None:
        """Entries kept for each direction, prompted ones included; None where only prompted ones are."""
        return self.options.capacity or None

    def add(self, entry: MemoryEntry) -> None:
        """Offers an entry; what became of it is the last of ``events``."""
        if entry.prompted:
            self.discard(entry.slice_index)
            self._prompted[entry.slice_index] = entry
            grown = 0 < self.options.capacity < len(self._prompted)
            self._note(entry, True, None, "prompted, beyond the capacity" if grown else "prompted")
            self._make_room(entry)
        elif entry.slice_index not in self._prompted:
            self._latest[entry.direction] = entry
            self._offer(entry)

    def discard(self, slice_index: int) -> None:
        """Forgets one slice, and what was noted of it."""
        self._prompted.pop(slice_index, None)
        for direction, entries in self._tracked.items():
            entries[:] = [entry for entry in entries if entry.slice_index != slice_index]
            latest = self._latest.get(direction)
            if latest is not None and latest.slice_index == slice_index:
                del self._latest[direction]
        self.events = [event for event in self.events if event.slice_index != slice_index]

    def clear_tracked(self) -> None:
        """Forgets every tracked slice, and what was noted of them."""
        for entries in self._tracked.values():
            entries.clear()
        self._latest.clear()
        self.events = [event for event in self.events if event.direction == 0]

    def entries(self) -> Sequence[MemoryEntry]:
        """Prompted entries in the order they came, then the tracked ones of both directions."""
        return [*self._prompted.values(), *self._tracked[1], *self._tracked[-1]]

    def state(self) -> BankState:
        """All that the bank holds now."""
        tracked = [entry for entries in self._tracked.values() for entry in entries]
        return BankState(
            tuple(self._prompted.values()), tuple(tracked), tuple(self._latest.values()), tuple(self.events)
        )

    def restore(self, state: BankState) -> None:
        """Holds what ``state`` says and nothing else."""
        self._prompted = {entry.slice_index: entry for entry in state.prompted}
        self._tracked = {
            direction: [entry for entry in state.tracked if entry.direction == direction] for direction in self._tracked
        }
        self._latest = {entry.direction: entry for entry in state.latest}
        self.events = list(state.events)

    def select(self, query: MemoryQuery) -> MemorySelection:
        """All prompted maps, the tracked ones chosen for this slice, and the neighbour's.

        The query needs its embedding. Raises LookupError while nothing is prompted.
        """
        if not self._prompted:
            raise LookupError("a self-sorting memory needs a prompted slice before it can be shown to another one")
        prompted = sorted(self._prompted.values(), key=lambda entry: entry.slice_index)
        chosen = [*prompted, *self._resampled(query)]
        timeless = [ShownMap(entry, self.map_count - 1) for entry in chosen]
        neighbour = self._neighbour(query)
        if neighbour is not None:
            timeless = [shown for shown in timeless if shown.entry is not neighbour]
            chosen = [shown.entry for shown in timeless] + [neighbour]
            timeless.append(ShownMap(neighbour, 0))
        return MemorySelection(
            tuple(timeless),
            self._pointers(chosen, query),
            self.pointer_count if not self.ordered else min(query.slice_count, self.pointer_count),
        )

    def _offer(self, entry: MemoryEntry) -> None:
        options, kept = self.options, self._tracked[entry.direction]
        if entry.object_score <= 0 or entry.predicted_iou <= options.least_iou:
            self._note(entry, False, None, "not confident")
            return
        if len(kept) + len(self._prompted) < options.capacity:
            kept.append(entry)
            self._note(entry, True, None, "room")
            return
        leaving = self._leaving(entry, kept) if kept else None
        if leaving is None:
            self._note(entry, False, None, "no more diverse")
            return
        kept.remove(leaving)
        kept.append(entry)
        self._note(entry, True, leaving.slice_index, "more diverse")

    def _make_room(self, prompted: MemoryEntry) -> None:
        """Lets tracked entries leave for one that was prompted after them: the least dissimilar ones first."""
        for kept in self._tracked.values():
            while kept and len(kept) + len(self._prompted) > self.options.capacity:
                members = [*self._prompted.values(), *kept]
                similarity = cosine_matrix(torch.cat([member.map for member in members]))
                leaving = members[least_dissimilar(similarity, len(self._prompted))]
                kept.remove(leaving)
                self._note(prompted, True, leaving.slice_index, "prompted")

    def _leaving(self, entry: MemoryEntry, kept: Sequence[MemoryEntry]) -> MemoryEntry | None:
        members = [*self._prompted.values(), *kept, entry]
        similarity = cosine_matrix(torch.cat([member.map for member in members]))
        choose = leaving_by_paper if self.options.rule == "paper" else leaving_by_code
        place = choose(similarity, len(self._prompted))
        if place is None:
            return None
        leaving = members[place]
        return leaving if entry.predicted_iou > leaving.predicted_iou - self.options.margin else None

    def _resampled(self, query: MemoryQuery) -> list[MemoryEntry]:
        kept = sorted(self._tracked[query.direction], key=lambda entry: entry.slice_index)
        count = self.options.shown
        if query.embedding is None or not kept or not count:
            return kept[:count]
        embeddings = torch.cat([entry.embedding for entry in kept if entry.embedding is not None])
        similarity = cosine_to(query.embedding, embeddings).cpu()
        if self.options.resampling == "drawn":
            generator = torch.Generator().manual_seed((self.options.seed * 1_000_003 + query.slice_index) % 2**63)
            drawn = torch.multinomial(similarity.softmax(0), count, replacement=True, generator=generator)
            return [kept[place] for place in drawn.tolist()]
        order = sorted(range(len(kept)), key=lambda place: -float(similarity[place]))
        return [kept[place] for place in order[:count]]

    def _neighbour(self, query: MemoryQuery) -> MemoryEntry | None:
        latest = self._latest.get(query.direction)
        behind = query.slice_index - query.direction
        wanted = self.ordered and self.options.neighbour
        if not wanted or latest is None or latest.slice_index != behind:
            return None
        return latest

    def _pointers(self, chosen: Sequence[MemoryEntry], query: MemoryQuery) -> tuple[ShownPointer, ...]:
        farthest = self.pointer_count - 1
        if not self.ordered:
            return tuple(ShownPointer(entry, farthest) for entry in chosen)
        distances = [(query.slice_index - entry.slice_index) * query.direction for entry in chosen]
        return tuple(
            ShownPointer(entry, min(distance, farthest)) for entry, distance in zip(chosen, distances) if distance >= 0
        )

    def _note(self, entry: MemoryEntry, kept: bool, pushed_out: int | None, reason: str) -> None:
        self.events.append(BankEvent(entry.slice_index, entry.direction, kept, pushed_out, reason))


def leaving_by_paper(similarity: torch.Tensor, fixed: int) -> int | None:
    """Place of the member with the least total dissimilarity, sum over the others of 1 - cosine similarity.

    ``similarity`` is [n, n] over all members, the newcomer last; the first ``fixed`` never leave. None if the newcomer
    itself is the least dissimilar one. Ties: the earliest.
    """
    place = least_dissimilar(similarity, fixed)
    return None if place == len(similarity) - 1 else place


def least_dissimilar(similarity: torch.Tensor, fixed: int) -> int:
    """Place of the least total dissimilarity in [n, n], the first ``fixed`` left out. Ties: the earliest."""
    dissimilarity = (1.0 - similarity).sum(dim=1)
    return fixed + int(dissimilarity[fixed:].argmin())


def leaving_by_code(similarity: torch.Tensor, fixed: int) -> int | None:
    """The released code's rule: i is the newcomer's least similar member, j the one most similar to i.

    j leaves if the newcomer is less similar to i than j is; None otherwise, or if j is one of the first ``fixed``.
    """
    newcomer = len(similarity) - 1
    least = int(similarity[newcomer, :newcomer].argmin())
    others = similarity[least, :newcomer].clone()
    others[least] = -torch.inf
    twin = int(others.argmax())
    if twin < fixed or twin == least or similarity[newcomer, least] >= similarity[least, twin]:
        return None
    return twin
