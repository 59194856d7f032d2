"""How good the network is on synthetic bodies it has never seen: Dice from a box, from a click, and through a clip."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.batches import BatchMaker
from MedSAM2Lib.training.clips import ClipBatch, ClipPlan
from MedSAM2Lib.training.unroll import ClipUnroller, FrameResult, MemoryPlan, encode_clips

LEAST_IOU = 0.4
VALIDATION_SEED = 77
PLAIN = MemoryPlan()
SORTED_BANK = SelfSortingOptions(capacity=4, shown=2)
"""Small enough that it has to choose within a short clip."""


@dataclass(frozen=True)
class Validation:
    """Mean Dice over held-out objects.

    ``box_2d``, ``click_2d``: the prompted slice. ``box_3d``, ``click_3d``: all slices of a clip prompted on its first
    slice, where a slice counts as empty unless object score > 0 and predicted IoU > 0.4. ``sorted_3d``: the box with a
    small self-sorting memory. ``set_box``: the images of a set that are not prompted, each for itself, where an image
    without the object counts 1 if nothing was found. ``box_3d_free``: the box without that rule, the truth telling
    where the object is. ``absent_seen``: share of the box's empty slices that the rule finds empty.
    """

    box_2d: float
    click_2d: float
    box_3d: float
    box_3d_free: float
    absent_seen: float
    click_3d: float
    sorted_3d: float
    set_box: float

    def as_dict(self) -> dict[str, float]:
        """Names and values, for a table."""
        return asdict(self)


class Validator:
    """Makes the same held-out clips once and scores networks on them.

    ``slices`` single ones, ``clips`` of ``frames`` slices, ``sets`` of as many images.
    """

    def __init__(
        self, maker: BatchMaker, slices: int = 48, clips: int = 16, frames: int = 8, sets: int | None = None
    ) -> None:
        self.boxes = maker.make(ClipPlan(slices, 1, 1, ("box",)), 0)
        self.clicks = maker.make(ClipPlan(slices, 1, 1, ("click",)), 0)
        self.clips = maker.make(ClipPlan(clips, frames, 1, ("box",), leave_share=0.6), 1)
        self.clicked_clips = maker.make(ClipPlan(clips, frames, 1, ("click",), leave_share=0.6), 1)
        sets = math.ceil(0.75 * clips) if sets is None else sets
        self.sets = maker.make(ClipPlan(sets, frames, 1, ("box",), unordered=True), 2)

    @torch.no_grad()
    def score(self, network: Sam2Network) -> Validation:
        """Scores of a network in evaluation mode."""
        features = encode_clips(network, self.clips)
        tracked = _Followed(network, self.clips, features=features)
        clicked = _Followed(network, self.clicked_clips, features=features)
        in_sorted = _Followed(network, self.clips, MemoryPlan("self-sorting", SORTED_BANK), features)
        in_set = _Followed(network, self.sets, MemoryPlan("set"))
        there = tracked.truth.flatten(2).any(dim=2)[..., None, None]
        found_empty = ~tracked.kept.flatten(2).any(dim=2)[~there[..., 0, 0]]
        set_kept, set_truth = (masks[:, 1:].flatten(0, 1) for masks in (in_set.kept, in_set.truth))
        return Validation(
            box_2d=_first_slice_dice(network, self.boxes),
            click_2d=_first_slice_dice(network, self.clicks),
            box_3d=float(dice(tracked.kept, tracked.truth).mean()),
            box_3d_free=float(dice(tracked.free & there, tracked.truth).mean()),
            absent_seen=float(found_empty.float().mean()) if len(found_empty) else float("nan"),
            click_3d=float(dice(clicked.kept, clicked.truth).mean()),
            sorted_3d=float(dice(in_sorted.kept, in_sorted.truth).mean()),
            set_box=float(dice(set_kept, set_truth).mean()),
        )


class _Followed:
    """Masks of a batch of clips, each [B, T, S, S]: ``kept`` by the rule, ``free`` of it, and the truth."""

    def __init__(
        self,
        network: Sam2Network,
        batch: ClipBatch,
        plan: MemoryPlan = PLAIN,
        features: SliceFeatures | None = None,
    ) -> None:
        results = ClipUnroller(network, batch, plan, np.random.default_rng(0), features).run()
        trusted = torch.stack([_trusted(result) for result in results], dim=1)[..., None, None]
        self.kept = trusted & torch.stack([_mask(result) for result in results], dim=1)
        self.free = torch.stack([_mask(result, gated=False) for result in results], dim=1)
        self.truth = torch.stack([result.truth > 0.5 for result in results], dim=1)


def dice(predicted: Tensor, truth: Tensor) -> Tensor:
    """[N] Dice coefficients of boolean masks [N, ...]; 1 where both are empty."""
    overlap = (predicted & truth).flatten(1).sum(dim=1).float()
    total = (predicted.flatten(1).sum(dim=1) + truth.flatten(1).sum(dim=1)).float()
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), torch.ones_like(total))


def _first_slice_dice(network: Sam2Network, batch: ClipBatch) -> float:
    result = ClipUnroller(network, batch, PLAIN, np.random.default_rng(0)).run()[0]
    return float(dice(_mask(result), result.truth > 0.5).mean())


def _mask(result: FrameResult, gated: bool = True) -> Tensor:
    """[N, S, S] bool, from the chosen logits, or from the best candidate whatever the object score says."""
    decoding = result.decoding
    logits = decoding.low_res_logits
    if not gated:
        best = decoding.candidate_ious[:, 1:].argmax(dim=1) + 1
        logits = decoding.candidates[torch.arange(len(best)), best][:, None]
    size = result.truth.shape[-2:]
    return functional.interpolate(logits.float(), size=size, mode="bilinear")[:, 0] > 0


def _trusted(result: FrameResult) -> Tensor:
    """[N] bool: object score and predicted IoU both say that the mask is worth keeping."""
    return (result.decoding.object_score[:, 0] > 0) & (result.decoding.predicted_iou > LEAST_IOU)
