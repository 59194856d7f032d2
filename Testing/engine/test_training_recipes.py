"""Medical SAM 2 as published: what learns, how fast, what is prompted, and the 2D bank that lives from step to step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.clips import ClipBatch, ClipMaker, ClipPlan
from MedSAM2Lib.training.configuration import TrainingConfig, read_settings, training_config
from MedSAM2Lib.training.cost import cost_of
from MedSAM2Lib.training.methods import method_of, optimizer_of, rate_of
from MedSAM2Lib.training.recipes import BANK_SIZE, PublishedImages, PublishedVolumes, published_loss, tight_boxes
from MedSAM2Lib.training.unroll import MemoryPlan
from Testing.engine.training_ground import TINY, body

OLDER = NetworkConfig.from_dict({**TINY.to_dict(), "sam_version": "2.0"})
RNG = np.random.default_rng


def recipe(name: str) -> TrainingConfig:
    return training_config(read_settings(name))


def batch(plan: ClipPlan, number: int = 0) -> ClipBatch:
    return ClipMaker([body()], TINY.image_size, 3).make(plan, number)


def network(config: NetworkConfig = TINY, seed: int = 0) -> Sam2Network:
    torch.manual_seed(seed)
    return Sam2Network(config).train()


def test_the_loss_is_cross_entropy_with_twice_the_weight_on_the_object() -> None:
    logits, truth = torch.randn(2, 1, 4, 4), (torch.rand(2, 16, 16) > 0.5).float()
    full = torch.nn.functional.interpolate(logits, size=(16, 16), mode="bilinear")[:, 0].double()
    expected = -(2 * truth * full.sigmoid().log() + (1 - truth) * (1 - full.sigmoid()).log()).mean()
    assert float(published_loss(logits, truth)) == pytest.approx(float(expected), rel=1e-5)


def test_boxes_are_tight_and_absent_objects_are_told() -> None:
    masks = torch.zeros(2, 16, 16)
    masks[0, 3:7, 5:12] = 1
    boxes, present = tight_boxes(masks)
    assert boxes.coordinates[0].tolist() == [[5, 3], [11, 6]]
    assert boxes.labels.tolist() == [[2, 3], [2, 3]]
    assert present.tolist() == [True, False]


@pytest.mark.parametrize("config", [TINY, OLDER], ids=["2.1", "2.0"])
def test_in_3d_the_decoder_learns_at_its_rate_the_memory_at_a_tiny_one_and_the_rest_not_at_all(
    config: NetworkConfig,
) -> None:
    trained = recipe("medical-sam2-3d")
    objective = PublishedVolumes(network(config))
    optimizer = optimizer_of(trained, objective)
    before = {name: weight.clone() for name, weight in objective.network.named_parameters()}
    rates = {group["rate_share"] * rate_of(trained, 9999, 9999) for group in optimizer.param_groups}
    assert sorted(rates) == pytest.approx([1e-8, 1e-4])
    for group in optimizer.param_groups:
        group["lr"] = 1e-4 * group["rate_share"]
    objective(batch(ClipPlan(2, 4, 2, leave_share=0.0)), MemoryPlan(), RNG(0)).total.backward()
    optimizer.step()
    moved: dict[str, float] = {}
    for name, weight in objective.network.named_parameters():
        part = name.split(".")[0]
        moved[part] = max(moved.get(part, 0.0), float((weight - before[name]).detach().abs().max()))
    assert moved.pop("sam_mask_decoder") == pytest.approx(1e-4, rel=0.05)
    assert 0 < moved.pop("memory_attention") <= 2e-8
    assert 0 < moved.pop("memory_encoder") <= 2e-8
    moved.pop("obj_ptr_proj"), moved.pop("mask_downsample")
    assert moved and not any(moved.values())


def test_in_3d_every_second_slice_is_prompted_and_the_others_see_all_of_those() -> None:
    objective = PublishedVolumes(network())
    asked: list[tuple[str, int]] = []
    prompted, tracked = objective._prompted, objective._tracked
    objective._prompted = lambda *given: asked.append(("prompted", 0)) or prompted(*given)  # type: ignore
    objective._tracked = lambda *given: asked.append(("tracked", len(given[2]))) or tracked(*given)  # type: ignore
    loss = objective(batch(ClipPlan(1, 5, 1)), MemoryPlan(), RNG(0))
    assert asked == [("prompted", 0)] * 3 + [("tracked", 3)] * 2
    assert torch.isfinite(loss.total) and loss.total == loss.mask


def test_an_absent_object_is_prompted_by_an_empty_mask() -> None:
    clips = batch(ClipPlan(2, 3, 1))
    clips.masks[:, :, 2] = 0
    objective = PublishedVolumes(network())
    features = objective.network.encode_image(clips.images[:, 2])
    logits, remembered = objective._prompted(features, clips.masks[:, 0, 2])
    assert (logits < 0).all()
    assert torch.equal(remembered.pointer, objective.network.no_obj_ptr.expand(2, -1))
    assert torch.isfinite(objective(clips, MemoryPlan(), RNG(0)).total)


def test_in_2d_the_bank_fills_keeps_sixteen_and_prompts_come_every_fifth_step() -> None:
    torch.manual_seed(0)
    objective = PublishedImages(network())
    config = replace(recipe("medical-sam2-2d"), schedule=replace(recipe("medical-sam2-2d").schedule, images=6))
    method, held = method_of(config), []
    for step in range(7):
        before = [entry.map for entry in objective._bank]
        objective(batch(method.plan(step, 0).clips, step), MemoryPlan(), RNG(step))
        held.append(len(objective._bank))
        kept = sum(any(entry.map is old for old in before) for entry in objective._bank)
        assert step < 3 or kept >= held[-1] - 6
    assert held == [6, 12, 18, 18, 18, 18, 18] and BANK_SIZE == 16
    assert all(entry.map.grad_fn is None and entry.embedding.grad_fn is None for entry in objective._bank)
    clicked = [objective._steps % 5 == 0]
    assert clicked == [False]


def test_in_2d_clicks_matter_only_in_every_fifth_step() -> None:
    plain = batch(ClipPlan(2, 1, 1, ("click",)))
    moved = plain._replace(points=plain.points.flip(-1) * 0.5)
    for steps, differs in ((0, True), (1, False), (5, True)):
        losses = []
        for clips in (plain, moved):
            objective = PublishedImages(network())
            objective.set_extra_state({"steps": steps, "bank": []})
            losses.append(float(objective(clips, MemoryPlan(), RNG(0)).total))
        assert (losses[0] != losses[1]) == differs


def test_in_2d_what_learns_is_what_the_configuration_does_not_freeze() -> None:
    objective = PublishedImages(network())
    optimizer_of(recipe("medical-sam2-2d"), objective)
    for step in range(2):
        objective(batch(ClipPlan(2, 1, 1, ("click",)), step), MemoryPlan(), RNG(step)).total.backward()
    learned = {name.split(".")[0] for name, weight in objective.network.named_parameters() if weight.grad is not None}
    assert {"image_encoder", "sam_mask_decoder", "memory_attention"} <= learned
    assert not learned & {"sam_prompt_encoder", "memory_encoder", "obj_ptr_proj", "mask_downsample"}


def test_the_2d_bank_is_part_of_a_saved_run() -> None:
    first = PublishedImages(network())
    for step in range(2):
        first(batch(ClipPlan(3, 1, 1, ("click",)), step), MemoryPlan(), RNG(step))
    second = PublishedImages(network(seed=5))
    second.load_state_dict(first.state_dict())
    losses = [objective(batch(ClipPlan(3), 2), MemoryPlan(), RNG(2)).total for objective in (first, second)]
    assert losses[0] == losses[1]


def test_parts_that_no_network_has_are_refused() -> None:
    for name in ("image_encode", "no_obj"):
        with pytest.raises(InputError) as refused:
            optimizer_of(replace(recipe("finetune"), frozen=(name,)), PublishedVolumes(network()))
        assert name in str(refused.value) and "image_encoder" in str(refused.value)


def test_the_cost_grows_with_the_batch_and_falls_with_what_is_frozen() -> None:
    config = recipe("finetune")
    plain = cost_of(TINY, config)
    frozen = cost_of(TINY, replace(config, frozen=("image_encoder",)))
    larger = cost_of(TINY, replace(config, schedule=replace(config.schedule, images=48)))
    assert plain.trained == plain.weights == sum(weight.numel() for weight in network().parameters())
    assert frozen.trained < plain.trained and frozen.step_bytes < plain.step_bytes < larger.step_bytes
    assert larger.flops > plain.flops > 0
