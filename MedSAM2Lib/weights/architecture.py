"""A network's configuration, read from its checkpoint: from our metadata, or from the tensors' shapes.

What is not in the weights of a released network (attention heads, window sizes, which blocks see the whole image)
comes from the table of the four published sizes; it is never guessed for any other.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from MedSAM2Lib.errors import ModelError
from MedSAM2Lib.network.config import HieraConfig, NetworkConfig, published_config
from MedSAM2Lib.network.config_checks import check_config, image_size_step
from MedSAM2Lib.weights.foreign import foreign_family

CONFIG_KEY = "config"
"""Metadata key under which our own checkpoints carry their ``NetworkConfig`` as JSON."""

DEFAULT_IMAGE_SIZE = 1024
PUBLISHED_SIZES = ("tiny", "small", "base-plus", "large")

_TRUNK = "image_encoder.trunk"


def infer_config(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    image_size: int | None = None,
    default_image_size: int = DEFAULT_IMAGE_SIZE,
    path: Path | None = None,
) -> NetworkConfig:
    """The configuration of the network these tensors (official names) belong to.

    Args:
        image_size: overrides the side of the input in pixels; a multiple of 32.
        default_image_size: the side where neither ``image_size`` nor the metadata give one: it is not in the weights.
        path: the checkpoint, for messages only.

    Raises:
        ModelError: ``E_CHECKPOINT_ARCHITECTURE`` if it is not SAM 2, or of an unpublished size without metadata;
            ``E_CHECKPOINT_CONFIG`` if the metadata are wrong; ``E_IMAGE_SIZE``.
    """
    where = path or "given"
    _refuse_foreign(tensors, where)
    if CONFIG_KEY in metadata:
        config = _config_of_metadata(metadata[CONFIG_KEY], tensors, where)
    else:
        config = _config_of_shapes(tensors, where).with_image_size(default_image_size)
    return config if image_size is None else _resized(config, image_size)


def architecture_name(config: NetworkConfig) -> str:
    """``hiera-tiny``, ``-small``, ``-base-plus`` or ``-large`` for the published sizes, else ``custom``."""
    for size in PUBLISHED_SIZES:
        if published_config(size).image_encoder == config.image_encoder:
            return f"hiera-{size}"
    return "custom"


def _resized(config: NetworkConfig, image_size: int) -> NetworkConfig:
    try:
        resized = config.with_image_size(image_size)
        check_config(resized)
    except ValueError as error:
        step = image_size_step(config)
        raise ModelError(
            "E_IMAGE_SIZE",
            "The image size {size} does not fit the network; choose a multiple of {step}, such as {near}.",
            size=image_size,
            step=step,
            near=step * min(max(1, round(image_size / step)), max(1, DEFAULT_IMAGE_SIZE // step)),
        ) from error
    return resized


def _refuse_foreign(tensors: Mapping[str, Tensor], where: object) -> None:
    family = foreign_family(tensors)
    if family is None and f"{_TRUNK}.patch_embed.proj.weight" in tensors and _block_count(tensors):
        return
    what = f"a checkpoint of {family}" if family else f"of an unknown architecture (a tensor is {next(iter(tensors))})"
    raise ModelError(
        "E_CHECKPOINT_ARCHITECTURE",
        "The model file {path} is {what}, not of SAM 2; choose a SAM 2, SAM 2.1, MedSAM2 or Medical-SAM2 checkpoint.",
        path=where,
        what=what,
        family=family,
    )


def _config_of_metadata(text: str, tensors: Mapping[str, Tensor], where: object) -> NetworkConfig:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong_config(where, f"{CONFIG_KEY} is no JSON ({error})") from error
    try:
        config = NetworkConfig.from_dict(data)
        check_config(config)
    except (TypeError, ValueError) as error:
        raise _wrong_config(where, str(error)) from error
    # Compared before any network is built: a wrong number could ask for a network of any size.
    facts = _facts(tensors)
    said = {**dataclasses.asdict(config), **dataclasses.asdict(config.image_encoder)}
    wrong = [name for name, value in facts.items() if said[name] != value]
    if wrong:
        name = wrong[0]
        raise _wrong_config(where, f"{name} is {said[name]}, but the tensors say {facts[name]}")
    return config


def _wrong_config(where: object, reason: str) -> ModelError:
    return ModelError(
        "E_CHECKPOINT_CONFIG",
        "The configuration in the model file {path} is wrong: {reason}. Get or export the model again.",
        path=where,
        reason=reason,
    )


def _config_of_shapes(tensors: Mapping[str, Tensor], where: object) -> NetworkConfig:
    facts = _facts(tensors)
    trunk_names = {field.name for field in dataclasses.fields(HieraConfig)}
    trunk = {name: value for name, value in facts.items() if name in trunk_names}
    others = {name: value for name, value in facts.items() if name not in trunk_names}
    published = [published_config(size).image_encoder for size in PUBLISHED_SIZES]
    for encoder in published:
        if dataclasses.replace(encoder, **trunk) == encoder:
            return _checked_shapes(NetworkConfig(image_encoder=encoder, **others), where)
    raise ModelError(
        "E_CHECKPOINT_ARCHITECTURE",
        "The model file {path} has an image encoder of no published size (width {width}, blocks {stages}), and carries "
        "no configuration; save it with its configuration in the metadata, under the key config.",
        path=where,
        width=facts.get("embed_dim", "unknown"),
        stages=facts["stages"],
    )


def _checked_shapes(config: NetworkConfig, where: object) -> NetworkConfig:
    try:
        check_config(config)
    except ValueError as error:
        raise ModelError(
            "E_CHECKPOINT_ARCHITECTURE",
            "The model file {path} has tensors of sizes that no SAM 2 network has: {reason}. Get it again, or choose "
            "another model.",
            path=where,
            reason=error,
        ) from error
    return config


def _facts(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the shapes tell of a NetworkConfig and its HieraConfig, by field name; nothing of absent tensors."""
    facts: dict[str, Any] = {
        "stages": _stages(tensors),
        "memory_attention_layers": _count(tensors, r"memory_attention\.layers\.(\d+)\."),
        "memory_fuser_layers": _count(tensors, r"memory_encoder\.fuser\.layers\.(\d+)\."),
        "decoder_depth": _count(tensors, r"sam_mask_decoder\.transformer\.layers\.(\d+)\."),
        "sam_version": "2.1" if "no_obj_embed_spatial" in tensors else "2.0",
    }
    for field, (name, dimension) in _SIZES.items():
        tensor = tensors.get(name)
        if tensor is not None and tensor.ndim > dimension:
            facts[field] = tensor.shape[dimension]
    position = tensors.get(f"{_TRUNK}.pos_embed")
    if position is not None and position.ndim == 4:
        facts["position_grid"] = tuple(position.shape[2:])
    return {name: value for name, value in facts.items() if value != 0}


_SIZES = {
    "embed_dim": (f"{_TRUNK}.patch_embed.proj.weight", 0),
    "in_channels": (f"{_TRUNK}.patch_embed.proj.weight", 1),
    "model_dim": ("no_mem_embed", 2),
    "memory_dim": ("maskmem_tpos_enc", 3),
    "memory_map_count": ("maskmem_tpos_enc", 0),
    "decoder_mlp_dim": ("sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight", 0),
    "memory_attention_mlp_dim": ("memory_attention.layers.0.linear1.weight", 0),
    "prompt_mask_channels": ("sam_prompt_encoder.mask_downscaling.3.weight", 0),
}


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    numbers = {match[1] for name in tensors if (match := re.match(pattern, name))}
    return len(numbers)


def _block_count(tensors: Mapping[str, Tensor]) -> int:
    return _count(tensors, re.escape(_TRUNK) + r"\.blocks\.(\d+)\.")


def _stages(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks per stage: a stage begins where a block has its own projection, because its width doubles."""
    blocks = _block_count(tensors)
    starts = [0, *(number for number in range(1, blocks) if f"{_TRUNK}.blocks.{number}.proj.weight" in tensors)]
    return tuple(end - start for start, end in zip(starts, [*starts[1:], blocks]))
