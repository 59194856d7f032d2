"""The prompt encoder of SAM (Kirillov et al. 2023, arXiv 2304.02643): points become tokens, masks a feature map."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from MedSAM2Lib.network.caches import DerivedTensor
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.layers import LayerNorm2d
from MedSAM2Lib.network.prompt_drawing import draw_prompts
from MedSAM2Lib.network.prompts import PADDING, PromptTensors

LOGIT_LIMIT = 32.0


class RandomFourierPositions(nn.Module):
    """Positions in the unit square told by random frequencies (Tancik et al. 2020, arXiv 2006.10739)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, channels // 2))

    def forward(self, points: Tensor) -> Tensor:
        """Points ``[..., 2]``, (x, y) from 0 to 1: float32 ``[..., channels]``."""
        x, y = (2 * points.float() - 1).split(1, dim=-1)
        # Not a matrix product, which autocast would round to bfloat16.
        along_x, along_y = self.positional_encoding_gaussian_matrix
        phase = 2 * math.pi * (x * along_x + y * along_y)
        return torch.cat((phase.sin(), phase.cos()), dim=-1)

    def grid(self, side: int) -> Tensor:
        """Positions of the centres of a ``side`` x ``side`` grid in row order: ``[side * side, channels]``."""
        centres = (torch.arange(side, device=self.positional_encoding_gaussian_matrix.device) + 0.5) / side
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return self(torch.stack((x, y), dim=-1)).flatten(0, 1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RandomFourierPositions:
        # Rounding the frequencies to bfloat16 would move every point: they stay float32 when the network is cast.
        exact = self.positional_encoding_gaussian_matrix
        super()._apply(fn, recurse)
        if self.positional_encoding_gaussian_matrix.dtype != torch.float32:
            self.positional_encoding_gaussian_matrix = exact.to(self.positional_encoding_gaussian_matrix.device)
        return self


class PromptEncoder(nn.Module):
    """Sparse tokens ``[B, P + 1, C]`` and a dense map ``[B, C, H, W]`` from the prompts of B objects."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, mask_channels = config.model_dim, config.prompt_mask_channels
        self.image_size = config.image_size
        self.draw_prompts = config.draw_prompts
        self.pe_layer = RandomFourierPositions(channels)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, channels) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, channels)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_channels // 4),
            nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, kernel_size=2, stride=2),
            LayerNorm2d(mask_channels),
            nn.GELU(),
            nn.Conv2d(mask_channels, channels, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, channels)
        self._grid = DerivedTensor()

    def encode_points(self, prompts: PromptTensors) -> Tensor:
        """``[B, P + 1, C]``: a token for each point, and one padding token that always comes last."""
        coordinates = functional.pad(prompts.coordinates, (0, 0, 0, 1))
        labels = functional.pad(prompts.labels, (0, 1), value=PADDING).long()  # [B, P + 1]
        position = self.pe_layer((coordinates.float() + 0.5) / self.image_size)
        kinds = torch.cat([kind.weight for kind in (self.not_a_point_embed, *self.point_embeddings)])  # [5, C]
        position = position.masked_fill((labels == PADDING)[..., None], 0)
        return (position + kinds[labels + 1]).to(kinds.dtype)

    def encode_mask(self, prompts: PromptTensors) -> Tensor:
        """``[B, C, H, W]``, or ``[1, C, 1, 1]`` where no object has anything to say."""
        nothing = self.no_mask_embed.weight[..., None, None]  # [1, C, 1, 1]
        if self.draw_prompts:
            drawn = self.downscale(draw_prompts(prompts, self.image_size))
            if prompts.mask_logits is not None:
                return drawn
            prompted = (prompts.labels != PADDING).any(1)
            return torch.where(prompted[:, None, None, None], drawn, nothing)
        if prompts.mask_logits is None:
            return nothing
        return self.downscale(prompts.mask_logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT))

    def downscale(self, mask: Tensor) -> Tensor:
        """A dense prompt ``[B, 1, S/4, S/4]`` as features ``[B, C, H, W]``."""
        return self.mask_downscaling(mask.to(self.no_mask_embed.weight.dtype))

    def grid_positions(self) -> Tensor:
        """Positions of the image tokens, ``[H * W, C]``, in the language of the point tokens."""
        frequencies, dtype = self.pe_layer.positional_encoding_gaussian_matrix, self.no_mask_embed.weight.dtype
        side = self.image_size // 16
        return self._grid.get((side, dtype), (frequencies,), lambda: self.pe_layer.grid(side).to(dtype))

    def train(self, mode: bool = True) -> PromptEncoder:
        self._grid.clear()
        return super().train(mode)
