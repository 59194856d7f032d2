"""Whole propagations by our tracker and by the published video predictor, from the same prompts on the same weights.

The reference's state is reset between its two directions, as MedSAM2 does; ours goes both ways in one pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from MedSAM2Lib.memory.temporal import TemporalMemory
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.propagation import lanes_for, propagate
from MedSAM2Lib.tracking.runner import NetworkPrompts, NetworkRunner
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.types import StopRule
from Testing.engine import reference_sam2 as reference

NO_STOP = StopRule(enabled=False)


def tracker_on(network: Sam2Network, pixels: Tensor) -> tuple[Tracker, NetworkRunner]:
    """A tracker over already normalised slices [T, 3, S, S], features encoded once each."""
    context = ExecutionContext(torch.device("cpu"), torch.float32)
    runner = NetworkRunner(network, context, free_memory=lambda: False)
    encoded: dict[int, SliceFeatures] = {}

    def features_of(index: int) -> SliceFeatures:
        if index not in encoded:
            with torch.inference_mode():
                encoded[index] = network.encode_image(pixels[index : index + 1])
        return encoded[index]

    config = network.config
    bank = TemporalMemory(config.memory_map_count, config.max_object_pointers)
    return Tracker(runner, bank, features_of, len(pixels)), runner


def our_logits(network: Sam2Network, pixels: Tensor, prompts: dict[int, list[NetworkPrompts]]) -> dict[int, Tensor]:
    """Low-res logits of every slice, both ways in one pass; several prompts of a slice are given one after another."""
    tracker, runner = tracker_on(network, pixels)
    for index, given in prompts.items():
        for prompt in given:
            tracker.prompt(index, prompt)
    tracker.remember_prompted()
    lanes = lanes_for(1, tracker, 0, len(pixels) - 1)
    return {step.record.index: step.record.low_res_logits for step in propagate(lanes, runner, NO_STOP)}


def their_logits(predictor: Any, pixels: Tensor, prompts: dict[int, list[NetworkPrompts]]) -> dict[int, Tensor]:
    """Full-size logits of every slice: forward, reset, the same prompts, backward."""
    found: dict[int, Tensor] = {}
    start = min(prompts)
    for reverse in (False, True):
        state = reference.start_session(predictor, pixels)
        for index, given in prompts.items():
            for prompt in given:
                give(predictor, state, index, prompt)
        for index, logits in reference.propagate(predictor, state, start, reverse).items():
            found.setdefault(index, logits)
        predictor.reset_state(state)
    return found


def give(predictor: Any, state: Any, index: int, prompt: NetworkPrompts) -> None:
    if prompt.mask is not None:
        predictor.add_new_mask(state, index, 1, prompt.mask.bool())
        return
    boxed = prompt.labels[:2].tolist() == [2, 3]
    points = prompt.coordinates[2:] if boxed else prompt.coordinates
    labels = prompt.labels[2:] if boxed else prompt.labels
    predictor.add_new_points_or_box(
        state,
        index,
        1,
        points=points.numpy() if len(points) else None,
        labels=labels.numpy() if len(points) else None,
        box=prompt.coordinates[:2].reshape(-1).numpy() if boxed else None,
        normalize_coords=True,
    )


def least_agreement(ours: dict[int, Tensor], theirs: dict[int, Tensor]) -> float:
    """The smallest share of pixels with equal sign over all slices, after the published upsampling."""
    assert sorted(ours) == sorted(theirs)
    shares = []
    for index, logits in theirs.items():
        upsampled = torch.nn.functional.interpolate(
            ours[index], size=logits.shape[-2:], mode="bilinear", align_corners=False
        )
        shares.append(float(((upsampled > 0) == (logits > 0)).float().mean()))
        assert (logits > -1000).all(), "the reference must see an object, else the comparison says nothing"
    return min(shares)


def click(x: float, y: float, label: int = 1) -> NetworkPrompts:
    return NetworkPrompts(torch.tensor([[x, y]]), torch.tensor([label]))


def clicks(*points: tuple[float, float, int]) -> NetworkPrompts:
    return NetworkPrompts(torch.tensor([[x, y] for x, y, _ in points]), torch.tensor([label for _, _, label in points]))


def box(x0: float, y0: float, x1: float, y1: float) -> NetworkPrompts:
    return NetworkPrompts(torch.tensor([[x0, y0], [x1, y1]]), torch.tensor([2, 3]))


def disc(size: int) -> NetworkPrompts:
    grid = torch.arange(size) - size / 2.3
    mask = (grid[:, None] ** 2 + grid[None] ** 2 < (size / 5) ** 2).float()
    return NetworkPrompts(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), mask)


def prompts_for(kind: str, size: int) -> dict[int, list[NetworkPrompts]]:
    unit = size / 128
    return {
        "click": {5: [click(60 * unit, 70 * unit)]},
        "two clicks": {5: [clicks((60 * unit, 70 * unit, 1), (20 * unit, 30 * unit, 0))]},
        "click after click": {
            5: [click(60 * unit, 70 * unit), clicks((60 * unit, 70 * unit, 1), (20 * unit, 30 * unit, 0))]
        },
        "box": {5: [box(30 * unit, 40 * unit, 90 * unit, 100 * unit)]},
        "mask": {5: [disc(size)]},
        "click and box on two slices": {
            4: [click(60 * unit, 70 * unit)],
            8: [box(30 * unit, 40 * unit, 90 * unit, 100 * unit)],
        },
    }[kind]
