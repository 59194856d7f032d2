"""`python -m SlicerHost --module FOLDER_OR_FILE [VOLUME]`: try a scripted module of Slicer without Slicer."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

NO_DISPLAY = """There is no display to open a window on (DISPLAY and WAYLAND_DISPLAY are not set).
To run without a window all the same, for a screenshot or a test: QT_QPA_PLATFORM=offscreen {command}
To see the window of a distant machine: ssh -X, or a desktop in the browser such as noVNC."""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m SlicerHost", description=__doc__)
    parser.add_argument(
        "volume", nargs="?", type=Path, help="a volume, a scene (.mrb) or a folder of DICOM files to open"
    )
    parser.add_argument("--module", type=Path, required=True, help="the module's folder or its .py file")
    parser.add_argument("--screenshot", type=Path, help="write the window to this PNG when it stands, and go on")
    parser.add_argument("--python-code", metavar="CODE", help="Python to run once everything stands, as Slicer does")
    parser.add_argument("--quit-after-seconds", type=float, help="quit by itself after so many seconds")
    parser.add_argument("--palette", choices=("light", "dark"), help="colours of the window; the system's by default")
    parser.add_argument("--size", default="1400x900", help="width and height of the window")
    return parser


def has_display() -> bool:
    """True where Qt can open a window, or was told to do without one."""
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def main(arguments: list[str] | None = None) -> int:
    options = build_parser().parse_args(arguments)
    if not has_display():
        print(NO_DISPLAY.format(command="python -m SlicerHost ..."), file=sys.stderr)
        return 2
    if options.volume and not options.volume.exists():
        print(f"there is no file or folder {options.volume}", file=sys.stderr)
        return 2

    from .start import module_file, open_host

    try:
        module_file(options.module)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    # Python would notice Ctrl+C only when Qt calls it the next time.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    host = open_host()
    host.load_module(options.module)
    return host.run(options)


if __name__ == "__main__":
    sys.exit(main())
