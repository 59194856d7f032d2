"""What `medsam2 segment` works with: its settings, a model made ready, and what came out for one volume."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.commands.bank_options import BankChoice
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import Axis, Orientations, SliceResult
from MedSAM2Lib.volume.volume import Volume
from MedSAM2Lib.weights.loading import LoadedModel

EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class SegmentSettings:
    """The options of ``medsam2 segment``, typed; ``range`` is inclusive, ``stop`` whether the stop rule is on.

    ``dicom_seg`` is the folder of a DICOM-SEG, ``segments`` the file that describes its segments.
    """

    volume: Path | None
    out: Path
    logits: Path | None = None
    report: Path | None = None
    series: str | None = None
    axis: Axis = "k"
    orientations: Orientations = "3"
    memory: str = "self-sorting"
    bank: BankChoice = field(default_factory=BankChoice)
    range: tuple[int, int] | None = None
    stop: bool = True
    model: str = "embedded"
    image_size: int | None = None
    device: str = "auto"
    precision: str = "auto"
    window: str = "auto"
    fit: str | None = None
    zoom: str = "auto"
    seed: int = 0
    dicom_seg: Path | None = None
    segments: Path | None = None


@dataclass(frozen=True)
class ReadyModel:
    """A model on its device with the options that go with it."""

    loaded: LoadedModel
    context: ExecutionContext
    options: EngineOptions


@dataclass
class Segmentation:
    """What came out for one volume, and whether it was cut short; the session holds the results of each slice.

    ``fused`` says that several orientations took part, ``slices_computed`` how often the network saw a slice.
    ``labels`` [k, j, i] is the mask as written: 0, or the number of the object in ``names``, from 1. ``overlaps``
    counts the voxels that two objects both claimed, by their numbers.
    """

    volume: Volume
    session: TrackingSession
    names: list[str]
    fused: bool = False
    slices_computed: int = 0
    labels: NDArray[np.unsignedinteger] = field(init=False)
    overlaps: dict[tuple[int, int], int] = field(default_factory=dict)
    interrupted: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = np.uint8 if len(self.names) < 256 else np.uint16
        self.labels = np.zeros(self.volume.array.shape, dtype=kind)

    @property
    def exit_code(self) -> int:
        """0, or 130 where Ctrl-C ended it."""
        return EXIT_INTERRUPTED if self.interrupted else 0

    @property
    def object_ids(self) -> range:
        """Ids of the objects in the order of ``names``."""
        return range(1, len(self.names) + 1)

    def results_of(self, object_id: int) -> list[SliceResult]:
        """What holds of an object, one result a slice of each axis."""
        return self.session.results(object_id)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time spent inside to ``seconds[stage]``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
