"""What our network promises beyond parity: batches, dtypes, caches, training, and clear refusals."""

from __future__ import annotations

import copy
import io
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from MedSAM2Lib.network import attention
from MedSAM2Lib.network.config import HieraConfig, NetworkConfig
from MedSAM2Lib.network.config_checks import check_config
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.prompts import PromptTensors
from MedSAM2Lib.network.sam2 import Sam2Network

TINY = NetworkConfig(
    image_size=64,
    image_encoder=HieraConfig(
        in_channels=1, embed_dim=16, stages=(1, 1, 2, 1), window_sizes=(8, 4, 6, 2), global_blocks=(3,)
    ),
    model_dim=32,
    memory_dim=16,
    decoder_mlp_dim=64,
    decoder_heads=4,
    memory_attention_layers=2,
    memory_attention_mlp_dim=48,
    memory_map_count=4,
    layer_scale=0.1,
    pixel_mean=(0.45,),
    pixel_std=(0.25,),
)
DEMONSTRATION = NetworkConfig(
    image_size=128,
    image_encoder=HieraConfig(
        in_channels=1, embed_dim=32, stages=(1, 2, 4, 1), window_sizes=(8, 8, 8, 4), global_blocks=(5,)
    ),
    top_down_levels=(0, 1, 2, 3),
    model_dim=96,
    memory_dim=32,
    decoder_mlp_dim=384,
    decoder_heads=4,
    memory_attention_layers=2,
    memory_attention_mlp_dim=256,
    memory_map_count=5,
    layer_scale=0.1,
    draw_prompts=True,
    pixel_mean=(0.45,),
    pixel_std=(0.25,),
)


def present(network: Sam2Network) -> Sam2Network:
    """The network, inclined to find the object and candidate 1, so that rounding decides nothing."""
    with torch.no_grad():
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias += 5
        network.sam_mask_decoder.iou_prediction_head.layers[-1].bias[1] += 2
    return network


def pixels_of(network: Sam2Network, count: int) -> Tensor:
    config = network.config
    return torch.randn(count, config.image_encoder.in_channels, config.image_size, config.image_size)


def clicks(count: int, size: int) -> PromptTensors:
    return PromptTensors(torch.rand(count, 2, 2) * size, torch.tensor([[1, 0]] * count))


def memory_of(network: Sam2Network, features: SliceFeatures, logits: Tensor, pointers: Tensor) -> MemorySequence:
    """One map and one pointer for each object."""
    score = torch.ones(len(logits), 1)
    maps = network.encode_memory(features.top, logits, score, binarize=False).flatten(2).transpose(1, 2)
    tokens, positions = network.pointer_tokens(pointers[:, None], torch.tensor([1]), limit=4)
    placed = network.map_positions(0).expand(len(maps), -1, -1)
    return MemorySequence(torch.cat((maps, tokens), 1), torch.cat((placed, positions), 1), tokens.shape[1])


def two_slices(network: Sam2Network, first: Tensor, second: Tensor, prompts: PromptTensors) -> dict[str, Tensor]:
    """A prompted slice and the next one, for as many objects as there are prompts; everything that comes out."""
    before, after = network.encode_image(first), network.encode_image(second)
    start = network.decode(network.without_memory(before.top), before.high_res, prompts, multimask=False)
    memory = memory_of(network, before, start.low_res_logits, start.pointer)
    conditioned = network.attend_memory(after.top, memory)
    none = PromptTensors.none(len(conditioned), network.device, network.dtype)
    tracked = network.decode(conditioned, after.high_res, none, multimask=True)
    return {
        f"{name} {field.name}": getattr(decoding, field.name)
        for name, decoding in (("prompted", start), ("tracked", tracked))
        for field in fields(decoding)
    }


@torch.no_grad()
@pytest.mark.parametrize("config", [TINY, replace(DEMONSTRATION, image_size=96)], ids=["plain", "drawn"])
def test_four_objects_at_once_equal_four_alone(config: NetworkConfig) -> None:
    network = present(Sam2Network(config)).eval()
    first, second = pixels_of(network, 4), pixels_of(network, 4)
    prompts = clicks(4, config.image_size)
    together = two_slices(network, first, second, prompts)
    for index in range(4):
        alone = slice(index, index + 1)
        own = PromptTensors(prompts.coordinates[alone], prompts.labels[alone])
        for name, value in two_slices(network, first[alone], second[alone], own).items():
            torch.testing.assert_close(together[name][alone], value, rtol=1e-4, atol=1e-4, msg=name)


