"""Peak memory of `medsam2 segment` beyond the volume itself: 300 slices of 512 x 512, one object and four.

    python -m Testing.benchmarks.peak_memory [--copies] [MODEL] [SLICES] [ORIENTATIONS] [OBJECTS ...]

Default: embedded 300 1 1 4; with --copies hiera-tiny-512 300 3 1 4.

MODEL is embedded, or hiera-tiny-512: a hiera-tiny checkpoint with random weights, at 512. The stop rule is off, so that
every slice is computed for every object; logits are written too. The peak is the process's largest resident size,
Python, torch and weights included.

With --copies the network's arithmetic is replaced by copies of one real result (see ``copied_network``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

SIDE = 512

GB = 1e9

RUN = """
import resource, sys
from Testing.benchmarks.peak_memory import fusion_seconds
if sys.argv[1] == "copies":
    from Testing.benchmarks.copied_network import copy_results
    copy_results()
from MedSAM2Lib.cli import main
with fusion_seconds() as fusion:
    code = main(sys.argv[2:])
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print("FUSION", sum(fusion))
sys.exit(code)
"""


@dataclass(frozen=True)
class Measured:
    """One run: peak resident bytes, seconds spent in fusion, and its report."""

    peak: float
    fusion: float
    report: dict[str, Any]


@contextmanager
def fusion_seconds() -> Iterator[list[float]]:
    """How long each call of the fusion takes, whoever calls it."""
    from MedSAM2Lib.tracking import fusion, seeding, session, suggestion

    spent: list[float] = []
    real = fusion.fused_slab

    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        slab = real(*arguments, **options)
        spent.append(time.perf_counter() - start)
        return slab

    users = (seeding, session, suggestion)
    for user in users:
        user.fused_slab = timed
    try:
        yield spent
    finally:
        for user in users:
            user.fused_slab = real


def write_volume(path: Path, slices: int) -> int:
    """Smooth 16-bit voxels; returns their size in bytes."""
    rng = np.random.default_rng(0)
    coarse = sitk.GetImageFromArray(rng.normal(0, 200, (slices // 10 + 2, 16, 16)).astype(np.float32))
    coarse.SetSpacing((SIDE / 15, SIDE / 15, 10.0))
    fine = sitk.Resample(coarse, (SIDE, SIDE, slices), sitk.Transform(), sitk.sitkLinear)
    sitk.WriteImage(sitk.Cast(fine, sitk.sitkInt16), str(path))
    return slices * SIDE * SIDE * 2


def write_hiera_tiny(path: Path) -> None:
    """A seeded checkpoint that always sees an object."""
    from MedSAM2Lib.network.config import published_config
    from MedSAM2Lib.network.sam2 import Sam2Network

    torch.manual_seed(0)
    network = Sam2Network(published_config("tiny"))
    state = network.state_dict()
    state["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(5.0)
    torch.save({"model": state}, path)


def model_options(model: str, folder: Path) -> list[str]:
    """Command-line options for a model by its name here."""
    if model != "hiera-tiny-512":
        return ["--model", model]
    checkpoint = folder / "hiera_tiny.pt"
    if not checkpoint.exists():
        write_hiera_tiny(checkpoint)
    return ["--model", str(checkpoint), "--image-size", "512", "--precision", "fp32"]


def measure(
    folder: Path, volume: Path, model: str, slices: int, orientations: str, objects: int, copies: bool = False
) -> Measured:
    """One run in its own process."""
    prompts: list[str] = []
    for number in range(objects):
        prompts += [
            "--object",
            f"o{number}",
            "--box",
            f"{100 + 60 * number},150,{slices // 2},{220 + 60 * number},300,{slices // 2}",
        ]
    outputs = ["--out", str(folder / "m.nrrd"), "--logits", str(folder / "l.npy"), "--report", str(folder / "r.json")]
    mode = "copies" if copies else "real"
    command = [
        sys.executable,
        "-c",
        RUN,
        mode,
        "segment",
        str(volume),
        *prompts,
        *model_options(model, folder),
        *outputs,
    ]
    tracking = ["--orientations", orientations, "--stop", "off", "--device", "cpu"]
    done = subprocess.run([*command, *tracking], capture_output=True, text=True, check=True)
    said = dict(line.split() for line in done.stdout.splitlines() if line.startswith(("PEAK", "FUSION")))
    return Measured(float(said["PEAK"]), float(said["FUSION"]), json.loads((folder / "r.json").read_text()))


def main(arguments: Sequence[str]) -> None:
    """Prints one line a run."""
    copies = "--copies" in arguments
    given = [one for one in arguments if one != "--copies"]
    usual = ["hiera-tiny-512", "300", "3"] if copies else ["embedded", "300", "1"]
    model, slices, orientations = [*given[:3], *usual[len(given[:3]) :]]
    counts = [int(value) for value in given[3:]] or [1, 4]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voxels = write_volume(folder / "volume.nrrd", int(slices))
        for objects in counts:
            run = measure(folder, folder / "volume.nrrd", model, int(slices), orientations, objects, copies)
            print(
                f"{model}{', copies' if copies else ''}, {slices} slices, orientations {orientations}, {objects} "
                f"objects: {(run.peak - voxels) / GB:.2f} GB beyond the volume of {voxels / GB:.2f} GB; "
                f"{run.report['slices_computed']} results, {run.report['slices_encoded']} slices encoded, "
                f"propagation {run.report['seconds']['propagation']:.0f} s, fusion {run.fusion:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
