"""`medsam2 imageset`: prompt one image of a folder, get a mask for each."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from MedSAM2Lib.commands.bank_options import BankChoice, add_bank_options, bank_choice
from MedSAM2Lib.commands.model_options import add_network_options, add_seed_option
from MedSAM2Lib.commands.prompt_options import PromptAction
from MedSAM2Lib.commands.segment import check_numbers
from MedSAM2Lib.errors import InputError
from MedSAM2Lib.imageset.options import LEAST_CONFIDENCE_IN_WINDOWS, MEMORIES, ORDERS

EPILOG = f"""
images
  PNG, JPEG, TIFF, BMP and single-frame DICOM, told by their names or as DICOM by their content; other files are left
  out. Grey or colour, 8 or 16 bits, of any sizes. Transparent parts are shown black, palettes are looked up; more
  than 8 bits of grey are shown in a window from the pixels (CT: soft tissue). Pixels are taken as they are stored.
  Images that are the same byte for byte count as one, and get the same mask. An image that cannot be read is named
  and left out: exit code 3.

pixel coordinates
  x is the column, y the row, counted from 0. A box is given by two opposite pixels in it. A mask is a picture of its
  image's size, 0 outside and one other value inside.

written to --out, as the results come
  NAME.png for each image, of its size, 255 where the object is and 0 elsewhere; images whose names differ in their
  suffix only are refused.
  confidences.csv: image, confidence (predicted IoU), object_score (a logit), found, prompted, shown (the images whose
  memory the network was shown), mask_pixels. Where found is no, the mask is empty.
  imageset.json: which set this is, the settings, and at the end what the memory holds and what each image that came
  pushed out. Another set's results are never written over, the same set's are replaced.

memory of the computer
  features of images stay within 1 GiB; each image's low-resolution result and a short description stay beside them

order
  content  the image most similar to those in the memory comes next; names of files make no difference.
  free     all images are first shown the prompted ones alone; the bank is chosen from all confident results at once,
           and every image is then shown that bank: twice the work.

defaults that depend on the model
  embedded model    --zoom auto looks at the whole image, where the prompted images have the object, and at windows of
                    0.6 and 0.45 times its side, then again at regions 1.7 times as large as what was found;
                    --least-confidence {LEAST_CONFIDENCE_IN_WINDOWS:g}
  SAM 2 and MedSAM2 --zoom auto shows whole images; --least-confidence 0, the object score alone decides

example on the phantom that `medsam2 demo` makes: its slices as a set, a box around the organ on one of them
  medsam2 imageset demo/phantom_ct --prompt slice_0028.dcm --box 45,69,56,85 --out organ_masks

patterns (files, names and numbers stand for your own)
  medsam2 imageset FOLDER --prompt FIRST.png --point 120,80 --point 40,60,- --out masks
  medsam2 imageset FOLDER --prompt FIRST.png --mask drawn.png --prompt OTHER.png --box 90,100,210,190 --out masks

exit code 0; 2 where something must be changed, said in one sentence; 3 where images were left out; 130 after Ctrl-C,
which keeps the masks that are done
"""


@dataclass(frozen=True)
class ImageSetSettings:
    """The options of ``medsam2 imageset``, typed."""

    folder: Path
    out: Path
    memory: str = "self-sorting"
    order: str = "content"
    bank: BankChoice = field(default_factory=BankChoice)
    least_confidence: float | None = None
    model: str = "embedded"
    image_size: int | None = None
    device: str = "auto"
    precision: str = "auto"
    zoom: str = "auto"
    seed: int = 0


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``imageset`` to the command's parser."""
    parser = subparsers.add_parser(
        "imageset",
        help="segment one kind of object in a folder of 2D images from a prompt on one of them",
        description="One prompt on one image; the memory bank carries the object to the others, whatever their order.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="folder of images; folders in it are not looked into")
    _add_prompt_options(parser)
    group = parser.add_argument_group("memory")
    group.add_argument(
        "--memory",
        choices=MEMORIES,
        default=MEMORIES[0],
        help="what an image is shown beside the prompted ones: self-sorting, confident and dissimilar ones (Medical "
        "SAM 2); temporal, the latest ones (SAM 2); none, nothing (default self-sorting)",
    )
    group.add_argument(
        "--order", choices=ORDERS, default=ORDERS[0], help="in which order images come, see below (default content)"
    )
    group.add_argument(
        "--least-confidence",
        type=float,
        metavar="IOU",
        help="masks with a predicted IoU at or below it stay empty (default: depends on the model, see below)",
    )
    add_bank_options(parser, with_neighbour=False)
    _add_model_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the masks, made if it is not there")
    parser.set_defaults(run=run)


def _add_prompt_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("prompts (x column, y row, counted from 0; repeat as needed)")
    group.add_argument(
        "--prompt", action=PromptAction, metavar="IMAGE", help="the file in FOLDER that what follows is on"
    )
    group.add_argument("--point", action=PromptAction, metavar="x,y[,+|-]", help="a click; ,- for 'not this'")
    group.add_argument("--box", action=PromptAction, metavar="x0,y0,x1,y1", help="a box, by two opposite pixels in it")
    group.add_argument("--mask", action=PromptAction, metavar="FILE", help="the object's mask, a picture of that size")
    parser.set_defaults(prompts=[])


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    add_network_options(group)
    group.add_argument(
        "--image-size",
        type=int,
        metavar="N",
        help="side of the network's image, a multiple of 32 (default the model's)",
    )
    group.add_argument(
        "--zoom",
        default="auto",
        metavar="auto|off|FACTOR",
        help="off shows whole images; a factor looks for the object in windows, then in a region that many times as "
        "large (default auto: as the model was trained)",
    )
    add_seed_option(group)


def run(options: argparse.Namespace) -> int:
    """Runs ``medsam2 imageset``; returns the exit code."""
    settings = settings_from(options)
    from MedSAM2Lib.commands.imageset_job import run_set

    return run_set(settings, options.prompts)


def settings_from(options: argparse.Namespace) -> ImageSetSettings:
    """The options as one typed object, after the checks that need no file. Raises InputError."""
    check_numbers(options)
    if options.order == "free" and options.memory == "temporal":
        raise InputError(
            "E_SET_ORDER", "--memory temporal goes by the order of images: use it with --order content, the default."
        )
    for name in ("rule", "margin"):
        if options.order == "free" and getattr(options, name) is not None:
            raise InputError(
                "E_SET_RULE",
                "--{name} says which entry leaves when one comes after another, and --order free weighs all at once: "
                "leave --{name} out.",
                name=name,
            )
    if options.least_confidence is not None and not 0.0 <= options.least_confidence <= 1.0:
        raise InputError(
            "E_LEAST_CONFIDENCE",
            "--least-confidence {value:g} is out of range: give a number from 0 to 1.",
            value=options.least_confidence,
        )
    return ImageSetSettings(
        folder=options.folder,
        out=options.out,
        memory=options.memory,
        order=options.order,
        bank=bank_choice(options),
        least_confidence=options.least_confidence,
        model=options.model,
        image_size=options.image_size,
        device=options.device,
        precision=options.precision,
        zoom=options.zoom,
        seed=options.seed,
    )
