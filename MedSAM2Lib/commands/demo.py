"""`medsam2 demo`: one click on a phantom CT that the project makes itself, or on your own volume."""

from __future__ import annotations

import argparse
from pathlib import Path

from MedSAM2Lib.errors import InputError


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
            "Give --volume and --point together (make demo VOLUME=ct.nii.gz POINT=i,j,k) or neither.",
        )
    from MedSAM2Lib.commands.demo_run import demonstrate_on, demonstrate_on_phantom

    if options.volume is None:
        return demonstrate_on_phantom(options.folder)
    return demonstrate_on(options.volume, options.point, options.folder)
