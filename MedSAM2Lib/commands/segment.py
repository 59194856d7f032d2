"""`medsam2 segment`: prompts on one slice of a volume, a mask of the whole object in a file."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from MedSAM2Lib.commands.bank_options import add_bank_options, bank_choice
from MedSAM2Lib.commands.model_options import add_network_options, add_seed_option
from MedSAM2Lib.commands.prompt_options import add_prompt_options
from MedSAM2Lib.errors import InputError
from MedSAM2Lib.volume.intensity import CT_PRESETS

if TYPE_CHECKING:
    from MedSAM2Lib.commands.segmentation import SegmentSettings

LARGEST_IMAGE = 2048

EPILOG = """
defaults that depend on the model
  embedded model    --image-size 128, --zoom auto (1.7 times the object), --fit letterbox, --window from the voxels
  SAM 2 and MedSAM2 --image-size of the checkpoint, --zoom off, --fit stretch, --window from the voxels
  The report says what was used.

voxel coordinates
  i is the column, j the row, k the slice, as the voxels are stored, counted from 0. 3D Slicer's Data Probe shows them
  as IJK under the mouse; ITK-SNAP counts from 1, so take 1 off each. The slices of a DICOM series are in the order of
  their positions, whatever the files are called.

several objects
  Where they overlap, the larger logit keeps the voxel, but a drawn mask keeps all of its own; a note says how many
  voxels that were.

examples on the phantom that `medsam2 demo` makes (its organ)
  medsam2 segment demo/phantom_ct --point 50,76,27 --out organ.seg.nrrd
  medsam2 segment demo/phantom_ct --box 45,69,27,56,85,27 --out organ.nii.gz --report organ.json

patterns (files, names and numbers stand for your own)
  medsam2 segment ct.nii.gz --object NAME --point 250,180,60 --object OTHER --point 140,260,60 --out both.seg.nrrd
  medsam2 segment ct.nii.gz --mask labels.nrrd:2 --out object.seg.nrrd
  medsam2 segment --batch prompts.csv --out masks

prompts.csv, one prompt a row; coordinates in quotes, files relative to the file's own folder, out is optional
  volume,object,point,box,mask,out
  ct.nii.gz,NAME,"250,180,60",,,first.seg.nrrd
  ct.nii.gz,NAME,"300,180,60,-",,,
  other.nii.gz,NAME,,"90,100,42,210,190,42",,second.seg.nrrd

exit code 0; 2 where something must be changed, said in one sentence; 130 after Ctrl-C
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``segment`` to the command's parser."""
    parser = subparsers.add_parser(
        "segment",
        help="segment objects of a volume from a point, a box or a mask on one slice",
        description="One click gives a 3D mask: SAM 2 follows the object slice by slice, both ways.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_segment_options(parser)
    parser.set_defaults(run=run)


def add_segment_options(parser: argparse.ArgumentParser) -> None:
    """All options of ``segment``; the demonstration takes the same ones."""
    parser.add_argument("volume", nargs="?", help="NRRD, NIfTI, MetaImage, .npy/.npz, or a folder of DICOM files")
    add_prompt_options(parser)
    parser.add_argument("--batch", type=Path, metavar="FILE.csv", help="several volumes and their prompts")
    parser.add_argument("--series", help="DICOM series to read where a folder holds several: its UID or number")
    _add_tracking_options(parser)
    add_bank_options(parser)
    _add_model_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        type=Path,
        required=True,
        help="mask on the volume's grid: .seg.nrrd (3D Slicer segmentation), or a label map as .nrrd, .nii.gz, .nii or "
        ".mha; a folder with --batch",
    )
    output.add_argument(
        "--logits",
        type=Path,
        metavar="FILE.npy",
        help="float32 logits before the threshold, [k,j,i], or [object,k,j,i] for several objects",
    )
    output.add_argument(
        "--dicom-seg",
        type=Path,
        metavar="FOLDER",
        help="write a DICOM-SEG into this folder, too; for DICOM series (see medsam2 dicom-seg --help)",
    )
    output.add_argument(
        "--segments", type=Path, metavar="FILE.json", help="names and codes of the objects in the DICOM-SEG, from 1"
    )
    output.add_argument("--report", type=Path, metavar="FILE.json", help="settings, timings, confidence of each slice")


