"""What the module asks of Slicer by name: every `qt.`, `ctk.` and `slicer.` attribute of its source."""

from __future__ import annotations

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "MedSAM2Slicer"
LIST = Path(__file__).with_name("slicer_attributes.json")
ROOTS = frozenset({"qt", "ctk", "slicer"})
# What this returns is the module's own object: its attributes are not Slicer's.
OUR_OWN = "slicer.util.getModuleWidget()"


def used_names() -> dict[str, str]:
    """Dotted name -> a file that uses it; `()` stands for a call on the way, as in `slicer.app.layoutManager().x`."""
    found: dict[str, str] = {}
    for file in sorted(MODULE.rglob("*.py")):
        for name in names_of(ast.parse(file.read_text(encoding="utf-8"))):
            found.setdefault(name, str(file.relative_to(REPOSITORY)))
    return found


def names_of(tree: ast.Module) -> set[str]:
    """The longest chains that start at `qt`, `ctk` or `slicer`, and the names imported from them."""
    found, inner = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOTS:
            found.update(f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Attribute):
            name = chain(node)
            if name:
                found.add(name)
                inner.add(chain(node.value).removesuffix("()"))
    return found - inner


def chain(node: ast.expr) -> str:
    """`a.b().c` as text where it starts at one of the roots; else nothing."""
    if isinstance(node, ast.Name):
        return node.id if node.id in ROOTS else ""
    if isinstance(node, ast.Attribute):
        start = chain(node.value)
        return f"{start}.{node.attr}" if start not in {"", OUR_OWN} else ""
    if isinstance(node, ast.Call):
        start = chain(node.func)
        return f"{start}()" if start else ""
    return ""
