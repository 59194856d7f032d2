"""Every part of our network against the published one, on the same random weights, in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from MedSAM2Lib.network import hiera
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.heads import MaskDecoding
from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.prompts import PromptTensors
from MedSAM2Lib.network.sam2 import Sam2Network
from Testing.engine.reference_sam2 import SMALL, ReferenceSize, build_both, random_slices

TOLERANCE = 1e-5
Pair = tuple[Any, Sam2Network]


def assert_same(ours: Tensor, theirs: Tensor, tolerance: float = TOLERANCE) -> None:
    """Equal shapes, and no difference over ``tolerance`` of the largest published value."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.fixture(scope="module", params=["2.1-128", "2.0-128", "2.1-256", "2.1-96", "2.1-160"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """The published and our network, small, of several versions and image sizes."""
    torch.set_num_threads(1)
    sam_version, image_size = request.param.split("-")
    return build_both(SMALL, sam_version, int(image_size))


def features(network: Sam2Network, count: int = 2) -> SliceFeatures:
    with torch.no_grad():
        return network.encode_image(random_slices(count, network.config.image_size))


def earlier_logits(network: Sam2Network, count: int = 2) -> Tensor:
    side = network.config.image_size // 4
    return 6 * random_slices(count, side, seed=3)[:, :1]


def their_heads(
    published: Any, features: SliceFeatures, prompts: PromptTensors | None, multimask: bool
) -> tuple[Tensor, ...]:
    """(candidates shown, at full size, their IoU, the mask, at full size, pointer, object score)"""
    points = None if prompts is None else {"point_coords": prompts.coordinates, "point_labels": prompts.labels}
    mask = None if prompts is None or prompts.mask_logits is None else prompts.mask_logits.clamp(-32, 32)
    return published._forward_sam_heads(features.top, points, mask, [*features.high_res], multimask)


def assert_same_decoding(ours: MaskDecoding, theirs: tuple[Tensor, ...]) -> None:
    _, _, ious, mask, _, pointer, score = theirs
    assert_same(ours.low_res_logits, mask)
    assert_same(ours.predicted_iou, ious.max(dim=1).values)
    assert_same(ours.pointer, pointer)
    assert_same(ours.object_score, score)


PROMPTS = {
    "one click": ([[[30.0, 50.0]], [[70.0, 20.5]]], [[1], [0]]),
    "three clicks": ([[[30.0, 50.0], [1, 2], [90, 90]]] * 2, [[1, 0, 1], [1, 1, 0]]),
    "box": ([[[10.0, 20.0], [80.0, 60.0]]] * 2, [[2, 3]] * 2),
    "box and click": ([[[10.0, 20.0], [80.0, 60.0], [40, 40]]] * 2, [[2, 3, 1], [2, 3, 0]]),
    "click and padding": ([[[30.0, 50.0], [60.0, 60.0]]] * 2, [[1, -1], [0, 1]]),
}


def prompts_named(name: str) -> PromptTensors:
    coordinates, labels = PROMPTS[name]
    return PromptTensors(torch.tensor(coordinates), torch.tensor(labels))


@torch.no_grad()
def test_image_features(pair: Pair) -> None:
    published, network = pair
    pixels = random_slices(2, network.config.image_size)
    theirs = published.forward_image(pixels)["backbone_fpn"]
    ours = network.encode_image(pixels)
    for own, their in zip((*ours.high_res, ours.top), theirs):
        assert_same(own, their)


@torch.no_grad()
def test_bands_of_windows_change_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    _, network = pair
    whole = features(network)
    monkeypatch.setattr(hiera, "BAND", 1)
    banded = features(network)
    assert_same(banded.top, whole.top)
    assert_same(banded.high_res[0], whole.high_res[0])


@torch.no_grad()
@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("name", PROMPTS)
def test_heads_with_points(pair: Pair, name: str, multimask: bool) -> None:
    published, network = pair
    seen, prompts = features(network), prompts_named(name)
    assert_same_decoding(
        network.decode(seen.top, seen.high_res, prompts, multimask), their_heads(published, seen, prompts, multimask)
    )


@torch.no_grad()
@pytest.mark.parametrize("multimask", [True, False])
def test_heads_without_prompt(pair: Pair, multimask: bool) -> None:
    published, network = pair
    seen = features(network)
    none = PromptTensors.none(2, network.device, network.dtype)
    assert_same_decoding(
        network.decode(seen.top, seen.high_res, none, multimask), their_heads(published, seen, None, multimask)
    )


@torch.no_grad()
def test_heads_with_earlier_logits_beyond_the_clamp(pair: Pair) -> None:
    published, network = pair
    seen, clicks = features(network), prompts_named("three clicks")
    logits = earlier_logits(network)
    logits[1] = -1024
    prompts = PromptTensors(clicks.coordinates, clicks.labels, logits)
    assert_same_decoding(
        network.decode(seen.top, seen.high_res, prompts, False), their_heads(published, seen, prompts, False)
    )


@torch.no_grad()
def test_all_candidates_are_given_ungated(pair: Pair) -> None:
    published, network = pair
    seen, prompts = features(network), prompts_named("one click")
    theirs = their_heads(published, seen, prompts, True)
    ours = network.decode(seen.top, seen.high_res, prompts, True)
    assert_same(ours.candidates[:, 1:], theirs[0])
    assert_same(ours.candidate_ious[:, 1:], theirs[2])


@torch.no_grad()
def test_absent_object_has_no_mask_and_the_no_object_pointer() -> None:
    published, network = build_both(seed=5)
    for head in (published.sam_mask_decoder, network.sam_mask_decoder):
        head.pred_obj_score_head.layers[-1].bias -= 10
    seen, prompts = features(network), prompts_named("one click")
    ours = network.decode(seen.top, seen.high_res, prompts, True)
    assert_same_decoding(ours, their_heads(published, seen, prompts, True))
    assert (ours.object_score < 0).all() and (ours.low_res_logits == -1024).all()
    torch.testing.assert_close(ours.pointer, network.no_obj_ptr.expand(2, -1))
    assert ours.candidates.min() > -1024


@torch.no_grad()
def test_unstable_single_mask_falls_back_and_keeps_its_own_pointer() -> None:
    published, network = build_both()
    seen, prompts = features(network), prompts_named("box")
    for decoder in (published.sam_mask_decoder, network.sam_mask_decoder):
        last = decoder.output_hypernetworks_mlps[0].layers[-1]
        last.weight *= 0.01
        last.bias *= 0.01
    ours = network.decode(seen.top, seen.high_res, prompts, False)
    assert_same_decoding(ours, their_heads(published, seen, prompts, False))
    assert_same(ours.low_res_logits[:, 0], ours.candidates[:, 1])
    network.train()
    training = network.decode(seen.top, seen.high_res, prompts, False)
    assert_same(training.low_res_logits[:, 0], training.candidates[:, 0])
    assert_same(training.pointer, ours.pointer)


@torch.no_grad()
def test_mask_prompts_present_and_empty(pair: Pair) -> None:
    published, network = pair
    size = network.config.image_size
    mask = torch.zeros(2, 1, size, size)
    mask[0, :, size // 4 : size // 2, 10 : size - 17] = 1
    seen = features(network)
    ours = network.decode_mask_prompt(seen, mask)
    assert_same_decoding(ours, published._use_mask_as_output(seen.top, [*seen.high_res], mask))
    assert ours.object_score.flatten().tolist() == [10, -10]


@torch.no_grad()
@pytest.mark.parametrize("binarize", [True, False])
@pytest.mark.parametrize("low_res", [True, False])
def test_memory_maps_of_present_and_absent_objects(pair: Pair, binarize: bool, low_res: bool) -> None:
    published, network = pair
    seen, logits = features(network), earlier_logits(network)
    size = network.config.image_size
    full = functional.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False)
    score = torch.tensor([[3.0], [-0.5]])
    theirs, _ = published._encode_new_memory(
        [seen.top.flatten(2).permute(2, 0, 1)], [seen.top.shape[-2:]], full, score, binarize
    )
    assert_same(network.encode_memory(seen.top, logits if low_res else full, score, binarize), theirs)


@torch.no_grad()
def test_map_positions(pair: Pair) -> None:
    published, network = pair
    plane = published.memory_encoder.position_encoding(torch.zeros(1, 64, *features(network).top.shape[-2:]))
    for row in (0, 6):
        theirs = plane[0].flatten(1).T + published.maskmem_tpos_enc[row, 0]
        assert_same(network.map_positions(row), theirs)


@torch.no_grad()
def test_features_without_memory(pair: Pair) -> None:
    published, network = pair
    top = features(network).top
    assert_same(network.without_memory(top), top + published.no_mem_embed.view(1, -1, 1, 1))


@torch.no_grad()
@pytest.mark.parametrize("maps,pointers", [(1, 0), (1, 1), (3, 4), (7, 16)])
def test_memory_attention(pair: Pair, maps: int, pointers: int) -> None:
    published, network = pair
    top = features(network).top
    side = top.shape[-1]
    tokens = torch.randn(2, maps * side**2 + 4 * pointers, 64)
    positions = torch.randn_like(tokens)
    place = published.image_encoder.neck.position_encoding(top)
    theirs = published.memory_attention(
        [top.flatten(2).permute(2, 0, 1)],
        tokens.transpose(0, 1),
        [place.flatten(2).permute(2, 0, 1)],
        positions.transpose(0, 1),
        4 * pointers,
    )
    ours = network.attend_memory(top, MemorySequence(tokens, positions, 4 * pointers))
    assert_same(ours, theirs.permute(1, 2, 0).unflatten(2, (side, side)))


@torch.no_grad()
def test_memory_conditioning_of_a_whole_bank(pair: Pair) -> None:
    """Map positions, pointer tokens and their order, through the published bank logic."""
    published, network = pair
    side = network.config.grid_size
    count, current = 5, 4
    seen = features(network, 1)
    maps = torch.randn(count, 1, 64, side, side)
    pointers = torch.randn(count, 1, 256)
    plane = published.memory_encoder.position_encoding(maps[0])
    records = {
        index: {"maskmem_features": maps[index], "maskmem_pos_enc": [plane], "obj_ptr": pointers[index]}
        for index in range(current)
    }
    theirs = published._prepare_memory_conditioned_features(
        frame_idx=current,
        is_init_cond_frame=False,
        current_vision_feats=[seen.top.flatten(2).permute(2, 0, 1)],
        current_vision_pos_embeds=[
            published.image_encoder.neck.position_encoding(seen.top).flatten(2).permute(2, 0, 1)
        ],
        feat_sizes=[(side, side)],
        output_dict={
            "cond_frame_outputs": {0: records[0]},
            "non_cond_frame_outputs": {index: records[index] for index in (1, 2, 3)},
        },
        num_frames=count,
    )
    order, rows = (0, 1, 2, 3), (6, 2, 1, 0)
    distances = torch.tensor([current - index for index in order])
    shown = torch.stack([pointers[index, 0] for index in order])[None]
    pointer_tokens, pointer_positions = network.pointer_tokens(shown, distances, limit=count)
    tokens = torch.cat([*(maps[index].flatten(2).transpose(1, 2) for index in order), pointer_tokens], dim=1)
    positions = torch.cat([*(network.map_positions(row)[None] for row in rows), pointer_positions], dim=1)
    assert_same(network.attend_memory(seen.top, MemorySequence(tokens, positions, pointer_tokens.shape[1])), theirs)


@torch.no_grad()
def test_released_tiny_with_padded_windows() -> None:
    published, network = build_both(ReferenceSize(), image_size=256)
    pixels = random_slices(1, 256)
    theirs = published.forward_image(pixels)["backbone_fpn"]
    ours = network.encode_image(pixels)
    for own, their in zip((*ours.high_res, ours.top), theirs):
        assert_same(own, their)


@pytest.mark.long
@torch.no_grad()
@pytest.mark.parametrize("base", ["tiny", "small", "base-plus", "large"])
def test_released_sizes_at_512(base: str) -> None:
    published, network = build_both(ReferenceSize(base), image_size=512)
    pixels = random_slices(1, 512)
    theirs = published.forward_image(pixels)["backbone_fpn"]
    ours = network.encode_image(pixels)
    for own, their in zip((*ours.high_res, ours.top), theirs):
        assert_same(own, their)
    prompts = PromptTensors(torch.tensor([[[200.0, 300.0]]]), torch.tensor([[1]]))
    conditioned = SliceFeatures(network.without_memory(ours.top), ours.high_res)
    assert_same_decoding(
        network.decode(conditioned.top, ours.high_res, prompts, True),
        their_heads(published, conditioned, prompts, True),
    )
