"""How differently the self-sorting bank and the temporal one remember: which slices each shows, and what becomes of it.

    python -m Testing.benchmarks.bank_overlap [SYNTHETIC]      (default: 24)

For each object a box on its largest slice is propagated along k with either bank. Compared over the slices that both
followed: the Jaccard index of the slices whose memory the network was shown, how far those lie away, and the masks.
The real data joins where it is there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch

from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.evaluation.prompts import box_on, largest_slice
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.engine import SELF_SORTING, TEMPORAL, Sam2Engine, options_for, stop_rule_for
from MedSAM2Lib.types import BankView, BoolArray, PropagationRequest
from MedSAM2Lib.volume.volume import Volume
from MedSAM2Lib.weights.loading import LoadedModel, load_network
from Testing.benchmarks.bank_order import cases


@dataclass(frozen=True)
class Overlap:
    """Of one object: slices followed by both, slices kept by the self-sorting bank, agreement, distance, Dice."""

    followed: int
    kept: int
    jaccard: float
    identical: float
    distance_temporal: float
    distance_self_sorting: float
    masks: float
    truth_temporal: float
    truth_self_sorting: float


def propagated(model: LoadedModel, volume: Volume, truth: BoolArray, memory: str) -> tuple[BankView, BoolArray]:
    """What a bank held and showed, and the mask."""
    context = ExecutionContext(torch.device("cpu"), torch.float32)
    session = Sam2Engine(model.network, context, options_for(model.config, None, None, "auto", memory)).open(volume)
    organ = session.add_object("object")
    session.add_prompt(organ, box_on(truth, "k", largest_slice(truth, "k")))
    mask = np.zeros(volume.shape, dtype=bool)
    for result in session.propagate(PropagationRequest("k", stop=stop_rule_for(model.config, True))):
        mask[result.key.index] = session.voxel_logits(result) > 0
    return session.bank(organ, "k"), mask


def overlap(model: LoadedModel, volume: Volume, truth: BoolArray) -> Overlap | None:
    """None where nothing was followed from the prompted slice."""
    temporal, mask = propagated(model, volume, truth, TEMPORAL)
    sorting, sorted_mask = propagated(model, volume, truth, SELF_SORTING)
    both = [index for index in sorted(set(temporal.shown) & set(sorting.shown)) if temporal.shown[index]]
    if not both:
        return None
    sets = [(set(temporal.shown[index]), set(sorting.shown[index])) for index in both]
    return Overlap(
        len(both),
        len(sorting.slices),
        float(np.mean([len(a & b) / len(a | b) for a, b in sets])),
        float(np.mean([a == b for a, b in sets])),
        *(float(np.mean([_distance(bank, index) for index in both])) for bank in (temporal, sorting)),
        dice(mask, sorted_mask),
        dice(mask, truth),
        dice(sorted_mask, truth),
    )


def _distance(bank: BankView, index: int) -> float:
    return float(np.mean([abs(index - shown) for shown in bank.shown[index]]))


def main(arguments: Sequence[str]) -> None:
    """Prints a table as Markdown."""
    torch.set_num_threads(1)
    model = load_network("embedded")
    found = {name: overlap(model, *rest) for name, *rest in cases(int(arguments[0]) if arguments else 24)}
    print(f"model {model.name}, sha256 {model.checksum[:12]}\n")
    print(
        "| object | slices | kept | Jaccard of shown | identical | distance temporal | self-sorting | Dice of masks "
        "| Dice temporal | self-sorting |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    rows = {name: astuple(one) for name, one in found.items() if one is not None}
    rows["mean"] = tuple(np.mean(list(rows.values()), axis=0))
    for name, row in rows.items():
        print(f"| {name} | {row[0]:.0f} | {row[1]:.0f} | " + " | ".join(f"{value:.3f}" for value in row[2:]) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