def _add_tracking_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tracking")
    group.add_argument(
        "--axis",
        choices=("k", "j", "i"),
        default="k",
        help="axis that prompted slices are perpendicular to (default k)",
    )
    group.add_argument(
        "--orientations",
        choices=("1", "3", "auto"),
        default="3",
        help="axes to look along: 1, --axis alone; 3, all, their masks fused; auto, others too where the object spans "
        "at least 8 slices whose pixels are at most 3 times as long as wide (default 3)",
    )
    group.add_argument(
        "--memory",
        choices=("temporal", "self-sorting", "key-slice"),
        default="self-sorting",
        help="what a slice is shown: temporal, the nearest slices (SAM 2); self-sorting, the most confident and "
        "dissimilar ones (Medical SAM 2); key-slice, prompted slices alone (default self-sorting)",
    )
    group.add_argument("--range", metavar="A,B", help="first and last slice along --axis (default all)")
    group.add_argument(
        "--stop", choices=("auto", "off"), default="auto", help="end where the object has ended (default auto)"
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    add_network_options(group)
    group.add_argument(
        "--image-size", type=int, metavar="N", help="side of the network's image, a multiple of 32 up to 2048"
    )
    group.add_argument(
        "--window",
        default="auto",
        metavar="LOW,HIGH|PRESET|auto",
        help="grey values shown as black and white; or for CT " + ", ".join(CT_PRESETS) + "; default auto: soft tissue "
        "where the voxels look like CT, else nearly all of their range",
    )
    group.add_argument("--fit", choices=("stretch", "letterbox"), help="how a whole slice fills the square image")
    group.add_argument(
        "--zoom",
        default="auto",
        metavar="auto|off|FACTOR",
        help="how much of a slice the model sees: off, all of it; a factor from 1 to 100, a square that many times as "
        "large as the object, around it; default auto: as the model was trained",
    )
    add_seed_option(group)


def run(options: argparse.Namespace) -> int:
    """Runs ``medsam2 segment``; returns the exit code."""
    settings = settings_from(options)
    from MedSAM2Lib.commands.segment_batch import run_batch
    from MedSAM2Lib.commands.segment_job import run_one

    if options.batch is not None:
        return run_batch(options.batch, settings, options.out)
    return run_one(settings, options.prompts).exit_code


def settings_from(options: argparse.Namespace) -> SegmentSettings:
    """The options as one typed object, after the checks that need no file. Raises InputError."""
    from MedSAM2Lib.commands.segmentation import SegmentSettings

    if (options.volume is None) == (options.batch is None):
        raise InputError("E_VOLUME_OR_BATCH", "Give either a VOLUME with its prompts, or --batch FILE.csv.")
    if options.series is not None and options.volume is not None and Path(options.volume).is_file():
        raise InputError(
            "E_SERIES_FILE",
            "--series chooses among the series of a DICOM folder, and {path} is a file: leave --series out, or give "
            "the folder.",
            path=options.volume,
        )
    if options.batch is not None and options.prompts:
        raise InputError(
            "E_BATCH_PROMPTS", "--batch brings its own prompts: write them in the file, not on the command line."
        )
    if options.dicom_seg is None and options.segments is not None:
        raise InputError("E_SEGMENTS_ALONE", "--segments describes a DICOM-SEG: give --dicom-seg FOLDER with it.")
    if options.batch is not None and options.dicom_seg is not None:
        raise InputError(
            "E_BATCH_DICOM_SEG",
            "--dicom-seg goes with one VOLUME, not with --batch: write each with medsam2 dicom-seg export.",
        )
    check_numbers(options)
    return SegmentSettings(
        volume=None if options.volume is None else Path(options.volume),
        out=options.out,
        logits=options.logits,
        report=options.report,
        series=options.series,
        axis=options.axis,
        orientations=options.orientations,
        memory=options.memory,
        bank=bank_choice(options),
        range=parse_range(options.range),
        stop=options.stop == "auto",
        model=options.model,
        image_size=options.image_size,
        device=options.device,
        precision=options.precision,
        window=options.window,
        fit=options.fit,
        zoom=options.zoom,
        seed=options.seed,
        dicom_seg=options.dicom_seg,
        segments=options.segments,
    )


def check_numbers(options: argparse.Namespace) -> None:
    """Raises InputError for an ``--image-size`` or a ``--seed`` that no model takes."""
    if options.image_size is not None and (not 32 <= options.image_size <= LARGEST_IMAGE or options.image_size % 32):
        raise InputError(
            "E_IMAGE_SIZE",
            "--image-size {size} is not a multiple of 32 from 32 to {largest}: try {near}. Models were trained with "
            "1024 (SAM 2), 512 (MedSAM2) or 128 (embedded), and memory grows with its square.",
            size=options.image_size,
            largest=LARGEST_IMAGE,
            near=min(LARGEST_IMAGE, max(32, round(options.image_size / 32) * 32)),
        )
    if not 0 <= options.seed < 2**63:
        raise InputError("E_SEED", "--seed {seed} is not from 0 to 2^63 - 1: choose another.", seed=options.seed)


def parse_range(text: str | None) -> tuple[int, int] | None:
    """``FIRST,LAST`` as two numbers; raises InputError for any other text."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(re.fullmatch("[0-9]+", part.strip()) for part in parts):
        raise InputError(
            "E_RANGE_TEXT", "--range '{text}' is not of the form FIRST,LAST, for example 20,42.", text=text
        )
    return int(parts[0]), int(parts[1])
