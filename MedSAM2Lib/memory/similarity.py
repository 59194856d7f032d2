"""How alike two maps are: the cosine of the angle between them, all values of a map taken as one vector."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cosine_matrix(maps: Tensor) -> Tensor:
    """Cosine similarities [n, n], in -1..1, of n maps [n, ...]; computed in fp32."""
    vectors = functional.normalize(maps.flatten(1).float(), dim=1)
    return vectors @ vectors.T


def cosine_to(query: Tensor, maps: Tensor) -> Tensor:
    """Cosine similarities [n] of one map [1, ...] to n maps [n, ...]; computed in fp32."""
    vectors = functional.normalize(maps.flatten(1).float(), dim=1)
    return vectors @ functional.normalize(query.flatten(1).float(), dim=1)[0]
