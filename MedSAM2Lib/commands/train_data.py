"""What `medsam2 train` trains on: synthetic bodies, or a user's cases. Nothing is read before it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from MedSAM2Lib.evaluation.folders import FolderSource
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.training.batches import BatchMaker
from MedSAM2Lib.training.bodies import load_bodies
from MedSAM2Lib.training.case_clips import CaseMaker
from MedSAM2Lib.training.cases import CaseFiles, TrainingCase, find_cases, fingerprint, read_cases, split_cases
from MedSAM2Lib.training.clips import ClipMaker
from MedSAM2Lib.training.configuration import TrainingConfig
from MedSAM2Lib.training.pool import HELD_OUT_FROM
from MedSAM2Lib.training.validation import VALIDATION_SEED, Validator

Report = Callable[[str], None]
Made = tuple[BatchMaker, "Validator | None"]


@dataclass(frozen=True)
class TrainingData:
    """``told`` goes into the run's notes, and a resumed run must tell the same; ``make`` reads and prepares."""

    told: str
    make: Callable[[TrainingConfig, NetworkConfig, Report], Made]


def synthetic_data(config: TrainingConfig) -> TrainingData:
    """Procedurally made bodies."""
    return TrainingData("synthetic anatomy", _make_synthetic)


def case_data(folder: Path) -> TrainingData:
    """A user's cases; raises InputError for a folder that holds none, or images or masks without their partner."""
    files = find_case_files(folder)
    return TrainingData(
        f"{len(files)} cases, {fingerprint(files)}",
        lambda config, network, report: _make_cases(folder, files, config, network, report),
    )


def find_case_files(folder: Path) -> list[CaseFiles]:
    """Cases in folders of their own, or pairs as ``medsam2 evaluate`` finds them. Raises InputError."""
    found = find_cases(folder) if folder.is_dir() else []
    if found:
        return found
    return [CaseFiles(pair.name, pair.image, pair.labels) for pair in FolderSource.of(folder).pairs]


def _make_synthetic(config: TrainingConfig, network: NetworkConfig, report: Report) -> Made:
    pool = Path(config.pool)
    held_out = load_bodies(pool, range(HELD_OUT_FROM, HELD_OUT_FROM + config.held_out), config.workers, report)
    bodies = load_bodies(pool, range(config.bodies), config.workers, report)
    maker = ClipMaker(bodies, network.image_size, config.seed)
    if not held_out:
        return maker, None
    return maker, _validator(ClipMaker(held_out, network.image_size, VALIDATION_SEED), config)


def _make_cases(
    folder: Path, files: list[CaseFiles], config: TrainingConfig, network: NetworkConfig, report: Report
) -> Made:
    cases = read_cases(folder, files, lambda case: report(_described(case)))
    trained, held_out = split_cases(cases, config.held_out_share, config.seed)
    names = ", ".join(case.name for case in held_out) or "none: the training loss alone tells how it goes"
    count = "1 case takes" if len(cases) == 1 else f"{len(cases)} cases take"
    report(f"{count} {sum(case.bytes for case in cases) / 1e9:.2f} GB; held out: {names}")
    maker = CaseMaker(trained, network, config.seed)
    if not held_out:
        return maker, None
    return maker, _validator(CaseMaker(held_out, network, VALIDATION_SEED, varied=False), config)


def _validator(maker: BatchMaker, config: TrainingConfig) -> Validator:
    return Validator(maker, config.validation_slices, config.validation_clips, config.validation_frames)


def _described(case: TrainingCase) -> str:
    objects = ", ".join(each.name for each in case.objects)
    size = " x ".join(str(length) for length in reversed(case.volume.shape))
    return f"{case.name}: {size}, window {case.window.low:g} to {case.window.high:g}, {objects}"
