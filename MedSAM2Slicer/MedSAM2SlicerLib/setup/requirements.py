"""The packages that the module needs: which are wanted, which are there. Nothing is imported to find out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TORCH = "torch>=2.6"
SHIPPED_WITH_SLICER = ("numpy>=1.24", "scipy>=1.10", "Pillow>=10")

InstalledVersion = Callable[[str], "str | None"]
"""From a package's name to the version that is installed, or None."""

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)>=(?P<least>\d+(?:\.\d+)*)")


@dataclass(frozen=True)
class Package:
    """A package that is needed: its name, the least version that will do, the version that is installed or None."""

    name: str
    least: str
    installed: str | None

    @property
    def satisfied(self) -> bool:
        """Whether a version is installed that will do."""
        return self.installed is not None and _release(self.installed) >= _release(self.least)

    @property
    def requirement(self) -> str:
        """As pip reads it."""
        return f"{self.name}>={self.least}"


def installed_version(name: str) -> str | None:
    """The version that is installed in this Python, from its metadata; None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def read_requirements(file: Path) -> list[str]:
    """The lines of a requirements file that name a package. Raises OSError."""
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def packages(lines: Iterable[str], installed: InstalledVersion = installed_version) -> tuple[Package, ...]:
    """What of these requirements is there; each is written ``name>=version``. Raises ValueError for any other."""
    return tuple(_package(line, installed) for line in lines)


def _package(line: str, installed: InstalledVersion) -> Package:
    # Slicer 5.10 need not have the package `packaging`, which would read any requirement.
    found = _REQUIREMENT.fullmatch(line)
    if found is None:
        raise ValueError(f"a requirement is written name>=version, not {line!r}")
    return Package(found["name"], found["least"], installed(found["name"]))


def _release(text: str) -> tuple[int, ...]:
    """``2.13.0+cpu`` and ``2.13.0a1`` as (2, 13, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(number) for number in found.group().split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
