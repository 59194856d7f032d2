"""What the module asks of Slicer is in the checked-in list, with the place where each name was seen."""

from __future__ import annotations

import ast
import json

import pytest

from SlicerHost.start import Host
from Testing.panel.slicer_names import LIST, names_of, used_names

HOW = f"add it to Testing/panel/{LIST.name} with the place in Slicer's, CTK's or PythonQt's source where it stands"
# What only the application has: the module asks for it where it may be absent.
NOT_ON_THE_HOST = frozenset({"slicer.qSlicerDICOMExportable"})


@pytest.fixture(scope="module")
def listed() -> dict[str, str]:
    return json.loads(LIST.read_text(encoding="utf-8"))


def entries_for(name: str) -> list[str]:
    """The entries that would list a name: itself, and a class with all of its members (`qt.QEvent.*`)."""
    parts = name.split(".")
    return [name, *(".".join(parts[:length]) + ".*" for length in range(2, len(parts) + 1))]


def test_every_name_that_the_module_uses_is_in_the_list(listed: dict[str, str]) -> None:
    missing = {n: file for n, file in used_names().items() if not any(entry in listed for entry in entries_for(n))}
    assert not missing, f"{HOW}: {missing}"


def test_the_list_holds_nothing_that_the_module_does_not_use(listed: dict[str, str]) -> None:
    needed = {entry for name in used_names() for entry in entries_for(name)}
    assert not set(listed) - needed


def test_every_entry_says_where_it_was_seen(listed: dict[str, str]) -> None:
    assert not [name for name, place in listed.items() if not ("/" in place and "." in place)]
    assert list(listed) == sorted(listed)


def test_the_host_has_every_name_of_the_list(host: Host, listed: dict[str, str]) -> None:
    import importlib

    for entry in listed:
        name = entry.removesuffix(".*").partition("()")[0]
        root, *rest = name.split(".")
        thing = importlib.import_module(root)
        for part in rest:
            assert entry in NOT_ON_THE_HOST or hasattr(thing, part), f"the host has no {name}"
            thing = getattr(thing, part, None)


def test_names_are_found_through_calls_imports_and_enums() -> None:
    code = (
        "from slicer.util import loadUI\nslicer.app.layoutManager().sliceWidget('Red').sliceLogic()\nx = qt.Qt.Key_N\n"
    )
    assert names_of(ast.parse(code)) == {
        "slicer.util.loadUI",
        "slicer.app.layoutManager().sliceWidget().sliceLogic",
        "qt.Qt.Key_N",
    }
