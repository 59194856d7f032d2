"""The memory encoder: a slice's features and the object's mask on it become one memory map.

Two ConvNeXt blocks (Liu et al. 2022, arXiv 2201.03545) mix the two.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.layers import LayerNorm2d, Pointwise, channels_first, channels_last

MASK_WIDTHS = (1, 4, 16, 64, 256)


class MaskDownsampler(nn.Module):
    """Four 3 x 3 convolutions of stride 2: a mask ``[B, 1, S, S]`` to ``[B, S/16, S/16, C]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(MASK_WIDTHS):
            layers += [nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1), LayerNorm2d(outputs), nn.GELU()]
        self.encoder = nn.Sequential(*layers, Pointwise(MASK_WIDTHS[-1], channels))

    def forward(self, mask: Tensor) -> Tensor:
        *convolutions, last = self.encoder
        for layer in convolutions:
            mask = layer(mask)
        return last(channels_last(mask))


class ConvNextBlock(nn.Module):
    """Depthwise 7 x 7, then an MLP on each pixel, scaled by ``gamma``: ``[B, H, W, C]`` to the same."""

    def __init__(self, channels: int, layer_scale: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, kernel_size=7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.activation = nn.GELU()
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.norm(channels_last(self.dwconv(channels_first(x))))
        return x + self.gamma * self.pwconv2(self.activation(self.pwconv1(mixed)))


class Fuser(nn.Module):
    """ConvNeXt blocks in a row."""

    def __init__(self, channels: int, depth: int, layer_scale: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvNextBlock(channels, layer_scale) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Features ``[B, C, H, W]`` and a mask ``[B, 1, S, S]`` (-10 to 10) to a memory map ``[B, memory_dim, H, W]``."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, memory = config.model_dim, config.memory_dim
        self.mask_downsampler = MaskDownsampler(channels)
        self.pix_feat_proj = Pointwise(channels, channels)
        self.fuser = Fuser(channels, config.memory_fuser_layers, config.layer_scale)
        self.out_proj = Pointwise(channels, memory) if memory != channels else nn.Identity()

    def forward(self, top: Tensor, mask: Tensor) -> Tensor:
        x = self.pix_feat_proj(channels_last(top)) + self.mask_downsampler(mask)  # [B, H, W, C]
        return channels_first(self.out_proj(self.fuser(x)))
