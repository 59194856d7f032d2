"""Who may know whom on the Slicer side: the import table, held file by file."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "MedSAM2Slicer" / "MedSAM2SlicerLib"
GROUND = {"MedSAM2Lib.types", "MedSAM2Lib.errors", "MedSAM2Lib.__version__"}
VOLUME = "MedSAM2Lib.volume"

ALLOWED: dict[str, set[str]] = {
    "scene": {VOLUME, "slicer", "vtk", "numpy"},
    "session": {"scene", "numpy"},
    "export": {"scene", "resources", VOLUME, "MedSAM2Lib.dicom", "slicer", "vtk", "numpy"},
    "panel": {
        *("session", "export", "setup", "scene", "parameters", "application", "dicom_database", "resources"),
        *(VOLUME, "MedSAM2Lib.weights.catalogue", "qt", "ctk", "slicer", "vtk", "numpy"),
    },
    "setup": {
        *("session", "application", "resources", VOLUME),
        *("MedSAM2Lib.weights", "MedSAM2Lib.memory", "MedSAM2Lib.tracking"),
        *("torch", "numpy", "slicer", "PyTorchUtils"),
    },
    "parameters": {"scene", "slicer", "vtk"},
    "application": {"slicer"},
    "dicom_database": {"slicer"},
    "dicom_plugin": {"export", "dicom_database", "slicer"},
}
WITHOUT_APPLICATION = {"scene", "session", "export", "parameters"}


def library_files() -> list[Path]:
    return sorted(file for file in LIBRARY.rglob("*.py") if room_of(file) in ALLOWED)


def room_of(file: Path) -> str:
    inside = file.relative_to(LIBRARY)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported_modules(file: Path) -> set[str]:
    """Absolute names of everything a file imports, relative imports resolved."""
    package = ["MedSAM2SlicerLib", *file.relative_to(LIBRARY).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = ["MedSAM2Lib.__version__" if alias.name == "MedSAM2Lib" else alias.name for alias in node.names]
            found.update(names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            bare = module in ("MedSAM2Lib", "MedSAM2SlicerLib") or node.module is None
            found.update([f"{module}.{alias.name}" for alias in node.names] if bare else [module])
    return found


def is_within(module: str, allowed: str) -> bool:
    return module == allowed or module.startswith(f"{allowed}.")


@pytest.mark.parametrize("file", library_files(), ids=lambda file: str(file.relative_to(LIBRARY)))
def test_each_file_imports_only_what_its_room_may_know(file: Path) -> None:
    room = room_of(file)
    for module in imported_modules(file):
        name = module.removeprefix("MedSAM2SlicerLib.")
        if name != module:
            assert name.split(".")[0] in {room} | ALLOWED[room], f"{file} imports {module}"
        elif module.split(".")[0] not in sys.stdlib_module_names:
            assert any(is_within(module, each) for each in ALLOWED[room] | GROUND), f"{file} imports {module}"


@pytest.mark.parametrize("room", sorted(WITHOUT_APPLICATION))
def test_rooms_below_the_panel_do_without_the_running_application(room: str) -> None:
    """What uses `slicer.app`, modules, widgets or the scene of the application cannot be tested without it."""
    for file in library_files():
        if room_of(file) != room:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "slicer":
                assert node.attr not in {"app", "modules", "mrmlScene", "util"}, f"{file}:{node.lineno}"


def test_the_application_itself_is_named_in_one_file() -> None:
    named = {
        room_of(file)
        for file in library_files()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "slicer.app"
    }
    assert named == {"application"}


def test_scene_export_and_parameters_need_neither_qt_nor_torch() -> None:
    files = sorted(file for room in ("scene", "export") for file in (LIBRARY / room).glob("*.py"))
    lines = [f"import MedSAM2SlicerLib.{file.parent.name}.{file.stem}" for file in files if file.stem != "__init__"]
    code = "\n".join(["import sys", "import MedSAM2SlicerLib.parameters", *lines])
    code += "\nprint(sorted(sys.modules.keys() & {'torch', 'qt', 'ctk', 'PySide6', 'highdicom', 'pydicom'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=LIBRARY.parents[1])
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
