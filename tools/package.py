"""Packages the extension as Slicer does: CMake configures, builds and installs it against a stand-in for Slicer.

`python tools/package.py` installs into build/package and prints the folder that holds the module file: the folder that
Slicer has on its search path once the extension is installed. CMake is PyPI's; no compiler is needed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = Path("lib", "Slicer-5.12", "qt-scripted-modules")
_NO_COMPILER = [
    f"-DCMAKE_{language}_COMPILER{what}"
    for language in ("C", "CXX")
    for what in (f"={sys.executable}", "_FORCED=ON", "_ID_RUN=ON")
]


def cmake_program() -> str:
    """CMake beside this Python, or on the search path."""
    beside = Path(sys.executable).with_name("cmake")
    found = str(beside) if beside.is_file() else shutil.which("cmake")
    if found is None:
        raise SystemExit("tools/package.py: there is no CMake; `python -m pip install cmake` gets it.")
    return found


def package(source: Path, folder: Path) -> Path:
    """Installs the extension of ``source`` into ``folder/package`` and returns the folder with its module file.

    Raises SystemExit with CMake's last words where a step fails.
    """
    build, installed = folder / "package-build", folder / "package"
    for old in (build, installed):
        shutil.rmtree(old, ignore_errors=True)
    stub = REPOSITORY / "tools" / "slicer_stub"
    program = cmake_program()
    configure = ["-S", str(source), "-B", str(build), f"-DSlicer_DIR={stub}", "-DBUILD_TESTING=ON", *_NO_COMPILER]
    for step in (configure, ["--build", str(build)], ["--install", str(build), "--prefix", str(installed)]):
        done = subprocess.run([program, *step], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"cmake {' '.join(step[:2])} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return installed / MODULES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "build", help="default: build")
    print(package(REPOSITORY, parser.parse_args().folder.resolve()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
