"""Time, size and peak memory of a large DICOM-SEG of each kind, beside dcmqi's itkimage2segimage on the same input.

    python -m Testing.benchmarks.dicom_seg [SLICES] [SEGMENTS]

Default: 600 10, of 512 x 512. Each run is a process of its own. Ours reads the headers, writes, reads back and
compares; dcmqi writes. "overlapping" gives each segment a neighbour that shares voxels with it, two layers in all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSAM2Lib.volume.io import write_dicom_series
from MedSAM2Lib.volume.volume import Volume

SIDE = 512
SPACING = (0.7, 0.7, 1.0)
KINDS = (("BINARY", "none"), ("BINARY", "deflate"), ("LABELMAP", "deflate"))

RUN = """
import sys
from pathlib import Path
import numpy as np
from MedSAM2Lib.dicom import SegmentInfo, export_dicom_seg, check_source, read_source
source, labels, out, kind, compression, count = sys.argv[1:]
layers = [np.load(path) for path in labels.split(",")]
series = read_source(Path(source))
segments = [SegmentInfo(f"Segment {number}", number=number) for number in range(1, int(count) + 1)]
export_dicom_seg(
    series, layers, check_source(series).affine_lps, segments, out, kind=kind, compression=compression
)
"""

START = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def ellipsoids(slices: int, count: int) -> np.ndarray:
    """A label map of ``count`` ellipsoids beside one another: 12 million voxels where there are 10 in 600 slices.."""
    labels = np.zeros((slices, SIDE, SIDE), dtype=np.uint8)
    columns = (count + 1) // 2
    for number in range(count):
        centre = np.array([slices / 2, SIDE * (0.3 + 0.4 * (number % 2)), SIDE * (number // 2 + 0.5) / columns])
        radius = np.array([slices * 0.23, SIDE * 0.12, SIDE * 0.35 / columns])
        first, last = (centre - radius).astype(int), (centre + radius).astype(int) + 1
        box = tuple(slice(low, high) for low, high in zip(first, last))
        axes = [np.arange(low, high) for low, high in zip(first, last)]
        k, j, i = np.meshgrid(
            *((axis - middle) / size for axis, middle, size in zip(axes, centre, radius)), indexing="ij"
        )
        labels[box][k**2 + j**2 + i**2 < 1] = number + 1
    return labels


def overlapping(labels: np.ndarray) -> list[np.ndarray]:
    """Two layers: the odd segments, and the even ones shifted onto them."""
    odd, even = np.where(labels % 2 == 1, labels, 0), np.where(labels % 2 == 0, labels, 0)
    return [odd, np.roll(even, -round(SIDE * 0.3), axis=1)]


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds and peak megabytes of a process; started by a small one, whose own memory would count else."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-S", "-c", START, *command], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, int(done.stdout) / 1024


def dcmqi_command(
    folder: Path, source: Path, labels: np.ndarray, count: int, deflate: bool, kind: str
) -> list[str] | None:
    """The same labels by dcmqi; None where it is not installed."""
    spec = find_spec("dcmqi")
    if spec is None or spec.origin is None:
        return None
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(SPACING)
    sitk.WriteImage(image, str(folder / "labels.nrrd"))
    tissue = {"CodeValue": "85756007", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Tissue"}
    segment = {"SegmentedPropertyCategoryCodeSequence": tissue, "SegmentedPropertyTypeCodeSequence": tissue}
    items = [
        {"labelID": n, "SegmentLabel": f"Segment {n}", "SegmentAlgorithmType": "MANUAL", **segment}
        for n in range(1, count + 1)
    ]
    meta = {
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/seg-schema.json#",
        "SeriesDescription": "Segmentation",
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "BodyPartExamined": "",
        "segmentAttributes": [items],
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    return [
        str(Path(spec.origin).parent / "bin" / "itkimage2segimage"),
        *("--inputImageList", str(folder / "labels.nrrd"), "--inputDICOMDirectory", str(source)),
        *("--inputMetadata", str(folder / "meta.json"), "--outputDICOM", str(folder / "dcmqi.dcm")),
        *("--compress", "deflate" if deflate else "none", "--segmentationType", kind.lower()),
    ]


def row(name: str, command: list[str], written: Path) -> None:
    """Runs, prints a line of the table, and removes what was written."""
    seconds, megabytes = measured(command)
    files = list(written.glob("*.dcm")) if written.is_dir() else [written]
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"| {name} | {seconds:.1f} | {size:.2f} | {megabytes:.0f} |", flush=True)
    for file in files:
        file.unlink()


def main() -> None:
    slices = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    labels = ellipsoids(slices, count)
    print(f"{slices} x {SIDE} x {SIDE}, {count} segments, {np.count_nonzero(labels)} voxels\n")
    print("| | s | MB | peak MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "ct"
        write_dicom_series(source, Volume.from_array(np.zeros(labels.shape, dtype=np.int16), SPACING))
        np.save(folder / "labels.npy", labels)
        for place, layer in enumerate(overlapping(labels)):
            np.save(folder / f"layer{place}.npy", layer)
        out = folder / "out"
        inputs = {"": "labels.npy", " overlapping": "layer0.npy,layer1.npy"}
        for title, files in inputs.items():
            paths = ",".join(str(folder / file) for file in files.split(","))
            for kind, compression in KINDS[: 1 if title else 3]:
                command = [sys.executable, "-c", RUN, str(source), paths, str(out), kind, compression, str(count)]
                row(f"MedSAM2Slicer {kind} {compression}{title}", command, out)
        for kind, compression in KINDS:
            command = dcmqi_command(folder, source, labels, count, compression == "deflate", kind)
            if command is not None:
                row(f"dcmqi {kind} {compression}", command, folder / "dcmqi.dcm")


if __name__ == "__main__":
    main()
