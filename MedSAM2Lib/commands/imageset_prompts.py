"""Prompts of `medsam2 imageset` as written: each `--prompt IMAGE` and what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from MedSAM2Lib.commands.imageset_files import SetFile
from MedSAM2Lib.commands.prompt_options import WrittenPrompt, numbers_in
from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.imageset import prompts as on_pixels
from MedSAM2Lib.tracking.checks import check_positive
from MedSAM2Lib.tracking.conflicts import replaced_by
from MedSAM2Lib.types import Prompt
from MedSAM2Lib.volume.io.pictures import read_picture_mask


@dataclass
class PromptedImage:
    """A file name of the set and what was written after it."""

    name: str
    written: list[WrittenPrompt] = field(default_factory=list)


def by_image(written: Sequence[WrittenPrompt]) -> list[PromptedImage]:
    """The prompted images of a command line, in order.

    Raises PromptError where nothing is prompted, where a prompt comes before any image, and for an image without any.
    """
    images: dict[str, PromptedImage] = {}
    latest: PromptedImage | None = None
    for one in written:
        if one.kind == "prompt":
            latest = images.setdefault(one.text, PromptedImage(one.text))
        elif latest is None:
            raise PromptError(
                "E_PROMPT_IMAGE",
                "--{kind} {text} comes before any --prompt: write --prompt IMAGE, the file it is on, before it.",
                kind=one.kind,
                text=one.text,
            )
        else:
            latest.written.append(one)
    if not images:
        raise PromptError(
            "E_NO_PROMPT", "Nothing to segment: give --prompt IMAGE and after it a --point, a --box or a --mask."
        )
    for image in images.values():
        if not image.written:
            raise PromptError(
                "E_NO_PROMPT",
                "--prompt {name} has nothing after it: write its --point, --box or --mask there.",
                name=image.name,
            )
    return list(images.values())


def check_names(prompted: Sequence[PromptedImage], paths: Sequence[Path], folder: Path) -> None:
    """Raises PromptError for a prompted image that is not in the set."""
    names = {path.name for path in paths}
    for image in prompted:
        if image.name not in names:
            some = ", ".join(sorted(names)[:3])
            raise PromptError(
                "E_PROMPT_NOT_IN_SET",
                "--prompt {name} is not among the {count} images of {folder} ({some}{more}): give the name of a file "
                "there.",
                name=image.name,
                count=len(names),
                folder=folder,
                some=some,
                more=", ..." if len(names) > 3 else "",
            )


def prompts_of(prompted: Sequence[PromptedImage], files: Sequence[SetFile]) -> list[tuple[str, Prompt]]:
    """Digest of the image and prompt, for every prompt; all checked.

    Raises PromptError for what does not fit its image or contradicts what was given before, and the reader's own error
    for a prompted image that cannot be read.
    """
    by_name = {file.path.name: file for file in files}
    found: list[tuple[str, Prompt]] = []
    for image in prompted:
        file = by_name[image.name]
        if file.shape is None:
            assert file.error is not None
            raise file.error
        for one in image.written:
            prompt = _prompt(one, file.shape)
            on_pixels.check_on_image(prompt, file.shape, image.name)
            if replaced_by(prompt, [other for digest, other in found if digest == file.sha256]):
                raise PromptError(
                    "E_PROMPT_CONFLICT",
                    "--{kind} {text} contradicts what is given before it for {name}: an image has either one mask, or "
                    "one box and points that are either in the object or not.",
                    kind=one.kind,
                    text=one.text,
                    name=image.name,
                )
            found.append((file.sha256, prompt))
    check_positive([prompt for _, prompt in found])
    return found


def _prompt(one: WrittenPrompt, shape: tuple[int, int]) -> Prompt:
    if one.kind == "mask":
        return on_pixels.mask(read_picture_mask(Path(one.text), shape))
    parts = [part.strip() for part in one.text.split(",")]
    if one.kind == "box":
        x0, y0, x1, y1 = numbers_in(parts, 4, one.text, "--box", "x0,y0,x1,y1")
        return on_pixels.box(x0, y0, x1, y1)
    sign = parts.pop() if parts and parts[-1] in ("+", "-") else "+"
    x, y = numbers_in(parts, 2, one.text, "--point", "x,y or x,y,+ or x,y,-")
    return on_pixels.point(x, y, sign == "+")
