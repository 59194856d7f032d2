"""The command `medsam2`: parses, calls the sub-command, and puts errors into one sentence with exit code 2."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from collections.abc import Sequence

from MedSAM2Lib import __version__
from MedSAM2Lib.errors import MedSAM2Error

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

_NEGATIVE_VALUE = re.compile(r"-[\d.]")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all sub-commands; building it imports no torch."""
    # Imported here, where main answers Ctrl-C: at the top of this file it would end in a trace.
    from MedSAM2Lib.commands import app, demo, dicom_seg, evaluate, imageset, models, segment, sweep, train

    parser = argparse.ArgumentParser(
        prog="medsam2", description="Segment medical volumes from a click, a box or a mask on one slice."
    )
    parser.add_argument("--version", action="version", version=f"medsam2 {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (segment, imageset, dicom_seg, evaluate, sweep, train, models, app, demo):
        command.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, 2 for what the user must change, 130 after Ctrl-C."""
    try:
        options = build_parser().parse_args(joined_negatives(sys.argv[1:] if arguments is None else arguments))
        return int(options.run(options))
    except MedSAM2Error as error:
        print(f"medsam2: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its end
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "make room on the disk" if full else "check the path and its permissions"
        print(f"medsam2: {place}{error.strerror or error}: {advice}.", file=sys.stderr)
        return EXIT_BAD_INPUT
    except MemoryError:
        print("medsam2: not enough memory for this volume: close other programs, or crop it first.", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("medsam2: interrupted; every file that was written is complete.", file=sys.stderr)
        return EXIT_INTERRUPTED


def joined_negatives(arguments: Sequence[str]) -> list[str]:
    """``--window -160,240`` as ``--window=-160,240``: argparse takes a value that begins with a minus for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and _NEGATIVE_VALUE.match(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


if __name__ == "__main__":
    sys.exit(main())
