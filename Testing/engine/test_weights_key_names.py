"""Hugging Face names: a real Sam2VideoModel's tensors, renamed, make our network compute the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from MedSAM2Lib.network.config import published_config
from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.prompts import PromptTensors
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.weights.key_names import naming_of, to_official
from Testing.engine.reference_sam2 import SMALL, build_reference
from Testing.engine.reference_transformers import GRID, SIDE, build_video_model

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def theirs() -> Any:
    return build_video_model()


@pytest.fixture(scope="module")
def ours(theirs: Any) -> Sam2Network:
    network = Sam2Network(SMALL.network_config("2.1", SIDE))
    network.load_state_dict(to_official(theirs.state_dict()), strict=True)
    return network.eval().requires_grad_(False)


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_features_masks_and_pointers_are_the_same(theirs: Any, ours: Sam2Network) -> None:
    pixels = torch.randn(1, 3, SIDE, SIDE)
    point = torch.tensor([[[70.0, 41.0]]])
    expected = theirs._single_frame_forward(
        pixel_values=pixels, input_points=point[None], input_labels=torch.ones(1, 1, 1, dtype=torch.int32)
    )
    features = ours.encode_image(pixels)
    for found, map_of_level in zip(features.high_res, expected.image_embeddings[:2]):
        assert_close(found, map_of_level)
    assert_close(ours.without_memory(features.top), expected.image_embeddings[2])
    prompts = PromptTensors(point, torch.ones(1, 1, dtype=torch.int32))
    decoding = ours.decode(ours.without_memory(features.top), features.high_res, prompts, multimask=True)
    assert expected.object_score_logits.item() > 0
    assert_close(decoding.low_res_logits, expected.pred_masks)
    assert_close(decoding.pointer, expected.object_pointer[:, 0])
    assert_close(decoding.object_score, expected.object_score_logits[:, 0])


@torch.inference_mode()
def test_memories_and_attention_to_them_are_the_same(theirs: Any, ours: Sam2Network) -> None:
    channels, memory = ours.config.model_dim, ours.config.memory_dim
    top = torch.randn(1, channels, GRID, GRID)
    mask_logits = torch.randn(1, 1, SIDE, SIDE)
    expected_map, sine = theirs.memory_encoder(top, 20 * (mask_logits > 0).float() - 10)
    found_map = ours.encode_memory(top, mask_logits, torch.ones(1, 1), binarize=True)
    assert_close(found_map, expected_map)

    tokens = expected_map.flatten(2).permute(2, 0, 1)  # [H * W, B, Cm]
    positions = sine.flatten(2).permute(2, 0, 1) + theirs.memory_temporal_positional_encoding[1]
    assert_close(ours.map_positions(1), positions[:, 0])
    pointers = torch.randn(channels // memory, 1, memory)
    grid = theirs.vision_encoder.neck.position_encoding(top.shape, top.device, top.dtype).flatten(2).permute(2, 0, 1)
    expected = theirs.memory_attention(
        top.flatten(2).permute(2, 0, 1),
        torch.cat([tokens, pointers]),
        grid,
        torch.cat([positions, torch.zeros_like(pointers)]),
        num_object_pointer_tokens=len(pointers),
    )
    sequence = MemorySequence(
        torch.cat([tokens, pointers]).transpose(0, 1),
        torch.cat([positions, torch.zeros_like(pointers)]).transpose(0, 1),
        len(pointers),
    )
    found = ours.attend_memory(top, sequence).flatten(2)  # [B, C, H * W]
    assert_close(found, expected.reshape(GRID * GRID, 1, channels).permute(1, 2, 0))


def test_renamed_tensors_load_strictly_into_the_published_predictor(theirs: Any) -> None:
    reference = build_reference(SMALL, "2.1", SIDE)
    reference.load_state_dict(to_official(theirs.state_dict()), strict=True)


def test_every_name_of_a_published_size_is_known(theirs: Any) -> None:
    with torch.device("meta"):
        renamed = to_official(transformers.Sam2VideoModel(transformers.Sam2VideoConfig()).state_dict())
        expected = Sam2Network(published_config("tiny")).state_dict()
    assert {name: tensor.shape for name, tensor in renamed.items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }


def test_official_names_stay_as_they_are() -> None:
    with torch.device("meta"):
        official = Sam2Network(SMALL.network_config("2.0", SIDE)).state_dict()
    assert naming_of(official) == "official"
    assert to_official(official) == official
    assert naming_of(["encoder.weight"]) is None


@pytest.mark.parametrize("left", ["shared_image_embedding", "prompt_encoder.shared_embedding"])
def test_one_copy_of_the_positional_matrix_is_enough(theirs: Any, left: str) -> None:
    copies = {
        f"{place}.positional_embedding" for place in ("shared_image_embedding", "prompt_encoder.shared_embedding")
    }
    tensors = theirs.state_dict()
    alone = {name: tensor for name, tensor in tensors.items() if name not in copies or name.startswith(left)}
    assert len(alone) == len(tensors) - 1
    assert set(to_official(alone)) == set(to_official(tensors))
