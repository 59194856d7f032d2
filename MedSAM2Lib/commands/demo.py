"""`medsam2 demo`: one click on a phantom CT that the project makes itself, or on your own volume."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from MedSAM2Lib.errors import InputError, OutputError

if TYPE_CHECKING:
    from MedSAM2Lib.commands.segment_job import Segmentation
    from MedSAM2Lib.evaluation.phantom import Phantom


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``demo`` to the command's parser."""
    parser = subparsers.add_parser(
        "demo",
        help="one click on a phantom CT: 3D mask, montage, report",
        description="Makes a phantom as a DICOM CT series, clicks once into an organ, and writes mask.seg.nrrd, "
        "montage.png and report.json. With --volume and --point the same on your own volume.",
    )
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where everything goes (default demo)")
    parser.add_argument("--volume", type=Path, help="your own volume in place of the phantom")
    parser.add_argument("--point", metavar="i,j,k", help="the click, in voxels; needed with --volume")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs ``medsam2 demo``; returns the exit code."""
    if (options.volume is None) != (options.point is None):
        raise InputError(
            "E_DEMO_OPTIONS",
            "Give --volume and --point together (make demo VOLUME=ct.nii.gz POINT=60,52,14) or neither.",
        )
    from MedSAM2Lib.commands.prompt_options import WrittenPrompt
    from MedSAM2Lib.commands.segment_job import SegmentSettings, run_one

    _make_folder(options.folder)
    phantom = None
    volume, point = options.volume, options.point
    if volume is None:
        phantom, volume = _write_phantom(options.folder / "phantom_ct")
        point = ",".join(f"{value:g}" for value in phantom.click)
        print(f"phantom: a CT series of {phantom.volume.slice_count('k')} slices in {volume}; click at i,j,k = {point}")
    settings = SegmentSettings(
        volume=volume, out=options.folder / "mask.seg.nrrd", report=options.folder / "report.json"
    )
    done = run_one(settings, [WrittenPrompt("object", "organ"), WrittenPrompt("point", point)])
    _picture(done, settings, point, options.folder / "montage.png")
    if phantom is not None:
        _compare(done, settings, phantom)
    print(f"look at {options.folder / 'montage.png'}; the mask opens in 3D Slicer: {settings.out}")
    return done.exit_code


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "E_OUT_FOLDER",
            "{folder} cannot be made ({reason}): choose another --folder.",
            folder=folder,
            reason=error.strerror or error,
        ) from error


def _write_phantom(folder: Path) -> tuple[Phantom, Path]:
    from MedSAM2Lib.evaluation.phantom import make_phantom
    from MedSAM2Lib.volume.intensity import CT_PRESETS
    from MedSAM2Lib.volume.io import write_dicom_series

    phantom = make_phantom()
    write_dicom_series(
        folder,
        phantom.volume,
        patient_name="Phantom^MedSAM2Slicer",
        series_description="Synthetic CT",
        window=CT_PRESETS["soft-tissue"],
        seed=0,
    )
    return phantom, folder


def _picture(done: Segmentation, settings: object, point: str, path: Path) -> None:
    from MedSAM2Lib.commands.prompt_options import parse_point
    from MedSAM2Lib.commands.segment_job import SegmentSettings
    from MedSAM2Lib.evaluation.montage import montage
    from MedSAM2Lib.volume.io import read_mask

    assert isinstance(settings, SegmentSettings)
    mask = read_mask(settings.out, done.volume)
    captions = {key.index: f"predicted IoU {result.predicted_iou:.2f}" for key, result in _by_slice(done)}
    click = parse_point(point, settings.axis).ijk
    montage(done.volume, mask, done.session.view.window, settings.axis, [click], captions).save(path)


def _by_slice(done: Segmentation):  # type: ignore[no-untyped-def]
    return [(result.key, result) for result in done.results.values()]


def _compare(done: Segmentation, settings: object, phantom: Phantom) -> None:
    from MedSAM2Lib.commands.report import write_report
    from MedSAM2Lib.commands.segment_job import SegmentSettings
    from MedSAM2Lib.evaluation.metrics import dice
    from MedSAM2Lib.volume.io import read_mask

    assert isinstance(settings, SegmentSettings)
    assert settings.report is not None
    score = dice(read_mask(settings.out, done.volume), phantom.truth)
    report = json.loads(settings.report.read_text(encoding="utf-8"))
    report["dice_against_phantom"] = round(score, 4)
    write_report(settings.report, report)
    print(f"3D Dice against the phantom's true organ: {score:.3f}")
