"""Medical SAM 2 trained as published: Zhu et al. 2024, arXiv 2408.00874, and its code MedicineToken/Medical-SAM2.

Both ways use one loss, binary cross-entropy with a positive weight of 2 on the logits at full size, and Adam (0.9,
0.999, 1e-8, no weight decay) at a constant rate without clipping. What is frozen, and the rates, stand in the
configurations ``medical-sam2-3d`` and ``medical-sam2-2d``.

3D (``train_3d.py``): every second slice is prompted by its box, or by an empty mask where the object is absent; the
others are tracked from the prompted ones. The mask decoder learns at 1e-4; memory attention, memory encoder, pointer
projection and mask downsampling at 1e-8. Image encoder, prompt encoder and learned tokens are frozen.

2D (``train_2d.py``): images of different patients in a row share one bank of 16 memories, replaced by the code's rule;
each image attends to as many remembered maps as the batch has images, drawn by the softmax of the cosine similarity
between image embeddings. A click is given in every fifth step, nothing in the others. All learn at 1e-4 but the prompt
encoder; remembered maps are detached, so the memory encoder and the pointers learn nothing.

Differences: the bank and the count of steps go on over the whole run, where the released code begins both anew with
each epoch; logits are enlarged linearly, not by the nearest one, and are judged before the object score empties them,
for a constant teaches nothing; an image without a prompt has SAM 2's padding points; images are normalised as the
network's configuration says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from MedSAM2Lib.memory.self_sorting import leaving_by_code
from MedSAM2Lib.memory.similarity import cosine_matrix
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.heads import MaskDecoding, take
from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.prompts import BOX_FIRST, BOX_LAST, PromptTensors
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.clips import ClipBatch
from MedSAM2Lib.training.losses import FrameLoss, reached_iou
from MedSAM2Lib.training.unroll import MemoryPlan

POSITIVE_WEIGHT = 2.0
PROMPT_EVERY_SLICES = 2
PROMPT_EVERY_BATCHES = 5
BANK_SIZE = 16
MARGIN = 0.1
EMPTY_LOGIT = -10.0


def published_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of logits [N, 1, h, w], brought to the size of the truth [N, S, S]."""
    full = functional.interpolate(logits.float(), size=truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    weight = torch.tensor(POSITIVE_WEIGHT, device=full.device)
    return functional.binary_cross_entropy_with_logits(full, truth, pos_weight=weight)


def normalised(network: Sam2Network, images: Tensor) -> Tensor:
    """Images [B, 1, S, S] of 0 to 1 as the network's input [B, channels, S, S]."""
    mean = torch.tensor(network.config.pixel_mean, device=images.device).view(-1, 1, 1)
    std = torch.tensor(network.config.pixel_std, device=images.device).view(-1, 1, 1)
    return (images - mean) / std


def tight_boxes(truth: Tensor) -> tuple[PromptTensors, Tensor]:
    """The boxes [N, 2, 2] of masks [N, S, S], and which are there [N]; an empty mask gets a box of one pixel."""
    inside = truth > 0.5
    present = inside.flatten(1).any(dim=1)
    rows, columns = inside.any(dim=2).float(), inside.any(dim=1).float()
    last = truth.shape[-1] - 1
    first = torch.stack([columns.argmax(dim=1), rows.argmax(dim=1)], dim=1)
    end = last - torch.stack([columns.flip(1).argmax(dim=1), rows.flip(1).argmax(dim=1)], dim=1)
    corners = torch.stack([first, torch.where(present[:, None], end, first)], dim=1).float()
    labels = torch.tensor([BOX_FIRST, BOX_LAST], device=truth.device).expand(len(truth), 2)
    return PromptTensors(corners, labels), present


def _only_mask(loss: Tensor, logits: list[Tensor], truths: list[Tensor]) -> FrameLoss:
    """The published loss as the loop's: predicted IoU and object score do not count."""
    with torch.no_grad():
        truth = functional.adaptive_avg_pool2d(torch.cat(truths)[:, None], logits[0].shape[-1])
        present = truth.flatten(1).amax(dim=1) > 0.5
        reached = reached_iou(torch.cat(logits), truth)[present].sum() / present.sum().clamp(min=1)
    nothing = torch.zeros_like(loss)
    return FrameLoss(loss, nothing, nothing, reached)


@dataclass(frozen=True)
class _Remembered:
    """Of one slice: the map's tokens [N, H * W, Cm] and the pointer [N, C]."""

    map: Tensor
    pointer: Tensor


class PublishedVolumes(nn.Module):
    """One step of the 3D recipe on clips of neighbouring slices."""

    def __init__(self, network: Sam2Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: ClipBatch, plan: MemoryPlan, rng: np.random.Generator) -> FrameLoss:
        """The mean loss of the prompted slices plus that of the others."""
        clips, frames, objects = len(batch.images), batch.images.shape[1], batch.masks.shape[1]
        encoded = self.network.encode_image(normalised(self.network, batch.images.flatten(0, 1)))
        levels = [level.unflatten(0, (clips, frames)) for level in (encoded.top, *encoded.high_res)]
        features = []
        for frame in range(frames):
            top, s0, s1 = (level[:, frame].repeat_interleave(objects, dim=0) for level in levels)
            features.append(SliceFeatures(top, (s0, s1)))
        truths = [batch.masks[:, :, frame].flatten(0, 1) for frame in range(frames)]
        prompted: dict[int, _Remembered] = {}
        tracked: dict[int, _Remembered] = {}
        logits: dict[int, Tensor] = {}
        for frame in range(0, frames, PROMPT_EVERY_SLICES):
            logits[frame], prompted[frame] = self._prompted(features[frame], truths[frame])
        for frame in (frame for frame in range(frames) if frame not in prompted):
            logits[frame], tracked[frame] = self._tracked(frame, features[frame], prompted, tracked)
        losses = {frame: published_loss(logits[frame], truths[frame]) for frame in range(frames)}
        total = torch.stack([losses[frame] for frame in prompted]).mean()
        if tracked:
            total = total + torch.stack([losses[frame] for frame in tracked]).mean()
        return _only_mask(total, [logits[frame] for frame in range(frames)], truths)

    def _prompted(self, features: SliceFeatures, truth: Tensor) -> tuple[Tensor, _Remembered]:
        network = self.network
        boxes, present = tight_boxes(truth)
        conditioned = network.without_memory(features.top)
        decoding = network.decode(conditioned, features.high_res, boxes, multimask=False)
        there = present[:, None]
        logits = torch.where(there[..., None, None], decoding.candidates[:, :1], EMPTY_LOGIT)
        score = torch.where(there, decoding.object_score, EMPTY_LOGIT)
        pointer = torch.where(there, decoding.pointer, network.no_obj_ptr)
        return logits, self._remembered(features, logits, score, pointer, binarize=True)

    def _tracked(
        self,
        frame: int,
        features: SliceFeatures,
        prompted: dict[int, _Remembered],
        tracked: dict[int, _Remembered],
    ) -> tuple[Tensor, _Remembered]:
        network = self.network
        conditioned = network.attend_memory(features.top, self._shown(frame, prompted, tracked))
        nothing = PromptTensors.none(len(conditioned), conditioned.device, conditioned.dtype)
        decoding = network.decode(conditioned, features.high_res, nothing, multimask=True)
        logits = take(decoding.candidates, decoding.candidate_ious[:, 1:].argmax(dim=1) + 1)[:, None]
        remembered = self._remembered(features, logits, decoding.object_score, decoding.pointer, binarize=False)
        return logits, remembered

    def _remembered(
        self, features: SliceFeatures, logits: Tensor, score: Tensor, pointer: Tensor, binarize: bool
    ) -> _Remembered:
        memory = self.network.encode_memory(features.top, logits, score, binarize)
        return _Remembered(memory.flatten(2).mT, pointer)

    def _shown(self, frame: int, prompted: dict[int, _Remembered], tracked: dict[int, _Remembered]) -> MemorySequence:
        """All prompted slices, and the last tracked ones in their temporal rows, as SAM 2 remembers while it trains."""
        network, config = self.network, self.network.config
        recent = [slot for slot in range(frame - 1, frame - config.memory_map_count, -1) if slot in tracked]
        shown = [*prompted.values(), *(tracked[slot] for slot in recent)]
        rows = [config.memory_map_count - 1] * len(prompted) + [frame - slot - 1 for slot in recent]
        places = [network.map_positions(row)[None].expand(len(shown[0].map), -1, -1) for row in rows]
        distances = torch.tensor([frame - slot for slot in (*prompted, *recent)], device=network.device)
        pointers = torch.stack([memory.pointer for memory in shown], dim=1)
        tokens, positions = network.pointer_tokens(pointers, distances, config.max_object_pointers)
        maps = torch.cat([*(memory.map for memory in shown), tokens], dim=1)
        return MemorySequence(maps, torch.cat([*places, positions], dim=1), tokens.shape[1])


@dataclass(frozen=True)
class _Entry:
    """A remembered image: map [1, Cm, H, W], embedding [1, C, H, W], predicted IoU []."""

    map: Tensor
    embedding: Tensor
    iou: Tensor


class PublishedImages(nn.Module):
    """One step of the 2D recipe; the bank lives from step to step and is saved with the run."""

    def __init__(self, network: Sam2Network) -> None:
        super().__init__()
        self.network = network
        self._bank: list[_Entry] = []
        self._steps = 0

    def get_extra_state(self) -> dict[str, Any]:
        """The bank and the number of steps, for a checkpoint."""
        entries = [{"map": entry.map, "embedding": entry.embedding, "iou": entry.iou} for entry in self._bank]
        return {"steps": self._steps, "bank": entries}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """What ``get_extra_state`` gave."""
        device = self.network.device
        self._steps = int(state["steps"])
        self._bank = [_Entry(**{name: value.to(device) for name, value in entry.items()}) for entry in state["bank"]]

    def forward(self, batch: ClipBatch, plan: MemoryPlan, rng: np.random.Generator) -> FrameLoss:
        """The mean loss of one batch of images; they are remembered afterwards."""
        network = self.network
        features = network.encode_image(normalised(network, batch.images[:, 0]))
        truth = batch.masks[:, 0, 0]
        clicked = self._steps % PROMPT_EVERY_BATCHES == 0
        nothing = PromptTensors.none(len(truth), truth.device, truth.dtype)
        prompts = PromptTensors(batch.points[:, 0], batch.labels[:, 0]) if clicked else nothing
        conditioned = features.top
        if self._bank:
            conditioned = network.attend_memory(features.top, self._shown(features.top, rng))
        decoding = network.decode(conditioned, features.high_res, prompts, multimask=False)
        logits = decoding.candidates[:, :1]
        loss = published_loss(logits, truth)
        self._remember(conditioned.detach(), decoding, clicked)
        self._steps += 1
        return _only_mask(loss, [logits], [truth])

    def _shown(self, top: Tensor, rng: np.random.Generator) -> MemorySequence:
        """For each of B images B maps of the bank, drawn with replacement; positions without a time, no pointers."""
        network = self.network
        bank = functional.normalize(torch.cat([entry.embedding for entry in self._bank]).flatten(1).float(), dim=1)
        query = functional.normalize(top.detach().flatten(1).float(), dim=1)
        chances = (query @ bank.T).softmax(dim=1).double().cpu().numpy()
        chances /= chances.sum(axis=1, keepdims=True)
        drawn = np.stack([rng.choice(len(bank), size=len(top), p=row) for row in chances])
        maps = torch.cat([entry.map for entry in self._bank]).flatten(2).mT  # [16, H * W, Cm]
        shown = maps[torch.from_numpy(drawn).to(maps.device)].flatten(1, 2)  # [B, B * H * W, Cm]
        plane = network.map_positions(0) - network.maskmem_tpos_enc[0, 0]
        return MemorySequence(shown, plane.repeat(len(top), 1).expand(len(top), -1, -1), 0)

    @torch.no_grad()
    def _remember(self, conditioned: Tensor, decoding: MaskDecoding, clicked: bool) -> None:
        maps = self.network.encode_memory(conditioned, decoding.candidates[:, :1], decoding.object_score, clicked)
        ious = decoding.candidate_ious[:, 0].detach()
        # A bank that is not full takes the whole batch, as the released code does.
        room = len(self._bank) < BANK_SIZE
        for row in range(len(maps)):
            entry = _Entry(maps[row : row + 1].detach(), conditioned[row : row + 1], ious[row])
            if room:
                self._bank.append(entry)
            else:
                self._offer(entry)

    def _offer(self, entry: _Entry) -> None:
        """The rule of the released code: a newcomer takes the place of one of two alike, if about as sure."""
        similarity = cosine_matrix(torch.cat([*(member.map for member in self._bank), entry.map]))
        place = leaving_by_code(similarity, 0)
        if place is not None and bool(entry.iou > self._bank[place].iou - MARGIN):
            self._bank = [*(member for number, member in enumerate(self._bank) if number != place), entry]
