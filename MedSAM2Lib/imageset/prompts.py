"""Prompts on the pixels of an image, and whether they fit it: x is the column, y the row, counted from 0."""

from __future__ import annotations

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.imageset.images import KEY
from MedSAM2Lib.types import BoolArray, BoxPrompt, MaskPrompt, PointPrompt, Prompt


def point(x: float, y: float, positive: bool = True) -> PointPrompt:
    """A click; negative means "not this"."""
    return PointPrompt((x, y, 0.0), KEY.axis, positive)


def box(x0: float, y0: float, x1: float, y1: float) -> BoxPrompt:
    """A box by two opposite pixels in it."""
    return BoxPrompt((x0, y0, 0.0), (x1, y1, 0.0), KEY.axis)


def mask(pixels: BoolArray) -> MaskPrompt:
    """The object's pixels, ``[rows, columns]``."""
    return MaskPrompt(KEY, pixels)


def check_on_image(prompt: Prompt, shape: tuple[int, int], name: str) -> None:
    """Raises PromptError unless a prompt fits an image of ``shape`` (rows, columns)."""
    if isinstance(prompt, MaskPrompt):
        if prompt.mask.shape != shape:
            raise PromptError(
                "E_MASK_SIZE",
                "The mask for {name} has {found} pixels and the image {wanted}: give a mask drawn on that image.",
                name=name,
                found=_size(prompt.mask.shape[:2]),
                wanted=_size(shape),
            )
        if not prompt.mask.any():
            raise PromptError(
                "E_MASK_EMPTY", "The mask for {name} is empty: mark at least one pixel of the object.", name=name
            )
        return
    places = [prompt.ijk] if isinstance(prompt, PointPrompt) else [prompt.first, prompt.last]
    for x, y, _ in places:
        if not (-0.5 <= x < shape[1] - 0.5 and -0.5 <= y < shape[0] - 0.5):
            raise PromptError(
                "E_PROMPT_OUTSIDE",
                "The {what} {x:g},{y:g} lies outside {name}, which has {size} pixels: give x,y from 0,0 to {last}.",
                what="point" if isinstance(prompt, PointPrompt) else "box corner",
                x=x,
                y=y,
                name=name,
                size=_size(shape),
                last=f"{shape[1] - 1},{shape[0] - 1}",
            )
    if isinstance(prompt, BoxPrompt) and any(round(low) == round(high) for low, high in zip(places[0][:2], places[1])):
        raise PromptError(
            "E_BOX_AREA",
            "The box on {name} has no area: give two corners that differ in x and in y.",
            name=name,
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
