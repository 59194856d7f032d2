"""`medsam2 dicom-seg`: a mask as a DICOM-SEG, a DICOM-SEG as a mask, and whether a DICOM-SEG is right."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MedSAM2Lib.errors import MedSAM2Error

EXIT_BAD_INPUT = 2

EPILOG = """
segments.json, a list; what may be left out: modifier, region, region_modifier, rgb, algorithm_type, algorithm_name,
algorithm_version, tracking_id, tracking_uid
  [{"number": 1, "label": "left kidney", "rgb": [185, 102, 83], "algorithm_type": "SEMIAUTOMATIC",
    "category": {"scheme": "SCT", "value": "123037004", "meaning": "Anatomical Structure"},
    "type": {"scheme": "SCT", "value": "64033007", "meaning": "Kidney"},
    "modifier": {"scheme": "SCT", "value": "7771000", "meaning": "Left"}}]
  number is the label of its voxels in the mask; of a .seg.nrrd whose layers use a label twice, its place in the file.
  Without --segments the names, codes, colours and identities of a .seg.nrrd are taken; where it says no more than
  tissue, the codes that the offline table knows for the name.

written: FOLDER/<SOPInstanceUID>.dcm, read back and compared voxel by voxel before it gets that name. A tracking
identity is made for each segment that has none; `import --segments FILE.json` keeps it for the next export.

examples on the phantom that `medsam2 demo` makes
  medsam2 dicom-seg export demo/mask.seg.nrrd --source demo/phantom_ct --out demo/dicom_seg
  medsam2 dicom-seg import demo/dicom_seg --out demo/again.seg.nrrd --segments demo/again.json
  medsam2 dicom-seg check demo/dicom_seg --source demo/phantom_ct

exit code 0; 1 where a check fails; 2 where something must be changed, said as E_CODE: sentence, and nothing is written
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``dicom-seg`` and its own sub-commands to the command's parser."""
    parser = subparsers.add_parser(
        "dicom-seg",
        help="write a mask as DICOM-SEG, read one, check one",
        description="Masks as DICOM Segmentation objects, beside the images that they were drawn on.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_export(actions)
    _add_import(actions)
    _add_check(actions)


def _add_export(actions: argparse._SubParsersAction) -> None:
    purpose = "write a mask as DICOM-SEG"
    export = actions.add_parser("export", help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
    export.add_argument("mask", type=Path, metavar="MASK", help="label map or .seg.nrrd; segments may overlap")
    _add_source(export)
    export.add_argument("--segments", type=Path, metavar="FILE.json", help="what the labels mean")
    export.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the file is put")
    export.add_argument(
        "--kind", choices=("binary", "labelmap"), help="binary (default) is what every program reads; labelmap is newer"
    )
    export.add_argument(
        "--compact",
        action="store_true",
        help="up to 100 times smaller: deflate; labelmap without overlaps, where --kind does not say otherwise",
    )
    export.add_argument("--keep-empty", action="store_true", help="describe segments without voxels, too")
    export.add_argument(
        "--use-study-date", action="store_true", help="date the file as the study, for sets with shifted dates"
    )
    export.add_argument("--description", default="MedSAM2 segmentation", help="series description in the file")
    export.add_argument("--creator", default="", metavar="NAME", help="content creator, as Family^Given (default none)")


def _add_import(actions: argparse._SubParsersAction) -> None:
    purpose = "read a DICOM-SEG into a mask"
    reading = actions.add_parser("import", help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
    reading.add_argument("file", type=Path, metavar="FILE", help="the DICOM-SEG, or a folder with one and no other")
    reading.add_argument(
        "--grid", type=Path, metavar="SOURCE", help="DICOM folder or volume whose grid the mask gets (default its own)"
    )
    reading.add_argument("--out", type=Path, required=True, help="mask: .seg.nrrd, or .nrrd, .nii.gz, .nii, .mha")
    reading.add_argument("--segments", type=Path, metavar="FILE.json", help="write the segments' descriptions, too")


def _add_check(actions: argparse._SubParsersAction) -> None:
    purpose = "check a DICOM-SEG beside its source, with the tools that are installed"
    check = actions.add_parser("check", help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
    check.add_argument("file", type=Path, metavar="FILE", help="the DICOM-SEG, or a folder with one and no other")
    _add_source(check)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", type=Path, required=True, metavar="DICOM_FOLDER", help="the images that the mask was drawn on"
    )
    parser.add_argument("--series", metavar="UID", help="SeriesInstanceUID, where the folder holds several series")


def run(options: argparse.Namespace) -> int:
    """Runs one action; returns the exit code. A refusal is printed as ``E_CODE: sentence``."""
    from MedSAM2Lib.commands import dicom_seg_job

    try:
        if options.action == "export":
            return dicom_seg_job.run_export(options)
        if options.action == "import":
            return dicom_seg_job.run_import(options)
        return dicom_seg_job.run_check(options)
    except MedSAM2Error as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
