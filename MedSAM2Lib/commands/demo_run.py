"""The demonstration itself: a click, the segmentation, a montage, and for the phantom the Dice against its truth."""

from __future__ import annotations

import json
from pathlib import Path

from MedSAM2Lib.commands.prompt_options import WrittenPrompt, parse_point
from MedSAM2Lib.commands.report import write_report
from MedSAM2Lib.commands.segment_job import run_one
from MedSAM2Lib.commands.segmentation import Segmentation, SegmentSettings
from MedSAM2Lib.errors import OutputError
from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.evaluation.montage import montage
from MedSAM2Lib.evaluation.phantom import make_phantom
from MedSAM2Lib.volume.intensity import CT_PRESETS
from MedSAM2Lib.volume.io import replacing, write_dicom_series

_PATIENT = "Phantom^MedSAM2Slicer"
_HEADER_BYTES = 4096
_NAMED_FILES = 3


def demonstrate_on_phantom(folder: Path) -> int:
    """Makes the phantom in ``folder/phantom_ct``, segments its organ from one click, and says how well that went."""
    _make(folder)
    series = folder / "phantom_ct"
    _clear(series)
    phantom = make_phantom()
    write_dicom_series(
        series,
        phantom.volume,
        patient_name=_PATIENT,
        series_description="Synthetic CT",
        window=CT_PRESETS["soft-tissue"],
        seed=0,
    )
    point = ",".join(f"{value:g}" for value in phantom.click)
    print(f"phantom: a CT series of {phantom.volume.slice_count('k')} slices in {series}; click at i,j,k = {point}")
    done = _segment(series, point, folder)
    score = dice(done.labels > 0, phantom.truth)
    report = folder / "report.json"
    content = {**json.loads(report.read_text(encoding="utf-8")), "dice_against_phantom": round(score, 4)}
    write_report(report, content)
    print(f"3D Dice against the phantom's true organ: {score:.3f}")
    return done.exit_code


def demonstrate_on(volume: Path, point: str, folder: Path) -> int:
    """The same on a user's own volume, with the click that they give."""
    _make(folder)
    return _segment(volume, point, folder).exit_code


def _segment(volume: Path, point: str, folder: Path) -> Segmentation:
    settings = SegmentSettings(volume=volume, out=folder / "mask.seg.nrrd", report=folder / "report.json")
    done = run_one(settings, [WrittenPrompt("object", "organ"), WrittenPrompt("point", point)])
    along = [result for result in done.results_of(1) if result.key.axis == settings.axis]
    captions = {result.key.index: f"predicted IoU {result.predicted_iou:.2f}" for result in along}
    click = parse_point(point, settings.axis).ijk
    picture = montage(done.volume, done.labels > 0, done.session.view.window, settings.axis, [click], captions)
    with replacing(folder / "montage.png") as partial:
        picture.save(partial, format="PNG")
    print(f"look at {folder / 'montage.png'}; the mask opens in 3D Slicer: {settings.out}")
    return done


def _clear(series: Path) -> None:
    """Removes the slices of an earlier demonstration; raises OutputError where the folder holds anything else."""
    if not series.exists():
        return
    if not series.is_dir():
        raise OutputError("E_OUT_IS_FILE", "{path} is a file: choose another --folder.", path=series)
    found = sorted(series.iterdir())
    foreign = [path.name for path in found if not _is_own_slice(path)]
    if foreign:
        raise OutputError(
            "E_DEMO_FOLDER",
            "{path} holds files that are not the phantom's ({names}): move them away, or choose another --folder.",
            path=series,
            names=", ".join([*foreign[:_NAMED_FILES], *(["..."] if len(foreign) > _NAMED_FILES else [])]),
        )
    for path in found:
        path.unlink()


def _is_own_slice(path: Path) -> bool:
    if not (path.is_file() and path.match("slice_*.dcm")):
        return False
    with path.open("rb") as file:
        return _PATIENT.encode("ascii") in file.read(_HEADER_BYTES)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "E_OUT_FOLDER",
            "{folder} cannot be made ({reason}): choose another --folder.",
            folder=folder,
            reason=error.strerror or error,
        ) from error
