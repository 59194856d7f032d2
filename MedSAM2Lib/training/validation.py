"""How good the network is on synthetic bodies it has never seen: Dice from a box, from a click, and through a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.clips import ClipBatch, ClipMaker, ClipPlan
from MedSAM2Lib.training.sampling import Body
from MedSAM2Lib.training.unroll import ClipUnroller, FrameResult, MemoryPlan

LEAST_IOU = 0.4
VALIDATION_SEED = 77


@dataclass(frozen=True)
class Validation:
    """Mean Dice over held-out objects.

    ``box_2d``, ``click_2d``: the prompted slice. ``box_3d``: all slices of a clip prompted by a box on its first slice,
    where a slice counts as empty unless object score > 0 and predicted IoU > 0.4. ``box_3d_free`` without that rule,
    the truth telling where the object is. ``absent_seen``: share of empty slices that the rule finds empty.
    """

    box_2d: float
    click_2d: float
    box_3d: float
    box_3d_free: float
    absent_seen: float

    def as_dict(self) -> dict[str, float]:
        """Names and values, for a table."""
        return asdict(self)


class Validator:
    """Renders the same held-out clips once and scores networks on them."""

    def __init__(self, bodies: Sequence[Body], side: int, slices: int = 48, clips: int = 16, frames: int = 8) -> None:
        maker = ClipMaker(bodies, side, VALIDATION_SEED)
        self.boxes = maker.make(ClipPlan(slices, 1, 1, ("box",)), 0)
        self.clicks = maker.make(ClipPlan(slices, 1, 1, ("click",)), 0)
        self.clips = maker.make(ClipPlan(clips, frames, 1, ("box",), leave_share=0.6), 1)

    @torch.no_grad()
    def score(self, network: Sam2Network) -> Validation:
        """Scores of a network in evaluation mode."""
        tracked = _unroll(network, self.clips)
        masks = torch.stack([_mask(result) for result in tracked], dim=1)
        trusted = torch.stack([_trusted(result) for result in tracked], dim=1)[..., None, None]
        truth = torch.stack([result.truth > 0.5 for result in tracked], dim=1)
        there = truth.flatten(2).any(dim=2)[..., None, None]
        free = torch.stack([_mask(result, gated=False) for result in tracked], dim=1)
        found_empty = ~(masks & trusted).flatten(2).any(dim=2)[~there[..., 0, 0]]
        return Validation(
            box_2d=float(dice(_mask(_unroll(network, self.boxes)[0]), self.boxes.masks[:, 0, 0] > 0.5).mean()),
            click_2d=float(dice(_mask(_unroll(network, self.clicks)[0]), self.clicks.masks[:, 0, 0] > 0.5).mean()),
            box_3d=float(dice(masks & trusted, truth).mean()),
            box_3d_free=float(dice(free & there, truth).mean()),
            absent_seen=float(found_empty.float().mean()) if len(found_empty) else float("nan"),
        )


def dice(predicted: Tensor, truth: Tensor) -> Tensor:
    """[N] Dice coefficients of boolean masks [N, ...]; 1 where both are empty."""
    overlap = (predicted & truth).flatten(1).sum(dim=1).float()
    total = (predicted.flatten(1).sum(dim=1) + truth.flatten(1).sum(dim=1)).float()
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), torch.ones_like(total))


def _unroll(network: Sam2Network, batch: ClipBatch) -> list[FrameResult]:
    return ClipUnroller(network, batch, MemoryPlan(), np.random.default_rng(0)).run()


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
