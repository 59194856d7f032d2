"""Hiera, the image encoder's trunk (Ryali et al. 2023, arXiv 2306.00989), with absolute windowed positions
(Bolya et al. 2023, arXiv 2311.05613).

Tokens are ``[B, H, W, C]`` throughout. Four stages: each but the first starts by pooling the queries 2 x 2 and doubling
the channels. Most blocks attend inside square windows, a few over the whole image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from MedSAM2Lib.network.attention import attend
from MedSAM2Lib.network.caches import DerivedTensor
from MedSAM2Lib.network.config import HieraConfig
from MedSAM2Lib.network.layers import MLP, channels_last

WHOLE_IMAGE = 0
BAND = 2**18
"""Values (tokens times channels) that go through a windowed block at a time, so that they stay in a CPU's cache."""


class PatchEmbed(nn.Module):
    """Overlapping 7 x 7 patches, one every 4 pixels: ``[B, in_channels, S, S]`` to ``[B, S/4, S/4, C]``."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, kernel_size=7, stride=4, padding=3)

    def forward(self, pixels: Tensor) -> Tensor:
        return channels_last(self.proj(pixels))


class MultiScaleAttention(nn.Module):
    """Attention inside windows of ``window`` tokens a side, or over the whole image; ``pool`` halves the output's grid.

    ``[B, H, W, channels]`` to ``[B, H, W, out_channels]``, or ``[B, H/2, W/2, out_channels]`` if it pools.
    """

    def __init__(self, channels: int, out_channels: int, heads: int, window: int, pool: bool) -> None:
        super().__init__()
        self.heads, self.window, self.pool = heads, window, pool
        self.qkv = nn.Linear(channels, 3 * out_channels)
        self.proj = nn.Linear(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, _ = x.shape
        side = self.window or height
        qkv = self._project(x, side)  # [B, Hp, Wp, 3C], padded to whole windows
        down, across = qkv.shape[1] // side, qkv.shape[2] // side
        q, k, v = (
            qkv.view(batch, down, side, across, side, 3, self.heads, -1)
            .permute(5, 0, 1, 3, 6, 2, 4, 7)
            .reshape(3, batch * down * across, self.heads, side, side, -1)
        )  # each [B * windows, heads, side, side, C / heads]
        if self.pool:
            q, side = pool_grid(q), side // 2
            height, width = height // 2, width // 2
        x = attend(q.flatten(2, 3), k.flatten(2, 3), v.flatten(2, 3))
        x = (
            x.view(batch, down, across, self.heads, side, side, -1)
            .permute(0, 1, 4, 2, 5, 3, 6)
            .reshape(batch, down * side, across * side, -1)
        )
        return self.proj(x[:, :height, :width])

    def _project(self, x: Tensor, side: int) -> Tensor:
        batch, height, width, _ = x.shape
        qkv = self.qkv(x)
        bottom, right = -height % side, -width % side
        if not bottom and not right:
            return qkv
        # Padding tokens are zero before this projection, hence equal to its bias after it.
        bias = self.qkv.bias.to(qkv.dtype)
        padded = bias.expand(batch, height + bottom, width + right, -1).clone()
        padded[:, :height, :width] = qkv
        return padded


class MultiScaleBlock(nn.Module):
    """Pre-norm transformer block: ``[B, H, W, channels]`` to itself, or to ``[B, H/2, W/2, out_channels]``."""

    def __init__(self, channels: int, out_channels: int, heads: int, window: int, pool: bool) -> None:
        super().__init__()
        self.pool = pool
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = MultiScaleAttention(channels, out_channels, heads, window, pool)
        self.norm2 = nn.LayerNorm(out_channels, eps=1e-6)
        self.mlp = MLP(out_channels, 4 * out_channels, out_channels, depth=2, activation=nn.GELU)
        if pool:
            self.proj = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        bands = x.split(self._band(x), dim=1)
        return self._transform(x) if len(bands) == 1 else torch.cat([self._transform(band) for band in bands], dim=1)

    def _band(self, x: Tensor) -> int:
        """Rows of tokens to transform at a time: windows do not see each other, so neither do bands of them."""
        batch, height, width, channels = x.shape
        window = self.attn.window
        if window == WHOLE_IMAGE or height % window or x.device.type != "cpu" or torch.is_grad_enabled():
            return height
        return max(BAND // (batch * width * channels * window), 1) * window

    def _transform(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        if self.pool:
            x = pool_grid(self.proj(normed))
        x = x + self.attn(normed)
        return x + self.mlp(self.norm2(x))


class Hiera(nn.Module):
    """Four stages of blocks: pixels ``[B, in_channels, S, S]`` to one feature map a stage, finest first.

    Maps are ``[B, S/4, S/4, C]``, ``[B, S/8, S/8, 2C]``, ``[B, S/16, S/16, 4C]``, ``[B, S/32, S/32, 8C]``.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        channels = config.embed_dim
        self.patch_embed = PatchEmbed(config.in_channels, channels)
        self.pos_embed = nn.Parameter(torch.zeros(1, channels, *config.position_grid))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, channels, config.window_sizes[0], config.window_sizes[0]))
        self._positions = DerivedTensor()
        self.blocks = nn.ModuleList()
        self.stage_ends: list[int] = []
        for stage, depth in enumerate(config.stages):
            for place in range(depth):
                entering = place == 0 and stage > 0
                window = config.window_sizes[stage - 1 if entering else stage]
                self.blocks.append(
                    MultiScaleBlock(
                        channels=channels,
                        out_channels=2 * channels if entering else channels,
                        heads=config.heads * 2**stage,
                        window=WHOLE_IMAGE if len(self.blocks) in config.global_blocks else window,
                        pool=entering,
                    )
                )
                channels = 2 * channels if entering else channels
            self.stage_ends.append(len(self.blocks) - 1)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = self.patch_embed(pixels)  # [B, S/4, S/4, C]
        x = x + self.positions(x.shape[1])
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_ends:
                maps.append(x)
        return maps

    def positions(self, side: int) -> Tensor:
        """Learned positions of a ``side`` x ``side`` grid, ``[1, side, side, C]``; kept unless trained."""
        return self._positions.get(
            side, (self.pos_embed, self.pos_embed_window), lambda: self._interpolate_positions(side)
        )

    def _interpolate_positions(self, side: int) -> Tensor:
        background = functional.interpolate(self.pos_embed.float(), size=(side, side), mode="bicubic")
        repeats = side // self.pos_embed_window.shape[-1]
        position = background + self.pos_embed_window.tile(1, 1, repeats, repeats)
        return position.to(self.pos_embed.dtype).permute(0, 2, 3, 1).contiguous()

    def train(self, mode: bool = True) -> Hiera:
        self._positions.clear()
        return super().train(mode)


def pool_grid(x: Tensor) -> Tensor:
    """Maximum over 2 x 2 tokens: ``[..., H, W, C]`` to ``[..., H/2, W/2, C]``."""
    rows = torch.maximum(x[..., 0::2, :, :], x[..., 1::2, :, :])
    return torch.maximum(rows[..., 0::2, :], rows[..., 1::2, :])
