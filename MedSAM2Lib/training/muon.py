"""Muon for the weight matrices, AdamW for everything else, in one optimiser.

Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") replaces a matrix's momentum by the
nearest semi-orthogonal matrix, found by five Newton-Schulz steps. The update is scaled by 0.2 sqrt(larger side), so
that one learning rate serves both kinds (Liu et al. 2025, "Muon is scalable for LLM training", arXiv 2502.16982).
AdamW: Loshchilov and Hutter 2019, arXiv 1711.05101.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
LEAST_MATRIX_SIDE = 16


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices [n, rows, columns] with the same singular vectors and all singular values near 1 (about 0.7 to 1.2)."""
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon takes this weight: a matrix of a hidden layer, not an embedding or a set of learned tokens."""
    learned_table = "embed" in name or "token" in name
    return parameter.ndim == 2 and min(parameter.shape) >= LEAST_MATRIX_SIDE and not learned_table


class MuonAdamW(torch.optim.Optimizer):
    """Muon in groups with ``muon=True``, AdamW in the others; ``lr`` and ``weight_decay`` mean the same in both."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas, "muon": False}
        super().__init__(groups, defaults)

    @staticmethod
    def for_module(module: nn.Module, lr: float, weight_decay: float = 0.01) -> MuonAdamW:
        """Sort a module's parameters into matrices, other weights, and weights that do not decay (vectors)."""
        matrices: list[nn.Parameter] = []
        weights: list[nn.Parameter] = []
        vectors: list[nn.Parameter] = []
        for name, parameter in module.named_parameters():
            if is_hidden_matrix(name, parameter):
                matrices.append(parameter)
            else:
                (weights if parameter.ndim > 1 else vectors).append(parameter)
        groups = [
            {"params": matrices, "muon": True},
            {"params": weights, "muon": False},
            {"params": vectors, "muon": False, "weight_decay": 0.0},
        ]
        return MuonAdamW([group for group in groups if group["params"]], lr, weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step for all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            with_gradient = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in with_gradient:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            if group["muon"]:
                self._muon(group, with_gradient)
            else:
                self._adamw(group, with_gradient)
        return loss

    def _muon(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        """Matrices of one shape are orthogonalised together."""
        same_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for parameter in parameters:
            same_shape[parameter.shape].append(parameter)
        for shape, members in same_shape.items():
            updates = []
            for parameter in members:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                assert parameter.grad is not None
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                updates.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
            scale = 0.2 * max(shape) ** 0.5
            for parameter, update in zip(members, orthogonalise(torch.stack(updates))):
                parameter.add_(update, alpha=-group["lr"] * scale)

    def _adamw(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        beta1, beta2 = group["betas"]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = 0
                state["mean"] = torch.zeros_like(parameter)
                state["square"] = torch.zeros_like(parameter)
            assert parameter.grad is not None
            state["step"] += 1
            state["mean"].lerp_(parameter.grad, 1 - beta1)
            state["square"].lerp_(parameter.grad.square(), 1 - beta2)
            mean = state["mean"] / (1 - beta1 ** state["step"])
            square = state["square"] / (1 - beta2 ** state["step"])
            parameter.addcdiv_(mean, square.sqrt().add_(1e-8), value=-group["lr"])
