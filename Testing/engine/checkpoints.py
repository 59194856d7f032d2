"""Model files for tests: a tiny network of our own, and checkpoints of published sizes that take no space."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from MedSAM2Lib.network.config import HieraConfig, NetworkConfig, published_config
from MedSAM2Lib.network.sam2 import Sam2Network

TINY = NetworkConfig(
    image_size=64,
    image_encoder=HieraConfig(
        in_channels=1, embed_dim=8, stages=(1, 1, 1, 1), global_blocks=(2,), window_sizes=(4, 4, 4, 2)
    ),
    model_dim=32,
    memory_dim=8,
    decoder_heads=4,
    decoder_mlp_dim=48,
    memory_attention_layers=1,
    memory_attention_mlp_dim=40,
    memory_fuser_layers=1,
    memory_map_count=3,
    pixel_mean=(0.5,),
    pixel_std=(0.25,),
    draw_prompts=True,
)
"""A network of no published size, with every field that shapes can tell unlike the default."""


def tiny_network(seed: int = 0) -> Sam2Network:
    """A seeded network of configuration ``TINY``, in evaluation mode."""
    torch.manual_seed(seed)
    return Sam2Network(TINY).eval().requires_grad_(False)


def published_tensors(size: str = "tiny", sam_version: str = "2.1") -> dict[str, Tensor]:
    """Tensors of a published network by official name, each a single stored zero seen in its full shape."""
    with torch.device("meta"):
        shapes = {
            name: tensor.shape for name, tensor in Sam2Network(published_config(size, sam_version)).state_dict().items()
        }
    return {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}


def write_published(path: Path, size: str = "tiny", sam_version: str = "2.1", padding: int = 0) -> Path:
    """A checkpoint as the authors release them; ``padding`` more bytes lie in an optimizer's state."""
    torch.save(
        {
            "model": published_tensors(size, sam_version),
            "optimizer": {"moments": torch.zeros(padding // 4)},
            "epoch": 3,
        },
        path,
    )
    return path
