"""The network's arithmetic replaced by copies of one real result, so that a run of an hour takes a minute or two.

Everything else is real: session, feature cache, memory banks, fusion, files. What memory is held is the same, since
every copy is a tensor of its own; what a call needs for a moment is there as well, since every ``REAL_EVERY``th call is
computed in full. A copy's memory map differs from the others and its predicted IoU is high, so that banks fill up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from MedSAM2Lib.network.sam2 import Sam2Network

REAL_EVERY = 40
_PREDICTED_IOU = 0.9
_CALLS = ("encode_image", "attend_memory", "decode", "encode_memory")


def copy_results() -> None:
    """From now on this process's networks answer with copies."""
    for name in _CALLS:
        setattr(Sam2Network, name, _copying(name, getattr(Sam2Network, name)))


def _copying(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    results: list[Any] = []
    calls = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        if calls % REAL_EVERY == 0:
            result = real(*arguments, **options)
            results[:] = results or [result]
        calls += 1
        return _varied(name, _copy(results[0]), calls)

    return call


def _varied(name: str, result: Any, call: int) -> Any:
    if name == "decode":
        return dataclasses.replace(result, predicted_iou=torch.full_like(result.predicted_iou, _PREDICTED_IOU))
    if name == "encode_memory":
        return result + torch.randn(result.shape, generator=torch.Generator().manual_seed(call)).to(result)
    return result


def _copy(value: Any) -> Any:
    """The same with tensors of its own."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple):
        return tuple(_copy(one) for one in value)
    return dataclasses.replace(
        value, **{field.name: _copy(getattr(value, field.name)) for field in dataclasses.fields(value)}
    )
