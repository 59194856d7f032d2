"""The numbers that make one SAM 2 network: read from a checkpoint, or written in our own models' files.

Values of the published sizes follow the released configurations (Ravi et al. 2024, "SAM 2: Segment Anything in
Images and Videos", arXiv 2408.00714).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from reprlib import repr as shown
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class HieraConfig:
    """The hierarchical image encoder (Ryali et al. 2023, arXiv 2306.00989) with absolute windowed positions.

    ``window_sizes`` is one window side (in tokens) per stage; the first block of a stage still uses the side of the
    stage before. ``global_blocks`` are block indices that attend over the whole image. ``position_grid`` is the side
    of the learned background position embedding, ``heads`` the number of heads of the first stage (doubled per stage).
    """

    in_channels: int = 3
    embed_dim: int = 96
    heads: int = 1
    stages: tuple[int, ...] = (1, 2, 7, 2)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    window_sizes: tuple[int, ...] = (8, 4, 14, 7)
    position_grid: tuple[int, int] = (7, 7)


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that a network's shapes and behaviour depend on.

    ``image_size`` is the side of the square input in pixels (divisible by 32). ``sam_version`` is ``"2.0"`` or
    ``"2.1"``: 2.1 adds a temporal position to object pointers and a spatial embedding for absent objects.
    ``draw_prompts``: prompts are also drawn into the dense prompt map, as our own small models are trained. ``zoom``:
    side of the region of interest as a multiple of the object's, None for whole slices. ``stop_predicted_iou``:
    propagation counts a slice as a miss at or below this predicted IoU.
    """

    image_size: int = 1024
    sam_version: str = "2.1"
    image_encoder: HieraConfig = HieraConfig()
    top_down_levels: tuple[int, ...] = (2, 3)
    model_dim: int = 256
    memory_dim: int = 64
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    memory_attention_layers: int = 4
    memory_attention_mlp_dim: int = 2048
    memory_fuser_layers: int = 2
    memory_map_count: int = 7
    max_object_pointers: int = 16
    prompt_mask_channels: int = 16
    draw_prompts: bool = False
    layer_scale: float = 1e-6
    pixel_mean: tuple[float, ...] = IMAGENET_MEAN
    pixel_std: tuple[float, ...] = IMAGENET_STD
    zoom: float | None = None
    fit: str = "stretch"
    bank_capacity: int = 16
    stop_predicted_iou: float = 0.0

    @property
    def grid_size(self) -> int:
        """Side of the top feature map, in tokens: image_size / 16."""
        return self.image_size // 16

    def with_image_size(self, image_size: int) -> NetworkConfig:
        """The same network for another input size; raises ValueError unless it is a multiple of 32."""
        if image_size < 32 or image_size % 32:
            raise ValueError(f"image size must be a positive multiple of 32, not {image_size}")
        return dataclasses.replace(self, image_size=image_size)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint's metadata."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(data: object) -> NetworkConfig:
        """The inverse of ``to_dict``, also after JSON; keys that are absent keep their default.

        Raises TypeError, naming the key, for an unknown key, a value of the wrong kind, or no ``image_encoder``.
        Whether the values fit together is for ``config_checks.check_config`` to say.
        """
        plain = _settings(NetworkConfig, data, "the network")
        if "image_encoder" not in plain:
            raise TypeError("image_encoder is missing")
        encoder = HieraConfig(**_settings(HieraConfig, plain.pop("image_encoder"), "image_encoder"))
        return NetworkConfig(image_encoder=encoder, **plain)


def _settings(kind: type[NetworkConfig] | type[HieraConfig], data: object, place: str) -> dict[str, Any]:
    """Arguments for ``kind``, every one of the kind that its field is declared as."""
    if not isinstance(data, dict):
        raise TypeError(f"{place} must be a table of settings, not {shown(data)}")
    declared = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    for key, value in data.items():
        if key not in declared:
            raise TypeError(f"{shown(key)} is no setting of {place}")
        words, fits = _KINDS[declared[key]]
        if not fits(value):
            raise TypeError(f"{key} must be {words}, not {shown(value)}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    """Whether a value is a number that a float can hold: not infinite, not NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _all(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda values: isinstance(values, (list, tuple)) and all(fits(value) for value in values)


_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "int": ("a whole number", _is_whole),
    "float": ("a finite number", _is_number),
    "float | None": ("a finite number or null", lambda value: value is None or _is_number(value)),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "str": ("a text", lambda value: isinstance(value, str)),
    "tuple[int, ...]": ("a list of whole numbers", _all(_is_whole)),
    "tuple[int, int]": ("a list of two whole numbers", _all(_is_whole)),
    "tuple[float, ...]": ("a list of finite numbers", _all(_is_number)),
    "HieraConfig": ("a table of settings", lambda value: isinstance(value, dict)),
}
"""How a field's annotation is said in a message, and what a value of it must be."""


_HIERA_SIZES = {
    "tiny": HieraConfig(),
    "small": HieraConfig(stages=(1, 2, 11, 2), global_blocks=(7, 10, 13)),
    "base-plus": HieraConfig(
        embed_dim=112, heads=2, stages=(2, 3, 16, 3), global_blocks=(12, 16, 20), position_grid=(14, 14)
    ),
    "large": HieraConfig(
        embed_dim=144, heads=2, stages=(2, 6, 36, 4), global_blocks=(23, 33, 43), window_sizes=(8, 4, 16, 8)
    ),
}


def published_config(size: str, sam_version: str = "2.1", image_size: int = 1024) -> NetworkConfig:
    """The configuration of a released network: size ``tiny``, ``small``, ``base-plus`` or ``large``."""
    return NetworkConfig(image_size=image_size, sam_version=sam_version, image_encoder=_HIERA_SIZES[size])
