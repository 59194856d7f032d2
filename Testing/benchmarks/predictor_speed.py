"""Ours beside the published predictor, whole propagations: hiera-tiny at 512, fp32, one thread, the same weights.

    python -m Testing.benchmarks.predictor_speed [SLICES] [REPEATS]

CPU seconds for each slice, interleaved, the best of the repeats. Prints the ratio published / ours: above 1 is faster.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from Testing.engine import reference_sam2 as reference
from Testing.engine.reference_tracking import our_logits, prompts_for, their_logits

SIZE = 512


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main(arguments: Sequence[str]) -> None:
    """Prints seconds and the ratio."""
    slices, repeats = (
        (int(value) for value in [*arguments, "8", "2"][:2]) if len(arguments) < 2 else map(int, arguments)
    )
    torch.set_num_threads(1)
    predictor, network = reference.build_both(reference.ReferenceSize(), "2.1", SIZE)
    pixels: Tensor = reference.random_slices(slices, SIZE)
    prompts = prompts_for("click", SIZE)
    ours, theirs = [], []
    for _ in range(repeats):
        theirs.append(cpu_seconds(lambda: their_logits(predictor, pixels, prompts)))
        ours.append(cpu_seconds(lambda: our_logits(network, pixels, prompts)))
    best_ours, best_theirs = min(ours) / slices, min(theirs) / slices
    print(f"published {best_theirs:.3f} s/slice, ours {best_ours:.3f} s/slice, ratio {best_theirs / best_ours:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
