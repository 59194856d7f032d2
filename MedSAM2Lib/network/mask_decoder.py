"""SAM 2's mask decoder: four candidate masks, their predicted IoU, and whether the object is there at all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.layers import MLP, DoubleGrid, Pointwise, channels_last
from MedSAM2Lib.network.two_way_transformer import TwoWayTransformer

MASK_COUNT = 4


@dataclass(frozen=True, eq=False)
class DecodedMasks:
    """``logits [B, 4, S/4, S/4]``, ``ious [B, 4]`` (0 to 1), ``tokens [B, 4, C]``, ``object_score [B, 1]`` (logit)."""

    logits: Tensor
    ious: Tensor
    tokens: Tensor
    object_score: Tensor


class MaskDecoder(nn.Module):
    """Image features and prompt tokens to four candidates: token 0 for a clear prompt, 1 to 3 for an ambiguous one."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = config.model_dim
        self.transformer = TwoWayTransformer(
            channels, config.decoder_depth, config.decoder_heads, config.decoder_mlp_dim
        )
        self.obj_score_token = nn.Embedding(1, channels)
        self.iou_token = nn.Embedding(1, channels)
        self.mask_tokens = nn.Embedding(MASK_COUNT, channels)
        self.output_upscaling = nn.Sequential(
            DoubleGrid(channels, channels // 4),
            nn.LayerNorm(channels // 4, eps=1e-6),
            nn.GELU(),
            DoubleGrid(channels // 4, channels // 8),
            nn.GELU(),
        )
        self.conv_s0 = Pointwise(channels, channels // 8)
        self.conv_s1 = Pointwise(channels, channels // 4)
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(channels, channels, channels // 8, depth=3) for _ in range(MASK_COUNT)
        )
        self.iou_prediction_head = MLP(channels, channels, MASK_COUNT, depth=3)
        self.pred_obj_score_head = MLP(channels, channels, 1, depth=3)

    def forward(
        self, image: Tensor, image_pos: Tensor, sparse: Tensor, high_res: tuple[Tensor, Tensor]
    ) -> DecodedMasks:
        """``image [B, C, H, W]`` with the dense prompt added, ``image_pos [H * W, C]``, ``sparse [B, n, C]``."""
        own = torch.cat((self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight))  # [6, C]
        tokens = torch.cat((own.expand(sparse.shape[0], -1, -1), sparse), dim=1)
        tokens, pixels = self.transformer(tokens, image.flatten(2).transpose(1, 2), image_pos)
        score_token, iou_token, mask_tokens = tokens[:, 0], tokens[:, 1], tokens[:, 2 : 2 + MASK_COUNT]

        pixels = self._upscale(pixels.unflatten(1, image.shape[2:]), *high_res)  # [B, 4H, 4W, C/8]
        weights = torch.stack(
            [mlp(mask_tokens[:, index]) for index, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )  # [B, 4, C/8]
        return DecodedMasks(
            logits=torch.einsum("bmc,bhwc->bmhw", weights, pixels),
            ious=self.iou_prediction_head(iou_token).sigmoid(),
            tokens=mask_tokens,
            object_score=self.pred_obj_score_head(score_token),
        )

    def _upscale(self, pixels: Tensor, s0: Tensor, s1: Tensor) -> Tensor:
        double, norm, activation, double_again, activation_again = self.output_upscaling
        pixels = activation(norm(double(pixels) + channels_last(s1)))  # [B, 2H, 2W, C/4]
        return activation_again(double_again(pixels) + channels_last(s0))  # [B, 4H, 4W, C/8]
