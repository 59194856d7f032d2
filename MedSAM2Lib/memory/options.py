"""How a self-sorting memory bank chooses; plain data, so that a command's help can name the defaults without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rule = Literal["paper", "code"]
Resampling = Literal["most-similar", "drawn"]


@dataclass(frozen=True)
class SelfSortingOptions:
    """How the bank chooses.

    ``capacity``: entries kept for each direction, prompted ones included (16 in the released code); prompted slices
    never leave, and more of them than ``capacity`` make it grow. ``rule``: ``paper``, the entry with the least total
    dissimilarity leaves; ``code``, as released. ``least_iou``: a newcomer's predicted IoU must be over it. ``margin``:
    how much less confident than the one that leaves a newcomer may be. ``shown``: tracked maps shown to a slice.
    ``resampling``: the most similar ones by image embedding, or drawn with replacement as released, with ``seed``.
    ``neighbour``: whether the slice tracked just before is shown as well.
    """

    capacity: int = 16
    rule: Rule = "paper"
    least_iou: float = 0.5
    margin: float = 0.1
    shown: int = 6
    resampling: Resampling = "most-similar"
    neighbour: bool = True
    seed: int = 0
