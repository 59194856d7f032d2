"""A network's configuration from its checkpoint, and refusals that say what a file is instead."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import Tensor

from MedSAM2Lib.errors import ModelError
from MedSAM2Lib.network.config import NetworkConfig, published_config
from MedSAM2Lib.weights.architecture import PUBLISHED_SIZES, architecture_name, infer_config
from MedSAM2Lib.weights.key_names import to_official
from Testing.engine.checkpoints import TINY, published_tensors, tiny_network

METADATA = {"config": json.dumps(TINY.to_dict())}


def named(*names: str) -> dict[str, Tensor]:
    return {name: torch.zeros(2) for name in names}


def refusal(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        infer_config(tensors, metadata or {})
    return caught.value


@pytest.mark.parametrize("sam_version", ["2.0", "2.1"])
@pytest.mark.parametrize("size", PUBLISHED_SIZES)
def test_published_sizes_are_told_by_their_tensors(size: str, sam_version: str) -> None:
    config = infer_config(published_tensors(size, sam_version), {})
    assert config == published_config(size, sam_version, image_size=1024)
    assert architecture_name(config) == f"hiera-{size}"


def test_the_image_size_is_the_option_then_the_metadata_then_the_default() -> None:
    published, tiny = published_tensors(), tiny_network().state_dict()
    assert infer_config(published, {}, default_image_size=512).image_size == 512
    assert infer_config(published, {}, image_size=256, default_image_size=512).image_size == 256
    assert infer_config(tiny, METADATA, default_image_size=512).image_size == TINY.image_size
    assert infer_config(tiny, METADATA, image_size=96, default_image_size=512).image_size == 96


@pytest.mark.parametrize("image_size", [0, -32, 100, 16])
def test_an_image_size_that_the_network_cannot_take_is_refused(image_size: int) -> None:
    with pytest.raises(ModelError) as caught:
        infer_config(published_tensors(), {}, image_size=image_size)
    assert caught.value.code == "E_IMAGE_SIZE"


def test_our_own_metadata_give_what_shapes_cannot_tell() -> None:
    config = infer_config(tiny_network().state_dict(), METADATA)
    assert config == TINY
    assert architecture_name(config) == "custom"


def test_memory_and_decoder_sizes_are_told_by_shapes_where_the_encoder_is_published() -> None:
    config = dataclasses.replace(published_config("tiny"), memory_attention_layers=2, memory_map_count=5)
    tensors = {
        name: tensor for name, tensor in published_tensors().items() if not name.startswith("memory_attention.layers.3")
    }
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("memory_attention.layers.2")}
    tensors["maskmem_tpos_enc"] = torch.zeros(5, 1, 1, 64)
    assert infer_config(tensors, {}) == config


def test_an_unpublished_encoder_without_metadata_is_refused_with_its_sizes() -> None:
    error = refusal(tiny_network().state_dict())
    assert error.code == "E_CHECKPOINT_ARCHITECTURE"
    assert "(1, 1, 1, 1)" in str(error)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"memory_dim": 16}, "memory_dim is 16, but the tensors say 8"),
        ({"sam_version": "2.0"}, "sam_version"),
        ({"memory_attention_layers": 10**9}, "memory_attention_layers"),
        ({"image_size": 50}, "multiple of 32"),
        ({"image_size": "64"}, "image_size must be a whole number"),
        ({"unknown": 1}, "unknown"),
        ({"image_encoder": None}, "image_encoder must be"),
        ({"image_encoder": {**dataclasses.asdict(TINY.image_encoder), "stages": [1, 1, 1, 10**9]}}, "stages"),
    ],
)
def test_metadata_that_do_not_fit_are_named(change: dict[str, Any], said: str) -> None:
    metadata = {"config": json.dumps({**TINY.to_dict(), **change})}
    error = refusal(tiny_network().state_dict(), metadata)
    assert error.code == "E_CHECKPOINT_CONFIG"
    assert said in str(error)


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", "null"])
def test_metadata_that_are_no_configuration_are_refused(text: str) -> None:
    assert refusal(tiny_network().state_dict(), {"config": text}).code == "E_CHECKPOINT_CONFIG"


@pytest.mark.parametrize(
    ("tensors", "family"),
    [
        (named("image_encoder.blocks.0.norm1.weight", "mask_decoder.iou_token.weight"), "SAM 1"),
        (named("image_encoder.layers.0.conv1.c.weight", "mask_decoder.iou_token.weight"), "MobileSAM"),
        (named("spatial_perceiver.latents", "image_encoder.trunk.body.stem.0.c.weight"), "EdgeTAM"),
        (named("detector.backbone.vision_backbone.trunk.pos_embed"), "SAM 3"),
        (named("encoder.stages.0.0.convs.0.conv.weight"), "nnU-Net"),
        (
            {
                **named("image_encoder.trunk.patch_embed.proj.weight"),
                "image_encoder.trunk.pos_embed": torch.zeros(1, 197, 192),
            },
            "EfficientTAM",
        ),
        (named("layer1.0.conv1.weight"), "layer1.0.conv1.weight"),
    ],
)
def test_other_architectures_are_refused_by_name(tensors: dict[str, Tensor], family: str) -> None:
    error = refusal(tensors)
    assert error.code == "E_CHECKPOINT_ARCHITECTURE"
    assert family in str(error)


@pytest.mark.parametrize(
    ("model", "family"), [("Sam", "SAM 1"), ("EdgeTamVideo", "EdgeTAM"), ("Sam3TrackerVideo", "SAM 3")]
)
def test_other_architectures_are_refused_under_hugging_face_names_too(model: str, family: str) -> None:
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        network = getattr(transformers, f"{model}Model")(getattr(transformers, f"{model}Config")())
    assert family in str(refusal(to_official(network.state_dict())))


def test_a_config_survives_its_own_json() -> None:
    for config in (TINY, *(published_config(size) for size in PUBLISHED_SIZES)):
        assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
