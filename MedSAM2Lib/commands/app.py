"""`medsam2 app`: the Slicer module's panel in a window of its own, or driven from the command line without one."""

from __future__ import annotations

import argparse
from pathlib import Path

from MedSAM2Lib.commands.prompt_options import PromptAction
from MedSAM2Lib.volume.intensity import CT_PRESETS

EPILOG = """
examples on the phantom that `medsam2 demo` makes
  medsam2 app demo/phantom_ct
  medsam2 app demo/phantom_ct --point 50,76,27 --propagate --save organ.mrb --screenshot organ.png --quit

Prompts are given by clicking in the real views and pressing the real buttons, one after the other. Voxel coordinates
are those of `medsam2 segment`. The saved scene holds volume, segmentation, prompts and provenance, and opens in 3D
Slicer. Without a display: QT_QPA_PLATFORM=offscreen medsam2 app ... --quit, or xvfb-run medsam2 app ...

exit code 0; 2 where something must be changed, said in one sentence; 3 where the panel itself failed; 130 after Ctrl-C
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``app`` to the command's parser."""
    parser = subparsers.add_parser(
        "app",
        help="the Slicer module's panel without Slicer: a window to try it in",
        description="Opens the panel of the 3D Slicer module on slicer-core and PySide6, where there is no Slicer.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "volume", nargs="?", type=Path, help="NRRD, NIfTI, MetaImage, a folder of DICOM files, or a scene (.mrb)"
    )
    _add_prompt_options(parser)
    _add_tracking_options(parser)
    output = parser.add_argument_group("what is done then")
    output.add_argument("--propagate", action="store_true", help="press Propagate after each segment's prompts")
    output.add_argument("--save", type=Path, metavar="OUT.mrb", help="save the scene")
    output.add_argument("--screenshot", type=Path, metavar="OUT.png", help="picture of the window")
    output.add_argument("--quit", action="store_true", help="end when all that is done, or after an error")
    window = parser.add_argument_group("window")
    window.add_argument("--palette", choices=("light", "dark"), help="colours (default the system's)")
    window.add_argument("--size", default="1400x900", metavar="WxH", help="in pixels (default 1400x900)")
    parser.set_defaults(run=run, prompts=[])


def run(options: argparse.Namespace) -> int:
    """Runs ``medsam2 app``; returns the exit code."""
    from MedSAM2Lib.commands.app_job import run_app

    return run_app(options)


def _add_prompt_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("prompts (i column, j row, k slice, counted from 0; repeat as needed)")
    group.add_argument(
        "--segment",
        "--object",
        action=PromptAction,
        dest="object",
        metavar="NAME",
        help="add a segment of that name for the prompts that follow",
    )
    group.add_argument("--point", action=PromptAction, metavar="i,j,k[,+|-]", help="a click; ,- for 'not this'")
    group.add_argument(
        "--box", action=PromptAction, metavar="i0,j0,k0,i1,j1,k1", help="drag a box on one slice, from corner to corner"
    )
    group.add_argument(
        "--axis",
        choices=("k", "j", "i"),
        default="k",
        help="axis of the slices to prompt on: of the view to click in (default k)",
    )


def _add_tracking_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tracking (the panel's own choice if left out)")
    group.add_argument("--orientations", choices=("1", "3", "auto"), help="axes to look along")
    group.add_argument("--memory", choices=("temporal", "self-sorting", "key-slice"), help="what a slice is shown")
    group.add_argument("--range", metavar="A,B|all", help="first and last slice along --axis")
    group.add_argument(
        "--window",
        default="auto",
        metavar="LOW,HIGH|PRESET|auto|display",
        help="grey values shown as black and white, to you and to the model; or for CT " + ", ".join(CT_PRESETS) + "; "
        "display: as Slicer shows the volume by itself; default auto: as `medsam2 segment`",
    )
    group.add_argument("--model", help="name from `medsam2 models list`, or a checkpoint")
