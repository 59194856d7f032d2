"""Following objects through a clip by SAM 2's memory rules, for training and validation.

The first slice is prompted, the others see its memory and that of other slices, as one of the memory banks chooses them
(SAM 2, arXiv 2408.00714, section 4; Medical SAM 2, arXiv 2408.00874, section 3). A second slice may be prompted too.
Recurrence is detached: a slice's loss reaches earlier slices only through the memory encoder and through the prompted
slice's pointer, never through predicted masks. That keeps gradients small when clips are short and batches few.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.heads import MaskDecoding
from MedSAM2Lib.network.prompts import PromptTensors
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.clips import ClipBatch
from MedSAM2Lib.training.memories import ClipMemory, RecentSlices, Remembered, SortedSlices, attend
from MedSAM2Lib.training.prompting import Prompt, box_or_nothing, correction, prompt_or_denial

FULL_LOGIT = 10.0
NO_CLICKS = Prompt.of([], [])

MemoryKind = Literal["temporal", "self-sorting", "set"]
SecondPrompt = Literal["", "prompted", "corrected"]


@dataclass(frozen=True)
class MemoryPlan:
    """How the memory of one step is used.

    Attributes:
        kind: SAM 2's temporal memory, Medical SAM 2's self-sorting one, or the latter for images without an order.
        bank: how a self-sorting memory chooses.
        true_mask_share: share of objects whose remembered mask is the true one.
        drop_share: chance of each tracked slice to be missing from a temporal memory.
        shuffled: tracked slices of a temporal memory take temporal rows in random order, so that rows say less than
            what is in the maps.
        mask_prompt: the first slice is given as a mask instead of points.
        correct: the clip's last slice once more, with one more click or a box and the earlier logits.
        correct_box: that correction is a box.
        second: another slice is remembered as prompted before the rest is tracked: prompted on its own, or tracked
            and then corrected by a click.
        extra_distance: slices added to the distance of the first slice, as if it lay farther away.
    """

    kind: MemoryKind = "temporal"
    bank: SelfSortingOptions = field(default_factory=SelfSortingOptions)
    true_mask_share: float = 0.0
    drop_share: float = 0.0
    shuffled: bool = False
    mask_prompt: bool = False
    correct: bool = False
    correct_box: bool = False
    second: SecondPrompt = ""
    extra_distance: int = 0


@dataclass(frozen=True)
class FrameResult:
    """A decoded slice; ``given`` means that its mask was the prompt, so there is nothing to learn from it."""

    decoding: MaskDecoding
    truth: Tensor
    given: bool = False


class ClipUnroller:
    """One batch of clips, encoded at once and followed slice by slice. N = B * n objects.

    ``features`` are those of ``encode_clips``, where they are known.
    """

    def __init__(
        self,
        network: Sam2Network,
        batch: ClipBatch,
        plan: MemoryPlan,
        rng: np.random.Generator,
        features: SliceFeatures | None = None,
    ) -> None:
        self.network = network
        self.batch = batch
        self.plan = plan
        self.rng = rng
        clips, self.frames = batch.images.shape[:2]
        self.objects = batch.masks.shape[1]
        features = features or encode_clips(network, batch)
        self._top = features.top.unflatten(0, (clips, self.frames))
        self._high_res = [level.unflatten(0, (clips, self.frames)) for level in features.high_res]
        self._prompts = PromptTensors(batch.points.flatten(0, 1), batch.labels.flatten(0, 1))
        self._use_truth = torch.from_numpy(rng.random(clips * self.objects) < plan.true_mask_share).to(
            batch.images.device
        )
        self._slices: dict[int, Remembered] = {}
        self._memory = self._new_memory(clips * self.objects)

    def run(self) -> list[FrameResult]:
        """All decoded slices in the order in which they were decoded; a corrected slice appears twice."""
        results = self._first_frame()
        second = self._second_frame(results) if self.plan.second and self.frames > 2 else 0
        last = None if second == self.frames - 1 else self.frames - 1
        latest = (0, results[0]) if second == 0 else None
        for frame in range(1, self.frames):
            if frame == second:
                continue
            if latest is not None:
                self._remember(*latest, prompted=latest[0] == 0)
            conditioned, tracked = self._tracked(frame)
            results.append(tracked)
            latest = (frame, tracked)
            if self.plan.correct and frame == last:
                results.append(self._corrected(conditioned, frame, None, tracked.decoding))
        return results

    def _new_memory(self, objects: int) -> ClipMemory:
        plan, config = self.plan, self.network.config
        if plan.kind == "temporal":
            return RecentSlices(config, self.rng, plan.drop_share, plan.shuffled)
        return SortedSlices(config, objects, plan.bank, ordered=plan.kind == "self-sorting")

    def _tracked(self, frame: int) -> tuple[Tensor, FrameResult]:
        """Conditioned features, and the slice as decoded without a prompt."""
        features = self._features(frame)
        shown = self._memory.shown(frame, features.top)
        conditioned = attend(self.network, features.top, self._slices, shown)
        nothing = PromptTensors.none(len(conditioned), conditioned.device, conditioned.dtype)
        decoding = self.network.decode(conditioned, features.high_res, nothing, multimask=True)
        return conditioned, FrameResult(decoding, self._truth(frame))

    def _second_frame(self, results: list[FrameResult]) -> int:
        """Prompt another slice and remember it with the first one; returns which."""
        self._remember(0, results[0], prompted=True)
        frame = int(self.rng.integers(1, self.frames))
        if self.plan.second == "corrected":
            conditioned, tracked = self._tracked(frame)
            results += [tracked, self._corrected(conditioned, frame, None, tracked.decoding)]
        else:
            features, truth = self._features(frame), self._truth(frame)
            masks = (truth > 0.5).cpu().numpy()
            prompts = self._prompt_tensors([prompt_or_denial(self.rng, mask) for mask in masks])
            conditioned = self.network.without_memory(features.top)
            results.append(FrameResult(self.network.decode(conditioned, features.high_res, prompts, False), truth))
        self._remember(frame, results[-1], prompted=True)
        return frame

    def _first_frame(self) -> list[FrameResult]:
        features, truth = self._features(0), self._truth(0)
        if self.plan.mask_prompt:
            return [FrameResult(self.network.decode_mask_prompt(features, truth[:, None]), truth, given=True)]
        single = bool(((self._prompts.labels >= 0).sum(dim=1) == 1).all())
        conditioned = self.network.without_memory(features.top)
        decoding = self.network.decode(conditioned, features.high_res, self._prompts, multimask=single)
        results = [FrameResult(decoding, truth)]
        if self.plan.correct and self.frames == 1:
            results.append(self._corrected(conditioned, 0, self._first_prompts(), decoding))
        return results

    def _first_prompts(self) -> list[Prompt]:
        points, labels = self._prompts.coordinates.cpu().numpy(), self._prompts.labels.cpu().numpy()
        return [Prompt(*pair) for pair in zip(points, labels)]

    def _corrected(
        self, conditioned: Tensor, frame: int, prompts: list[Prompt] | None, decoding: MaskDecoding
    ) -> FrameResult:
        """The slice once more, with a click in the larger error, or a box, and the earlier logits as a dense prompt.

        ``prompts`` are those that the slice had before, None where it was tracked.
        """
        truth = self._truth(frame)
        before = prompts or [NO_CLICKS] * len(truth)
        best = decoding.candidate_ious[:, 1:].argmax(dim=1) + 1
        several = torch.tensor([(each.labels >= 0).sum() > 1 for each in before], device=best.device)
        chosen = torch.where(several, 0, best)
        logits = decoding.candidates[torch.arange(len(chosen), device=best.device), chosen][:, None].detach()
        size = truth.shape[-1]
        predicted = functional.interpolate(logits.float(), size=(size, size), mode="bilinear")[:, 0] > 0
        pairs = zip(before, (truth > 0.5).cpu().numpy(), predicted.cpu().numpy())
        if self.plan.correct_box and prompts is None:
            after = [box_or_nothing(self.rng, real) for _, real, _ in pairs]
        else:
            after = [correction(self.rng, earlier, real, found) for earlier, real, found in pairs]
        again = self._prompt_tensors(after, logits)
        features = self._features(frame)
        return FrameResult(self.network.decode(conditioned, features.high_res, again, multimask=False), truth)

    def _prompt_tensors(self, prompts: list[Prompt], logits: Tensor | None = None) -> PromptTensors:
        points = torch.from_numpy(np.stack([prompt.points for prompt in prompts])).to(self._prompts.coordinates)
        labels = torch.from_numpy(np.stack([prompt.labels for prompt in prompts])).to(self._prompts.labels)
        return PromptTensors(points, labels, logits)

    def _features(self, frame: int) -> SliceFeatures:
        """Features of one slice, repeated for the n objects of each clip."""
        top, s0, s1 = (level[:, frame].repeat_interleave(self.objects, dim=0) for level in (self._top, *self._high_res))
        return SliceFeatures(top, (s0, s1))

    def _truth(self, frame: int) -> Tensor:
        """[N, S, S]"""
        return self.batch.masks[:, :, frame].flatten(0, 1)

    def _remember(self, frame: int, result: FrameResult, prompted: bool) -> None:
        """Encode a slice's mask, predicted or true; only a prompted slice's pointer keeps its gradient."""
        decoding, truth = result.decoding, result.truth[:, None]
        size = truth.shape[-2:]
        predicted = functional.interpolate(decoding.low_res_logits.detach().float(), size=size, mode="bilinear")
        real = FULL_LOGIT * (2 * truth - 1)
        use_truth = self._use_truth
        logits = torch.where(use_truth[:, None, None, None], real, predicted)
        real_score = FULL_LOGIT * (2 * truth.flatten(1).amax(dim=1, keepdim=True) - 1)
        score = torch.where(use_truth[:, None], real_score, decoding.object_score.detach())
        top = self._features(frame).top
        index = frame if frame > 0 else -self.plan.extra_distance
        self._slices[index] = Remembered(
            index=index,
            prompted=prompted,
            map=self.network.encode_memory(top, logits, score, binarize=prompted),
            pointer=decoding.pointer if prompted else decoding.pointer.detach(),
            predicted_iou=decoding.predicted_iou.detach().masked_fill(use_truth, 1.0),
            object_score=score,
            embedding=top.detach(),
        )
        self._memory.add(self._slices[index])


def encode_clips(network: Sam2Network, batch: ClipBatch) -> SliceFeatures:
    """Features of all slices of a batch, B * T in order."""
    mean = torch.tensor(network.config.pixel_mean, device=batch.images.device).view(-1, 1, 1)
    std = torch.tensor(network.config.pixel_std, device=batch.images.device).view(-1, 1, 1)
    return network.encode_image((batch.images.flatten(0, 1) - mean) / std)
