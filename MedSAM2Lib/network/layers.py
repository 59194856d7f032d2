"""Layers that several parts of the network share."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Module):
    """Linear layers with an activation between them: ``[..., inputs]`` to ``[..., outputs]``."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, depth: int, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        widths = [inputs, *[hidden] * (depth - 1), outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel of ``[B, C, H, W]``."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return channels_first(super().forward(channels_last(x)))


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution as a linear layer on pixels with channels last: ``[B, h, w, c]`` to ``[B, h, w, d]``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=1)
        self.bias: nn.Parameter

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.flatten(1), self.bias)

    def after(self, x: Tensor, first: Pointwise) -> Tensor:
        """``self(first(x))`` with the two matrices multiplied before they meet the pixels."""
        outer = self.weight.flatten(1)
        return functional.linear(x, outer @ first.weight.flatten(1), functional.linear(first.bias, outer, self.bias))


class DoubleGrid(nn.ConvTranspose2d):
    """A 2 x 2 transposed convolution of stride 2 with channels last: ``[B, h, w, c]`` to ``[B, 2h, 2w, d]``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=2, stride=2)
        self.bias: nn.Parameter

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        batch, height, width, _ = x.shape
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2)  # [2 * 2 * d, c]
        fours = functional.linear(x, weight).view(batch, height, width, 2, 2, -1)
        return fours.transpose(2, 3).reshape(batch, 2 * height, 2 * width, -1) + self.bias


def channels_last(x: Tensor) -> Tensor:
    """``[B, C, H, W]`` seen as ``[B, H, W, C]``."""
    return x.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """``[B, H, W, C]`` seen as ``[B, C, H, W]``."""
    return x.permute(0, 3, 1, 2)
