"""Prompts of one object and slice that cannot all hold: refused where they come together, replaced where one is later.

A mask stands alone on its slice, a slice has at most one box, and a place is either in the object or not.
"""

from __future__ import annotations

from collections.abc import Sequence

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.tracking.checks import slice_pixel
from MedSAM2Lib.types import BoxPrompt, MaskPrompt, Prompt


def check_together(prompts: Sequence[Prompt]) -> None:
    """Raises PromptError ``E_PROMPT_CONFLICT`` where prompts given at one time contradict each other on a slice."""
    for place, prompt in enumerate(prompts):
        for other in replaced_by(prompt, prompts[:place]):
            what, remedy = _contradiction(prompt, other)
            raise PromptError(
                "E_PROMPT_CONFLICT",
                "Slice {index} of axis {axis} has {what} for one object: {remedy}.",
                what=what,
                axis=prompt.axis,
                index=prompt.slice.index,
                remedy=remedy,
            )


def replaced_by(prompt: Prompt, earlier: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """The prompts of ``earlier`` that do not hold beside a later one; those of other slices always do."""
    return tuple(one for one in earlier if one.slice == prompt.slice and _excludes(prompt, one))


def without(prompts: Sequence[Prompt], dropped: Sequence[Prompt]) -> list[Prompt]:
    """The prompts that are none of ``dropped``, each being told by itself and not by its values."""
    gone = {id(one) for one in dropped}
    return [prompt for prompt in prompts if id(prompt) not in gone]


def _excludes(later: Prompt, earlier: Prompt) -> bool:
    if isinstance(later, MaskPrompt) or isinstance(earlier, MaskPrompt):
        return True
    if isinstance(later, BoxPrompt) or isinstance(earlier, BoxPrompt):
        return isinstance(later, BoxPrompt) and isinstance(earlier, BoxPrompt)
    same_place = slice_pixel(later.ijk, later.axis) == slice_pixel(earlier.ijk, earlier.axis)
    return same_place and later.positive != earlier.positive


def _contradiction(prompt: Prompt, other: Prompt) -> tuple[str, str]:
    """What is wrong with two prompts of a slice, and what to do."""
    if isinstance(prompt, MaskPrompt) or isinstance(other, MaskPrompt):
        return "a mask and other prompts", "keep the mask or the others"
    if isinstance(prompt, BoxPrompt):
        return "two boxes", "keep one, or make them two objects"
    return "a positive and a negative point in one place", "remove one"
