"""What each training step does, by the number of frames seen so far; the clock plays no part.

Single slices come first, then single slices alternate with clips of four, later of six, so that every temporal
position of the memory is trained. Clips are followed with SAM 2's temporal memory, with the self-sorting one, or are
sets of images without an order. Like SAM 2 (arXiv 2408.00714, appendix D), a trained network may be finished on longer
clips with its image encoder frozen: the configuration ``embedded-long``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.training.clips import ClipPlan
from MedSAM2Lib.training.unroll import MemoryPlan, SecondPrompt

NOT_ONE_CLICK = ("box", "box", "box", "box", "clicks", "box_and_click")
SMALL_CAPACITIES = (2, 3, 4)
"""Clips are short: only a small bank has to choose."""


@dataclass(frozen=True)
class ScheduleConfig:
    """Length and learning rate of a run. The defaults are for a run from scratch, ``warm_start`` for a trained network.

    Attributes:
        frames: encoder frames in all.
        single_share: share of the run that sees single slices only.
        long_from: share after which clips get longer.
        images_every: after that, every so many steps one is of single slices.
        images, short_clips, long_clips: clips per step of 1, ``short`` and ``long`` slices.
        set_size, set_clips: images of a set, and sets per step.
        sorted_share, set_share: shares of the steps with clips that use a self-sorting memory, and that are sets.
        click_share: share of single slices, and of clips, that start with one click and nothing else.
        peak_rate, last_rate_share, warmup_steps: a cosine after a linear warm-up.
    """

    frames: int
    single_share: float = 0.08
    long_from: float = 0.5
    images_every: int = 2
    images: int = 24
    short: int = 4
    short_clips: int = 8
    long: int = 6
    long_clips: int = 6
    set_size: int = 7
    set_clips: int = 5
    sorted_share: float = 0.35
    set_share: float = 0.2
    click_share: float = 0.45
    peak_rate: float = 1.4e-3
    last_rate_share: float = 0.02
    warmup_steps: int = 60

    @staticmethod
    def warm_start(frames: int) -> ScheduleConfig:
        """For weights that are trained already: clips of all lengths at once, and half the rate."""
        return ScheduleConfig(frames, single_share=0.0, long_from=0.0, peak_rate=7e-4, warmup_steps=100)


class _OnTheWay(TypedDict):
    mask_prompt: bool
    second: SecondPrompt
    correct: bool
    correct_box: bool
    extra_distance: int


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
    if progress < config.single_share or step % config.images_every == 0:
        clips = ClipPlan(config.images, 1, 3, click_share=config.click_share)
        return StepPlan(clips, MemoryPlan(correct=bool(rng.random() < 0.4)))
    kind = float(rng.random())
    if kind < config.set_share:
        return _set_step(config, rng)
    longer = progress >= config.long_from and rng.random() < 0.7
    count, frames = (config.long_clips, config.long) if longer else (config.short_clips, config.short)
    if kind < config.set_share + config.sorted_share:
        return _sorted_step(config, rng, count, frames)
    return _temporal_step(config, rng, count, frames)


def _temporal_step(config: ScheduleConfig, rng: np.random.Generator, count: int, frames: int) -> StepPlan:
    scattered = bool(rng.random() < 0.15)
    memory = MemoryPlan(
        true_mask_share=0.25,
        drop_share=float(rng.choice((0.0, 0.25))),
        shuffled=scattered or bool(rng.random() < 0.1),
        **_prompts_on_the_way(rng),
    )
    return StepPlan(_clips(config, rng, count, frames, scattered), memory)


def _sorted_step(config: ScheduleConfig, rng: np.random.Generator, count: int, frames: int) -> StepPlan:
    bank = SelfSortingOptions(
        capacity=int(rng.choice(SMALL_CAPACITIES)) if rng.random() < 0.5 else 16,
        shown=int(rng.choice((1, 2, 3, 6))),
        neighbour=bool(rng.random() < 0.85),
    )
    memory = MemoryPlan("self-sorting", bank, true_mask_share=0.25, **_prompts_on_the_way(rng))
    return StepPlan(_clips(config, rng, count, frames, scattered=bool(rng.random() < 0.15)), memory)


def _set_step(config: ScheduleConfig, rng: np.random.Generator) -> StepPlan:
    """A set of images; without a capacity, the prompted image alone is shown, as in the first of two rounds."""
    bank = SelfSortingOptions(
        capacity=int(rng.choice((0, *SMALL_CAPACITIES, 16, 16))), shown=int(rng.choice((1, 3, 6, 6))), neighbour=False
    )
    second: SecondPrompt = "prompted" if rng.random() < 0.2 else ""
    correct = bool(rng.random() < 0.15)
    memory = MemoryPlan("set", bank, true_mask_share=0.25, second=second, correct=correct)
    kinds = ("click",) if rng.random() < config.click_share else NOT_ONE_CLICK
    return StepPlan(ClipPlan(config.set_clips, config.set_size, 2, kinds, unordered=True), memory)


def _clips(config: ScheduleConfig, rng: np.random.Generator, count: int, frames: int, scattered: bool) -> ClipPlan:
    """Half of the clicks look at the object in a window of about the right scale, as it is refitted at last."""
    one_click = bool(rng.random() < config.click_share)
    return ClipPlan(
        count,
        frames,
        2,
        ("click",) if one_click else NOT_ONE_CLICK,
        scattered=scattered,
        click_share=0.5 if one_click else 0.0,
        click_zooms=(0.9, 4.0),
    )


def _prompts_on_the_way(rng: np.random.Generator) -> _OnTheWay:
    second: SecondPrompt = ""
    if rng.random() < 0.25:
        second = "prompted" if rng.random() < 0.5 else "corrected"
    return _OnTheWay(
        mask_prompt=bool(rng.random() < 0.1),
        second=second,
        correct=bool(rng.random() < 0.2),
        correct_box=bool(rng.random() < 0.3),
        extra_distance=int(rng.integers(1, 40)) if rng.random() < 0.3 else 0,
    )
