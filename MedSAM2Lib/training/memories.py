"""What a slice of a training clip is shown of the slices before it, by the rules that hold when tracking.

The self-sorting memory is the real one, a bank for each object: it sees detached copies and only chooses; what it
chose is then gathered from tensors that keep their gradient. Symbols: N objects, C model channels, Cm memory channels,
H = W = S / 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from MedSAM2Lib.memory.bank import MemoryEntry, MemoryQuery, MemorySelection
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.memory.self_sorting import SelfSortingMemory
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.sam2 import Sam2Network

MANY_SLICES = 10_000


@dataclass(frozen=True, eq=False)
class Remembered:
    """What is remembered of one slice for N objects.

    ``index`` counts slices along the direction of travel. ``map`` is [N, Cm, H, W], ``pointer`` [N, C],
    ``predicted_iou`` [N], ``object_score`` [N, 1], ``embedding`` the top feature map [N, C, H, W].
    """

    index: int
    prompted: bool
    map: Tensor
    pointer: Tensor
    predicted_iou: Tensor
    object_score: Tensor
    embedding: Tensor


@dataclass(frozen=True)
class Shown:
    """What one object's slice is shown: (slice index, temporal row) of maps, (slice index, distance) of pointers."""

    maps: tuple[tuple[int, int], ...]
    pointers: tuple[tuple[int, int], ...]

    @staticmethod
    def of(selection: MemorySelection) -> Shown:
        """What a bank selected."""
        return Shown(
            tuple((shown.entry.slice_index, shown.temporal_row) for shown in selection.maps),
            tuple((shown.entry.slice_index, shown.distance) for shown in selection.pointers),
        )


class ClipMemory(Protocol):
    """Chooses what each of N objects is shown; ``embedding`` is the slice's top feature map [N, C, H, W]."""

    def add(self, slice_: Remembered) -> None: ...

    def shown(self, index: int, embedding: Tensor) -> list[Shown]: ...


class RecentSlices:
    """SAM 2's memory, the same for all objects: prompted slices and the nearest tracked ones behind.

    Args:
        config: how many rows and pointers there are.
        rng: what ``drop_share`` and ``shuffled`` draw from.
        drop_share: chance of each tracked slice to be missing.
        shuffled: tracked slices take temporal rows in random order.
    """

    def __init__(
        self, config: NetworkConfig, rng: np.random.Generator, drop_share: float = 0.0, shuffled: bool = False
    ) -> None:
        self._rows = config.memory_map_count
        self._rng = rng
        self._drop_share = drop_share
        self._shuffled = shuffled
        self._prompted: list[int] = []
        self._tracked: list[int] = []

    def add(self, slice_: Remembered) -> None:
        """Notes a slice down; a prompted one is no longer a tracked one."""
        if slice_.prompted:
            self._prompted.append(slice_.index)
            self._tracked = [index for index in self._tracked if index != slice_.index]
        else:
            self._tracked.append(slice_.index)

    def shown(self, index: int, embedding: Tensor) -> list[Shown]:
        """Prompted slices in the last row, tracked ones by their distance."""
        recent = [index - back for back in range(1, self._rows) if index - back in self._tracked]
        recent = [other for other in recent if self._rng.random() >= self._drop_share]
        rows = [index - other - 1 for other in recent]
        if self._shuffled:
            rows = [int(row) for row in self._rng.permutation(self._rows - 1)[: len(recent)]]
        prompted = [(other, index - other) for other in self._prompted]
        one = Shown(
            (*((other, self._rows - 1) for other in self._prompted), *zip(recent, rows)),
            (*(pair for pair in prompted if pair[1] >= 0), *((other, row + 1) for other, row in zip(recent, rows))),
        )
        return [one] * len(embedding)


class SortedSlices:
    """Medical SAM 2's memory: one self-sorting bank for each object, without an order for a set of images."""

    def __init__(self, config: NetworkConfig, objects: int, options: SelfSortingOptions, ordered: bool = True) -> None:
        self.banks = [
            SelfSortingMemory(options, config.memory_map_count, config.max_object_pointers, ordered)
            for _ in range(objects)
        ]

    def add(self, slice_: Remembered) -> None:
        """Offers a slice to every bank."""
        ious, scores = slice_.predicted_iou.tolist(), slice_.object_score[:, 0].tolist()
        maps, pointers, embeddings = (
            tensor.detach().split(1) for tensor in (slice_.map, slice_.pointer, slice_.embedding)
        )
        for row, bank in enumerate(self.banks):
            direction = 0 if slice_.prompted else 1
            if slice_.prompted:
                bank.discard(slice_.index)
            bank.add(
                MemoryEntry(slice_.index, direction, maps[row], pointers[row], ious[row], scores[row], embeddings[row])  # type: ignore[arg-type]
            )

    def shown(self, index: int, embedding: Tensor) -> list[Shown]:
        """What every bank selects."""
        return [
            Shown.of(bank.select(MemoryQuery(index, 1, MANY_SLICES, one)))
            for bank, one in zip(self.banks, embedding.detach().split(1))
        ]


def attend(network: Sam2Network, top: Tensor, slices: dict[int, Remembered], shown: Sequence[Shown]) -> Tensor:
    """Features [N, C, H, W] conditioned on what each object is shown; objects shown equally much share a batch."""
    groups: dict[tuple[int, int], list[int]] = {}
    for row, one in enumerate(shown):
        groups.setdefault((len(one.maps), len(one.pointers)), []).append(row)
    parts = [
        network.attend_memory(top[rows], memory_sequence(network, slices, [shown[row] for row in rows], rows))
        for rows in groups.values()
    ]
    order = torch.tensor([row for rows in groups.values() for row in rows], device=top.device)
    return torch.cat(parts)[order.argsort()]


def memory_sequence(
    network: Sam2Network, slices: dict[int, Remembered], shown: Sequence[Shown], rows: Sequence[int]
) -> MemorySequence:
    """The tokens of some objects (``rows`` of the N), all shown equally much: maps first, pointers last."""
    places = {index: place for place, index in enumerate(slices)}
    device = network.device
    objects = torch.tensor(rows, device=device)[:, None]

    def table(pairs: Sequence[tuple[tuple[int, int], ...]]) -> tuple[Tensor, Tensor]:
        chosen = [[(places[index], number) for index, number in each] for each in pairs]
        return torch.tensor(chosen, device=device).unbind(dim=-1)  # type: ignore[return-value]

    at, temporal_rows = table([one.maps for one in shown])
    maps = torch.stack([one.map for one in slices.values()])[at, objects].flatten(3).mT
    spots = torch.stack([network.map_positions(row) for row in range(network.config.memory_map_count)])[temporal_rows]
    at, distances = table([one.pointers for one in shown])
    pointers = torch.stack([one.pointer for one in slices.values()])[at, objects]
    known, which = distances.unique(return_inverse=True)
    limit = network.config.max_object_pointers
    tokens, _ = network.pointer_tokens(pointers, distances[0], limit)
    _, told = network.pointer_tokens(pointers.new_zeros(1, len(known), pointers.shape[-1]), known, limit)
    told = told[0].unflatten(0, (len(known), -1))[which].flatten(1, 2)
    return MemorySequence(
        torch.cat([maps.flatten(1, 2), tokens], dim=1), torch.cat([spots.flatten(1, 2), told], dim=1), tokens.shape[1]
    )
