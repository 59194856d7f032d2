"""Prompts of several objects on one slice, as tensors in the network's pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PADDING, NEGATIVE, POSITIVE, BOX_FIRST, BOX_LAST = -1, 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class PromptTensors:
    """Prompts of B objects, P points each.

    ``coordinates`` are ``[B, P, 2]``, (x, y) in pixels of the S x S image with 0 at the first pixel's centre.
    ``labels`` are integer ``[B, P]``: 1 positive, 0 negative, 2 and 3 first and last corner of a box (placed first),
    -1 padding. ``mask_logits`` ``[B, 1, S/4, S/4]`` are an earlier result's low-resolution logits, if there is one.
    """

    coordinates: Tensor
    labels: Tensor
    mask_logits: Tensor | None = None

    @staticmethod
    def none(batch: int, device: torch.device, dtype: torch.dtype) -> PromptTensors:
        """No prompt, as while tracking: one padding point for each object."""
        labels = torch.full((batch, 1), PADDING, device=device, dtype=torch.long)
        return PromptTensors(torch.zeros(batch, 1, 2, device=device, dtype=dtype), labels)
