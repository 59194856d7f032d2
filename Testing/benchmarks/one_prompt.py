"""One-Prompt segmentation of unordered sets by each memory, with the embedded model.

    python -m Testing.benchmarks.one_prompt [--bodies FOLDER] [--sets N] [--images N] [--shuffles N] [--no-real]
        [--model MODEL]

Sets: synthetic images of one organ in one body, and in several bodies; slices of a real CT as 8-bit images in the
soft-tissue window, one set an organ. One image is prompted by the tight box of the truth: the first one with the
object, of the real ones the slice that shows most of it. Dice is over the other images with the object, the
false-positive rate over those without it. Each set is also shuffled: masks must be identical.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.evaluation.prompts import box_around, largest_slice
from MedSAM2Lib.evaluation.statistics import paired_difference
from MedSAM2Lib.imageset import prompts
from MedSAM2Lib.imageset.images import KEY, Pixels
from MedSAM2Lib.imageset.images import SetImage as SessionImage
from MedSAM2Lib.imageset.options import ImageSetOptions, usual_least_confidence
from MedSAM2Lib.imageset.session import ImageSetSession
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.features import FeatureCache
from MedSAM2Lib.tracking.runner import NetworkRunner
from MedSAM2Lib.volume.intensity import CT_PRESETS
from MedSAM2Lib.volume.io import read_volume
from MedSAM2Lib.weights.loading import LoadedModel, load_network
from Testing.benchmarks.unordered_sets import SetImage, held_out_bodies, make_set

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ORGANS = {"spleen": 1, "right kidney": 2, "left kidney": 3, "gallbladder": 4, "liver": 5, "stomach": 6}
BODIES, BODIES_USED_BEFORE = 16, 8
SETTINGS: dict[str, dict[str, object]] = {
    "none": {"memory": "none"},
    "temporal": {"memory": "temporal"},
    "self-sorting, rule paper": {},
    "self-sorting, order-free": {"order": "free"},
    "self-sorting, masks over 0.85 only": {"least_confidence": 0.85},
    "self-sorting, all masks kept": {"least_confidence": 0.0},
    "none, all masks kept": {"memory": "none", "least_confidence": 0.0},
    "temporal, all masks kept": {"memory": "temporal", "least_confidence": 0.0},
    "self-sorting, rule code": {"bank": SelfSortingOptions(rule="code")},
}
MORE_PROMPTS = 4


@dataclass(frozen=True, eq=False)
class Group:
    """Sets of one kind; in each the first image is the one to prompt. ``features`` are kept for all settings."""

    name: str
    sets: list[list[SetImage]]
    features: dict[int, FeatureCache] = field(default_factory=dict)

    def features_of(self, number: int) -> FeatureCache:
        """Image features of a set, made once."""
        return self.features.setdefault(number, FeatureCache(torch.device("cpu")))


@dataclass(frozen=True)
class Score:
    """One image: which it is, whether it shows the object, and Dice, or for images without it whether a mask came."""

    image: str
    present: bool
    value: float


def synthetic_groups(folder: Path, count: int, size: int) -> list[Group]:
    """``count`` sets a kind, of ``size`` images, from bodies that no choice was made on."""
    bodies = held_out_bodies(folder, BODIES)[BODIES_USED_BEFORE:]
    return [
        Group(name, [make_set(bodies, seed, size, several) for seed in range(count)])
        for name, several in (("one body", False), ("several bodies", True))
    ]


def real_group(data: Path) -> Group:
    """One set an organ, of all slices along k, the one to prompt first."""
    volume = read_volume(data / "ct_abdomen" / "ct.nii.gz").array
    labels = read_volume(data / "ct_abdomen" / "organs.nii.gz").array
    pixels = CT_PRESETS["soft-tissue"].to_bytes(volume)
    sets = []
    for label in ORGANS.values():
        truth = labels == label
        key = largest_slice(truth, "k")
        order = [key, *(index for index in range(len(pixels)) if index != key)]
        sets.append([SetImage(f"{index:03d}.png", pixels[index], truth[index]) for index in order])
    return Group("real CT", sets)


def session_on(
    model: LoadedModel, images: Sequence[SetImage], changes: dict[str, object], features: FeatureCache
) -> ImageSetSession:
    """A session with what `medsam2 imageset` takes by default, but for ``changes``."""
    context = ExecutionContext(torch.device("cpu"), torch.float32)
    runner = NetworkRunner(model.network, context, features.move_to_host)
    zoom = model.config.zoom
    usual = {"zoom": zoom, "fit": model.config.fit, "least_confidence": usual_least_confidence(zoom)}
    return ImageSetSession(
        [_session_image(image) for image in images], runner, features, ImageSetOptions(**{**usual, **changes})
    )


def run(session: ImageSetSession, images: Sequence[SetImage], prompted: int = 1) -> dict[str, np.ndarray]:
    """The masks by image name, of the images that are not prompted."""
    with_object = [image for image in images if image.truth.any()][:prompted]
    for image in with_object:
        prompt = box_around(image.truth, KEY.axis, KEY.index) if prompted == 1 else prompts.mask(image.truth)
        session.add_prompt(session.place_of(digest(image)), prompt)
    names = {digest(image): image.name for image in images}
    return {
        names[session.images[result.place].identity]: session.mask(result)
        for result in session.run()
        if not result.prompted
    }


def scores(masks: dict[str, np.ndarray], images: Sequence[SetImage], number: int) -> list[Score]:
    """Scores of a set's images."""
    truths = {image.name: image.truth for image in images}
    return [
        Score(
            f"{number}/{name}",
            bool(truths[name].any()),
            dice(mask, truths[name]) if truths[name].any() else float(mask.any()),
        )
        for name, mask in sorted(masks.items())
    ]


