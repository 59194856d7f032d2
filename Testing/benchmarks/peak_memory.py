"""Peak memory of `medsam2 segment` beyond the volume itself: 300 slices of 512 x 512, one object and four.

    python -m Testing.benchmarks.peak_memory [MODEL] [SLICES] [ORIENTATIONS] [OBJECTS ...]

Default: embedded 300 1 1 4.

MODEL is embedded, or hiera-tiny-512: a hiera-tiny checkpoint with random weights, at 512. The stop rule is off, so that
every slice is computed for every object; logits are written too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

SIDE = 512
GIB = 1 << 30

RUN = """
import resource, sys
from MedSAM2Lib.cli import main
code = main(sys.argv[1:])
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
sys.exit(code)
"""


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


def measure(folder: Path, volume: Path, model: str, slices: int, orientations: str, objects: int) -> tuple[float, dict]:
    """Peak resident bytes of one run in its own process, and its report."""
    prompts: list[str] = []
    for number in range(objects):
        prompts += [
            "--object",
            f"o{number}",
            "--box",
            f"{100 + 60 * number},150,{slices // 2},{220 + 60 * number},300,{slices // 2}",
        ]
    outputs = ["--out", str(folder / "m.nrrd"), "--logits", str(folder / "l.npy"), "--report", str(folder / "r.json")]
    command = [sys.executable, "-c", RUN, "segment", str(volume), *prompts, *model_options(model, folder), *outputs]
    tracking = ["--orientations", orientations, "--stop", "off", "--device", "cpu"]
    done = subprocess.run([*command, *tracking], capture_output=True, text=True, check=True)
    peak = next(float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("PEAK"))
    return peak, json.loads((folder / "r.json").read_text())


def main(arguments: Sequence[str]) -> None:
    """Prints one line a run."""
    model = arguments[0] if arguments else "embedded"
    slices = int(arguments[1]) if len(arguments) > 1 else 300
    orientations = arguments[2] if len(arguments) > 2 else "1"
    counts = [int(value) for value in arguments[3:]] or [1, 4]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voxels = write_volume(folder / "volume.nrrd", slices)
        for objects in counts:
            peak, report = measure(folder, folder / "volume.nrrd", model, slices, orientations, objects)
            print(
                f"{model}, {slices} slices, orientations {orientations}, {objects} objects: peak {peak / GIB:.2f} GiB, "
                f"{(peak - voxels) / GIB:.2f} GiB beyond the volume of {voxels / GIB:.2f} GiB; "
                f"{report['slices_computed']} results, {report['slices_encoded']} slices encoded, "
                f"propagation {report['seconds']['propagation']:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
