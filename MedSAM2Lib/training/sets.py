"""Sets of images without an order: slices of different bodies that show the same kind of object, or do not show it.

This is the task of One-Prompt segmentation (Medical SAM 2, arXiv 2408.00874): one image is prompted, and the object is
told on the others by its looks, its size and its place. Mostly all images of a set have one look, as images of one
scanner have, in which the object keeps its brightness from body to body; at times each has a look of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.training.looks import Look, free_look, hounsfield_look
from MedSAM2Lib.training.noise import NoiseBank
from MedSAM2Lib.training.rendering import HOUNSFIELD_SHARE, render_clip
from MedSAM2Lib.training.sampling import (
    LARGEST_SIDE,
    Body,
    ClipGeometry,
    TargetChoice,
    choose_slice,
    choose_target,
    choose_window,
    target_tissue,
)
from MedSAM2Lib.training.shapes import FloatArray
from MedSAM2Lib.training.tissues import Tissue

OWN_LOOKS_SHARE = 0.15
ABSENT_SHARE = 0.2
SAME_BODY_SHARE = 0.2
WHOLE_SHARE = 0.45
LEAST_SIDE_IN_WHOLE = 18
VARIANTS = 5
VARIED_TISSUES = frozenset({Tissue.ORGAN, Tissue.VESSEL, Tissue.LESION, Tissue.CONTENT})


@dataclass(frozen=True)
class Member:
    """One object of one body; ``size`` is the logarithm of its voxels."""

    body: int
    target: int
    kind: Tissue
    size: float


@dataclass(frozen=True)
class SetClip:
    """T images [T, S, S] float32 in 0..1 with the object's masks [T, S, S] bool; ``members`` says whose they are."""

    images: FloatArray
    mask: NDArray[np.bool_]
    members: tuple[Member, ...]


class SharedLook:
    """One look for several bodies: the object's brightness, the same surroundings, one window; small changes by image.

    Tissues that a body has several of (organs, vessels, lesions) take one of a few levels, none of them the object's.
    """

    def __init__(self, rng: np.random.Generator, target_tissues: Sequence[Tissue]) -> None:
        self._count = len(target_tissues)
        others = [tissue for tissue in Tissue for _ in range(VARIANTS if tissue in VARIED_TISSUES else 1)]
        self._tissues = np.array([*target_tissues, *others], dtype=np.uint8)
        in_target = np.arange(len(self._tissues)) < self._count
        make_look = hounsfield_look if rng.random() < HOUNSFIELD_SHARE else free_look
        self._look = make_look(rng, self._tissues, in_target)

    def __call__(self, rng: np.random.Generator, tissues: NDArray[np.uint8], in_target: NDArray[np.bool_]) -> Look:
        """The look of one image of the set."""
        rows = [self._row(rng, int(tissue), bool(target)) for tissue, target in zip(tissues, in_target)]
        look = self._look
        move, gain = 0.3 * look.least_contrast * rng.standard_normal(), float(np.exp(0.04 * rng.standard_normal()))
        levels = (look.levels[rows] - 0.5) * gain + 0.5 + move
        return replace(look, levels=levels.astype(np.float32), textures=look.textures[rows])

    def _row(self, rng: np.random.Generator, tissue: int, target: bool) -> int:
        places = np.flatnonzero(self._tissues == tissue)
        places = places[places < self._count] if target else places[places >= self._count]
        return int(rng.choice(places))


