"""A pool of label volumes on disk: made once, read back at every run.

Files are ``body-<seed>-v<version>.npz`` with the arrays of ``LabelVolume``. The version is the generator's, so bodies
of an older generator are never taken for the present one's.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.training.abdomen import make_abdomen
from MedSAM2Lib.training.anatomy import GRID_SHAPE, LabelVolume, make_label_volume
from MedSAM2Lib.training.files import DAMAGED, saving

GENERATOR_VERSION = 2
HELD_OUT_FROM = 900_000
ALL_GEOMETRIC_FROM = 910_000


def make_body(seed: int) -> LabelVolume:
    """The body of a seed: an abdomen for two seeds of three, else geometric anatomy; only that from seed 910,000 on.

    Those last seeds are the evaluation's, whose objects must not change with the training's bodies.
    """
    if seed >= ALL_GEOMETRIC_FROM or seed % 3 == 2:
        return make_label_volume(seed)
    return make_abdomen(seed, GRID_SHAPE)


def body_path(folder: Path, seed: int) -> Path:
    """Where the body of that seed lies."""
    return folder / f"body-{seed:06d}-v{GENERATOR_VERSION}.npz"


def save_body(volume: LabelVolume, path: Path) -> None:
    """Write one body; a half-written file never appears under its name, also where two runs fill one pool.

    Raises OutputError ``E_RUN_NOT_SAVED``.
    """
    contacts = np.zeros((0, 0), dtype=bool) if volume.contacts is None else volume.contacts
    labels, tissues, targets = volume.labels, volume.tissues, volume.targets
    with saving(path, f"part-{os.getpid()}") as part:
        np.savez_compressed(part, labels=labels, tissues=tissues, targets=targets, contacts=contacts)


def load_body(path: Path) -> LabelVolume:
    """Read one body back. Raises InputError ``E_BODY_BROKEN``."""
    try:
        with np.load(path) as arrays:
            contacts = arrays["contacts"]
            anatomical = contacts if contacts.size else None
            return LabelVolume(arrays["labels"], arrays["tissues"], arrays["targets"], anatomical)
    except DAMAGED as error:
        raise InputError(
            "E_BODY_BROKEN", "{path} is no synthetic body, or is damaged: remove it, and it is made again.", path=path
        ) from error


def fill_pool(folder: Path, seeds: range) -> list[Path]:
    """Make the bodies that are not there yet; returns all paths in the order of the seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [body_path(folder, seed) for seed in seeds]
    for seed, path in zip(seeds, paths):
        if not path.exists():
            save_body(make_body(seed), path)
    return paths


def main() -> None:
    """``python -m MedSAM2Lib.training.pool --out FOLDER --count N``: fill a pool ahead of training."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--held-out", type=int, default=24)
    options = parser.parse_args()
    fill_pool(options.out, range(HELD_OUT_FROM, HELD_OUT_FROM + options.held_out))
    fill_pool(options.out, range(options.count))


if __name__ == "__main__":
    main()
