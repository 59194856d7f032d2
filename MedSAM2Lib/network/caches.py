"""Small caches for tensors that every slice needs again: position tables, and what follows from the weights."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor


class TableCache:
    """Constant tables by key, such as (grid side, device, dtype). Copies and pickles of it start empty."""

    def __init__(self) -> None:
        self._tables: dict[Hashable, Tensor] = {}

    def get(self, key: Hashable, build: Callable[[], Tensor]) -> Tensor:
        """The table of ``key``, built once, without a graph."""
        if key not in self._tables:
            self._tables[key] = _build_constant(build)
        return self._tables[key]

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()


class DerivedTensor:
    """One tensor computed from weights, kept while they stay as they are.

    Loading, moving, casting and optimiser steps are noticed by a weight's address, version, device and dtype.
    While the weights are being trained nothing is kept, so no graph is ever held. Copies and pickles of it start empty.
    """

    def __init__(self) -> None:
        self._stamp: Hashable = None
        self._value: Tensor | None = None

    def get(self, key: Hashable, weights: tuple[Tensor, ...], build: Callable[[], Tensor]) -> Tensor:
        """``build()``, or the value of the last call if ``key`` and ``weights`` are still the same."""
        if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
            return build()
        stamp = (key, *(_stamp(weight) for weight in weights))
        if self._value is None or self._stamp != stamp:
            self._stamp, self._value = stamp, _build_constant(build)
        return self._value

    def clear(self) -> None:
        """Forgets the value, for changes of a weight that leave no trace (writes through ``.data``)."""
        self._stamp, self._value = None, None

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()


def _stamp(weight: Tensor) -> Hashable:
    version = 0 if weight.is_inference() else weight._version
    return weight.data_ptr(), version, weight.device, weight.dtype


def _build_constant(build: Callable[[], Tensor]) -> Tensor:
    # A table made in inference mode could not be used by a later training step.
    with torch.inference_mode(False), torch.no_grad():
        return build()
