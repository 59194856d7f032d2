"""How a set of images is worked through; plain data, so that a command's help can name the defaults without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from MedSAM2Lib.memory.options import SelfSortingOptions

Memory = Literal["self-sorting", "temporal", "none"]
Order = Literal["content", "free"]

MEMORIES: tuple[Memory, ...] = ("self-sorting", "temporal", "none")
ORDERS: tuple[Order, ...] = ("content", "free")

LEAST_CONFIDENCE_IN_WINDOWS = 0.75
"""On 96 synthetic images of sets for choosing, one body and several: Dice .91 and .77 as at 0.7, .91 and .72 at 0.8.

A mask comes in .36 and .27 of the images without the object; in .36 and .45 at 0.7, in .14 and none at 0.85, where Dice
is .91 and .64.
"""


@dataclass(frozen=True)
class ImageSetOptions:
    """How images are shown, what is remembered, and in which order they come.

    ``memory``: ``self-sorting`` (Medical SAM 2, as ``bank`` says), ``temporal`` (SAM 2's, over the order in which the
    images come) or ``none`` (each image is shown the prompted ones alone). ``order``: ``content``, the image most
    similar to those remembered comes next; ``free``, every image is first shown the prompted ones alone, the bank is
    chosen from all confident results at once, and every image is then shown that bank. ``zoom`` None shows whole
    images; else the object is looked for in windows, and looked at again in a region that many times its larger side.
    ``fit`` is how a whole image fills the square (``stretch`` or ``letterbox``). At or below ``least_confidence``
    (predicted IoU) an image's mask stays empty.
    """

    memory: Memory = "self-sorting"
    order: Order = "content"
    bank: SelfSortingOptions = field(default_factory=SelfSortingOptions)
    zoom: float | None = None
    fit: str = "stretch"
    least_confidence: float = 0.0


def usual_least_confidence(zoom: float | None) -> float:
    """The best of many windows needs a higher bar than one look at the whole image, where the object score decides."""
    return 0.0 if zoom is None else LEAST_CONFIDENCE_IN_WINDOWS
