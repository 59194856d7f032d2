"""One object along one axis: what was prompted, what was tracked, what is remembered (SAM 2, arXiv 2408.00714)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from MedSAM2Lib.memory.bank import BankState, Direction, MemoryBank, MemoryEntry, MemoryQuery, MemorySelection
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.tracking.features import own_embedding
from MedSAM2Lib.tracking.runner import NetworkPrompts, NetworkRunner, SliceRecord, TrackOutcome, TrackStep


@dataclass(frozen=True, eq=False)
class TrackerState:
    """All that a tracker knows: records in the order in which they became known, which prompted slices are encoded."""

    records: tuple[SliceRecord, ...]
    remembered: set[int]
    bank: BankState


FeaturesOf = Callable[[int], SliceFeatures]
"""Features of a slice by its index along the axis."""

EmbeddingOf = Callable[[int, SliceFeatures], Tensor]
"""What a bank keeps of a slice's features, by its index along the axis."""


class Tracker:
    """Keeps the records of one object and feeds its memory bank.

    Args:
        runner: calls the network.
        bank: this object's memory on this axis.
        features_of: features of the slice with a given index, as this object's frame sees it.
        slice_count: number of slices of the volume along the axis.
        embedding_of: the embedding that a bank keeps; by default a copy for each entry.
    """

    def __init__(
        self,
        runner: NetworkRunner,
        bank: MemoryBank,
        features_of: FeaturesOf,
        slice_count: int,
        embedding_of: EmbeddingOf | None = None,
    ) -> None:
        self.bank = bank
        self.slice_count = slice_count
        self._runner = runner
        self._features_of = features_of
        self._embedding_of = embedding_of or _own_copy
        self._records: dict[int, SliceRecord] = {}
        self._remembered: set[int] = set()

    @property
    def prompted_slices(self) -> list[int]:
        """Indices of the prompted slices, ascending."""
        return sorted(index for index, record in self._records.items() if record.prompted)

    @property
    def records(self) -> list[SliceRecord]:
        """What is known of slices, in the order in which they became known."""
        return list(self._records.values())

    def record(self, index: int) -> SliceRecord | None:
        """What is known of a slice, or None."""
        return self._records.get(index)

    def state(self) -> TrackerState:
        """All that is known now."""
        return TrackerState(tuple(self._records.values()), set(self._remembered), self.bank.state())

    def restore(self, state: TrackerState) -> None:
        """Knows what ``state`` says and nothing else."""
        self._records = {record.index: record for record in state.records}
        self._remembered = set(state.remembered)
        self.bank.restore(state.bank)

    def prompt(self, index: int, prompts: NetworkPrompts) -> SliceRecord:
        """Decodes a prompted slice and makes it conditioning memory; it is never computed by propagation again.

        Logits of an earlier result on the slice go in as a dense prompt. A slice that was tracked is corrected in the
        light of its memory; any other one is an initial conditioning slice.
        """
        earlier = self._records.get(index)
        travelled: Direction = 0 if earlier is None else earlier.direction or earlier.corrected_from
        features = self._features_of(index)
        memory = self._memory_of_the_others(index, travelled, features)
        previous = None if earlier is None or prompts.mask is not None else earlier.low_res_logits
        record = self._runner.decode_prompts(index, features, prompts, previous, memory)
        shown = memory.slices if memory is not None else ()
        self._records[index] = replace(record, corrected_from=travelled, shown=shown)
        self._remembered.discard(index)
        self.bank.discard(index)
        return self._records[index]

    def adopt(self, record: SliceRecord) -> None:
        """Takes a prompted slice as it was decoded in the same frame before."""
        self._records[record.index] = record

    def forget(self, index: int) -> None:
        """Drops a slice's record and memory."""
        self._records.pop(index, None)
        self._remembered.discard(index)
        self.bank.discard(index)

    def forget_tracked(self) -> None:
        """Drops everything that propagation computed."""
        self._records = {index: record for index, record in self._records.items() if record.prompted}
        self.bank.clear_tracked()

    def forget_range(self, first: int, last: int) -> None:
        """Drops what propagation computed on slices ``first`` to ``last``; prompted ones stay."""
        tracked = [index for index, record in self._records.items() if not record.prompted and first <= index <= last]
        for index in tracked:
            self.forget(index)

    def remember_prompted(self, skip: int | None = None) -> None:
        """Encodes the memory of prompted slices that have none yet, but for ``skip``; when a propagation starts."""
        for index, record in self._records.items():
            if not record.prompted or index in self._remembered or index == skip:
                continue
            features = self._features_of(index)
            memory_map = self._runner.encode_prompted_memory(features, record)
            self.bank.add(self._entry(record, memory_map, features))
            self._remembered.add(index)

    def step(self, index: int, direction: Direction) -> TrackStep:
        """What the network needs to track a slice; the bank is asked now."""
        features = self._features_of(index)
        return TrackStep(index, direction, features, self._select(index, direction, features))

    def accept(self, step: TrackStep, outcome: TrackOutcome) -> SliceRecord:
        """Keeps a tracked slice and offers it to the bank."""
        record = replace(outcome.record, shown=step.selection.slices)
        self._records[step.index] = record
        self.bank.add(self._entry(record, outcome.memory_map, step.features))
        return record

    def _memory_of_the_others(
        self, index: int, travelled: Direction, features: SliceFeatures
    ) -> MemorySelection | None:
        """What a corrected slice is shown: nothing if it was never tracked, or is the only prompted one."""
        if travelled == 0 or not any(other != index for other in self.prompted_slices):
            return None
        self.bank.discard(index)
        self.remember_prompted(skip=index)
        return self._select(index, travelled, features)

    def _select(self, index: int, direction: Direction, features: SliceFeatures) -> MemorySelection:
        embedding = features.top if self.bank.needs_embeddings else None
        return self.bank.select(MemoryQuery(index, direction, self.slice_count, embedding))

    def _entry(self, record: SliceRecord, memory_map: Tensor, features: SliceFeatures) -> MemoryEntry:
        return MemoryEntry(
            slice_index=record.index,
            direction=record.direction,
            map=memory_map,
            pointer=record.pointer,
            predicted_iou=record.predicted_iou,
            object_score=record.object_score,
            embedding=self._embedding_of(record.index, features) if self.bank.needs_embeddings else None,
        )


def _own_copy(_: int, features: SliceFeatures) -> Tensor:
    return own_embedding(features)
