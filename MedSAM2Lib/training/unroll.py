"""Following objects through a clip by SAM 2's memory rules, for training and validation.

The first slice is prompted, the others see its memory and that of recent slices (SAM 2, arXiv 2408.00714, section 4).
Recurrence is detached: a slice's loss reaches earlier slices only through the memory encoder and through the prompted
slice's pointer, never through predicted masks. That keeps gradients small when clips are short and batches few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.heads import MaskDecoding
from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.prompts import PromptTensors
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.clips import ClipBatch
from MedSAM2Lib.training.prompting import Prompt, correction

FULL_LOGIT = 10.0


@dataclass(frozen=True)
class MemoryPlan:
    """How the memory of one step is used.

    Attributes:
        true_mask_share: share of objects whose remembered mask is the true one.
        drop_share: chance of each tracked slice to be missing from the memory shown.
        shuffled: tracked memories take temporal rows in random order, so that rows say less than what is in the maps.
        timeless: tracked memories but the neighbour's take the prompted ones' row, as a self-sorting bank shows them.
        mask_prompt: the first slice is given as a mask instead of points.
        correct: one more click, with the earlier logits, on the clip's last slice.
        extra_distance: slices added to the distance of the prompted slice's pointer, as if the prompt lay farther away.
    """

    true_mask_share: float = 0.0
    drop_share: float = 0.0
    shuffled: bool = False
    timeless: bool = False
    mask_prompt: bool = False
    correct: bool = False
    extra_distance: int = 0


@dataclass(frozen=True)
class FrameResult:
    """A decoded slice; ``given`` means that its mask was the prompt, so there is nothing to learn from it."""

    decoding: MaskDecoding
    truth: Tensor
    given: bool = False


@dataclass(frozen=True)
class _Memory:
    """What is remembered of one slice: map [N, Cm, H, W], pointer [N, C]."""

    map: Tensor
    pointer: Tensor


class ClipUnroller:
    """One batch of clips, encoded at once and followed slice by slice. N = B * n objects."""

    def __init__(self, network: Sam2Network, batch: ClipBatch, plan: MemoryPlan, rng: np.random.Generator) -> None:
        self.network = network
        self.batch = batch
        self.plan = plan
        self.rng = rng
        clips, self.frames = batch.images.shape[:2]
        self.objects = batch.masks.shape[1]
        mean = torch.tensor(network.config.pixel_mean, device=batch.images.device).view(-1, 1, 1)
        std = torch.tensor(network.config.pixel_std, device=batch.images.device).view(-1, 1, 1)
        features = network.encode_image((batch.images.flatten(0, 1) - mean) / std)
        self._top = features.top.unflatten(0, (clips, self.frames))
        self._high_res = [level.unflatten(0, (clips, self.frames)) for level in features.high_res]
        self._prompts = PromptTensors(batch.points.flatten(0, 1), batch.labels.flatten(0, 1))
        self._use_truth = torch.from_numpy(rng.random(clips * self.objects) < plan.true_mask_share).to(
            batch.images.device
        )
        self._memories: list[_Memory] = []

    def run(self) -> list[FrameResult]:
        """All decoded slices in order; a corrected slice appears twice."""
        results = self._first_frame()
        for frame in range(1, self.frames):
            self._remember(frame - 1, results[-1].decoding)
            conditioned = self.network.attend_memory(self._features(frame).top, self._shown(frame))
            nothing = PromptTensors.none(len(conditioned), conditioned.device, conditioned.dtype)
            decoding = self.network.decode(conditioned, self._features(frame).high_res, nothing, multimask=True)
            results.append(FrameResult(decoding, self._truth(frame)))
            if self.plan.correct and frame == self.frames - 1:
                nothing = PromptTensors(torch.zeros_like(self._prompts.coordinates), self._prompts.labels * 0 - 1)
                results.append(self._corrected(conditioned, frame, nothing, decoding))
        return results

    def _first_frame(self) -> list[FrameResult]:
        features, truth = self._features(0), self._truth(0)
        if self.plan.mask_prompt:
            return [FrameResult(self.network.decode_mask_prompt(features, truth[:, None]), truth, given=True)]
        single = bool(((self._prompts.labels >= 0).sum(dim=1) == 1).all())
        conditioned = self.network.without_memory(features.top)
        decoding = self.network.decode(conditioned, features.high_res, self._prompts, multimask=single)
        results = [FrameResult(decoding, truth)]
        if self.plan.correct and self.frames == 1:
            results.append(self._corrected(conditioned, 0, self._prompts, decoding))
        return results

    def _corrected(
        self, conditioned: Tensor, frame: int, prompts: PromptTensors, decoding: MaskDecoding
    ) -> FrameResult:
        """The slice once more, with one click in the larger error and the earlier logits as a dense prompt."""
        truth = self._truth(frame)
        single = (prompts.labels >= 0).sum(dim=1) <= 1
        best = decoding.candidate_ious[:, 1:].argmax(dim=1) + 1
        chosen = torch.where(single, best, torch.zeros_like(best))
        logits = decoding.candidates[torch.arange(len(chosen)), chosen][:, None].detach()
        size = truth.shape[-1]
        predicted = functional.interpolate(logits, size=(size, size), mode="bilinear")[:, 0] > 0
        points, labels = prompts.coordinates.clone(), prompts.labels.clone()
        for row in range(len(points)):
            before = Prompt(points[row].cpu().numpy(), labels[row].cpu().numpy())
            after = correction(self.rng, before, (truth[row] > 0.5).cpu().numpy(), predicted[row].cpu().numpy())
            points[row] = torch.from_numpy(after.points).to(points)
            labels[row] = torch.from_numpy(after.labels).to(labels)
        again = PromptTensors(points, labels, logits)
        features = self._features(frame)
        return FrameResult(self.network.decode(conditioned, features.high_res, again, multimask=False), truth)

    def _features(self, frame: int) -> SliceFeatures:
        """Features of one slice, repeated for the n objects of each clip."""
        top, s0, s1 = (level[:, frame].repeat_interleave(self.objects, dim=0) for level in (self._top, *self._high_res))
        return SliceFeatures(top, (s0, s1))

    def _truth(self, frame: int) -> Tensor:
        """[N, S, S]"""
        return self.batch.masks[:, :, frame].flatten(0, 1)

    def _remember(self, frame: int, decoding: MaskDecoding) -> None:
        """Encode a slice's mask, predicted or true; only the prompted slice's pointer keeps its gradient."""
        truth = self._truth(frame)[:, None]
        size = truth.shape[-2:]
        predicted = functional.interpolate(decoding.low_res_logits.detach().float(), size=size, mode="bilinear")
        real = FULL_LOGIT * (2 * truth - 1)
        use_truth = self._use_truth
        logits = torch.where(use_truth[:, None, None, None], real, predicted)
        real_score = FULL_LOGIT * (2 * truth.flatten(1).amax(dim=1, keepdim=True) - 1)
        score = torch.where(use_truth[:, None], real_score, decoding.object_score.detach())
        memory = self.network.encode_memory(self._features(frame).top, logits, score, binarize=frame == 0)
        pointer = decoding.pointer if frame == 0 else decoding.pointer.detach()
        self._memories.append(_Memory(memory, pointer))

    def _shown(self, frame: int) -> MemorySequence:
        """What this slice sees: the prompted slice's memory, and those of recent slices as the plan says."""
        config = self.network.config
        recent = [frame - back for back in range(1, config.memory_map_count) if frame - back >= 1]
        recent = [slot for slot in recent if self.rng.random() >= self.plan.drop_share]
        rows = [frame - slot - 1 for slot in recent]
        distances = [frame - slot for slot in recent]
        if self.plan.shuffled:
            rows = [int(row) for row in self.rng.permutation(config.memory_map_count - 1)[: len(recent)]]
            distances = [row + 1 for row in rows]
        elif self.plan.timeless:
            rows = [0 if slot == frame - 1 else config.memory_map_count - 1 for slot in recent]
        slots, rows = [0, *recent], [config.memory_map_count - 1, *rows]
        maps = [self._memories[slot].map.flatten(2).mT for slot in slots]
        places = [self.network.map_positions(row)[None].expand(len(maps[0]), -1, -1) for row in rows]
        pointers = torch.stack([self._memories[slot].pointer for slot in slots], dim=1)
        steps = torch.tensor([frame + self.plan.extra_distance, *distances], dtype=torch.float32)
        tokens, positions = self.network.pointer_tokens(pointers, steps.to(pointers.device), config.max_object_pointers)
        return MemorySequence(
            torch.cat([*maps, tokens], dim=1), torch.cat([*places, positions], dim=1), tokens.shape[1]
        )
