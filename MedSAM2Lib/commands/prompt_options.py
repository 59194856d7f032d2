"""`--object`, `--point`, `--box`, `--mask`: prompts in the order they are written, as text and as prompt classes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import numpy as np

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.tracking.checks import check_positive
from MedSAM2Lib.tracking.conflicts import check_together
from MedSAM2Lib.types import (
    Axis,
    BoolArray,
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    SliceKey,
    array_dimension,
)

DEFAULT_OBJECT = "object"

MaskReader = Callable[[Path, Union[int, None]], BoolArray]
"""Reads a label of a file, or its only one, as a mask [k, j, i] on the volume's grid."""


@dataclass(frozen=True)
class WrittenPrompt:
    """One option as written: kind ``object``, ``point``, ``box`` or ``mask``, and its text."""

    kind: str
    text: str


@dataclass
class NamedObject:
    """An object's name and its prompts."""

    name: str
    prompts: list[Prompt] = field(default_factory=list)


class PromptAction(argparse.Action):
    """Collects prompt options in the order of the command line, under ``namespace.prompts``."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        written = list(getattr(namespace, "prompts", None) or [])
        written.append(WrittenPrompt(self.dest, str(values)))
        namespace.prompts = written


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Adds the four options; what they collect is read by ``objects_from``."""
    group = parser.add_argument_group("prompts (i column, j row, k slice, counted from 0; repeat as needed)")
    group.add_argument("--object", action=PromptAction, metavar="NAME", help="name of the object that follows")
    group.add_argument("--point", action=PromptAction, metavar="i,j,k[,+|-]", help="a click; ,- for 'not this'")
    group.add_argument(
        "--box",
        action=PromptAction,
        metavar="i0,j0,k0,i1,j1,k1",
        help="a box on one slice, by two opposite voxels in it: with --axis k, k0 and k1 are the same",
    )
    group.add_argument(
        "--mask",
        action=PromptAction,
        metavar="FILE[:LABEL]",
        help="the object on one or more slices, on the volume's grid; every slice it touches along --axis is a "
        "prompt; LABEL where the file holds several objects",
    )
    parser.set_defaults(prompts=[])


def objects_from(written: Sequence[WrittenPrompt], axis: Axis, read_mask: MaskReader) -> list[NamedObject]:
    """The objects of a command line, in order; prompts before any ``--object`` belong to one called ``object``.

    Raises PromptError for text that is not a prompt, for no prompts at all, for a name without prompts or with
    negative points only, for one whose prompts contradict each other, and for one that is empty or given twice.
    """
    objects: list[NamedObject] = []
    for one in written:
        if one.kind == "object":
            _start(objects, one.text)
        else:
            if not objects:
                _start(objects, DEFAULT_OBJECT)
            objects[-1].prompts.extend(_prompts(one, axis, read_mask))
    if not objects:
        raise PromptError("E_NO_PROMPT", "Nothing to segment: give at least one --point, --box or --mask.")
    for named in objects:
        if not named.prompts:
            raise PromptError(
                "E_OBJECT_NO_PROMPT",
                "The object '{name}' has no prompt: write its --point, --box or --mask after --object {name}.",
                name=named.name,
            )
        check_positive(named.prompts, named.name)
        check_together(named.prompts)
    return objects


def parse_point(text: str, axis: Axis) -> PointPrompt:
    """``i,j,k`` with an optional ``,+`` or ``,-``."""
    parts = [part.strip() for part in text.split(",")]
    sign = parts.pop() if parts and parts[-1] in ("+", "-") else "+"
    i, j, k = numbers_in(parts, 3, text, "--point", "i,j,k or i,j,k,+ or i,j,k,-")
    return PointPrompt((i, j, k), axis, sign == "+")


def parse_box(text: str, axis: Axis) -> BoxPrompt:
    """``i0,j0,k0,i1,j1,k1``, inclusive corners in any order."""
    i0, j0, k0, i1, j1, k1 = numbers_in(text.split(","), 6, text, "--box", "i0,j0,k0,i1,j1,k1")
    return BoxPrompt((i0, j0, k0), (i1, j1, k1), axis)


def mask_file(text: str) -> tuple[Path, int | None]:
    """``FILE``, or ``FILE:LABEL`` for one label of it; a file whose own name ends so is taken whole."""
    file, _, label = text.rpartition(":")
    if file and label.isascii() and label.isdigit() and not Path(text).exists():
        return Path(file), int(label)
    return Path(text), None


def masks_by_slice(mask: BoolArray, axis: Axis) -> list[MaskPrompt]:
    """One prompt for every slice along ``axis`` that a [k, j, i] mask touches."""
    dimension = array_dimension(axis)
    others = tuple(place for place in range(3) if place != dimension)
    touched = np.flatnonzero(mask.any(axis=others))
    return [MaskPrompt(SliceKey(axis, int(index)), np.take(mask, index, axis=dimension)) for index in touched]


def _start(objects: list[NamedObject], name: str) -> None:
    if not name.strip():
        raise PromptError("E_OBJECT_NAME", "An object has an empty name: write its name after --object.")
    if any(named.name == name for named in objects):
        raise PromptError(
            "E_OBJECT_TWICE", "The object '{name}' is given twice: write all its prompts after one --object.", name=name
        )
    objects.append(NamedObject(name))


def _prompts(one: WrittenPrompt, axis: Axis, read_mask: MaskReader) -> Sequence[Prompt]:
    if one.kind == "point":
        return [parse_point(one.text, axis)]
    if one.kind == "box":
        return [parse_box(one.text, axis)]
    return masks_by_slice(read_mask(*mask_file(one.text)), axis)


def numbers_in(parts: Sequence[str], count: int, text: str, option: str, form: str) -> list[float]:
    """``count`` finite numbers; raises PromptError, with the form wanted, for any other text."""
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(np.isfinite(numbers)):
        raise PromptError(
            "E_PROMPT_TEXT", "{option} '{text}' is not of the form {form}.", option=option, text=text, form=form
        )
    return numbers
