"""Who may know whom: the import table of the house, held file by file."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "MedSAM2Lib"
GROUND = {"types", "errors"}

ALLOWED_ROOMS: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "resources": {"errors"},
    "network": GROUND,
    "memory": GROUND,
    "volume": GROUND,
    "tracking": {"network", "memory", "volume", *GROUND},
    "weights": {"network", "resources", *GROUND},
    "imageset": {"tracking", "memory", "volume", *GROUND},
    "dicom": {"volume", "resources", *GROUND},
    "training": {"network", "memory", "volume", "tracking", "weights", "resources", *GROUND},
    "evaluation": {"network", "memory", "volume", "tracking", "weights", "training", "resources", *GROUND},
    "commands": {
        "network",
        "memory",
        "volume",
        "tracking",
        "weights",
        "imageset",
        "dicom",
        "training",
        "evaluation",
        "resources",
        *GROUND,
    },
    "cli": {"commands", *GROUND},
    "__init__": set(),
}

ALLOWED_PACKAGES: dict[str, set[str]] = {
    "types": {"numpy"},
    "errors": set(),
    "resources": set(),
    "network": {"torch"},
    "memory": {"torch"},
    "volume": {"numpy", "scipy", "PIL"},
    "tracking": {"numpy", "torch"},
    "imageset": {"numpy", "torch"},
    "dicom": {"numpy", "highdicom", "pydicom"},
    "weights": {"torch", "safetensors", "huggingface_hub", "tqdm"},
    "cli": set(),
    "__init__": set(),
}
SIMPLE_ITK_HOME = "volume/io"
NEVER = {"slicer", "vtk", "qt", "ctk", "torchvision"}


def library_files() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def room_of(file: Path) -> str:
    inside = file.relative_to(LIBRARY)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported_modules(file: Path) -> set[str]:
    """Absolute names of everything a file imports, relative imports resolved."""
    package = ["MedSAM2Lib", *file.relative_to(LIBRARY).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.add(module)
            if module == "MedSAM2Lib" or node.module is None:
                found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("file", library_files(), ids=lambda file: str(file.relative_to(LIBRARY)))
def test_each_file_imports_only_what_its_room_may_know(file: Path) -> None:
    room = room_of(file)
    for module in imported_modules(file):
        top, _, rest = module.partition(".")
        assert top not in NEVER, f"{file} imports {module}"
        if top == "MedSAM2Lib":
            target = rest.split(".")[0]
            assert target in {"", "__version__", room} | ALLOWED_ROOMS[room], f"{file} imports {module}"
        elif top not in sys.stdlib_module_names and room in ALLOWED_PACKAGES:
            allowed = set(ALLOWED_PACKAGES[room])
            if file.relative_to(LIBRARY).as_posix().startswith(SIMPLE_ITK_HOME):
                allowed |= {"SimpleITK", "pydicom"}
            assert top in allowed, f"{file} imports {module}"


def test_importing_the_library_and_its_command_imports_no_torch() -> None:
    code = "import sys, MedSAM2Lib.types, MedSAM2Lib.cli as c; c.build_parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LIBRARY.parent)
    assert done.stdout.strip() == "False"


def test_importing_the_dicom_room_imports_no_dicom_library() -> None:
    code = "import sys, MedSAM2Lib.dicom; print({'torch', 'highdicom', 'pydicom'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LIBRARY.parent)
    assert done.stdout.strip() == "set()"


def test_no_file_of_the_library_catches_every_exception() -> None:
    for file in library_files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                names = (
                    {leaf.id for leaf in ast.walk(node.type) if isinstance(leaf, ast.Name)} if node.type else {"bare"}
                )
                assert not names & {"bare", "Exception", "BaseException"}, f"{file}:{node.lineno}"
