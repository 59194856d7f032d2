"""SAM's decoder transformer: prompt tokens and image tokens attend to each other in turn (arXiv 2304.02643)."""

from __future__ import annotations

from torch import Tensor, nn

from MedSAM2Lib.network.attention import attend
from MedSAM2Lib.network.layers import MLP


class Attention(nn.Module):
    """Attention with several heads at ``channels / downsample`` channels in all; batch first, ``[B, n, C]``."""

    def __init__(self, channels: int, heads: int, downsample: int = 1) -> None:
        super().__init__()
        inner = channels // downsample
        self.heads = heads
        self.q_proj = nn.Linear(channels, inner)
        self.k_proj = nn.Linear(channels, inner)
        self.v_proj = nn.Linear(channels, inner)
        self.out_proj = nn.Linear(inner, channels)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries ``[B, n, C]`` over keys and values ``[B, m, C]``: ``[B, n, C]``."""
        heads = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, n, inner / heads]
            for projection, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        attended = attend(*heads)  # [B, heads, n, inner / heads]
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves, then to the image; after an MLP the image attends to the tokens. Post-norm."""

    def __init__(self, channels: int, heads: int, mlp_channels: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn_token_to_image = Attention(channels, heads, downsample=2)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, mlp_channels, channels, depth=2)
        self.norm3 = nn.LayerNorm(channels)
        self.cross_attn_image_to_token = Attention(channels, heads, downsample=2)
        self.norm4 = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, image: Tensor, token_pos: Tensor, image_pos: Tensor) -> tuple[Tensor, Tensor]:
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pos
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)

        placed_image = image + image_pos
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pos, placed_image, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(placed_image, tokens + token_pos, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """``depth`` two-way blocks, and a last look of the tokens at the image."""

    def __init__(self, channels: int, depth: int, heads: int, mlp_channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(channels, heads, mlp_channels, first=place == 0) for place in range(depth)
        )
        self.final_attn_token_to_image = Attention(channels, heads, downsample=2)
        self.norm_final_attn = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, image: Tensor, image_pos: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``[B, n, C]``, image ``[B, N, C]``, its positions ``[N, C]``: both after the exchange."""
        token_pos = tokens  # the prompt as it came in is its own position
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pos, image_pos)
        seen = self.final_attn_token_to_image(tokens + token_pos, image + image_pos, image)
        return self.norm_final_attn(tokens + seen), image
