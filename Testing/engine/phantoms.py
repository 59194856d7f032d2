"""Small volumes with known contents, and small networks, for tests that need something to segment."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from MedSAM2Lib.network.config import HieraConfig, NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.engine import EngineOptions, Sam2Engine
from MedSAM2Lib.types import BoolArray
from MedSAM2Lib.volume.volume import Volume

SMALL_CONFIG = NetworkConfig(
    image_size=64,
    image_encoder=HieraConfig(
        in_channels=1,
        embed_dim=16,
        stages=(1, 1, 2, 1),
        global_blocks=(3,),
        window_sizes=(8, 4, 4, 2),
        position_grid=(4, 4),
    ),
    model_dim=32,
    memory_dim=16,
    decoder_heads=2,
    decoder_mlp_dim=64,
    memory_attention_layers=1,
    memory_attention_mlp_dim=64,
    layer_scale=0.1,
    draw_prompts=True,
    pixel_mean=(0.45,),
    pixel_std=(0.25,),
    fit="letterbox",
)
"""A network of a few hundred thousand parameters; its masks mean nothing, but they are always the same."""


def small_network(config: NetworkConfig = SMALL_CONFIG, seed: int = 0) -> Sam2Network:
    """A seeded network that always sees an object."""
    torch.manual_seed(seed)
    network = Sam2Network(config).eval().requires_grad_(False)
    network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)  # type: ignore[union-attr]
    return network


def small_engine(options: EngineOptions | None = None, config: NetworkConfig = SMALL_CONFIG) -> Sam2Engine:
    """An engine on the CPU in fp32 with the small network."""
    context = ExecutionContext(torch.device("cpu"), torch.float32)
    return Sam2Engine(small_network(config), context, options or EngineOptions(fit="letterbox"))


def ellipsoid(shape: tuple[int, int, int], centre: tuple[float, ...], radii: tuple[float, ...]) -> BoolArray:
    """A filled ellipsoid in an array [k, j, i]; centre and radii in voxels, in array order."""
    grid = np.indices(shape)
    return np.asarray(sum(((grid[d] - centre[d]) / radii[d]) ** 2 for d in range(3)) <= 1.0)


def two_organs(shape: tuple[int, int, int] = (20, 28, 32), seed: int = 0) -> tuple[NDArray[np.int16], BoolArray]:
    """CT-like voxels with two ellipsoids of 120 and 60 HU in fat, in air, with noise; and the mask of the first."""
    rng = np.random.default_rng(seed)
    k, j, i = shape
    body = ellipsoid(shape, (k / 2, j / 2, i / 2), (k, j / 2.2, i / 2.2))
    first = ellipsoid(shape, (k / 2, j / 2, i / 3), (k / 3.5, j / 5, i / 7))
    second = ellipsoid(shape, (k / 2, j / 2, 2 * i / 3), (k / 3.5, j / 6, i / 8))
    values = np.where(body, -90.0, -1000.0)
    values[second], values[first] = 60.0, 120.0
    return np.rint(values + rng.normal(0, 5, shape)).astype(np.int16), first


def two_organs_volume(**geometry: object) -> tuple[Volume, BoolArray]:
    """The same as a volume; ``geometry`` goes to ``Volume.from_array``."""
    array, mask = two_organs()
    return Volume.from_array(array, **{"spacing": (1.0, 1.0, 1.0), **geometry}), mask  # type: ignore[arg-type]
