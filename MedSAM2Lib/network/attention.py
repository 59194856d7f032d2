"""Softmax attention, by the fastest way that each device has."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MOST_QUERIES, MOST_SCORES = 256, 2**22
"""Queries, and scores of them, that are held at a time on a CPU, so that they stay in its cache."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``softmax(q k^T / sqrt(c)) v`` for ``q [B, heads, n, c]``, ``k [B, heads, m, c]`` and ``v [B, heads, m, cv]``.

    Returns ``[B, heads, n, cv]``; values may be narrower than keys.
    """
    if q.device.type != "cpu" or (q.dtype == torch.float32 and q.shape[-1] == v.shape[-1]):
        return functional.scaled_dot_product_attention(q, k, v)
    # On a CPU the fused kernel gains nothing from bfloat16, and wants values as wide as keys.
    q, keys = q * q.shape[-1] ** -0.5, k.transpose(-1, -2).contiguous()
    queries = max(1, min(MOST_QUERIES, MOST_SCORES // (k.shape[0] * k.shape[1] * k.shape[2])))
    return torch.cat([(chunk @ keys).softmax(-1) @ v for chunk in q.split(queries, dim=-2)], dim=-2)
