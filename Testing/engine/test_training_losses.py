"""Losses and the optimiser, held against numbers worked out by hand and against torch's own AdamW."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from MedSAM2Lib.network.heads import MaskDecoding
from MedSAM2Lib.training.losses import (
    ABSENT_MASK_WEIGHT,
    ABSENT_WEIGHT,
    balanced_cross_entropy,
    dice_loss,
    frame_loss,
    reached_iou,
)
from MedSAM2Lib.training.muon import MuonAdamW, is_hidden_matrix, orthogonalise


def decoding(candidates: torch.Tensor, ious: torch.Tensor, score: float) -> MaskDecoding:
    count = len(candidates)
    return MaskDecoding(
        low_res_logits=candidates[:, :1],
        predicted_iou=ious[:, 0],
        object_score=torch.full((count, 1), score),
        pointer=torch.zeros(count, 8),
        candidates=candidates,
        candidate_ious=ious,
    )


def test_cross_entropy_weighs_object_and_background_by_the_square_root_of_their_share() -> None:
    truth = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    logits = torch.tensor([[[[2.0, -1.0], [-1.0, -1.0]]]])
    inside, outside = math.log1p(math.exp(-2)), math.log1p(math.exp(-1))
    weight_in, weight_out = 0.25**-0.5, 0.75**-0.5
    expected = (weight_in * inside + 3 * weight_out * outside) / (weight_in + 3 * weight_out)
    assert balanced_cross_entropy(logits, truth).item() == pytest.approx(expected, rel=1e-5)


def test_dice_loss_of_an_undecided_mask() -> None:
    truth = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert dice_loss(torch.zeros(1, 1, 2, 2), truth).item() == pytest.approx(1 - (2 * 0.5 + 1) / (2 + 1 + 1))


def test_reached_iou_counts_pixels() -> None:
    truth = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    logits = torch.tensor([[[[3.0, -3.0], [3.0, -3.0]], [[3.0, 3.0], [-3.0, -3.0]]]])
    assert reached_iou(logits, truth).tolist() == [[pytest.approx(1 / 3), 1.0]]


def test_only_the_best_of_the_three_candidates_counts_beside_token_zero() -> None:
    truth = torch.zeros(1, 32, 32)
    truth[:, 8:24, 8:24] = 1
    right = torch.where(truth[:, ::4, ::4] > 0, 12.0, -12.0)
    candidates = torch.stack([right, right, -right, -right], dim=1)
    worse = candidates.clone()
    worse[:, 2:] *= 3
    ious = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    first, second = (frame_loss(decoding(masks, ious, 10.0), truth) for masks in (candidates, worse))
    assert first.mask.item() == pytest.approx(second.mask.item())
    swapped = frame_loss(decoding(candidates.roll(1, dims=1), ious.roll(1, dims=1), 10.0), truth)
    assert swapped.mask.item() > first.mask.item() + 5


def test_predicted_iou_is_held_to_the_iou_reached_by_every_token_by_its_squared_error() -> None:
    truth = torch.zeros(1, 32, 32)
    truth[:, :16] = 1
    everything = torch.full((1, 4, 8, 8), 5.0)
    loss = frame_loss(decoding(everything, torch.tensor([[0.5, 0.7, 0.3, 0.5]]), 10.0), truth)
    assert loss.iou.item() == pytest.approx(0.02, abs=1e-5)
    assert loss.reached_iou.item() == pytest.approx(0.5)


def test_absent_objects_weigh_more_in_the_score_and_hardly_in_the_mask() -> None:
    present = torch.ones(1, 32, 32)
    masks, ious = torch.zeros(1, 4, 8, 8), torch.zeros(1, 4)
    there = frame_loss(decoding(masks, ious, 0.0), present)
    gone = frame_loss(decoding(masks, ious, 0.0), 0 * present)
    assert there.score.item() == pytest.approx(math.log(2))
    assert gone.score.item() == pytest.approx(ABSENT_WEIGHT * math.log(2))
    assert gone.mask.item() == pytest.approx(2 * ABSENT_MASK_WEIGHT * math.log(2), rel=1e-5)
    assert gone.reached_iou.item() == 0


def test_the_total_has_a_gradient_for_every_part() -> None:
    candidates = torch.zeros(2, 4, 8, 8, requires_grad=True)
    ious = torch.full((2, 4), 0.9, requires_grad=True)
    truth = torch.zeros(2, 32, 32)
    truth[0, 4:12] = 1
    frame_loss(decoding(candidates, ious, 0.3), truth).total.backward()
    assert candidates.grad is not None and candidates.grad.abs().sum() > 0
    assert ious.grad is not None and (ious.grad != 0).all()


@pytest.mark.parametrize("shape", [(24, 24), (16, 64), (64, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    u, _, v = torch.linalg.svd(torch.randn(2, *shape), full_matrices=False)
    uneven = u * torch.linspace(0.1, 3, 16 if 16 in shape else 24) @ v
    values = torch.linalg.svdvals(orthogonalise(uneven))
    assert values.min() > 0.5 and values.max() < 1.35


def test_orthogonalising_keeps_the_direction_of_a_step() -> None:
    gradient = torch.randn(1, 20, 30)
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    assert torch.cosine_similarity(orthogonalise(gradient).flatten(), (u @ v).flatten(), dim=0) > 0.97


def test_vectors_are_trained_as_by_torch_s_adamw() -> None:
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4).clone()) for _ in range(2))
    mine = MuonAdamW([{"params": [ours]}], lr=0.01, weight_decay=0.1)
    reference = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1, betas=(0.9, 0.98))
    for step in range(5):
        for parameter, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            (parameter * (step + 1)).sin().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_a_muon_step_has_the_size_that_the_learning_rate_says() -> None:
    weight = nn.Parameter(torch.zeros(32, 64))
    optimizer = MuonAdamW([{"params": [weight], "muon": True}], lr=0.1)
    weight.grad = torch.randn(32, 64) * 1e3
    optimizer.step()
    root_mean_square = weight.square().mean().sqrt().item()
    assert root_mean_square == pytest.approx(0.1 * 0.2 * 64**0.5 / 64**0.5, rel=0.25)


def test_only_matrices_of_hidden_layers_go_to_muon() -> None:
    assert is_hidden_matrix("blocks.0.mlp.weight", torch.zeros(32, 128))
    assert not is_hidden_matrix("blocks.0.mlp.bias", torch.zeros(128))
    assert not is_hidden_matrix("neck.conv.weight", torch.zeros(32, 32, 3, 3))
    assert not is_hidden_matrix("iou_token.weight", torch.zeros(32, 32))
    assert not is_hidden_matrix("no_mask_embed.weight", torch.zeros(32, 32))
    assert not is_hidden_matrix("score.weight", torch.zeros(1, 96))
