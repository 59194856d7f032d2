"""The memory banks as a set of images uses them: entries are told by the image's place in the set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from MedSAM2Lib.imageset.options import ImageSetOptions
from MedSAM2Lib.memory.bank import MemoryEntry, MemoryQuery, MemorySelection
from MedSAM2Lib.memory.self_sorting import SelfSortingMemory, least_dissimilar
from MedSAM2Lib.memory.similarity import cosine_matrix, cosine_to
from MedSAM2Lib.memory.temporal import TemporalMemory
from MedSAM2Lib.types import BankEvent

CANDIDATES_FOR_EACH_PLACE = 4
"""Of all confident results, this many times the capacity are weighed against each other: the most confident ones."""


@dataclass(frozen=True)
class SetBank:
    """What the memory of a set holds, to be looked at.

    ``capacity`` is how many images are kept, prompted ones included; None without such a limit. ``prompted`` and
    ``tracked`` are places of images. ``events`` are all offers of images in their order; their slices are places.
    """

    capacity: int | None
    prompted: tuple[int, ...]
    tracked: tuple[int, ...]
    events: tuple[BankEvent, ...]

    @property
    def grown(self) -> bool:
        """Whether more images are prompted than the capacity holds, so that it has grown to keep them all."""
        return self.capacity is not None and len(self.prompted) > self.capacity


class SetMemory:
    """One bank over the images of a set, all tracked in one direction.

    Args:
        options: which bank.
        map_count: rows of the model's temporal position table.
        pointer_count: most pointers that the model is shown.
        image_count: size of the set.
    """

    def __init__(self, options: ImageSetOptions, map_count: int, pointer_count: int, image_count: int) -> None:
        self._temporal = options.memory == "temporal"
        self._reach = max(map_count, pointer_count)
        self._image_count = image_count
        self._places: list[int] = []
        bank = options.bank if options.memory == "self-sorting" else replace(options.bank, capacity=0, shown=0)
        self.capacity = bank.capacity
        self._bank: TemporalMemory | SelfSortingMemory = (
            TemporalMemory(map_count, pointer_count)
            if self._temporal
            else SelfSortingMemory(bank, map_count, pointer_count, ordered=False)
        )

    def add(self, place: int, entry: MemoryEntry) -> None:
        """Offers what is remembered of an image, prompted (direction 0) or tracked (1)."""
        self._bank.add(replace(entry, slice_index=self._index_of_next(place)))
        if self._temporal:
            self._places.append(place)
            self._forget_far()

    def take_out(self, place: int) -> MemoryEntry | None:
        """Removes a tracked image from a self-sorting bank and returns what was remembered of it, if anything was."""
        found = next((entry for entry in self._bank.entries() if entry.slice_index == place), None)
        if found is None or found.prompted:
            return None
        self._bank.discard(place)
        return found

    def forget(self, place: int) -> None:
        """Removes an image, prompted or tracked."""
        for index in [e.slice_index for e in self._bank.entries() if self._place_of(e.slice_index) == place]:
            self._bank.discard(index)

    @property
    def has_prompted(self) -> bool:
        """Whether there is a prompted image to show."""
        return any(entry.prompted for entry in self._bank.entries())

    def select(self, place: int, embedding: Tensor) -> MemorySelection:
        """What an image is shown."""
        return self._bank.select(MemoryQuery(self._index_of_next(place), 1, self._image_count, embedding))

    def likeness(self, embedding: Tensor) -> float:
        """The highest cosine similarity of a feature map [1, C, H, W] to that of a prompted image."""
        prompted = [e.embedding for e in self._bank.entries() if e.prompted and e.embedding is not None]
        return float(cosine_to(embedding, torch.cat(prompted)).max())

    def shown(self, selection: MemorySelection) -> tuple[int, ...]:
        """Places of the images in a selection, in its order, each once."""
        return tuple(dict.fromkeys(self._place_of(index) for index in selection.slices))

    def members(self) -> list[int]:
        """Places of all remembered images, ascending."""
        return sorted({self._place_of(entry.slice_index) for entry in self._bank.entries()})

    def contents(self) -> SetBank:
        """What is held now, why each image came and what it pushed out."""
        state = self._bank.state()
        prompted, tracked = (
            tuple(dict.fromkeys(self._place_of(entry.slice_index) for entry in entries))
            for entries in (state.prompted, state.tracked)
        )
        return SetBank(self._bank.capacity, prompted, tracked, tuple(map(self._of_places, state.events)))

    def fill(self, candidates: Sequence[MemoryEntry]) -> None:
        """Takes those of ``candidates`` that are the most dissimilar, all weighed at once.

        One after the other leaves, the one with the least total dissimilarity to the prompted and remaining ones,
        until they fit. ``slice_index`` is the place; the candidates' order does not matter.
        """
        fixed = [entry for entry in self._bank.entries() if entry.prompted]
        remaining = sorted(candidates, key=lambda entry: entry.slice_index)
        similarity = cosine_matrix(_maps([*fixed, *remaining])) if remaining else None
        kept = list(range(len(fixed) + len(remaining)))
        while similarity is not None and len(kept) > max(self.capacity, len(fixed)):
            del kept[least_dissimilar(similarity[kept][:, kept], len(fixed))]
        for place in kept[len(fixed) :]:
            self._bank.add(remaining[place - len(fixed)])

    def _index_of_next(self, place: int) -> int:
        return len(self._places) if self._temporal else place

    def _place_of(self, index: int) -> int:
        return self._places[index] if self._temporal else index

    def _of_places(self, event: BankEvent) -> BankEvent:
        left = None if event.pushed_out is None else self._place_of(event.pushed_out)
        return replace(event, slice_index=self._place_of(event.slice_index), pushed_out=left)

    def _forget_far(self) -> None:
        """Lets go of tracked images that no later one can be shown."""
        far = len(self._places) - 1 - self._reach
        prompted = {entry.slice_index for entry in self._bank.entries() if entry.prompted}
        if far >= 0 and far not in prompted:
            self._bank.discard(far)


def most_confident(entries: Sequence[MemoryEntry], count: int) -> list[MemoryEntry]:
    """The ``count`` entries with the highest predicted IoU; ties by place."""
    return sorted(entries, key=lambda entry: (-entry.predicted_iou, entry.slice_index))[:count]


def _maps(entries: Sequence[MemoryEntry]) -> Tensor:

    return torch.cat([entry.map for entry in entries])
