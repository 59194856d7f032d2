"""Memory attention: a slice's features look at themselves, then at what is remembered of the object."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from MedSAM2Lib.network.attention import attend
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.positions import SineGrid
from MedSAM2Lib.network.rope import AxialRotation


@dataclass(frozen=True, eq=False)
class MemorySequence:
    """What B objects remember: ``tokens`` and ``positions``, both ``[B, M, memory_dim]``.

    Memory maps come first, H * W tokens each in row order; the last ``pointer_token_count`` tokens are object pointers,
    which have no place in the image and are not rotated.
    """

    tokens: Tensor
    positions: Tensor
    pointer_token_count: int


class SelfAttention(nn.Module):
    """One head over the image tokens ``[B, N, C]``, queries and keys rotated by their place."""

    def __init__(self, channels: int, rotation: AxialRotation) -> None:
        super().__init__()
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.out_proj = nn.Linear(channels, channels)
        self.rotation = rotation

    def forward(self, x: Tensor, side: int) -> Tensor:
        q, k = self.rotation(self.q_proj(x), side), self.rotation(self.k_proj(x), side)
        return self.out_proj(attend(q[:, None], k[:, None], self.v_proj(x)[:, None])[:, 0])


class MemoryCrossAttention(nn.Module):
    """One head from the image tokens ``[B, N, C]`` to the memory ``[B, M, memory_dim]``.

    The weights of a row sum to 1, so the value projection commutes with attending: the raw memory is averaged, and the
    value and output projections follow as one matrix.
    """

    def __init__(self, channels: int, memory_channels: int, rotation: AxialRotation) -> None:
        super().__init__()
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(memory_channels, channels)
        self.v_proj = nn.Linear(memory_channels, channels)
        self.out_proj = nn.Linear(channels, channels)
        self.rotation = rotation

    def forward(self, x: Tensor, side: int, memory: Tensor, placed_memory: Tensor, pointer_token_count: int) -> Tensor:
        q = self.rotation(self.q_proj(x), side)  # [B, N, C]
        k = self._keys(placed_memory, side, pointer_token_count)  # [B, M, C]
        averaged = attend(q[:, None], k[:, None], memory[:, None])[:, 0]  # [B, N, memory_dim]
        outer = self.out_proj.weight
        weight = outer @ self.v_proj.weight  # [C, memory_dim]
        bias = functional.linear(self.v_proj.bias, outer, self.out_proj.bias)
        return functional.linear(averaged, weight, bias)

    def _keys(self, placed_memory: Tensor, side: int, pointer_token_count: int) -> Tensor:
        keys = self.k_proj(placed_memory)
        maps, pointers = keys.split((keys.shape[1] - pointer_token_count, pointer_token_count), dim=1)
        return torch.cat((self.rotation(maps, side), pointers), dim=1)


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to the memory, MLP; each after a normalisation and added to its input."""

    def __init__(self, config: NetworkConfig, rotation: AxialRotation) -> None:
        super().__init__()
        channels = config.model_dim
        self.norm1 = nn.LayerNorm(channels)
        self.self_attn = SelfAttention(channels, rotation)
        self.norm2 = nn.LayerNorm(channels)
        self.cross_attn_image = MemoryCrossAttention(channels, config.memory_dim, rotation)
        self.norm3 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, config.memory_attention_mlp_dim)
        self.linear2 = nn.Linear(config.memory_attention_mlp_dim, channels)

    def forward(self, x: Tensor, side: int, memory: Tensor, placed_memory: Tensor, pointer_token_count: int) -> Tensor:
        x = x + self.self_attn(self.norm1(x), side)
        x = x + self.cross_attn_image(self.norm2(x), side, memory, placed_memory, pointer_token_count)
        return x + self.linear2(functional.relu(self.linear1(self.norm3(x)), inplace=True))


class MemoryAttention(nn.Module):
    """Features ``[B, C, H, W]`` to memory-conditioned features of the same shape."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        rotation = AxialRotation(config.model_dim)
        self.layers = nn.ModuleList(
            MemoryAttentionLayer(config, rotation) for _ in range(config.memory_attention_layers)
        )
        self.norm = nn.LayerNorm(config.model_dim)
        self._positions = SineGrid(config.model_dim)

    def forward(self, top: Tensor, memory: MemorySequence) -> Tensor:
        side = top.shape[-1]
        tokens = memory.tokens.to(top.dtype)
        placed = tokens + memory.positions.to(top.dtype)
        x = top.flatten(2).transpose(1, 2)  # [B, N, C]
        x = x + 0.1 * self._positions.tokens(side, x.device, x.dtype)
        for layer in self.layers:
            x = layer(x, side, tokens, placed, memory.pointer_token_count)
        return self.norm(x).transpose(1, 2).unflatten(2, (side, side))
