"""What a training step costs, before it is taken: counted on tensors without memory, so in a second for any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.prompts import PromptTensors
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.configuration import TrainingConfig
from MedSAM2Lib.training.methods import method_of
from MedSAM2Lib.training.schedule import StepPlan

CPU_FLOPS = 50e9
"""Multiplications and additions per second of one processor core, as measured with SAM 2's encoder in fp32."""

FORWARD_AND_BACKWARD = 3
STEPS_LOOKED_AT = 40


@dataclass(frozen=True)
class Cost:
    """Of a run.

    Attributes:
        weights, trained: parameters in all, and those that learn.
        fixed_bytes: weights, their average, gradients, and the optimiser's state, in fp32.
        step_bytes: what the largest step keeps for its backward pass, in fp32; about half in bf16.
        flops, frames: of a mean step, forward and backward.
    """

    weights: int
    trained: int
    fixed_bytes: int
    step_bytes: int
    flops: float
    frames: float

    @property
    def gigabytes(self) -> float:
        """Memory of the largest step, 10^9 bytes."""
        return (self.fixed_bytes + self.step_bytes) / 1e9

    def cpu_seconds(self, threads: int) -> float:
        """Estimated seconds of a mean step on a CPU."""
        return self.flops / (CPU_FLOPS * threads)


@dataclass(frozen=True)
class _Part:
    """Of one slice, or one object on one slice: bytes kept for the backward pass, and operations forward."""

    bytes: int
    flops: float


def cost_of(network: NetworkConfig, config: TrainingConfig) -> Cost:
    """Estimates a run; nothing is computed, and no memory is taken."""
    with torch.device("meta"):
        built = Sam2Network(network).train()
    method = method_of(config)
    method.optimizer(method.objective(built))
    trained = sum(weight.numel() for weight in built.parameters() if weight.requires_grad)
    weights = sum(weight.numel() for weight in built.parameters())
    states = 2 if config.optimizer == "adam" else 1.5  # Muon keeps one number for a matrix, two for the rest
    image, tracked = _image(built), _tracked(built)
    encoder_learns = any(weight.requires_grad for weight in built.image_encoder.parameters())
    image_flops = image.flops * (FORWARD_AND_BACKWARD if encoder_learns else 1)
    tracked_flops = tracked.flops * FORWARD_AND_BACKWARD
    plans = [method.plan(step, 0) for step in range(STEPS_LOOKED_AT)]
    plans += [method.plan(step, config.schedule.frames - 1) for step in range(STEPS_LOOKED_AT)]
    return Cost(
        weights=weights,
        trained=trained,
        fixed_bytes=int(4 * (2 * weights + (1 + states) * trained)),
        step_bytes=int(max(_sum(plan, image.bytes, tracked.bytes) for plan in plans)),
        flops=sum(_sum(plan, image_flops, tracked_flops) for plan in plans) / len(plans),
        frames=sum(plan.frames for plan in plans) / len(plans),
    )


def _sum(plan: StepPlan, image: float, tracked: float) -> float:
    return plan.frames * (image + plan.clips.objects * tracked)


class _FusedAttention(torch.autograd.Function):
    """Attention as every device computes it, keeping no matrix of all pairs; without memory torch would make one."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError


class _Fused(TorchFunctionMode):
    """Puts ``_FusedAttention`` in place of torch's, and counts its operations."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0.0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is not functional.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        query, key, value = args[:3]
        pairs = query.numel() // query.shape[-1] * key.shape[-2]
        self.flops += 2.0 * pairs * (query.shape[-1] + value.shape[-1])
        return _FusedAttention.apply(query, key, value)


def _counted(run: Callable[[], object]) -> _Part:
    kept: dict[int, UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage
        return tensor

    attention = _Fused()
    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda tensor: tensor), attention:
        run()
    return _Part(sum(storage.nbytes() for storage in kept.values()), counter.get_total_flops() + attention.flops)


def _image(network: Sam2Network) -> _Part:
    config = network.config
    pixels = torch.empty(1, config.image_encoder.in_channels, config.image_size, config.image_size, device="meta")
    return _counted(lambda: network.encode_image(pixels))


def _tracked(network: Sam2Network) -> _Part:
    """One object on one slice: memory attention to two maps, the decoder, and the memory encoder."""
    config = network.config
    grid, side = config.grid_size, config.image_size // 4
    top = torch.empty(1, config.model_dim, grid, grid, device="meta")
    high_res = (
        torch.empty(1, config.model_dim // 8, side, side, device="meta"),
        torch.empty(1, config.model_dim // 4, side // 2, side // 2, device="meta"),
    )
    tokens = 2 * grid * grid
    memory = torch.empty(1, tokens, config.memory_dim, device="meta", requires_grad=True)

    def run() -> object:
        features = SliceFeatures(top, high_res)
        conditioned = network.attend_memory(features.top, MemorySequence(memory, torch.empty_like(memory), 0))
        nothing = PromptTensors.none(1, conditioned.device, conditioned.dtype)
        decoding = network.decode(conditioned, high_res, nothing, multimask=True)
        return network.encode_memory(top, decoding.low_res_logits, decoding.object_score, binarize=False), decoding

    return _counted(run)
