"""Reloading the program while it runs: what a module imports is new before the module is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from MedSAM2SlicerLib.reloading import dependency_order, loaded_modules, reload_packages

MODULE_FOLDER = Path(__file__).resolve().parents[2] / "MedSAM2Slicer"
FILES = {
    "__init__.py": "from reloaded_package.a_user import VALUE\n",
    "a_user.py": "from .z_source import VALUE as _VALUE\nVALUE = _VALUE * 10\n",
    "z_source.py": "VALUE = 1\n\ndef later():\n    import reloaded_package.a_user\n",
    "room/__init__.py": "",
    "room/deep.py": "from ..a_user import VALUE\nfrom . import other\n",
    "room/other.py": "",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "reloaded_package"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import reloaded_package.room.deep  # type: ignore[import-not-found]  # noqa: F401

    yield folder
    for name in loaded_modules(["reloaded_package"]):
        del sys.modules[name]


def test_every_module_comes_after_what_it_imports_and_cycles_through_functions_do_not_matter(package: Path) -> None:
    order = dependency_order(loaded_modules(["reloaded_package"]))
    short = [name.removeprefix("reloaded_package").lstrip(".") for name in order]
    assert sorted(short) == ["", "a_user", "room", "room.deep", "room.other", "z_source"]
    for earlier, later in (
        ("z_source", "a_user"),
        ("a_user", ""),
        ("a_user", "room.deep"),
        ("room", "room.deep"),
        ("room.other", "room.deep"),
    ):
        assert short.index(earlier) < short.index(later)


def test_a_changed_value_reaches_those_who_took_it_by_name(package: Path) -> None:
    import reloaded_package.room.deep as deep

    assert deep.VALUE == 10
    (package / "z_source.py").write_text("VALUE = 22\n")
    assert len(reload_packages(["reloaded_package"])) == len(FILES)
    assert deep.VALUE == 220
    assert sys.modules["reloaded_package"].VALUE == 220


def test_packages_with_a_similar_name_are_left_alone() -> None:
    assert not loaded_modules(["MedSAM2"])
    assert all(name.startswith("MedSAM2SlicerLib") for name in loaded_modules(["MedSAM2SlicerLib"]))


def test_the_whole_program_reloads_and_still_makes_an_engine() -> None:
    code = (
        "import MedSAM2SlicerLib.setup.engine_factory as factory, MedSAM2SlicerLib.scene.committer\n"
        "import MedSAM2SlicerLib.setup.dependencies, MedSAM2SlicerLib.session.controller\n"
        "from MedSAM2SlicerLib.session.ports import EngineChoice\n"
        "old = type(factory.EngineFactory()(EngineChoice()).engine)\n"
        "from MedSAM2SlicerLib.reloading import reload_packages\n"
        "names = reload_packages()\n"
        "import MedSAM2Lib.errors, MedSAM2SlicerLib.setup.errors\n"
        "from MedSAM2SlicerLib.session.ports import EngineChoice\n"
        "new = type(factory.EngineFactory()(EngineChoice()).engine)\n"
        "assert new is not old and new.__name__ == old.__name__\n"
        "assert issubclass(MedSAM2SlicerLib.setup.errors.SetupError, MedSAM2Lib.errors.MedSAM2Error)\n"
        "order = {name: place for place, name in enumerate(names)}\n"
        "assert order['MedSAM2Lib.errors'] < order['MedSAM2Lib.network.sam2'] < order['MedSAM2Lib.tracking.engine']\n"
        "assert order['MedSAM2Lib.types'] < order['MedSAM2SlicerLib.scene.committer']\n"
        "print('reloaded', len(names))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=MODULE_FOLDER, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("reloaded"), done.stderr[-2000:]
