"""The memory banks as a set of images uses them: entries are told by the image's place in the set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from MedSAM2Lib.imageset.options import ImageSetOptions
from MedSAM2Lib.memory.bank import MemoryEntry, MemoryQuery, MemorySelection
from MedSAM2Lib.memory.self_sorting import SelfSortingMemory, least_dissimilar
from MedSAM2Lib.memory.similarity import cosine_matrix, cosine_to
from MedSAM2Lib.memory.temporal import TemporalMemory

CANDIDATES_FOR_EACH_PLACE = 4
"""Of all confident results, this many times the capacity are weighed against each other: the most confident ones."""


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
