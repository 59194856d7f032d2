"""What each training step does, by the number of frames seen so far; the clock plays no part.

Single slices come first, then single slices alternate with clips of four, later of six, so that every temporal
position of the memory is trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from MedSAM2Lib.training.clips import ClipPlan
from MedSAM2Lib.training.unroll import MemoryPlan

NOT_ONE_CLICK = ("box", "box", "box", "box", "clicks", "box_and_click")


@dataclass(frozen=True)
class ScheduleConfig:
    """Length and learning rate of a run.

    Attributes:
        frames: encoder frames in all.
        single_share: share of the run that sees single slices only.
        long_from: share after which clips get longer.
        images, short_clips, long_clips: clips per step of 1, ``short`` and ``long`` slices.
        peak_rate, last_rate_share, warmup_steps: a cosine after a linear warm-up.
    """

    frames: int
    single_share: float = 0.08
    long_from: float = 0.5
    images: int = 24
    short: int = 4
    short_clips: int = 8
    long: int = 6
    long_clips: int = 6
    peak_rate: float = 1.4e-3
    last_rate_share: float = 0.02
    warmup_steps: int = 60


@dataclass(frozen=True)
class StepPlan:
    """One step: what to render, how memory is used."""

    clips: ClipPlan
    memory: MemoryPlan

    @property
    def frames(self) -> int:
        """Encoder frames of this step."""
        return self.clips.clips * self.clips.frames


def learning_rate(config: ScheduleConfig, step: int, frames_seen: int) -> float:
    """The learning rate of a step that begins after ``frames_seen`` frames."""
    progress = min(1.0, frames_seen / config.frames)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    warm = min(1.0, (step + 1) / config.warmup_steps)
    return config.peak_rate * warm * (config.last_rate_share + (1 - config.last_rate_share) * cosine)


def step_plan(config: ScheduleConfig, seed: int, step: int, frames_seen: int) -> StepPlan:
    """What step number ``step`` does; equal arguments give equal plans."""
    rng = np.random.default_rng((seed, step, 17))
    progress = frames_seen / config.frames
    if progress < config.single_share or step % 2 == 0:
        return StepPlan(ClipPlan(config.images, 1, 3), MemoryPlan(correct=bool(rng.random() < 0.4)))
    longer = progress >= config.long_from and rng.random() < 0.7
    mask_prompt = bool(rng.random() < 0.1)
    one_click = bool(rng.random() < 0.38)
    scattered = bool(rng.random() < 0.2)
    clips = ClipPlan(
        config.long_clips if longer else config.short_clips,
        config.long if longer else config.short,
        2,
        ("click",) if one_click else NOT_ONE_CLICK,
        scattered=scattered,
    )
    memory = MemoryPlan(
        true_mask_share=0.25,
        drop_share=float(rng.choice((0.0, 0.25))),
        shuffled=scattered or bool(rng.random() < 0.15),
        mask_prompt=mask_prompt,
        correct=bool(rng.random() < 0.2),
        extra_distance=int(rng.integers(1, 40)) if rng.random() < 0.3 else 0,
        timeless=bool(rng.random() < 0.35),
    )
    return StepPlan(clips, memory)
