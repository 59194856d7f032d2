"""What the image encoder leaves of one slice: all that is needed to segment any object on it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class SliceFeatures:
    """Features of B slices, with ``H = W = image_size / 16``.

    ``top`` is ``[B, C, H, W]``, the feature pyramid's output without any memory. ``high_res`` are the mask decoder's
    skip connections ``s0 [B, C/8, 4H, 4W]`` and ``s1 [B, C/4, 2H, 2W]``.
    """

    top: Tensor
    high_res: tuple[Tensor, Tensor]
