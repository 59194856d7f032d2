"""Writes the lists of files in the CMakeLists.txt of the module, the engine and the resources, from what is there.

Slicer installs only what these lists name. `python tools/package_lists.py` writes them anew, `--check` only compares.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
_NOT_SHIPPED = {"__pycache__", "CMakeLists.txt"}


@dataclass(frozen=True)
class FileList:
    """One ``set(NAME ...)`` of one folder's CMakeLists.txt, and which files of that folder belong into it."""

    folder: str
    name: str
    belongs: Callable[[Path], bool]

    @property
    def cmake_file(self) -> Path:
        return REPOSITORY / self.folder / "CMakeLists.txt"

    def wanted(self) -> list[str]:
        """The files that are there, relative to the folder, sorted."""
        root = REPOSITORY / self.folder
        return sorted(
            path.relative_to(root).as_posix() for path in _files(root) if self.belongs(path.relative_to(root))
        )

    def listed(self) -> list[str]:
        """The files that the list names, in its order."""
        return self._match(self.cmake_file.read_text(encoding="utf-8")).group("files").split()

    def write(self) -> None:
        """Replaces the list by what is there."""
        text = self.cmake_file.read_text(encoding="utf-8")
        start, end = self._match(text).span("files")
        lines = "".join(f"\n  {file}" for file in self.wanted())
        self.cmake_file.write_text(f"{text[:start]}{lines}\n  {text[end:]}", encoding="utf-8")

    def _match(self, text: str) -> re.Match[str]:
        found = re.search(rf"set\({self.name}(?P<files>[^)]*)\)", text)
        if found is None:
            raise SystemExit(f"{self.cmake_file}: there is no set({self.name} ...)")
        return found


def _files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_file() and not _NOT_SHIPPED & {*path.parts} and not path.name.startswith("."):
            yield path


def _is_script(path: Path) -> bool:
    return path.suffix == ".py"


def _is_resource(path: Path) -> bool:
    return path.suffix not in (".py", ".pyc")


def _is_for_the_engine(path: Path) -> bool:
    return len(path.parts) == 1


LISTS = (
    FileList("MedSAM2Lib", "MODULE_PYTHON_SCRIPTS", _is_script),
    FileList("MedSAM2Lib", "MODULE_PYTHON_RESOURCES", _is_resource),
    FileList("MedSAM2Slicer", "MODULE_PYTHON_SCRIPTS", _is_script),
    FileList("MedSAM2Slicer", "MODULE_PYTHON_RESOURCES", _is_resource),
    FileList("Resources", "ENGINE_RESOURCES", _is_for_the_engine),
)


def differences(lists: Iterable[FileList] = LISTS) -> list[str]:
    """One line for each file that a list lacks, or names without need."""
    lines = []
    for each in lists:
        wanted, listed = each.wanted(), each.listed()
        lines += [f"{each.folder}/CMakeLists.txt lacks {file}" for file in wanted if file not in listed]
        lines += [f"{each.folder}/CMakeLists.txt names {file} without need" for file in listed if file not in wanted]
        lines += [f"{each.folder}/CMakeLists.txt names {file} twice" for file in set(listed) if listed.count(file) > 1]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare; exit code 1 where a list is not right")
    if not parser.parse_args().check:
        for each in LISTS:
            each.write()
    lines = differences()
    print("\n".join(lines) if lines else "The lists name all files.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
