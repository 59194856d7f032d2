"""Prompts drawn as a picture, for networks that are trained with it (``NetworkConfig.draw_prompts``).

A small network learns from a drawn prompt several times faster than from point tokens alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from MedSAM2Lib.network.prompts import BOX_FIRST, BOX_LAST, NEGATIVE, POSITIVE, PromptTensors

PIXEL = 4
"""Side of a pixel of the map, in pixels of the image."""

CLICK_HEIGHT = 3.0
CLICK_WIDTH = 1 / 16
"""Standard deviation of a drawn click, as a share of the map's side: 2 low-resolution pixels for a 128-pixel image."""


def draw_prompts(prompts: PromptTensors, image_size: int) -> Tensor:
    """Draws the prompts of B objects: float32 ``[B, 1, S/4, S/4]``.

    The ground is an earlier result's logits, clamped to -1..1; else a box, 1 inside and -1 outside; else 0. Each click
    adds a Gaussian of height 3 (positive) or -3 (negative) whose standard deviation is 1/16 of the side.
    """
    side = image_size // PIXEL
    points = prompts.coordinates.float() + 0.5  # [B, P, 2], 0 at the image's edge
    centres = (torch.arange(side, device=points.device) + 0.5) * PIXEL  # [side]
    if prompts.mask_logits is not None:
        ground = prompts.mask_logits.float().clamp(-1, 1)
    else:
        ground = _draw_box(points, prompts.labels, centres)
    return ground + _draw_clicks(points, prompts.labels, centres, CLICK_WIDTH * image_size)


def _draw_box(points: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """1 inside (at least one pixel), -1 outside, 0 everywhere for objects without a box: ``[B, 1, side, side]``."""
    first, last = labels == BOX_FIRST, labels == BOX_LAST  # [B, P]
    lower = (points * first[..., None]).sum(1, keepdim=True).transpose(1, 2)  # [B, 2, 1]
    upper = (points * last[..., None]).sum(1, keepdim=True).transpose(1, 2)
    half = ((upper - lower) / 2).clamp(min=PIXEL / 2)
    inside = (centres - (lower + upper) / 2).abs() <= half  # [B, 2, side]
    box = (inside[:, 1, :, None] & inside[:, 0, None, :]).float() * 2 - 1  # [B, side, side]
    boxed = first.any(1) & last.any(1)
    return (box * boxed[:, None, None])[:, None]


def _draw_clicks(points: Tensor, labels: Tensor, centres: Tensor, width: float) -> Tensor:
    """The sum of the clicks' Gaussians, ``[B, 1, side, side]``; ``width`` in image pixels."""
    sign = (labels == POSITIVE).float() - (labels == NEGATIVE).float()  # [B, P]
    along = torch.exp(-((centres - points[..., None]) ** 2) / (2 * width**2))  # [B, P, 2, side]
    columns, rows = along.unbind(2)
    return CLICK_HEIGHT * torch.einsum("bp,bpr,bpc->brc", sign, rows, columns)[:, None]
