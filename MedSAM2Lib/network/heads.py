"""What is made of the decoder's candidates: which mask is taken, whether the object is there, and its pointer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from MedSAM2Lib.network.mask_decoder import DecodedMasks

NO_OBJECT_LOGIT = -1024.0
STABILITY_DELTA = 0.05
STABILITY_THRESHOLD = 0.98


@dataclass(frozen=True, eq=False)
class MaskDecoding:
    """The decoded mask of B objects on one slice.

    ``low_res_logits [B, 1, S/4, S/4]`` is the chosen mask, -1024 everywhere where the object score is not positive;
    ``predicted_iou [B]`` its estimate (0 to 1), ``object_score [B, 1]`` a logit, ``pointer [B, C]`` the object's
    pointer, absence already told. ``candidates [B, 4, S/4, S/4]`` and ``candidate_ious [B, 4]`` are all masks, ungated.
    """

    low_res_logits: Tensor
    predicted_iou: Tensor
    object_score: Tensor
    pointer: Tensor
    candidates: Tensor
    candidate_ious: Tensor


def best_of_three(ious: Tensor) -> Tensor:
    """Index ``[B]`` (1 to 3) of the ambiguous-prompt candidate with the best predicted IoU ``[B, 4]``."""
    return ious[:, 1:].argmax(dim=-1) + 1


def stable_or_best(decoded: DecodedMasks) -> Tensor:
    """Index ``[B]``: candidate 0, or the best of the others where a small change of threshold changes candidate 0."""
    first = decoded.logits[:, 0].flatten(1)
    core = (first > STABILITY_DELTA).sum(-1)
    reach = (first > -STABILITY_DELTA).sum(-1)
    stable = (reach == 0) | (core.float() / reach.clamp(min=1) >= STABILITY_THRESHOLD)
    return torch.where(stable, 0, best_of_three(decoded.ious))


def take(candidates: Tensor, index: Tensor) -> Tensor:
    """One candidate for each object: ``[B, 4, ...]`` and ``[B]`` to ``[B, ...]``."""
    return candidates[torch.arange(len(index), device=index.device), index]


def gate(present: Tensor, value: Tensor, absent: Tensor) -> Tensor:
    """``value [B, C]`` where ``present [B, 1]``, else ``absent [1, C]``."""
    return torch.where(present, value, absent.to(value.dtype))