class SetMaker:
    """Draws sets from a list of bodies."""

    def __init__(self, bodies: Sequence[Body], side: int, noise_bank: NoiseBank) -> None:
        self.bodies = bodies
        self.side = side
        self.noise_bank = noise_bank
        self._members: list[Member] | None = None

    @property
    def members(self) -> list[Member]:
        """Every object of every body."""
        if self._members is None:
            self._members = [member for number, body in enumerate(self.bodies) for member in _members(number, body)]
        return self._members

    def make(self, rng: np.random.Generator, frames: int) -> SetClip:
        """One set, its prompted image first; that one may show too little of the object, and the caller draws again."""
        number = int(rng.integers(len(self.bodies)))
        choice = choose_target(rng, self.bodies[number], leave=False)
        first = next(m for m in self.members if (m.body, m.target) == (number, choice.target))
        members = [first, *(self._alike(rng, first) for _ in range(frames - 1))]
        shared = None if rng.random() < OWN_LOOKS_SHARE else SharedLook(rng, self._tissues(members))
        longer = max(choice.rows[1] - choice.rows[0], choice.columns[1] - choice.columns[0])
        whole = longer >= LEAST_SIDE_IN_WHOLE and bool(rng.random() < WHOLE_SHARE)
        turned = _turn(rng)
        images, masks = [], []
        for place, member in enumerate(members):
            body = self.bodies[member.body]
            here = choice if place == 0 else self._slice(rng, body, member, choice.axis)
            absent = place > 0 and bool(rng.random() < ABSENT_SHARE)
            flips, transpose = turned if rng.random() < 0.85 else _turn(rng)
            geometry = _geometry(rng, body, here, whole, absent)
            geometry = replace(geometry, flips=flips, transpose=transpose)
            own = shared or SharedLook(rng, self._tissues([member]))
            rendered = render_clip(rng, body.volume, geometry, member.target, self.side, self.noise_bank, own)
            images.append(rendered.images[0])
            masks.append(rendered.mask(body.volume.targets[member.target])[0])
        return SetClip(np.stack(images), np.stack(masks), tuple(members))

    def _alike(self, rng: np.random.Generator, first: Member) -> Member:
        """The same object once more, or one of the same kind and about the same size in another body."""
        others = [m for m in self.members if m.kind == first.kind and m.body != first.body]
        if not others or rng.random() < SAME_BODY_SHARE:
            return first
        distances = np.array([abs(member.size - first.size) for member in others])
        near = np.flatnonzero(distances < np.log(2.0))
        if len(near) == 0:
            near = np.argsort(distances, kind="stable")[:4]
        return others[int(rng.choice(near))]

    def _slice(self, rng: np.random.Generator, body: Body, member: Member, axis: int) -> TargetChoice:
        """A slice that shows the object, in one piece where that is found soon."""
        for attempt in range(20):
            choice = choose_slice(rng, body, member.target, axis if attempt < 6 else int(rng.integers(3)), leave=False)
            if choice is not None:
                return choice
        while True:
            choice = choose_target(rng, body, leave=False)
            if choice.target == member.target:
                return choice

    def _tissues(self, members: Sequence[Member]) -> list[Tissue]:
        volumes = [(self.bodies[member.body].volume, member.target) for member in members]
        return sorted({Tissue(int(t)) for volume, target in volumes for t in volume.tissues[volume.targets[target]]})


def _members(number: int, body: Body) -> list[Member]:
    volume = body.volume
    sizes = volume.targets @ np.bincount(volume.labels.ravel(), minlength=len(volume.tissues))
    return [
        Member(number, target, target_tissue(volume, target), float(np.log(max(int(size), 1))))
        for target, size in enumerate(sizes)
    ]


def _turn(rng: np.random.Generator) -> tuple[tuple[bool, bool], bool]:
    return (bool(rng.random() < 0.5), bool(rng.random() < 0.5)), bool(rng.random() < 0.5)


def _geometry(rng: np.random.Generator, body: Body, choice: TargetChoice, whole: bool, absent: bool) -> ClipGeometry:
    """A window round the object, or nearly the whole slice; ``absent`` moves it to a slice that has no object."""
    sides = [size for axis, size in enumerate(body.volume.labels.shape) if axis != choice.axis]
    top, left, width = choose_window(rng, choice, (sides[0], sides[1]))
    if whole:
        width = LARGEST_SIDE * float(rng.uniform(0.8, 1.0))
        top, left = (0.5 * (side - width) + float(rng.uniform(-6, 6)) for side in sides)
    position = float(choice.key)
    empty = np.flatnonzero(choice.area_profile == 0)
    if absent and len(empty):
        position = float(rng.choice(empty))
    return ClipGeometry(choice.axis, np.array([position]), 1.0, top, left, width)