def scored(model: LoadedModel, group: Group, changes: dict[str, object], prompted: int = 1) -> list[Score]:
    """All scores of a group in one setting."""
    return [
        score
        for number, images in enumerate(group.sets)
        for score in scores(
            run(session_on(model, images, changes, group.features_of(number)), images, prompted), images, number
        )
    ]


def spread(model: LoadedModel, group: Group, changes: dict[str, object], shuffles: int) -> tuple[int, float]:
    """Over shuffles of a group's first set: how many gave other masks, and the spread of the mean Dice in points."""
    images = group.sets[0]
    first: dict[str, np.ndarray] | None = None
    others, means = 0, []
    for seed in range(shuffles):
        order = np.random.default_rng(seed).permutation(len(images))
        session = session_on(model, [images[place] for place in order], changes, group.features_of(0))
        masks = run(session, images)
        first = first or masks
        others += any(not np.array_equal(masks[name], first[name]) for name in first)
        means.append(np.mean([one.value for one in scores(masks, images, 0) if one.present]))
    return others, 100 * float(max(means) - min(means))


def digest(image: SetImage) -> str:
    """What stands for the file's digest."""
    return hashlib.sha256(repr(image.pixels.shape).encode() + image.pixels.tobytes()).hexdigest()


def _session_image(image: SetImage) -> SessionImage:
    shape = (image.pixels.shape[0], image.pixels.shape[1])
    return SessionImage(digest(image), shape, (image.name,), lambda: Pixels(image.pixels))


def cells(found: Sequence[Score]) -> str:
    """Mean Dice and false-positive rate."""
    having = [one.value for one in found if one.present]
    without = [one.value for one in found if not one.present]
    return f"{np.mean(having):.3f} | {np.mean(without):.2f} " if without else f"{np.mean(having):.3f} | - "


def table(model: LoadedModel, groups: Sequence[Group], say: Callable[[str], None]) -> None:
    """One line a setting; then the paired differences to the self-sorting memory."""
    counts = [sum(map(len, group.sets)) for group in groups]
    say("| memory | " + " | ".join(f"{g.name} ({n} images): Dice | FP" for g, n in zip(groups, counts)) + " |")
    say("|---|" + "---|---|" * len(groups))
    found: dict[str, list[list[Score]]] = {}
    for name, changes in SETTINGS.items():
        found[name] = [scored(model, group, changes) for group in groups]
        say(f"| {name} | " + "| ".join(map(cells, found[name])) + "|")
    for name in ("none", "self-sorting, rule paper"):
        more = [scored(model, group, SETTINGS[name], MORE_PROMPTS) for group in groups]
        say(f"| {name}; {MORE_PROMPTS} images given with their true masks | " + "| ".join(map(cells, more)) + "|")
    say("\nDice of self-sorting (rule paper) less that of others, the same images with the object, 95 % interval:")
    for name in ("none", "temporal"):
        parts = []
        for group, reference, ours in zip(groups, found[name], found["self-sorting, rule paper"]):
            pairs = [(one.value, other.value) for one, other in zip(ours, reference) if one.present]
            difference = paired_difference(*(np.array(values) for values in zip(*pairs)))
            parts.append(f"{group.name} {difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})")
        say(f"- {name}: " + "; ".join(parts))


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", type=Path, default=Path(tempfile.gettempdir()) / "medsam2-unordered-bodies")
    parser.add_argument("--model", default="embedded", help="a model's name or a checkpoint (default embedded)")
    parser.add_argument("--sets", type=int, default=2, help="synthetic sets of each kind (default 2)")
    parser.add_argument("--images", type=int, default=100, help="images in each synthetic set (default 100)")
    parser.add_argument("--shuffles", type=int, default=10, help="shuffles of one set of each kind (default 10)")
    parser.add_argument("--no-real", action="store_true", help="leave the real CT out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_network(options.model)
    groups = synthetic_groups(options.bodies, options.sets, options.images)
    if not options.no_real and SHARED_DATA.is_dir():
        groups.append(real_group(SHARED_DATA))

    def say(line: str) -> None:
        print(line, flush=True)

    say(f"model {model.name}, sha256 {model.checksum[:12]}\n")
    table(model, groups, say)
    say(f"\n{options.shuffles} shuffles of one set of each kind: shuffles with other masks, spread of Dice in points:")
    for name in ("self-sorting, capacity 4", "order-free"):
        changes: dict[str, object] = {"bank": SelfSortingOptions(capacity=4)}
        changes |= {"order": "free"} if name == "order-free" else {}
        told = [f"{g.name} %d, %.2f" % spread(model, g, changes, options.shuffles) for g in groups]
        say(f"- {name}: " + "; ".join(told))


if __name__ == "__main__":
    main()
