"""The command `medsam2`: parses, calls the sub-command, and puts errors into one sentence with exit code 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from MedSAM2Lib import __version__
from MedSAM2Lib.commands import demo, models, segment
from MedSAM2Lib.errors import MedSAM2Error

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of all sub-commands; building it imports no torch."""
    parser = argparse.ArgumentParser(
        prog="medsam2", description="Segment medical volumes from a click, a box or a mask on one slice."
    )
    parser.add_argument("--version", action="version", version=f"medsam2 {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (segment, models, demo):
        command.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, 2 for what the user must change, 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except MedSAM2Error as error:
        print(f"medsam2: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except MemoryError:
        print("medsam2: not enough memory for this volume: close other programs, or crop it first.", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("medsam2: interrupted; nothing was written.", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
