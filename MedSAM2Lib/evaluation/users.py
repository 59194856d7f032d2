"""Simulated users: what they prompt first, and what they add when they see a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.evaluation.prompts import (
    box_on,
    click_on,
    error_click,
    largest_slice,
    mask_on,
    most_different_slice,
    quarter_slice,
)
from MedSAM2Lib.types import Axis, BoolArray, MaskPrompt, Prompt

PROMPT_MAKERS: dict[str, Callable[[BoolArray, Axis, int], Prompt]] = {
    "box": box_on,
    "click": click_on,
    "mask": mask_on,
}
SLICE_CHOICES: dict[str, Callable[[BoolArray, Axis], int]] = {"largest": largest_slice, "quarter": quarter_slice}
CLICK, SLICE = "click", "slice"
CORRECTIONS = (CLICK, SLICE)


class SimulatedUser(Protocol):
    """Someone who knows the truth: prompts first, then rounds of corrections given the present result."""

    @property
    def name(self) -> str:
        """What the user does, for tables."""
        ...

    @property
    def corrections(self) -> int:
        """How many rounds of corrections follow the first prompts."""
        ...

    @property
    def axis(self) -> Axis:
        """The axis of the slices that are prompted first, along which the object is followed."""
        ...

    def first(self, case: Case) -> list[Prompt]:
        """The prompts to begin with, one or more."""
        ...

    def correct(self, case: Case, mask: BoolArray, given: Sequence[Prompt]) -> list[Prompt]:
        """What is added after a result [k, j, i] and the prompts so far; nothing where the user is content."""
        ...

    def as_dict(self) -> dict[str, object]:
        """All that decides what a round looks like, as plain data; the number of rounds does not."""
        ...


@dataclass(frozen=True)
class PromptingUser:
    """One prompt on one slice, then corrections of one kind.

    Args:
        prompt: ``box`` (tight), ``click`` (at the deepest point) or ``mask`` (the true one of the slice).
        at: ``largest``, the slice with the most voxels, or ``quarter``, the one at a quarter of the object's extent.
        corrections: rounds after the first result.
        correct_by: ``click``, at the centre of the largest error of the volume, positive where the object was missed
            and negative where there is too much; or ``slice``, the true mask of the slice where the result and the
            truth differ most, of those that were not prompted yet.
        axis: of the prompted slices.
    """

    prompt: str = "box"
    at: str = "largest"
    corrections: int = 0
    correct_by: str = CLICK
    axis: Axis = "k"

    @property
    def name(self) -> str:
        """``box at largest``, and how it goes on where it does."""
        first = f"{self.prompt} at {self.at}" + ("" if self.axis == "k" else f" of {self.axis}")
        return f"{first}, then {self.correct_by}s" if self.corrections else first

    def first(self, case: Case) -> list[Prompt]:
        """One prompt, from the truth."""
        index = SLICE_CHOICES[self.at](case.truth, self.axis)
        return [PROMPT_MAKERS[self.prompt](case.truth, self.axis, index)]

    def correct(self, case: Case, mask: BoolArray, given: Sequence[Prompt]) -> list[Prompt]:
        """One click or one slice; nothing where the result is right, or has no slice left to correct."""
        if self.correct_by == CLICK:
            drawn = {prompt.slice.index for prompt in given if isinstance(prompt, MaskPrompt)}
            click = error_click(mask, case.truth, case.volume.spacing, self.axis, drawn)
            return [] if click is None else [click]
        prompted = {prompt.slice.index for prompt in given}
        index = most_different_slice(mask, case.truth, self.axis, prompted)
        return [] if index is None else [mask_on(case.truth, self.axis, index)]

    def as_dict(self) -> dict[str, object]:
        """The fields but for the number of rounds; how corrections are made only where some are."""
        described = asdict(self)
        rounds = described.pop("corrections")
        return described if rounds else {**described, "correct_by": None}
