"""What a decoded slice is judged by: mask, predicted IoU, and whether the object is there.

Symbols: N objects, M = 4 mask tokens, logits [N, M, S/4, S/4], truth [N, S, S] of 0 and 1. SAM 2 (arXiv 2408.00714,
appendix) trains with focal and Dice loss; here the cross-entropy is balanced by the square root of the object's share
of the image, which learns faster from few images.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from MedSAM2Lib.network.heads import MaskDecoding

ABSENT_WEIGHT = 2.5
ABSENT_MASK_WEIGHT = 0.1
IOU_WEIGHT = 4.0
"""Of squared errors, which are small numbers."""
SCORE_WEIGHT = 1.0


class FrameLoss(NamedTuple):
    """Parts of the loss of one slice, each the mean over objects.

    ``reached_iou`` is no part of it: the mean IoU of token 0 over the objects that are there.
    """

    mask: Tensor
    iou: Tensor
    score: Tensor
    reached_iou: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum."""
        return self.mask + IOU_WEIGHT * self.iou + SCORE_WEIGHT * self.score


def balanced_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """[N, M] cross-entropy of [N, M, h, w] logits, balanced between object and background.

    With the object's share p the weights are p^-1/2 and (1-p)^-1/2, divided by their mean over the pixels.
    """
    share = truth.mean(dim=(-2, -1), keepdim=True).clamp(0.002, 0.998)
    weights = truth * share.rsqrt() + (1 - truth) * (1 - share).rsqrt()
    weights = weights / weights.mean(dim=(-2, -1), keepdim=True)
    losses = functional.binary_cross_entropy_with_logits(logits, truth.expand_as(logits), reduction="none")
    return (weights * losses).mean(dim=(-2, -1))


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """[N, M] one minus the soft Dice coefficient of [N, M, h, w] logits, smoothed by one pixel."""
    chance = logits.sigmoid()
    overlap = (chance * truth).sum(dim=(-2, -1))
    return 1 - (2 * overlap + 1) / (chance.sum(dim=(-2, -1)) + truth.sum(dim=(-2, -1)) + 1)


def reached_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """[N, M] intersection over union of the thresholded logits; 0 where the object is absent."""
    predicted, real = logits > 0, truth > 0.5
    overlap = (predicted & real).sum(dim=(-2, -1)).float()
    union = (predicted | real).sum(dim=(-2, -1)).float()
    return overlap / union.clamp(min=1)


def frame_loss(decoding: MaskDecoding, truth: Tensor) -> FrameLoss:
    """The loss of one slice.

    Masks are compared at twice the logits' resolution. Token 0 always counts; of tokens 1 to 3 only the best one
    of each object. Predicted IoU is held to the IoU that each token reached by its squared error: candidates and scales
    are chosen by expected IoU, and an absolute error would teach the median, near 0 for a mask that is right at times.
    Where the object is absent, the object score counts 2.5 times and the masks hardly at all.
    """
    size = 2 * decoding.candidates.shape[-1]
    logits = functional.interpolate(decoding.candidates.float(), size=(size, size), mode="bilinear")
    truth = functional.adaptive_avg_pool2d(truth[:, None], size)
    present = (truth.flatten(1).amax(dim=1) > 0.5).float()
    masks = balanced_cross_entropy(logits, truth) + dice_loss(logits, truth)
    absent_masks = functional.softplus(logits).mean(dim=(-2, -1))
    masks = torch.where(present[:, None] > 0, masks, ABSENT_MASK_WEIGHT * absent_masks)
    best = masks[:, 1:].amin(dim=1) if masks.shape[1] > 1 else torch.zeros_like(masks[:, 0])
    reached = reached_iou(logits, truth)
    score = functional.binary_cross_entropy_with_logits(decoding.object_score[:, 0].float(), present, reduction="none")
    return FrameLoss(
        mask=(masks[:, 0] + best).mean(),
        iou=(decoding.candidate_ious - reached).square().mean(),
        score=(score * torch.where(present > 0, 1.0, ABSENT_WEIGHT)).mean(),
        reached_iou=(reached[:, 0] * present).sum() / present.sum().clamp(min=1),
    )
