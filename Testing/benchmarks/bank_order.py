"""How much a self-sorting bank that is full depends on the order in which slices come to it.

    python -m Testing.benchmarks.bank_order [SYNTHETIC] [SHUFFLES]      (default: 24 10)

For each object a box on its largest slice is propagated along k with room for every slice. All confident slices are
then offered, in shuffled orders, to banks of a small capacity; each slice is segmented anew from what each bank holds
(without itself and without a neighbour). Compared are all pairs of orders: the tracked entries kept, and the masks.
The real data joins where it is there.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.evaluation.prompts import box_on, largest_slice
from MedSAM2Lib.evaluation.synthetic import SyntheticSource
from MedSAM2Lib.memory.bank import BankState, MemoryEntry, MemoryQuery
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.memory.self_sorting import SelfSortingMemory
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.engine import SELF_SORTING, Sam2Engine, options_for, stop_rule_for
from MedSAM2Lib.tracking.runner import TrackStep
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import BoolArray, PropagationRequest
from MedSAM2Lib.volume.volume import Volume
from MedSAM2Lib.weights.loading import LoadedModel, load_network
from Testing.benchmarks.real_ct import SHARED_DATA, real_cases

CAPACITIES = (4, 8, 16)
RULES = ("paper", "code")
ROOM_FOR_ALL = 100_000


@dataclass(frozen=True)
class Spread:
    """Means over all pairs of orders of one object: entries that differ, Jaccard of the kept sets, Dice of the masks.

    ``places`` is how many tracked entries a bank kept; ``truth`` the largest less the smallest Dice to the truth.
    """

    places: float
    differing: float
    jaccard: float
    dice: float
    truth: float


def propagated(model: LoadedModel, volume: Volume, truth: BoolArray) -> TrackingSession:
    """A session whose bank holds every confident slice."""
    options = SelfSortingOptions(capacity=ROOM_FOR_ALL)
    engine_options = options_for(model.config, None, None, "auto", SELF_SORTING, options)
    session = Sam2Engine(model.network, ExecutionContext(torch.device("cpu"), torch.float32), engine_options).open(
        volume
    )
    session.add_prompt(session.add_object("object"), box_on(truth, "k", largest_slice(truth, "k")))
    list(session.propagate(PropagationRequest("k", stop=stop_rule_for(model.config, True))))
    return session


def spread(session: TrackingSession, truth: BoolArray, options: SelfSortingOptions, shuffles: int) -> Spread | None:
    """The spread over shuffled orders; None where the bank is not filled beyond its capacity."""
    state = session.objects[1].axes["k"].tracker.bank.state()
    arriving = [replace(entry, direction=1) for entry in state.tracked]
    if len(arriving) + len(state.prompted) <= options.capacity:
        return None
    kept, masks = [], []
    for seed in range(shuffles):
        random.Random(seed).shuffle(arriving)
        bank = empty_bank(session, options)
        for entry in [*state.prompted, *arriving]:
            bank.add(entry)
        held = bank.state()
        kept.append({entry.slice_index for entry in held.tracked})
        masks.append(segmented(session, held, arriving, options))
    pairs = list(itertools.combinations(range(shuffles), 2))
    to_truth = [dice(mask, truth) for mask in masks]
    return Spread(
        float(np.mean([len(one) for one in kept])),
        float(np.mean([len(kept[a] - kept[b]) for a, b in pairs])),
        float(np.mean([len(kept[a] & kept[b]) / len(kept[a] | kept[b]) for a, b in pairs])),
        float(np.mean([dice(masks[a], masks[b]) for a, b in pairs])),
        max(to_truth) - min(to_truth),
    )


def empty_bank(session: TrackingSession, options: SelfSortingOptions) -> SelfSortingMemory:
    """A bank in the sizes of the session's network."""
    config = session.runner.config
    return SelfSortingMemory(options, config.memory_map_count, config.max_object_pointers)


def segmented(
    session: TrackingSession, held: BankState, entries: Sequence[MemoryEntry], options: SelfSortingOptions
) -> BoolArray:
    """Every tracked slice anew, from a bank without that slice; the prompted ones as they are."""
    mask = np.zeros(session.view.volume.shape, dtype=bool)
    stored = session.objects[1].updates[0].slices
    for key, one in stored.items():
        mask[key.index] = session.view.voxel_logits(one.frame, one.record.low_res_logits[0, 0].numpy()) > 0
    tracker = session.objects[1].axes["k"].tracker
    for entry in entries:
        bank = empty_bank(session, options)
        bank.restore(held)
        bank.discard(entry.slice_index)
        features = tracker.step(entry.slice_index, 1).features
        selection = bank.select(MemoryQuery(entry.slice_index, 1, len(mask), features.top))
        (outcome,) = session.runner.track([TrackStep(entry.slice_index, 1, features, selection)])
        frame = session.frame(1, next(key for key in stored if key.index == entry.slice_index))
        mask[entry.slice_index] = session.view.voxel_logits(frame, outcome.record.low_res_logits[0, 0].numpy()) > 0
    return mask


def cases(synthetic: int) -> Iterator[tuple[str, Volume, BoolArray]]:
    """Synthetic objects, then the real ones."""
    for case in SyntheticSource(synthetic).cases():
        yield case.name, case.volume, case.truth
    if SHARED_DATA.is_dir():
        for real in real_cases(SHARED_DATA):
            yield real.name, real.volume, real.truth


def main(arguments: Sequence[str]) -> None:
    """Prints a table as Markdown, one row for each rule and capacity."""
    torch.set_num_threads(1)
    synthetic, shuffles = (int(given) for given in [*arguments, *("24", "10")[len(arguments) :]])
    model = load_network("embedded")
    found: dict[tuple[str, int], list[Spread]] = {}
    for name, volume, truth in cases(synthetic):
        session = propagated(model, volume, truth)
        for rule, capacity in itertools.product(RULES, CAPACITIES):
            options = SelfSortingOptions(capacity=capacity, rule=rule, neighbour=False)  # type: ignore[arg-type]
            one = spread(session, truth, options, shuffles)
            if one is not None:
                found.setdefault((rule, capacity), []).append(one)
        print(f"{name}: done", file=sys.stderr)
    print(
        "| rule | K | objects | tracked kept | differing | Jaccard | Dice of masks | least | range of Dice to truth |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for (rule, capacity), spreads in sorted(found.items()):
        columns = [np.array([getattr(one, field) for one in spreads]) for field in Spread.__dataclass_fields__]
        places, differing, jaccard, alike, to_truth = (column.mean() for column in columns)
        print(
            f"| {rule} | {capacity} | {len(spreads)} | {places:.1f} | {differing:.2f} | {jaccard:.3f} | {alike:.4f} | "
            f"{columns[3].min():.4f} | {to_truth:.4f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