@torch.no_grad()
def test_a_slices_features_can_be_expanded_over_its_objects() -> None:
    network = present(Sam2Network(TINY)).eval()
    features = network.encode_image(pixels_of(network, 1))
    prompts = clicks(3, TINY.image_size)
    top = network.without_memory(features.top).expand(3, -1, -1, -1)
    together = network.decode(top, features.high_res, prompts, multimask=True)
    for index in range(3):
        own = PromptTensors(prompts.coordinates[index : index + 1], prompts.labels[index : index + 1])
        alone = network.decode(top[:1], features.high_res, own, multimask=True)
        torch.testing.assert_close(together.low_res_logits[index], alone.low_res_logits[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("image_size", [32, 96, 160, 224])
def test_image_sizes_divisible_by_32(image_size: int) -> None:
    config = TINY.with_image_size(image_size)
    network = Sam2Network(config).eval()
    out = two_slices(network, pixels_of(network, 1), pixels_of(network, 1), clicks(1, image_size))
    assert out["tracked low_res_logits"].shape == (1, 1, image_size // 4, image_size // 4)
    assert all(value.isfinite().all() for value in out.values())


@torch.no_grad()
@pytest.mark.parametrize("way", ["cast", "autocast"])
@pytest.mark.parametrize("config", [TINY, DEMONSTRATION], ids=["plain", "drawn"])
def test_bfloat16_stays_near_float32(config: NetworkConfig, way: str) -> None:
    network = present(Sam2Network(config)).eval()
    inputs = pixels_of(network, 1), pixels_of(network, 1), clicks(1, config.image_size)
    exact = two_slices(network, *inputs)
    if way == "cast":
        network.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
        rough = two_slices(network, *inputs)
    for name, value in exact.items():
        assert (rough[name].float() - value).abs().max() <= 0.05 * value.abs().max(), name


def test_point_positions_keep_their_precision_in_bfloat16() -> None:
    network = Sam2Network(TINY)
    exact = network.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.clone()
    network.to(torch.bfloat16)
    assert torch.equal(network.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix, exact)


@pytest.mark.parametrize("config", [DEMONSTRATION, replace(TINY, sam_version="2.0")], ids=["drawn 2.1", "plain 2.0"])
def test_gradients_reach_every_parameter(config: NetworkConfig) -> None:
    network = present(Sam2Network(config)).train()
    size = config.image_size
    corners = torch.tensor([[0.2, 0.3], [0.7, 0.8], [0.4, 0.5], [0.1, 0.9]]) * size
    prompts = PromptTensors(corners.expand(2, -1, -1), torch.tensor([[2, 3, 1, 0]] * 2))
    first, second = network.encode_image(pixels_of(network, 2)), network.encode_image(pixels_of(network, 2))

    decoding = network.decode(network.without_memory(first.top), first.high_res, prompts, multimask=False)
    mask = torch.zeros(2, 1, size, size)
    mask[0, :, : size // 2] = 1
    given = network.decode_mask_prompt(first, mask)
    score = torch.tensor([[1.0], [-1.0]])
    maps = network.encode_memory(first.top, decoding.candidates[:, :1], score, binarize=False)
    pointers = torch.stack((decoding.pointer, given.pointer), dim=1)
    tokens, positions = network.pointer_tokens(pointers, torch.tensor([1, -2]), limit=4)
    rows = torch.stack([network.map_positions(row) for row in range(config.memory_map_count)]).flatten(0, 1)
    sequence = MemorySequence(
        torch.cat((maps.flatten(2).transpose(1, 2).repeat(1, config.memory_map_count, 1), tokens), dim=1),
        torch.cat((rows.expand(2, -1, -1), positions), dim=1),
        tokens.shape[1],
    )
    none = PromptTensors.none(2, network.device, network.dtype)
    conditioned = network.attend_memory(second.top, sequence)
    later = PromptTensors(none.coordinates, none.labels, decoding.candidates[:, 1:2].detach())
    found = [
        network.decode(conditioned, second.high_res, none, multimask=True),
        network.decode(conditioned, second.high_res, later, multimask=True),
        decoding,
        given,
    ]
    loss = sum(
        ((one.candidates**2).mean() + one.candidate_ious.sum() + one.object_score.sum() + (one.pointer**2).sum())
        for one in found
    )
    loss.backward()
    lost = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert lost == []


def encoded(network: Sam2Network, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        return network.encode_image(pixels).top.clone()


def decoded(network: Sam2Network, seed: int = 3) -> Tensor:
    """Candidates of a click on fixed random features: reads the prompt encoder's cached grid."""
    torch.manual_seed(seed)
    side, channels = network.config.grid_size, network.config.model_dim
    top = torch.randn(1, channels, side, side)
    skips = torch.randn(1, channels // 8, 4 * side, 4 * side), torch.randn(1, channels // 4, 2 * side, 2 * side)
    with torch.no_grad():
        return network.decode(top, skips, clicks(1, network.config.image_size), multimask=True).candidates


def test_loading_weights_is_noticed_by_what_was_kept() -> None:
    network, other = Sam2Network(TINY).eval(), Sam2Network(TINY).eval()
    pixels = pixels_of(network, 1)
    stale = encoded(network, pixels), decoded(network)
    network.load_state_dict(other.state_dict())
    assert torch.equal(encoded(network, pixels), encoded(other, pixels))
    assert torch.equal(decoded(network), decoded(other))
    assert not torch.equal(encoded(network, pixels), stale[0])
    assert not torch.equal(decoded(network), stale[1])


def test_a_training_step_is_noticed_by_what_was_kept() -> None:
    network = Sam2Network(TINY).eval()
    pixels = pixels_of(network, 1)
    before = encoded(network, pixels)
    optimizer = torch.optim.SGD([network.image_encoder.trunk.pos_embed_window], lr=1.0)
    network.encode_image(pixels).top.sum().backward()
    optimizer.step()
    fresh = Sam2Network(TINY).eval()
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(encoded(network, pixels), encoded(fresh, pixels))
    assert not torch.equal(encoded(network, pixels), before)


def test_weights_written_behind_the_graph_are_noticed_on_eval() -> None:
    network, other = Sam2Network(TINY).eval(), Sam2Network(TINY).eval()
    pixels = pixels_of(network, 1)
    encoded(network, pixels)
    for own, averaged in zip(network.parameters(), other.parameters()):
        own.data.copy_(averaged.data)
    assert torch.equal(encoded(network.eval(), pixels), encoded(other, pixels))


def test_casting_back_and_forth_keeps_nothing_of_the_other_dtype() -> None:
    network = Sam2Network(TINY).eval()
    pixels = pixels_of(network, 1)
    encoded(network, pixels)
    network.to(torch.bfloat16)
    assert encoded(network, pixels).dtype == torch.bfloat16
    network.to(torch.float32)
    assert encoded(network, pixels).dtype == torch.float32


def test_training_works_after_inference_mode_and_step_after_step() -> None:
    network = present(Sam2Network(DEMONSTRATION))
    inputs = pixels_of(network, 1), pixels_of(network, 1), clicks(1, DEMONSTRATION.image_size)
    with torch.inference_mode():
        two_slices(network.eval(), *inputs)
    for mode in (True, False):
        network.train(mode)
        for _ in range(2):
            two_slices(network, *inputs)["tracked candidates"].sum().backward()
    assert network.memory_attention.layers[0].self_attn.q_proj.weight.grad.any()


def test_copies_and_pickles_of_a_used_network_are_independent() -> None:
    network = Sam2Network(TINY).eval()
    pixels = pixels_of(network, 1)
    before = encoded(network, pixels)
    buffer = io.BytesIO()
    torch.save(network, buffer)
    buffer.seek(0)
    copied, loaded = copy.deepcopy(network), torch.load(buffer, weights_only=False)
    with torch.no_grad():
        network.image_encoder.trunk.pos_embed += 1
    for other in (copied, loaded):
        assert torch.equal(encoded(other, pixels), before)
    assert not torch.equal(encoded(network, pixels), before)


def test_top_down_levels_reach_the_finest_skip() -> None:
    """With top-down at every level the coarsest map must change s0; with the published levels it must not."""
    for levels, reaches in (((0, 1, 2, 3), True), ((2, 3), False)):
        network = Sam2Network(replace(TINY, top_down_levels=levels)).eval()
        pixels = pixels_of(network, 1)
        with torch.no_grad():
            before = network.encode_image(pixels)
            network.image_encoder.neck.convs[0].conv.bias += 1
            after = network.encode_image(pixels)
        assert torch.equal(before.high_res[0], after.high_res[0]) != reaches
        assert not torch.equal(before.top, after.top)


def test_memory_as_wide_as_the_network_needs_no_projection() -> None:
    network = present(Sam2Network(replace(TINY, memory_dim=32))).eval()
    with torch.no_grad():
        out = two_slices(network, pixels_of(network, 1), pixels_of(network, 1), clicks(1, 64))
    assert "memory_encoder.out_proj.weight" not in network.state_dict()
    assert out["tracked low_res_logits"].isfinite().all()


def test_pixels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="64 x 64, not 64 x 96"):
        Sam2Network(TINY).encode_image(torch.zeros(1, 1, 64, 96))


@pytest.mark.parametrize(
    "fault, message",
    [
        ({"image_size": 100}, "multiple of 32"),
        ({"image_size": 0}, "multiple of 32"),
        ({"sam_version": "2"}, "sam_version"),
        ({"memory_dim": 12}, "does not divide"),
        ({"decoder_heads": 3}, "decoder_heads"),
        ({"decoder_heads": 0}, "decoder_heads 0 is not from 1"),
        ({"memory_dim": 0}, "memory_dim 0 is not from 1"),
        ({"prompt_mask_channels": 2}, "prompt_mask_channels"),
        ({"pixel_mean": (0.5, 0.5)}, "pixel_mean .* not one number for each"),
        ({"pixel_std": (0.0,)}, "pixel_std"),
        ({"pixel_std": (float("nan"),)}, "pixel_std"),
        ({"pixel_mean": (float("nan"),)}, "pixel_mean"),
        ({"zoom": float("nan")}, "zoom"),
        ({"zoom": 0.5}, "zoom"),
        ({"fit": "crop"}, "fit 'crop' is not"),
        ({"bank_capacity": 0}, "bank_capacity"),
        ({"stop_predicted_iou": 2.0}, "stop_predicted_iou"),
        ({"image_encoder": HieraConfig(stages=(1, 2, 3))}, "four stages"),
        ({"image_encoder": HieraConfig(window_sizes=(8, 4, 7, 7))}, "even"),
        ({"image_encoder": HieraConfig(window_sizes=())}, "window_sizes"),
        ({"image_encoder": HieraConfig(window_sizes=(0, 4, 6, 2))}, "window_sizes"),
        ({"image_encoder": HieraConfig(heads=5)}, "heads 5 do not divide"),
        ({"image_encoder": HieraConfig(global_blocks=(12,))}, "global_blocks"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(fault: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sam2Network(replace(TINY, **fault))


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"memory_dim 12 .*; decoder_heads 3 .*; pixel_std "):
        check_config(replace(TINY, memory_dim=12, decoder_heads=3, pixel_std=()))


ENCODERS = st.builds(
    HieraConfig,
    in_channels=st.sampled_from([1, 1, 3]),
    embed_dim=st.sampled_from([4, 8, 10, 12]),
    heads=st.sampled_from([1, 2, 3]),
    stages=st.sampled_from([(1, 1, 1, 1), (1, 2, 1, 1)]),
    global_blocks=st.sampled_from([(), (0,), (2, 3), (4,)]),
    window_sizes=st.tuples(*[st.sampled_from([2, 4, 6, 8])] * 3, st.integers(1, 9)),
    position_grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
CONFIGS = st.builds(
    NetworkConfig,
    image_size=st.sampled_from([32, 64, 96]),
    sam_version=st.sampled_from(["2.0", "2.1"]),
    image_encoder=ENCODERS,
    top_down_levels=st.sampled_from([(), (2, 3), (0, 1, 2, 3)]),
    model_dim=st.sampled_from([8, 16, 24, 40]),
    memory_dim=st.sampled_from([4, 8, 12]),
    decoder_depth=st.integers(0, 2),
    decoder_heads=st.sampled_from([1, 2, 4]),
    decoder_mlp_dim=st.integers(1, 20),
    memory_attention_layers=st.integers(0, 2),
    memory_attention_mlp_dim=st.integers(1, 20),
    memory_fuser_layers=st.integers(0, 2),
    memory_map_count=st.integers(1, 3),
    prompt_mask_channels=st.integers(3, 9),
    draw_prompts=st.booleans(),
    pixel_mean=st.just((0.5,)),
    pixel_std=st.just((0.25,)),
)


@torch.no_grad()
@settings(max_examples=150, deadline=None, derandomize=True)
@given(CONFIGS)
def test_a_configuration_that_passes_its_checks_makes_a_network_that_runs(config: NetworkConfig) -> None:
    try:
        check_config(config)
    except ValueError:
        return
    network = present(Sam2Network(config)).eval()
    out = two_slices(network, pixels_of(network, 1), pixels_of(network, 1), clicks(1, config.image_size))
    side = config.image_size // 4
    assert out["prompted low_res_logits"].shape == out["tracked low_res_logits"].shape == (1, 1, side, side)
    assert all(value.isfinite().all() for value in out.values())


def test_attention_in_chunks_equals_attention_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = torch.randn(2, 3, 50, 16), torch.randn(2, 3, 70, 16), torch.randn(2, 3, 70, 4)
    expected = functional.scaled_dot_product_attention(q, k, v)
    for limit in (1, 7, 50):
        monkeypatch.setattr(attention, "MOST_QUERIES", limit)
        torch.testing.assert_close(attention.attend(q, k, v), expected)
    monkeypatch.setattr(attention, "MOST_SCORES", 1)
    torch.testing.assert_close(attention.attend(q, k, v), expected)
