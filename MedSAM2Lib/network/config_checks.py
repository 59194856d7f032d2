"""Whether the numbers of a configuration fit together: asked before a network is built from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from reprlib import repr as shown
from typing import Any

from MedSAM2Lib.network.config import HieraConfig, NetworkConfig

MOST = 2**16
"""No whole number of a configuration is larger: a wrong one must not ask for a network that fills the memory."""
MOST_LAYERS = 1000
"""No count of layers or blocks is larger."""

FITS = ("stretch", "letterbox")
SAM_VERSIONS = ("2.0", "2.1")
ZOOM_RANGE = (1.0, 100.0)
LARGEST_PIXEL = 1e6
LEAST_DEVIATION = 1e-6

_LAYERS = ("decoder_depth", "memory_attention_layers", "memory_fuser_layers")
_STAGES = 4


def check_config(config: NetworkConfig) -> None:
    """Raises ValueError, naming every fault by its key, for numbers that no network can be built from or run with.

    The types are taken for granted: ``NetworkConfig.from_dict`` sees to those of a file.
    """
    # Numbers are divided by each other only once each of them is known to be sensible.
    faults = list(_single_faults(config)) or [*_encoder_faults(config), *_width_faults(config), *_input_faults(config)]
    if faults:
        raise ValueError("; ".join(faults))


def image_size_step(config: NetworkConfig) -> int:
    """Image sizes that a network can take are the multiples of this: whole tokens, and whole windows at first."""
    return math.lcm(32, 4 * config.image_encoder.window_sizes[0])


def _single_faults(config: NetworkConfig) -> Iterator[str]:
    """What is wrong with one number by itself."""
    if config.image_size < 32 or config.image_size % 32:
        yield f"image_size {shown(config.image_size)} is not a positive multiple of 32"
    for part in (config, config.image_encoder):
        for name, value in _whole_numbers(part):
            least, most = (0, MOST_LAYERS) if name in _LAYERS else (1, MOST)
            if not least <= value <= most:
                yield f"{name} {shown(value)} is not from {least} to {most}"
    yield from _list_faults(config.image_encoder)
    if config.sam_version not in SAM_VERSIONS:
        yield f"sam_version {shown(config.sam_version)} is not '2.0' or '2.1'"
    if config.fit not in FITS:
        yield f"fit {shown(config.fit)} is not 'stretch' or 'letterbox'"
    if config.zoom is not None and not ZOOM_RANGE[0] <= config.zoom <= ZOOM_RANGE[1]:
        yield f"zoom {config.zoom} is not from 1 to 100"
    if not 0 <= config.stop_predicted_iou <= 1:
        yield f"stop_predicted_iou {config.stop_predicted_iou} is not from 0 to 1"
    if not set(config.top_down_levels) <= set(range(_STAGES)):
        yield f"top_down_levels {shown(config.top_down_levels)} are not from 0 to 3"
    if config.prompt_mask_channels < 4:
        yield f"prompt_mask_channels {config.prompt_mask_channels} are fewer than 4"


def _list_faults(encoder: HieraConfig) -> Iterator[str]:
    if len(encoder.stages) != _STAGES or not all(1 <= blocks <= MOST_LAYERS for blocks in encoder.stages):
        yield f"stages {shown(encoder.stages)}: the image encoder must have four stages of 1 to {MOST_LAYERS} blocks"
    if len(encoder.window_sizes) != _STAGES or not all(1 <= window <= MOST for window in encoder.window_sizes):
        yield f"window_sizes {shown(encoder.window_sizes)} are not four numbers from 1 to {MOST}"
    if len(encoder.position_grid) != 2 or not all(1 <= side <= MOST for side in encoder.position_grid):
        yield f"position_grid {shown(encoder.position_grid)} is not two numbers from 1 to {MOST}"


def _whole_numbers(part: NetworkConfig | HieraConfig) -> Iterator[tuple[str, int]]:
    values: dict[str, Any] = vars(part)
    for field in dataclasses.fields(part):
        if field.type == "int":
            yield field.name, values[field.name]


def _encoder_faults(config: NetworkConfig) -> Iterator[str]:
    encoder = config.image_encoder
    if config.image_size // 4 % encoder.window_sizes[0]:
        yield f"image_size {config.image_size} / 4 is not a multiple of the first window, {encoder.window_sizes[0]}"
    if any(window % 2 for window in encoder.window_sizes[:3]):
        yield f"window_sizes {shown(encoder.window_sizes)}: the first three are halved by pooling, so they must be even"
    if encoder.embed_dim % encoder.heads:
        yield f"heads {encoder.heads} do not divide embed_dim {encoder.embed_dim}"
    blocks = sum(encoder.stages)
    if not set(encoder.global_blocks) <= set(range(blocks)):
        yield f"global_blocks {shown(encoder.global_blocks)} are not all from 0 to {blocks - 1}"


def _width_faults(config: NetworkConfig) -> Iterator[str]:
    if config.model_dim % config.memory_dim:
        yield f"memory_dim {config.memory_dim} does not divide model_dim {config.model_dim}"
    if config.model_dim % 8:
        yield f"model_dim {config.model_dim} is not a multiple of 8"
    if config.memory_dim % 4:
        yield f"memory_dim {config.memory_dim} is not a multiple of 4"
    if config.model_dim // 2 % config.decoder_heads:
        yield f"decoder_heads {config.decoder_heads} do not divide model_dim / 2"


def _input_faults(config: NetworkConfig) -> Iterator[str]:
    channels = config.image_encoder.in_channels
    for name, values in (("pixel_mean", config.pixel_mean), ("pixel_std", config.pixel_std)):
        if len(values) != channels:
            yield f"{name} {shown(values)} is not one number for each of in_channels {channels}"
    # Written so that what is not a number is a fault too.
    if not all(abs(value) <= LARGEST_PIXEL for value in config.pixel_mean):
        yield f"pixel_mean {shown(config.pixel_mean)} is not within {LARGEST_PIXEL:g} of 0"
    if not all(LEAST_DEVIATION <= value <= LARGEST_PIXEL for value in config.pixel_std):
        yield f"pixel_std {shown(config.pixel_std)} is not from {LEAST_DEVIATION:g} to {LARGEST_PIXEL:g}"
