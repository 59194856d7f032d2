"""Clips from a user's own volumes, along all three axes, as the network is shown them when it segments.

The prompts, and how long and from where a clip runs, are those of synthetic clips; slices are rendered by the engine's
own preprocessing. Every clip has its own random stream, seeded by the batch's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.training.cases import CaseObject, TrainingCase, usable_axes
from MedSAM2Lib.training.clips import Clip, ClipBatch, ClipPlan, batch_of
from MedSAM2Lib.training.prompting import Prompt, random_prompt
from MedSAM2Lib.types import Axis, BoolArray, FloatArray, SliceFrame, SliceKey
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.region import Region, slice_grid, square_around
from MedSAM2Lib.volume.slices import frame_for, letterbox_frame, mask_to_network, render, whole_frame

LEAST_KEY_PIXELS = 12
LEAST_KEY_AREA = 9
TRIES = 100
AXIS_WEIGHTS = {"k": 2.0, "j": 1.0, "i": 1.0}
WHOLE_SHARE = 0.85
STEP_MM = (1.0, 6.0)
OTHER_OBJECT_SHARE = 0.4


@dataclass(frozen=True)
class _Choice:
    """What a clip follows: an object of a case along an axis, prompted on slice ``key``."""

    case: TrainingCase
    target: CaseObject
    axis: Axis
    key: int
    areas: NDArray[np.int64]


@dataclass(frozen=True)
class _Look:
    """How the slices of a clip are shown."""

    window: Window
    gamma: float
    noise: float
    flips: tuple[bool, bool, bool]

    def turned(self, image: NDArray) -> NDArray:
        """[S, S] flipped and transposed."""
        image = image[::-1] if self.flips[0] else image
        image = image[:, ::-1] if self.flips[1] else image
        return np.ascontiguousarray(image.T if self.flips[2] else image)


class CaseMaker:
    """Batches from cases; as ``ClipMaker``, but for real volumes.

    Networks with a zoom see a square around the object, others mostly the whole slice, stretched or letterboxed as they
    do when they segment.
    """

    def __init__(self, cases: Sequence[TrainingCase], network: NetworkConfig, seed: int, varied: bool = True) -> None:
        self.cases = cases
        self.network = network
        self.seed = seed
        self.varied = varied

    def make(self, plan: ClipPlan, number: int) -> ClipBatch:
        """Batch ``number``: the same number and plan always give the same batch.

        Raises InputError ``E_CASES_SMALL`` where no object is large enough to be prompted.
        """
        streams = (np.random.default_rng((self.seed, number, row)) for row in range(plan.clips))
        return batch_of([self._clip(rng, plan) for rng in streams])

    def _clip(self, rng: np.random.Generator, plan: ClipPlan) -> Clip:
        """Draws clips until one shows the object on its first slice; towards the end a few pixels are enough."""
        for attempt in range(TRIES):
            clip = self._drawn(rng, plan, LEAST_KEY_PIXELS if attempt < TRIES // 2 else 1)
            if clip is not None:
                return clip
        raise InputError(
            "E_CASES_SMALL",
            "No object of the cases {names} is large enough to be prompted at {size} pixels: leave out the smallest.",
            names=", ".join(case.name for case in self.cases[:3]),
            size=self.network.image_size,
        )

    def _drawn(self, rng: np.random.Generator, plan: ClipPlan, least_pixels: int) -> Clip | None:
        leave = plan.frames > 1 and bool(rng.random() < plan.leave_share)
        choice = self._choice(rng, leave)
        clicked = bool(rng.random() < plan.click_share)
        shown = self._set(rng, choice, plan) if plan.unordered else self._ordered(rng, choice, plan, leave)
        if plan.unordered:
            frames = [self._frame(rng, each, plan, clicked) for each in shown]
        else:
            first = self._frame(rng, choice, plan, clicked)
            frames = [replace(first, key=SliceKey(choice.axis, each.key)) for each in shown]
        look = self._look(rng, choice)
        size = self.network.image_size
        masks = [self._masks(look, choice.target if not plan.unordered else None, shown, frames)]
        first_mask = masks[0][0]
        if first_mask.sum() < least_pixels or (clicked and not first_mask[size // 2, size // 2]):
            return None
        images = np.stack([self._image(rng, look, each, frame) for each, frame in zip(shown, frames)])
        while len(masks) < plan.objects:
            other = self._other(rng, look, choice, shown, frames, least_pixels, plan)
            masks.append(masks[0] if other is None else other)
        offsets = np.array([0.0 if plan.unordered else float(each.key - choice.key) for each in shown])
        return Clip(images, masks, self._prompts(rng, plan, masks, clicked), offsets)

    def _choice(self, rng: np.random.Generator, leave: bool) -> _Choice:
        case = self.cases[int(rng.integers(len(self.cases)))]
        target = case.objects[int(rng.integers(len(case.objects)))]
        return self._key(rng, case, target, leave)

    @staticmethod
    def _key(rng: np.random.Generator, case: TrainingCase, target: CaseObject, leave: bool) -> _Choice:
        """An axis and a slice of the object, larger sections first; with ``leave`` in the outer third of the object."""
        axes = usable_axes(target)
        weights = np.array([AXIS_WEIGHTS[axis] for axis in axes])
        axis = axes[int(rng.choice(len(axes), p=weights / weights.sum()))]
        areas = target.areas(axis)
        candidates = np.flatnonzero(areas >= max(min(LEAST_KEY_AREA, areas.max()), 0.12 * areas.max()))
        chances = np.sqrt(areas[candidates]).astype(np.float64)
        if leave:
            chances *= np.where(np.abs(np.linspace(-1, 1, len(candidates))) > 0.4, 1.0, 0.1)
        key = int(rng.choice(candidates, p=chances / chances.sum()))
        return _Choice(case, target, axis, key, areas)

    @staticmethod
    def _ordered(rng: np.random.Generator, choice: _Choice, plan: ClipPlan, leave: bool) -> list[_Choice]:
        """The prompted slice, then its neighbours in one direction, or scattered on both sides of it."""
        present = np.flatnonzero(choice.areas)
        last = len(choice.areas) - 1
        counted = np.arange(1, plan.frames, dtype=np.float64)
        if plan.scattered:
            reach = max(1.0, 0.6 * (present[-1] - present[0] + 3))
            offsets = rng.uniform(-reach, reach, plan.frames - 1)
        else:
            spacing = choice.case.volume.spacing_along(choice.axis)
            step = max(1.0, float(np.exp(rng.uniform(*np.log(STEP_MM)))) / spacing)
            side = int(rng.choice((-1, 1)))
            if leave:
                to_end = {1: present[-1] - choice.key + 1, -1: choice.key - present[0] + 1}
                side = min(to_end, key=lambda sign: (to_end[sign], sign))
                step = max(1.0, to_end[side] / max(plan.frames - 1, 1) * float(rng.uniform(0.9, 2.2)))
            offsets = side * step * counted
        keys = [choice.key, *np.clip(np.rint(choice.key + offsets), 0, last).astype(int).tolist()]
        return [_Choice(choice.case, choice.target, choice.axis, key, choice.areas) for key in keys]

    def _set(self, rng: np.random.Generator, choice: _Choice, plan: ClipPlan) -> list[_Choice]:
        """The prompted slice and slices of objects of the same name, of any case."""
        alike = [(case, each) for case in self.cases for each in case.objects if each.name == choice.target.name]
        drawn = [alike[int(rng.integers(len(alike)))] for _ in range(plan.frames - 1)]
        return [choice, *(self._key(rng, case, target, False) for case, target in drawn)]

    def _frame(self, rng: np.random.Generator, choice: _Choice, plan: ClipPlan, clicked: bool) -> SliceFrame:
        """What of the slice is shown: a square of a random size around the object, or all of it."""
        volume, key = choice.case.volume, SliceKey(choice.axis, choice.key)
        if self.network.zoom is None and not clicked and rng.random() < WHOLE_SHARE:
            return letterbox_frame(volume, key) if self.network.fit == "letterbox" else whole_frame(volume, key)
        return frame_for(volume, key, self._region(rng, choice, plan, clicked))

    def _region(self, rng: np.random.Generator, choice: _Choice, plan: ClipPlan, clicked: bool) -> Region:
        grid = slice_grid(choice.case.volume, choice.axis)
        section = choice.target.section(choice.axis, choice.key)
        rows, columns = (np.flatnonzero(section.any(axis=axis)) for axis in (1, 0))
        longer = max((rows[-1] - rows[0] + 1) * grid.spacing[0], (columns[-1] - columns[0] + 1) * grid.spacing[1])
        if clicked:
            inside = np.flatnonzero(section)
            row, column = divmod(int(inside[int(rng.integers(len(inside)))]), section.shape[1])
            centre = (row + 0.5, column + 0.5)
            zoom = float(np.exp(rng.uniform(*np.log(plan.click_zooms))))
        else:
            usual = rng.random() < 0.65
            zoom = float(rng.uniform(1.35, 2.3) if usual else np.exp(rng.uniform(np.log(1.35), np.log(5))))
            slack = rng.uniform(-0.08, 0.08, 2) * zoom * longer
            centre = (
                (rows[0] + rows[-1] + 1) / 2 + slack[0] / grid.spacing[0],
                (columns[0] + columns[-1] + 1) / 2 + slack[1] / grid.spacing[1],
            )
        side = float(np.clip(zoom * longer, grid.smallest_side_mm, max(grid.smallest_side_mm, *grid.extent_mm)))
        return square_around(grid, centre, side)

    def _look(self, rng: np.random.Generator, choice: _Choice) -> _Look:
        """The case's window, moved a little; at times another gamma and some noise. Nothing is varied in validation."""
        window = choice.case.window
        if not self.varied:
            return _Look(window, 1.0, 0.0, (False, False, False))
        width = (window.high - window.low) * float(np.exp(rng.uniform(-0.15, 0.15)))
        middle = (window.high + window.low) / 2 + float(rng.uniform(-0.08, 0.08)) * width
        gamma = float(np.exp(rng.uniform(-0.25, 0.25))) if rng.random() < 0.25 else 1.0
        noise = float(rng.uniform(0.0, 0.04)) if rng.random() < 0.3 else 0.0
        flips = (bool(rng.random() < 0.5), bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        return _Look(Window.from_level(middle, width), gamma, noise, flips)

    def _image(self, rng: np.random.Generator, look: _Look, choice: _Choice, frame: SliceFrame) -> FloatArray:
        image = render(choice.case.volume, frame, look.window, self.network.image_size)
        image = look.turned(image) ** np.float32(look.gamma)
        if look.noise > 0:
            image = image + look.noise * rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image, 0.0, 1.0).astype(np.float32)

    def _masks(
        self, look: _Look, target: CaseObject | None, shown: Sequence[_Choice], frames: Sequence[SliceFrame]
    ) -> BoolArray:
        """[T, S, S] of one object, or of each slice's own where there is none."""
        size = self.network.image_size
        sections = [(target or each.target).section(each.axis, each.key) for each in shown]
        masks = [mask_to_network(frame, section, size) >= 0.5 for frame, section in zip(frames, sections)]
        return np.stack([look.turned(mask) for mask in masks])

    def _other(
        self,
        rng: np.random.Generator,
        look: _Look,
        choice: _Choice,
        shown: Sequence[_Choice],
        frames: Sequence[SliceFrame],
        least_pixels: int,
        plan: ClipPlan,
    ) -> BoolArray | None:
        """Another object that is seen on the prompted slice, in 40 % of the clips."""
        if plan.unordered or rng.random() > OTHER_OBJECT_SHARE:
            return None
        for number in rng.permutation(len(choice.case.objects))[:3]:
            other = choice.case.objects[int(number)]
            if other is not choice.target and other.areas(choice.axis)[choice.key] > 0:
                masks = self._masks(look, other, shown, frames)
                if masks[0].sum() >= least_pixels:
                    return masks
        return None

    def _prompts(
        self, rng: np.random.Generator, plan: ClipPlan, masks: Sequence[BoolArray], clicked: bool
    ) -> list[Prompt]:
        kinds = plan.prompt_kinds
        prompts = [random_prompt(rng, mask[0], None if kinds is None else str(rng.choice(kinds))) for mask in masks]
        if clicked:
            middle = float(self.network.image_size // 2)
            prompts[0] = Prompt.of([(middle, middle)], [1])
        return prompts
