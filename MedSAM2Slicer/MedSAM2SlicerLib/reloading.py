"""Reloading this program's own modules while Slicer runs, for its developers: what others import comes first."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

PACKAGES = ("MedSAM2Lib", "MedSAM2SlicerLib")


def reload_packages(packages: Iterable[str] = PACKAGES) -> list[str]:
    """Reloads every loaded module of the packages, each after those that it imports; returns their names in that order.

    Raises whatever a module raises that cannot be loaded; those before it are reloaded by then.
    """
    names = dependency_order(loaded_modules(packages))
    for name in names:
        importlib.reload(sys.modules[name])
    return names


def loaded_modules(packages: Iterable[str]) -> dict[str, ModuleType]:
    """The modules of the packages that were imported so far, by name."""
    roots = {*packages}
    return {name: module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] in roots and module}


def dependency_order(modules: Mapping[str, ModuleType]) -> list[str]:
    """Names of the modules, each after those that it imports when it is loaded, and after the packages it lies in."""
    order: dict[str, None] = {}
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in modules and name not in begun:
            begun.add(name)
            for needed in (*_packages_of(name), *_imported_by(modules[name])):
                visit(needed)
            order[name] = None

    for name in modules:
        visit(name)
    return list(order)


def _packages_of(name: str) -> list[str]:
    """``a`` and ``a.b`` of ``a.b.c``."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _imported_by(module: ModuleType) -> list[str]:
    """What a module imports when it is loaded, absolute; imports inside of functions do not matter."""
    found: list[str] = []
    file = getattr(module, "__file__", None)
    for statement in ast.parse(Path(file).read_text(encoding="utf-8")).body if file else ():
        if isinstance(statement, ast.Import):
            found += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            source = _source(statement, module)
            found += [source, *(f"{source}.{alias.name}" for alias in statement.names)]
    return found


def _source(statement: ast.ImportFrom, module: ModuleType) -> str:
    if not statement.level:
        return statement.module or ""
    package = (module.__package__ or "").split(".")
    return ".".join([*package[: len(package) - statement.level + 1], *([statement.module] if statement.module else [])])
