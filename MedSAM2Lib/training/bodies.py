"""The synthetic bodies of a run: made where they are missing, by several processes, and read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.training.anatomy import LabelVolume
from MedSAM2Lib.training.pool import body_path, fill_pool, load_body, make_body, save_body
from MedSAM2Lib.training.sampling import Body

REPORT_EVERY = 50


def load_bodies(folder: Path, seeds: range, workers: int, report: Callable[[str], None]) -> list[Body]:
    """The bodies of these seeds, in their order, whatever the number of workers (0: this process alone).

    Raises OutputError ``E_RUN_NOT_SAVED`` where one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not body_path(folder, seed).exists()]
    if missing:
        report(f"making {len(missing)} synthetic bodies in {folder}")
    make = partial(_make, folder)
    if workers > 1:
        with ProcessPoolExecutor(workers) as processes:
            _count(processes.map(make, missing), len(missing), report)
    else:
        _count(map(make, missing), len(missing), report)
    return [Body.of(_load(folder, seed, report)) for seed in seeds]


def _load(folder: Path, seed: int, report: Callable[[str], None]) -> LabelVolume:
    """The body of a seed, made again where its file is damaged."""
    path = body_path(folder, seed)
    try:
        return load_body(path)
    except InputError:
        report(f"{path} is damaged: it is made again")
        save_body(make_body(seed), path)
        return load_body(path)


def _make(folder: Path, seed: int) -> None:
    fill_pool(folder, range(seed, seed + 1))


def _count(made: Iterable[None], total: int, report: Callable[[str], None]) -> None:
    for number, _ in enumerate(made, 1):
        if number % REPORT_EVERY == 0:
            report(f"{number} of {total} bodies")
