"""Batches of clips: rendered slices, the objects' masks, and prompts on the first slice.

Every clip has its own random stream, seeded by the batch's number, so a resumed run sees the same clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MedSAM2Lib.training.noise import NoiseBank
from MedSAM2Lib.training.prompting import Prompt, random_prompt
from MedSAM2Lib.training.rendering import RenderedClip, render_clip
from MedSAM2Lib.training.sampling import (
    Body,
    ClipGeometry,
    TargetChoice,
    choose_click_window,
    choose_target,
    choose_window,
    click_on,
    slice_positions,
)
from MedSAM2Lib.training.sets import SetMaker

LEAST_KEY_PIXELS = 12
LEAST_OTHER_SHARE = 0.006
CLEAR_CONTRAST = 0.06


@dataclass(frozen=True)
class ClipPlan:
    """What a training step asks for.

    Attributes:
        clips, frames, objects: B clips of T slices with n prompted objects each.
        prompt_kinds: one of these kinds for each prompt; ``None`` for the usual mixture.
        leave_share: share of clips in which the object ends.
        scattered: slices in no order, from both sides of the prompted one.
        unordered: slices of different bodies that show the same kind of object, all prompts for that object.
        click_share: share of clips prompted by a click in the middle of the window, whatever its scale.
        click_zooms: width of that window by the longer side of the object.
    """

    clips: int
    frames: int = 1
    objects: int = 1
    prompt_kinds: tuple[str, ...] | None = None
    leave_share: float = 0.5
    scattered: bool = False
    unordered: bool = False
    click_share: float = 0.0
    click_zooms: tuple[float, float] = (0.5, 8.0)


class ClipBatch(NamedTuple):
    """One batch.

    Attributes:
        images: [B, T, 1, S, S] float in 0..1, not yet normalised.
        masks: [B, n, T, S, S] float, 0 or 1.
        points: [B, n, P, 2] float (x, y) in network pixels; labels: [B, n, P] int64.
        offsets: [B, T] float, distance of each slice from the prompted one in slices of the body; 0 without an order.
    """

    images: Tensor
    masks: Tensor
    points: Tensor
    labels: Tensor
    offsets: Tensor

    def to(self, device: torch.device) -> ClipBatch:
        """The same batch on another device."""
        return ClipBatch(*(tensor.to(device) for tensor in self))


@dataclass(frozen=True)
class Clip:
    """One clip: ``images`` [T, S, S], for each object ``masks`` [T, S, S] and a prompt, ``offsets`` [T]."""

    images: NDArray[np.float32]
    masks: list[NDArray[np.bool_]]
    prompts: list[Prompt]
    offsets: NDArray[np.float64]


def batch_of(clips: Sequence[Clip]) -> ClipBatch:
    """Clips of equally many slices and objects, in one batch."""
    points = np.stack([[prompt.points for prompt in clip.prompts] for clip in clips])
    labels = np.stack([[prompt.labels for prompt in clip.prompts] for clip in clips])
    return ClipBatch(
        images=torch.from_numpy(np.stack([clip.images for clip in clips]))[:, :, None],
        masks=torch.from_numpy(np.stack([np.stack(clip.masks) for clip in clips])).float(),
        points=torch.from_numpy(points),
        labels=torch.from_numpy(labels),
        offsets=torch.from_numpy(np.stack([clip.offsets for clip in clips])).float(),
    )


class ClipMaker:
    """Renders batches from a list of bodies."""

    def __init__(self, bodies: Sequence[Body], side: int, seed: int) -> None:
        self.bodies = bodies
        self.side = side
        self.seed = seed
        self.noise_bank = NoiseBank(seed)
        self.sets = SetMaker(bodies, side, self.noise_bank)

    def make(self, plan: ClipPlan, number: int) -> ClipBatch:
        """Batch ``number``: the same number and plan always give the same batch."""
        streams = (np.random.default_rng((self.seed, number, row)) for row in range(plan.clips))
        return batch_of([self._clip(rng, plan) for rng in streams])

    def _clip(self, rng: np.random.Generator, plan: ClipPlan) -> Clip:
        """Draw clips until one shows the object on its first slice."""
        while True:
            clip = self._set(rng, plan) if plan.unordered else self._ordered(rng, plan)
            if clip is not None:
                return clip

    def _set(self, rng: np.random.Generator, plan: ClipPlan) -> Clip | None:
        drawn = self.sets.make(rng, plan.frames)
        if drawn.mask[0].sum() < LEAST_KEY_PIXELS:
            return None
        masks = [drawn.mask] * plan.objects
        return Clip(drawn.images, masks, self._prompts(rng, plan, masks), np.zeros(plan.frames))

    def _ordered(self, rng: np.random.Generator, plan: ClipPlan) -> Clip | None:
        body = self.bodies[int(rng.integers(len(self.bodies)))]
        leave = plan.frames > 1 and bool(rng.random() < plan.leave_share)
        choice = choose_target(rng, body, leave)
        clicked = bool(rng.random() < plan.click_share)
        geometry = self._geometry(rng, body, choice, plan, leave, clicked)
        rendered = render_clip(rng, body.volume, geometry, choice.target, self.side, self.noise_bank)
        mask = rendered.mask(body.volume.targets[choice.target])
        middle = (self.side // 2, self.side // 2)
        if mask[0].sum() < LEAST_KEY_PIXELS or (clicked and not mask[0][middle]):
            return None
        masks = [mask] + [self._other_mask(rng, body, rendered, mask) for _ in range(plan.objects - 1)]
        prompts = self._prompts(rng, plan, masks)
        if clicked:
            prompts[0] = Prompt.of([(float(middle[1]), float(middle[0]))], [1])
        return Clip(rendered.images, masks, prompts, geometry.positions - geometry.positions[0])

    @staticmethod
    def _prompts(rng: np.random.Generator, plan: ClipPlan, masks: list[NDArray[np.bool_]]) -> list[Prompt]:
        kinds = plan.prompt_kinds
        return [random_prompt(rng, mask[0], None if kinds is None else str(rng.choice(kinds))) for mask in masks]

    @staticmethod
    def _geometry(
        rng: np.random.Generator, body: Body, choice: TargetChoice, plan: ClipPlan, leave: bool, clicked: bool
    ) -> ClipGeometry:
        positions = slice_positions(rng, choice, plan.frames, leave, plan.scattered)
        if clicked:
            top, left, width = choose_click_window(rng, choice, click_on(rng, body, choice), plan.click_zooms)
        else:
            shape = body.volume.labels.shape
            sides = tuple(size for axis, size in enumerate(shape) if axis != choice.axis)
            centre = None
            if rng.random() < 0.15:
                centre = (float(rng.uniform(*choice.rows)), float(rng.uniform(*choice.columns)))
            top, left, width = choose_window(rng, choice, (sides[0], sides[1]), centre)
        thickness = 1.0 if rng.random() < 0.6 else float(rng.uniform(1.0, 2.2))
        flips = (bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        return ClipGeometry(choice.axis, positions, thickness, top, left, width, flips, bool(rng.random() < 0.5))

    @staticmethod
    def _other_mask(
        rng: np.random.Generator, body: Body, rendered: RenderedClip, main: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Another clearly visible object of the clip in 40 % of the cases, else the main object once more."""
        if rng.random() > 0.4:
            return main
        rows = rng.permutation(len(body.volume.targets))
        present = body.volume.targets[rows][:, rendered.labels].any(axis=1)
        for row in rows[present][:3]:
            targets = body.volume.targets[row]
            inside = targets[rendered.labels]
            gaps = np.abs(rendered.levels[inside][:, None] - rendered.levels[~inside][None])
            if gaps.size == 0 or gaps.min() < CLEAR_CONTRAST:
                continue
            mask = rendered.mask(targets)
            if mask[0].mean() >= LEAST_OTHER_SHARE:
                return mask
        return main
