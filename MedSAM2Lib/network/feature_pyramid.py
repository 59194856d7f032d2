"""The image encoder: Hiera, and a feature pyramid (Lin et al. 2017, arXiv 1612.03144) of one width."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from torch import Tensor, nn

from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.hiera import Hiera
from MedSAM2Lib.network.layers import Pointwise, channels_first


class FeaturePyramid(nn.Module):
    """A 1 x 1 convolution a level, and for ``top_down_levels`` the sum with the coarser level, upsampled by repetition.

    The finest two levels leave through a second linear map (``skips``, the mask decoder's conv_s0 and conv_s1); where
    nothing is added between the two, they are multiplied into one before the pixels are touched.
    """

    def __init__(self, level_channels: list[int], channels: int, top_down_levels: tuple[int, ...]) -> None:
        super().__init__()
        self.top_down_levels = top_down_levels
        # The checkpoints count these from the coarsest level.
        self.convs = nn.ModuleList(
            nn.Sequential(OrderedDict(conv=Pointwise(width, channels))) for width in reversed(level_channels)
        )

    def forward(self, maps: list[Tensor], skips: tuple[Pointwise, Pointwise]) -> tuple[Tensor, Tensor, Tensor]:
        """``maps``: four levels ``[B, h, w, c]``, finest first. Returns s0, s1 and top, ``[B, h, w, c]`` each."""
        coarsest = self._lateral(3)(maps[3])
        level2 = self._merge(2, maps, coarsest)
        if 0 not in self.top_down_levels and 1 not in self.top_down_levels:
            s0, s1 = (skips[level].after(maps[level], self._lateral(level)) for level in (0, 1))
            return s0, s1, level2
        level1 = self._merge(1, maps, level2)
        level0 = self._merge(0, maps, level1)
        return skips[0](level0), skips[1](level1), level2

    def _merge(self, level: int, maps: list[Tensor], coarser: Tensor) -> Tensor:
        lateral = self._lateral(level)(maps[level])
        return lateral + _repeat_twice(coarser) if level in self.top_down_levels else lateral

    def _lateral(self, level: int) -> Pointwise:
        level_conv = cast(nn.Sequential, self.convs[len(self.convs) - 1 - level])
        return cast(Pointwise, level_conv[0])


class ImageEncoder(nn.Module):
    """Hiera and its feature pyramid: pixels ``[B, in_channels, S, S]`` to s0, s1 and top as ``[B, c, h, w]``."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.trunk = Hiera(config.image_encoder)
        widths = [config.image_encoder.embed_dim * 2**stage for stage in range(4)]
        self.neck = FeaturePyramid(widths, config.model_dim, config.top_down_levels)

    def forward(self, pixels: Tensor, skips: tuple[Pointwise, Pointwise]) -> tuple[Tensor, Tensor, Tensor]:
        s0, s1, top = self.neck(self.trunk(pixels), skips)
        return channels_first(s0), channels_first(s1), channels_first(top)


def _repeat_twice(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling: ``[B, h, w, c]`` to ``[B, 2h, 2w, c]``."""
    batch, height, width, channels = x.shape
    repeated = x[:, :, None, :, None].expand(batch, height, 2, width, 2, channels)
    return repeated.reshape(batch, 2 * height, 2 * width, channels)
