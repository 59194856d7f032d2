"""How a run trains, chosen by its configuration: objective, optimiser, what each step does, and its learning rate.

``clips`` is this project's own way (``schedule``, ``unroll``, ``losses``); the others follow Medical SAM 2
(``recipes``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.clips import ClipBatch, ClipPlan
from MedSAM2Lib.training.configuration import TrainingConfig
from MedSAM2Lib.training.losses import FrameLoss, frame_loss
from MedSAM2Lib.training.muon import MuonAdamW
from MedSAM2Lib.training.recipes import PublishedImages, PublishedVolumes
from MedSAM2Lib.training.schedule import StepPlan, learning_rate, step_plan
from MedSAM2Lib.training.unroll import ClipUnroller, MemoryPlan

ONLY_IN_21 = ("no_obj_embed_spatial", "obj_ptr_tpos_proj")
"""Parts that a SAM 2.0 network may lack although a configuration names them."""


@dataclass(frozen=True)
class Method:
    """How a run trains; ``plan`` and ``rate`` are asked with the step's number and the frames seen before it."""

    objective: Callable[[Sam2Network], nn.Module]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    plan: Callable[[int, int], StepPlan]
    rate: Callable[[int, int], float]


class ClipObjective(nn.Module):
    """The network with its loss, so that one ``forward`` is one training step's graph."""

    def __init__(self, network: Sam2Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: ClipBatch, plan: MemoryPlan, rng: np.random.Generator) -> FrameLoss:
        """The mean loss over a batch's decoded slices; slices whose mask was given do not count."""
        results = ClipUnroller(self.network, batch, plan, rng).run()
        losses = [frame_loss(result.decoding, result.truth) for result in results if not result.given]
        parts = zip(*((loss.mask, loss.iou, loss.score, loss.reached_iou) for loss in losses))
        return FrameLoss(*(torch.stack(part).mean() for part in parts))


def method_of(config: TrainingConfig) -> Method:
    """The method that a configuration names."""
    return Method(
        objective=_OBJECTIVES[config.method],
        optimizer=lambda objective: optimizer_of(config, objective),
        plan=lambda step, frames: _PLANS[config.method](config, step, frames),
        rate=lambda step, frames: rate_of(config, step, frames),
    )


def rate_of(config: TrainingConfig, step: int, frames: int) -> float:
    """The learning rate of a step: that of the schedule, or always its peak."""
    return config.schedule.peak_rate if config.constant_rate else learning_rate(config.schedule, step, frames)


def optimizer_of(config: TrainingConfig, objective: nn.Module) -> torch.optim.Optimizer:
    """The optimiser for what is not frozen.

    Freezes the parts that ``frozen`` names; ``rate_shares`` gives parts a share of the learning rate (Adam only).
    Raises InputError ``E_CONFIG_PART`` for a part that the network does not have.
    """
    named = {name.removeprefix("network."): parameter for name, parameter in objective.named_parameters()}
    for part in (*config.frozen, *config.rate_shares):
        if part not in ONLY_IN_21 and not any(_belongs(name, part) for name in named):
            parts = sorted({name.split(".")[0] for name in named})
            raise InputError(
                "E_CONFIG_PART",
                "The network has no part {part}, which the configuration freezes or gives a rate: it has {parts}.",
                part=part,
                parts=", ".join(parts),
            )
    for name, parameter in named.items():
        parameter.requires_grad_(not any(_belongs(name, part) for part in config.frozen))
    if config.optimizer == "muon":
        return MuonAdamW.for_module(objective, config.schedule.peak_rate)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in named.items():
        if parameter.requires_grad:
            share = next((share for part, share in config.rate_shares.items() if _belongs(name, part)), 1.0)
            groups.setdefault(share, []).append(parameter)
    listed = [{"params": parameters, "rate_share": share} for share, parameters in groups.items()]
    return torch.optim.Adam(listed, lr=config.schedule.peak_rate)


def _belongs(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _clip_plan(config: TrainingConfig, step: int, frames: int) -> StepPlan:
    return step_plan(config.schedule, config.seed, step, frames)


def _volume_plan(config: TrainingConfig, step: int, frames: int) -> StepPlan:
    """Clips of ``schedule.short`` neighbouring slices; the recipe draws its own box on every second one."""
    schedule = config.schedule
    return StepPlan(ClipPlan(schedule.short_clips, schedule.short, 2, ("box",)), MemoryPlan())


def _image_plan(config: TrainingConfig, step: int, frames: int) -> StepPlan:
    """``schedule.images`` slices of any cases, each with a click."""
    return StepPlan(ClipPlan(config.schedule.images, 1, 1, ("click",)), MemoryPlan())


_OBJECTIVES: dict[str, Callable[[Sam2Network], nn.Module]] = {
    "clips": ClipObjective,
    "medical-sam2-3d": PublishedVolumes,
    "medical-sam2-2d": PublishedImages,
}
_PLANS: dict[str, Callable[[TrainingConfig, int, int], StepPlan]] = {
    "clips": _clip_plan,
    "medical-sam2-3d": _volume_plan,
    "medical-sam2-2d": _image_plan,
}
