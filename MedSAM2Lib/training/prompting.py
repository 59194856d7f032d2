"""Prompts as a user might give them, drawn from an object's mask in network pixels.

Coordinates are (x, y) pixel indices in 0..S-1; boxes name the first and the last pixel of the object, both inside. The
network adds 0.5 itself. Labels follow SAM: 1 positive, 0 negative, 2 and 3 the corners of a box, -1 padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

PROMPT_KINDS = ("box", "click", "clicks", "box_and_click")
PROMPT_SHARES = (0.45, 0.38, 0.12, 0.05)
BOX_JITTER = 0.05
POINT_SLOTS = 5


@dataclass(frozen=True)
class Prompt:
    """``points`` [POINT_SLOTS, 2] float32 and ``labels`` [POINT_SLOTS] int64, padded with label -1."""

    points: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def single_click(self) -> bool:
        """Whether it is one click and nothing else: the case of several candidate masks."""
        return int((self.labels >= 0).sum()) == 1

    @staticmethod
    def of(points: list[tuple[float, float]], labels: list[int]) -> Prompt:
        """A prompt of these points, padded."""
        padded = np.zeros((POINT_SLOTS, 2), dtype=np.float32)
        padded[: len(points)] = np.reshape(points, (-1, 2))
        numbers = np.full(POINT_SLOTS, -1, dtype=np.int64)
        numbers[: len(labels)] = labels
        return Prompt(padded, numbers)


def tight_box(mask: Mask) -> tuple[float, float, float, float]:
    """(x first, y first, x last, y last) of the mask's pixels, all inside the object. The mask must not be empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def random_point(rng: np.random.Generator, mask: Mask) -> tuple[float, float]:
    """A random pixel (x, y) of the mask, which must not be empty."""
    inside = np.flatnonzero(mask)
    row, column = divmod(int(inside[int(rng.integers(len(inside)))]), mask.shape[1])
    return float(column), float(row)


def deepest_point(mask: Mask) -> tuple[float, float]:
    """The pixel (x, y) of the mask that is farthest from its border."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = divmod(int(depth.argmax()), mask.shape[1])
    return float(column), float(row)


def jittered_box(rng: np.random.Generator, mask: Mask) -> list[tuple[float, float]]:
    """The corners of the tight box, each edge moved by up to 5 % of the box's side, kept in the image."""
    x0, y0, x1, y1 = tight_box(mask)
    width, height = x1 - x0 + 1, y1 - y0 + 1
    move = rng.uniform(-BOX_JITTER, BOX_JITTER, 4) * (width, height, width, height)
    corners = np.clip(np.array([x0, y0, x1, y1]) + move, 0, mask.shape[1] - 1)
    return [(float(corners[0]), float(corners[1])), (float(corners[2]), float(corners[3]))]


def inner_click(rng: np.random.Generator, mask: Mask) -> tuple[float, float]:
    """A click inside: the deepest point in 40 % of the cases, else an inner point, not on the very border."""
    if rng.random() < 0.4:
        return deepest_point(mask)
    inner = ndimage.binary_erosion(mask, iterations=2)
    return random_point(rng, inner if inner.any() else mask)


def outer_click(rng: np.random.Generator, mask: Mask) -> tuple[float, float]:
    """A click beside the object, within about a third of its size."""
    reach = max(3, int(0.3 * np.sqrt(mask.sum())))
    x0, y0, x1, y1 = (int(value) for value in tight_box(mask))
    near = np.zeros_like(mask)
    near[max(0, y0 - reach) : y1 + reach + 1, max(0, x0 - reach) : x1 + reach + 1] = True
    near &= ~ndimage.binary_dilation(mask, iterations=2)
    return random_point(rng, near) if near.any() else (0.0, 0.0)


def random_prompt(rng: np.random.Generator, mask: Mask, kind: str | None = None) -> Prompt:
    """A prompt of the given kind, or of a random one, for a mask that must not be empty."""
    kind = kind if kind is not None else str(rng.choice(PROMPT_KINDS, p=PROMPT_SHARES))
    if kind == "click":
        return Prompt.of([inner_click(rng, mask)], [1])
    if kind == "clicks":
        positives = int(rng.integers(1, 4))
        negatives = int(rng.integers(0 if positives > 1 else 1, 3))
        points = [inner_click(rng, mask) for _ in range(positives)]
        points += [outer_click(rng, mask) for _ in range(negatives)]
        return Prompt.of(points, [1] * positives + [0] * negatives)
    box = jittered_box(rng, mask)
    if kind == "box":
        return Prompt.of(box, [2, 3])
    inside = rng.random() < 0.6
    point = inner_click(rng, mask) if inside else outer_click(rng, mask)
    return Prompt.of([*box, point], [2, 3, int(inside)])


def prompt_or_denial(rng: np.random.Generator, mask: Mask) -> Prompt:
    """A prompt of a random kind; where the object is absent, two negative clicks, as a user says "not here"."""
    if mask.any():
        return random_prompt(rng, mask)
    return Prompt.of([random_point(rng, ~mask), random_point(rng, ~mask)], [0, 0])


def box_or_nothing(rng: np.random.Generator, mask: Mask) -> Prompt:
    """A box round the object where there is one."""
    return Prompt.of(jittered_box(rng, mask), [2, 3]) if mask.any() else Prompt.of([], [])


def correction(rng: np.random.Generator, before: Prompt, truth: Mask, predicted: Mask) -> Prompt:
    """The prompt with one more click in the middle of the larger error; unchanged where no slot or no error is left."""
    used = int((before.labels >= 0).sum())
    missed, extra = truth & ~predicted, predicted & ~truth
    if used >= POINT_SLOTS or not (missed.any() or extra.any()):
        return before
    error = missed if missed.sum() >= extra.sum() else extra
    points, labels = before.points.copy(), before.labels.copy()
    points[used] = deepest_point(error) if rng.random() < 0.6 else random_point(rng, error)
    labels[used] = int(error is missed)
    return Prompt(points, labels)
