"""Which image comes next: the one most similar to those that are remembered."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_SIDE = 8


class Descriptors:
    """One short vector for each image, from its whole top feature map averaged to 8 x 8.

    Args:
        count: number of images.
    """

    def __init__(self, count: int) -> None:
        self._vectors: list[Tensor | None] = [None] * count

    def __contains__(self, place: int) -> bool:
        return self._vectors[place] is not None

    def put(self, place: int, embedding: Tensor) -> None:
        """Describes an image by its top feature map [1, C, H, W]."""
        side = min(_SIDE, embedding.shape[-1])
        pooled = functional.adaptive_avg_pool2d(embedding.float(), side).flatten()
        self._vectors[place] = functional.normalize(pooled, dim=0).cpu()

    def most_similar(self, waiting: Sequence[int], remembered: Sequence[int]) -> int:
        """The one of ``waiting`` with the highest cosine similarity to any of ``remembered``; ties: the first."""
        similarity = self._stacked(waiting) @ self._stacked(remembered).T
        return waiting[int(similarity.max(dim=1).values.argmax())]

    def _stacked(self, places: Sequence[int]) -> Tensor:
        return torch.stack([vector for place in places if (vector := self._vectors[place]) is not None])
