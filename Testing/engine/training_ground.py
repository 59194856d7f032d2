"""What the tests of training share: one synthetic body, made once, and a network small enough to train in a test."""

from __future__ import annotations

from functools import cache

from MedSAM2Lib.network.config import HieraConfig, NetworkConfig
from MedSAM2Lib.training.anatomy import LabelVolume, make_label_volume
from MedSAM2Lib.training.noise import NoiseBank
from MedSAM2Lib.training.sampling import Body

TINY = NetworkConfig(
    image_size=64,
    image_encoder=HieraConfig(
        in_channels=1,
        embed_dim=8,
        stages=(1, 1, 1, 1),
        global_blocks=(2,),
        window_sizes=(4, 4, 4, 2),
        position_grid=(4, 4),
    ),
    top_down_levels=(0, 1, 2, 3),
    model_dim=32,
    memory_dim=16,
    decoder_heads=2,
    decoder_mlp_dim=48,
    memory_attention_layers=1,
    memory_attention_mlp_dim=48,
    memory_fuser_layers=1,
    memory_map_count=4,
    max_object_pointers=4,
    draw_prompts=True,
    layer_scale=0.1,
    pixel_mean=(0.45,),
    pixel_std=(0.25,),
)


@cache
def label_volume(seed: int = 3) -> LabelVolume:
    return make_label_volume(seed)


@cache
def body(seed: int = 3) -> Body:
    return Body.of(label_volume(seed))


@cache
def noise_bank() -> NoiseBank:
    return NoiseBank(0)
