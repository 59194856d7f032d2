"""Networks that this project trains by itself, by name."""

from __future__ import annotations

from dataclasses import replace

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import HieraConfig, NetworkConfig

EMBEDDED = NetworkConfig(
    image_size=128,
    sam_version="2.1",
    image_encoder=HieraConfig(
        in_channels=1,
        embed_dim=32,
        heads=1,
        stages=(1, 2, 4, 1),
        global_blocks=(5,),
        window_sizes=(8, 8, 8, 4),
        position_grid=(8, 8),
    ),
    top_down_levels=(0, 1, 2, 3),
    model_dim=96,
    memory_dim=32,
    decoder_heads=4,
    decoder_mlp_dim=384,
    memory_attention_layers=2,
    memory_attention_mlp_dim=256,
    memory_fuser_layers=2,
    memory_map_count=5,
    max_object_pointers=5,
    draw_prompts=True,
    layer_scale=0.1,
    pixel_mean=(0.45,),
    pixel_std=(0.25,),
    zoom=1.7,
    fit="letterbox",
    stop_predicted_iou=0.4,
)

EMBEDDED_192 = replace(
    EMBEDDED,
    image_size=192,
    image_encoder=replace(
        EMBEDDED.image_encoder,
        embed_dim=48,
        stages=(1, 2, 6, 1),
        global_blocks=(7,),
        window_sizes=(8, 8, 12, 6),
        position_grid=(12, 12),
    ),
    model_dim=128,
)
"""Larger, for whoever has a GPU to train it on: 6.3 million parameters, about 4 times the time of a slice."""

PRESETS = {"embedded": EMBEDDED, "embedded-192": EMBEDDED_192}


def network_preset(name: str) -> NetworkConfig:
    """The configuration of that name; raises InputError for an unknown one."""
    if name not in PRESETS:
        raise InputError(
            "E_UNKNOWN_PRESET",
            "There is no network configuration named '{name}'. Choose one of: {known}.",
            name=name,
            known=", ".join(sorted(PRESETS)),
        )
    return PRESETS[name]
