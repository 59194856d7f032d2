"""What the embedded model reaches on synthetic objects that no training saw and on real CT, beside what it must beat.

    python -m Testing.benchmarks.embedded_model [--model MODEL] [--synthetic N] [--no-real] [--at largest|quarter]
        [--only-required]

Prompts are made from the truth on one slice along k: its tight box, its deepest point, or that point and then the true
mask of the slice where the result differs most. Dice on the prompted slice (2D) and in 3D; paired differences of the
default (self-sorting memory, three orientations) to each baseline, with n and a 95 % interval.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.evaluation.rounds import Round, rounds
from MedSAM2Lib.evaluation.running import ReadyModel, SharedFeatures, segment_case
from MedSAM2Lib.evaluation.settings import Setting
from MedSAM2Lib.evaluation.statistics import paired_difference
from MedSAM2Lib.evaluation.synthetic import SyntheticSource
from MedSAM2Lib.evaluation.users import SLICE_CHOICES, PromptingUser
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.volume.io import read_volume
from MedSAM2Lib.weights.loading import load_network
from Testing.benchmarks.classical import GrowCut, RegionGrowing

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CORE = {1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "liver", 6: "stomach"}
OTHERS = {
    7: "pancreas",
    14: "lung lobe",
    19: "duodenum",
    20: "colon",
    31: "vertebra",
    52: "aorta",
    63: "vena cava",
    79: "spinal cord",
}
SYNTHETIC, ORGANS, STRUCTURES, LESIONS = "synthetic", "6 organs", "14 structures", "lesions"
DEFAULT = Setting("three orientations", memory="self-sorting", orientations="3")
SINGLE = Setting("one orientation", memory="self-sorting")
REQUIRED = (
    DEFAULT,
    SINGLE,
    Setting("key slice as only memory", memory="key-slice"),
    Setting("no memory", memory="none"),
    Setting("true key slice, true extent", memory="repeated-within"),
)
"""The default and what it must be ahead of."""
OTHERS_OF_INTEREST = (
    Setting("orientations worth it", memory="self-sorting", orientations="auto"),
    Setting("code's rule, one orientation", memory="self-sorting", self_sorting=SelfSortingOptions(rule="code")),
    Setting("temporal, three orientations", memory="temporal", orientations="3"),
    Setting("temporal, one orientation", memory="temporal"),
)
CLASSICAL = {"GrowCut": GrowCut, "region growing": RegionGrowing}


@dataclass(frozen=True)
class Score:
    """Dice of one object with one method from one prompt: on the prompted slice, and in 3D."""

    case: str
    groups: tuple[str, ...]
    method: str
    prompt: str
    on_slice: float
    in_volume: float


def real_cases(data: Path) -> Iterator[tuple[Case, tuple[str, ...]]]:
    """Objects of one abdomen and three lesions, with the groups they count in."""
    abdomen = read_volume(data / "ct_abdomen" / "ct.nii.gz")
    labels = read_volume(data / "ct_abdomen" / "organs.nii.gz").array
    for label, name in {**CORE, **OTHERS}.items():
        yield Case(name, abdomen, labels == label), (ORGANS, STRUCTURES) if label in CORE else (STRUCTURES,)
    for file in sorted((data / "ct_lesions").glob("*.npz")):
        yield Case(file.stem[:16], read_volume(file), np.load(file)["gts"] > 0), (LESIONS,)


def scores_of(
    model: ReadyModel, case: Case, groups: tuple[str, ...], at: str, settings: Sequence[Setting]
) -> Iterator[Score]:
    """Every method and prompt on one object."""
    index = SLICE_CHOICES[at](case.truth, "k")
    shared = SharedFeatures()
    box, click = PromptingUser("box", at), PromptingUser("click", at)
    corrected = PromptingUser("click", at, corrections=1, correct_by="slice")

    def score(method: str, prompt: str, found: Round) -> Score:
        on_slice = dice(found.mask[index], case.truth[index])
        return Score(case.name, groups, method, prompt, on_slice, dice(found.mask, case.truth))

    for setting in settings:
        (by_box,) = segment_case(model, case, setting, box, shared)
        yield score(setting.name, "box", by_box)
        if setting is DEFAULT:
            for prompt, found in zip(
                ("click", "click, 1 slice corrected"), segment_case(model, case, setting, corrected, shared)
            ):
                yield score(setting.name, prompt, found)
        else:
            (by_click,) = segment_case(model, case, setting, click, shared)
            yield score(setting.name, "click", by_click)
    for name, method in CLASSICAL.items():
        for user in (box, click):
            (found,) = rounds(method(case), case, user)
            yield score(name, user.prompt, found)


def table(found: list[Score], groups: list[str]) -> str:
    """Means as Markdown."""
    counts = {group: len({one.case for one in found if group in one.groups}) for group in groups}
    lines = ["| prompt, method | " + " | ".join(f"{group} ({counts[group]}) 2D | 3D" for group in groups) + " |"]
    lines.append("|---|" + "---|---|" * len(groups))
    for prompt, method in dict.fromkeys((one.prompt, one.method) for one in sorted(found, key=lambda one: one.prompt)):
        cells = []
        for group in groups:
            here = [one for one in found if (one.prompt, one.method) == (prompt, method) and group in one.groups]
            cells += [
                f"{np.mean([one.on_slice for one in here]):.3f}",
                f"{np.mean([one.in_volume for one in here]):.3f}",
            ]
        lines.append(f"| {prompt}: {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(found: list[Score], groups: list[str]) -> str:
    """The default less each other method in 3D, the same objects, as Markdown."""
    lines = ["| default less, 3D | " + " | ".join(groups) + " |", "|---|" + "---|" * len(groups)]
    values = {(one.case, one.method, one.prompt): one.in_volume for one in found}
    methods = [method for method in dict.fromkeys(one.method for one in found) if method != DEFAULT.name]
    for prompt in ("box", "click"):
        for method in methods:
            cells = []
            for group in groups:
                cases = list(dict.fromkeys(one.case for one in found if group in one.groups))
                pairs = [(values[case, DEFAULT.name, prompt], values[case, method, prompt]) for case in cases]
                one = paired_difference([pair[0] for pair in pairs], [pair[1] for pair in pairs])
                cells.append(f"{one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f}), ahead {one.wins} of {one.n}")
            lines.append(f"| {prompt}: {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--synthetic", type=int, default=200, help="synthetic objects (default 200; 0 for none)")
    parser.add_argument("--no-real", action="store_true")
    parser.add_argument("--at", choices=tuple(SLICE_CHOICES), default="largest", help="the prompted slice")
    parser.add_argument("--only-required", action="store_true", help="the default and what it must be ahead of")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = ReadyModel(load_network(options.model), ExecutionContext(torch.device("cpu"), torch.float32))
    source = SyntheticSource(options.synthetic, seed=3) if options.synthetic else None
    cases = [] if source is None else [(case, (SYNTHETIC,)) for case in source.cases()]
    if not options.no_real and SHARED_DATA.is_dir():
        cases += list(real_cases(SHARED_DATA))
    settings = REQUIRED if options.only_required else (*REQUIRED, *OTHERS_OF_INTEREST)
    found: list[Score] = []
    started = time.monotonic()
    for number, (case, groups) in enumerate(cases):
        found += scores_of(model, case, groups, options.at, settings)
        print(f"{number + 1} of {len(cases)}, {time.monotonic() - started:.0f} s", end="\r", file=sys.stderr)
    groups = [group for group in (SYNTHETIC, ORGANS, STRUCTURES, LESIONS) if any(group in one.groups for one in found)]
    print(f"\nmodel {model.loaded.name}, sha256 {model.loaded.checksum[:12]}, prompted at {options.at}\n")
    print(table(found, groups), differences(found, groups), sep="\n\n")
    print(
        "\nobject by object, 3D, default: "
        + "; ".join(
            f"{one.case} {one.prompt} {one.in_volume:.3f}"
            for one in found
            if one.method == DEFAULT.name and SYNTHETIC not in one.groups
        )
    )


if __name__ == "__main__":
    main()
