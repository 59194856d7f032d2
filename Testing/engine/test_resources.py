"""Finding the files that ship with the engine, in each layout that it is installed in."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from MedSAM2Lib.errors import ModelError
from MedSAM2Lib.resources import resources_dir

REPOSITORY = Path(__file__).resolve().parents[2]


def place(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "models.json").write_text('{"models": []}')
    return folder


def test_this_clone_has_its_resources() -> None:
    assert resources_dir() == REPOSITORY / "Resources"


@pytest.mark.parametrize(
    "layout",
    [
        "MedSAM2Lib/Resources",
        "Resources",
        "../Resources",
        "../../Resources/MedSAM2Slicer",
        "Resources/MedSAM2Slicer",
    ],
)
def test_every_layout_is_found(tmp_path: Path, layout: str) -> None:
    package = tmp_path / "lib" / "Slicer-5.12" / "qt-scripted-modules" / "MedSAM2Lib"
    package.mkdir(parents=True)
    expected = place((package.parent / layout).resolve())
    assert resources_dir(package) == expected


def test_a_resources_folder_of_another_module_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "modules" / "Resources" / "Icons").mkdir(parents=True)
    expected = place(tmp_path / "Resources")
    assert resources_dir(tmp_path / "modules" / "MedSAM2Lib") == expected


def test_missing_resources_are_reported_with_the_places_tried(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        resources_dir(tmp_path / "MedSAM2Lib")
    assert caught.value.code == "E_RESOURCES_MISSING"
    assert str(tmp_path / "MedSAM2Lib" / "Resources") in str(caught.value)
    assert str(tmp_path / "Resources") in str(caught.value)


def test_the_wheel_holds_the_resources_and_finds_them(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "shared", "runs", "build", "dist", "demo", "__pycache__")
    shutil.copytree(REPOSITORY, source, ignore=ignored)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    built = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    installed = tmp_path / "site-packages"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(installed)
    shipped = {
        path.name for path in (REPOSITORY / "Resources").iterdir() if path.suffix in (".json", ".safetensors", ".md")
    }
    assert shipped <= {path.name for path in (installed / "MedSAM2Lib" / "Resources").iterdir()}
    asked = "from MedSAM2Lib.resources import resources_dir; print(resources_dir())"
    found = subprocess.run([sys.executable, "-c", asked], cwd=installed, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == installed / "MedSAM2Lib" / "Resources"
