"""The embedded model on real CT, from one box and from one click: 2D and 3D Dice, beside the key slice repeated.

    python -m Testing.benchmarks.real_ct [MODEL]      (default: embedded)

Prompts are made from the truth on the object's largest slice along k: its tight box, or its deepest point.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.evaluation.prompts import box_on, click_on, largest_slice
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.engine import Sam2Engine, options_for, stop_rule_for
from MedSAM2Lib.types import BoolArray, Prompt, PropagationRequest
from MedSAM2Lib.volume.io import read_volume
from MedSAM2Lib.volume.volume import Volume
from MedSAM2Lib.weights.loading import LoadedModel, load_network

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ORGANS = {"spleen": 1, "right kidney": 2, "left kidney": 3, "gallbladder": 4, "liver": 5, "stomach": 6}


@dataclass(frozen=True, eq=False)
class RealCase:
    """One object in one volume."""

    name: str
    volume: Volume
    truth: BoolArray


@dataclass(frozen=True)
class Scores:
    """Dice from one prompt: on the prompted slice, in 3D, and the number of slices computed."""

    slice_dice: float
    volume_dice: float
    slices: int


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    box: Scores
    click: Scores
    repeated: float


def real_cases(data: Path) -> Iterator[RealCase]:
    """Six organs of one abdomen and three lesions."""
    abdomen = read_volume(data / "ct_abdomen" / "ct.nii.gz")
    labels = read_volume(data / "ct_abdomen" / "organs.nii.gz").array
    for name, label in ORGANS.items():
        yield RealCase(name, abdomen, labels == label)
    for file in sorted((data / "ct_lesions").glob("*.npz")):
        yield RealCase(file.stem[:16], read_volume(file), np.load(file)["gts"] > 0)


def scores(model: LoadedModel, case: RealCase, prompt: Prompt) -> Scores:
    """What one prompt gives, with the defaults of `medsam2 segment`."""
    context = ExecutionContext(torch.device("cpu"), torch.float32)
    options = options_for(model.config, None, None, "auto", "temporal")
    session = Sam2Engine(model.network, context, options).open(case.volume)
    object_id = session.add_object(case.name)
    session.add_prompt(object_id, prompt)
    mask = np.zeros(case.truth.shape, dtype=bool)
    request = PropagationRequest("k", stop=stop_rule_for(model.config, True))
    results = 0
    for result in session.propagate(request):
        mask[result.key.index] = session.voxel_logits(result) > 0
        results += 1
    index = prompt.slice.index
    return Scores(dice(mask[index], case.truth[index]), dice(mask, case.truth), results)


def rows(model: LoadedModel, cases: Iterator[RealCase]) -> list[Row]:
    """The table; ``repeated`` is the true mask of the key slice on every slice."""
    found = []
    for case in cases:
        index = largest_slice(case.truth, "k")
        repeated = np.broadcast_to(case.truth[index], case.truth.shape)
        box = scores(model, case, box_on(case.truth, "k", index))
        click = scores(model, case, click_on(case.truth, "k", index))
        found.append(Row(case.name, box, click, dice(repeated, case.truth)))
    return found


def main(arguments: Sequence[str]) -> None:
    """Prints the table as Markdown."""
    torch.set_num_threads(1)
    model = load_network(arguments[0] if arguments else "embedded")
    print(f"model {model.name}, sha256 {model.checksum[:12]}\n")
    print("| object | box 2D | box 3D | click 2D | click 3D | key slice repeated 3D |\n|---|---|---|---|---|---|")
    table = rows(model, real_cases(SHARED_DATA))
    groups = {"mean organs": table[: len(ORGANS)], "mean lesions": table[len(ORGANS) :], "mean of all": table}
    for row in table:
        print(line(row.name, [row]))
    for name, members in groups.items():
        print(line(name, members))
    ahead = sum(row.box.volume_dice > row.repeated for row in table)
    print(f"\nbox 3D ahead of the key slice repeated in {ahead} of {len(table)}")


def line(name: str, members: Sequence[Row]) -> str:
    """One line: means over ``members``."""
    values = [
        [row.box.slice_dice, row.box.volume_dice, row.click.slice_dice, row.click.volume_dice, row.repeated]
        for row in members
    ]
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in np.mean(values, axis=0)) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
