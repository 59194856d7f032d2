"""The network as the tracker calls it: precision, batches and memory limits in one place.

Symbols: S image size, s = S/4, C model channels, Cm memory channels, H = W = S/16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from MedSAM2Lib.memory.bank import Direction, MemorySelection
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.heads import MaskDecoding
from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.prompts import PromptTensors
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.tracking.conditioning import memory_sequence
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.features import moved, tensors_of
from MedSAM2Lib.tracking.heap import Heap, give_back_freed_memory

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class NetworkPrompts:
    """Prompts of one slice in network pixels: points [P, 2] as (x, y) with labels [P], or a mask [S, S] in 0..1.

    Labels: 1 positive, 0 negative, 2 and 3 the first and last corner of a box, which come first.
    """

    coordinates: Tensor
    labels: Tensor
    mask: Tensor | None = None

    @property
    def single_click(self) -> bool:
        """Whether the prompt is ambiguous enough for SAM to choose among its three candidate masks."""
        return self.labels.numel() <= 1


@dataclass(frozen=True, eq=False)
class SliceRecord:
    """What is known of one object on one slice: logits [1, 1, s, s] fp32 and pointer [1, C] on the network's device.

    ``direction`` is 0 for a prompted slice; ``corrected_from`` is then the direction in which it was tracked before, 0
    if it never was. ``shown`` are the slices whose memory maps the network was shown for this one.
    """

    index: int
    direction: Direction
    low_res_logits: Tensor
    predicted_iou: float
    object_score: float
    pointer: Tensor
    corrected_from: Direction = 0
    shown: tuple[int, ...] = ()

    @property
    def prompted(self) -> bool:
        return self.direction == 0


@dataclass(frozen=True, eq=False)
class TrackStep:
    """One slice to be tracked for one object, with all that it needs."""

    index: int
    direction: Direction
    features: SliceFeatures
    selection: MemorySelection


@dataclass(frozen=True, eq=False)
class TrackOutcome:
    """A tracked slice and its memory map [1, Cm, H, W] in bf16."""

    record: SliceRecord
    memory_map: Tensor


class NetworkRunner:
    """Calls one network in one execution context.

    Args:
        network: in eval mode, on the context's device.
        context: device, precision and limits.
        free_memory: moves cached features off the device; says whether there were any.
    """

    def __init__(self, network: Sam2Network, context: ExecutionContext, free_memory: Callable[[], bool]) -> None:
        self.network = network
        self.context = context
        self._free_memory = free_memory
        self._heap = Heap(give_back_freed_memory)

    @property
    def config(self) -> NetworkConfig:
        return self.network.config

    def encode(self, image: Tensor) -> SliceFeatures:
        """Features of one slice, image [S, S] or in colour [3, S, S], in 0..1, in the run's precision."""
        return self.guarded(lambda: self._encode(image))

    def decode_prompts(
        self,
        index: int,
        features: SliceFeatures,
        prompts: NetworkPrompts,
        previous_logits: Tensor | None = None,
        memory: MemorySelection | None = None,
    ) -> SliceRecord:
        """The prompted slice. Without ``memory`` it is an initial conditioning slice (SAM 2: no memory attention)."""
        return self.guarded(lambda: self._decode_prompts(index, features, prompts, previous_logits, memory))

    def track(self, steps: Sequence[TrackStep]) -> list[TrackOutcome]:
        """Tracked slices in the order of ``steps``; those alike in shape share a batch, up to the context's limit."""
        return self.guarded(lambda: self._track_all(steps))

    def encode_prompted_memory(self, features: SliceFeatures, record: SliceRecord) -> Tensor:
        """The memory map of a prompted slice: its logits are made binary first, as published."""
        return self.guarded(
            lambda: self._memory_map(
                features.top,
                record.low_res_logits,
                torch.full((1, 1), record.object_score, device=self.context.device),
                binarize=True,
            )
        )

    def guarded(self, step: Callable[[], Result]) -> Result:
        """Runs a step without gradients, in the run's precision, again with less if memory runs out."""

        def attempt() -> Result:
            with torch.inference_mode(), self.context.autocast():
                return step()

        result = self.context.retry_with_less_memory(attempt, self._free_memory)
        if self.context.device.type == "cpu":
            self._heap.after_call()
        return result

    def _encode(self, image: Tensor) -> SliceFeatures:
        config = self.config
        mean = torch.tensor(config.pixel_mean).view(1, -1, 1, 1)
        std = torch.tensor(config.pixel_std).view(1, -1, 1, 1)
        planes = image if image.ndim == 3 else image[None]
        pixels = ((planes[None] - mean) / std).to(self.context.device)
        features = self.network.encode_image(pixels)
        return moved(features, self.context.device, self.context.dtype)

    def _decode_prompts(
        self,
        index: int,
        features: SliceFeatures,
        prompts: NetworkPrompts,
        previous_logits: Tensor | None,
        memory: MemorySelection | None,
    ) -> SliceRecord:
        if prompts.mask is not None:
            mask = prompts.mask[None, None].to(self.context.device)
            decoding = self.network.decode_mask_prompt(features, mask)
        else:
            if memory is None:
                conditioned = self.network.without_memory(features.top)
            else:
                conditioned = self.network.attend_memory(features.top, self._sequence([memory]))
            tensors = PromptTensors(
                prompts.coordinates[None].to(self.context.device),
                prompts.labels[None].to(self.context.device),
                previous_logits,
            )
            decoding = self.network.decode(conditioned, features.high_res, tensors, multimask=prompts.single_click)
        return _record(index, 0, decoding, 0)

    def _track_all(self, steps: Sequence[TrackStep]) -> list[TrackOutcome]:
        outcomes: dict[int, TrackOutcome] = {}
        for places in _alike(steps, self.context.batch_limit):
            outcomes.update(zip(places, self._track_batch([steps[place] for place in places])))
        return [outcomes[place] for place in range(len(steps))]

    def _track_batch(self, steps: Sequence[TrackStep]) -> list[TrackOutcome]:
        features = _stacked([step.features for step in steps])
        sequence = self._sequence([step.selection for step in steps])
        conditioned = self.network.attend_memory(features.top, sequence)
        nothing = PromptTensors.none(len(steps), features.top.device, torch.float32)
        decoding = self.network.decode(conditioned, features.high_res, nothing, multimask=True)
        maps = self._memory_map(features.top, decoding.low_res_logits, decoding.object_score, binarize=False)
        return [
            TrackOutcome(_record(step.index, step.direction, decoding, place), maps[place : place + 1].clone())
            for place, step in enumerate(steps)
        ]

    def _memory_map(self, top: Tensor, low_res_logits: Tensor, object_score: Tensor, binarize: bool) -> Tensor:
        memory_map = self.network.encode_memory(top, low_res_logits, object_score, binarize)
        return memory_map.to(torch.bfloat16)

    def _sequence(self, selections: Sequence[MemorySelection]) -> MemorySequence:
        return memory_sequence(self.network, selections, self.context.dtype)


def _alike(steps: Sequence[TrackStep], batch_limit: int) -> list[list[int]]:
    """Places of steps with equally long memories, in batches of at most ``batch_limit``."""
    groups: dict[tuple[int, int], list[int]] = {}
    for place, step in enumerate(steps):
        groups.setdefault((len(step.selection.maps), len(step.selection.pointers)), []).append(place)
    return [
        group[start : start + batch_limit] for group in groups.values() for start in range(0, len(group), batch_limit)
    ]


def _stacked(features: Sequence[SliceFeatures]) -> SliceFeatures:
    if len(features) == 1:
        return features[0]
    top, s0, s1 = (torch.cat(tensors) for tensors in zip(*(tensors_of(one) for one in features)))
    return SliceFeatures(top, (s0, s1))


def _record(index: int, direction: Direction, decoding: MaskDecoding, place: int) -> SliceRecord:
    return SliceRecord(
        index=index,
        direction=direction,
        low_res_logits=decoding.low_res_logits[place : place + 1].float().clone(),
        predicted_iou=float(decoding.predicted_iou[place]),
        object_score=float(decoding.object_score[place]),
        pointer=decoding.pointer[place : place + 1].float().clone(),
    )
