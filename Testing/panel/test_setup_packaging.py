"""What Slicer installs is what is there: lists, metadata, icon, and a CMake that refuses what is missing."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "MedSAM2Slicer"
MOST_MEGABYTES = 100
JSON_KEYS = {
    "$schema",
    "build_dependencies",
    "build_subdirectory",
    "category",
    "dicom_support_rule",
    "enabled",
    "scm_revision",
    "scm_type",
    "scm_url",
    "tier",
}
"""All that slicer-extension-catalog-entry-schema-v1.0.2.json of Slicer allows."""


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def package_lists() -> ModuleType:
    return tool("package_lists")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the module file in the tree that CMake installs."""
    return Path(tool("package").package(REPOSITORY, tmp_path_factory.mktemp("package")))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of what is packaged, to be spoilt."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("CMakeLists.txt", "MedSAM2Lib", "MedSAM2Slicer", "Resources"):
        place = REPOSITORY / name
        if place.is_dir():
            shutil.copytree(place, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, folder / name)
    return folder


def cmake_variables() -> dict[str, str]:
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'set\((EXTENSION_\w+) "([^"]*)"\)', text))


def description() -> dict[str, str]:
    lines = (REPOSITORY / f"{NAME}.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def test_the_lists_name_every_file_and_nothing_else(package_lists: ModuleType) -> None:
    assert package_lists.differences() == [], "run: python tools/package_lists.py"


def test_a_file_that_no_list_names_is_noticed_and_written_into_it(
    package_lists: ModuleType, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_lists, "REPOSITORY", source)
    for new in ("MedSAM2Lib/tracking/new.py", "MedSAM2Slicer/MedSAM2SlicerLib/panel/new.py", "Resources/new.json"):
        (source / new).parent.mkdir(exist_ok=True)
        (source / new).touch()
    (source / "MedSAM2Slicer" / "Resources" / "Icons" / "MedSAM2Slicer.png").unlink()
    assert sorted(package_lists.differences()) == [
        "MedSAM2Lib/CMakeLists.txt lacks tracking/new.py",
        "MedSAM2Slicer/CMakeLists.txt lacks MedSAM2SlicerLib/panel/new.py",
        "MedSAM2Slicer/CMakeLists.txt names Resources/Icons/MedSAM2Slicer.png without need",
        "Resources/CMakeLists.txt lacks new.json",
    ]
    for each in package_lists.LISTS:
        each.write()
    assert package_lists.differences() == []


def test_the_installed_tree_holds_the_module_the_engine_and_the_embedded_model(
    installed: Path, package_lists: ModuleType
) -> None:
    places = {"MedSAM2Lib": "MedSAM2Lib", "MedSAM2Slicer": "", "Resources": "Resources"}
    for each in package_lists.LISTS:
        for file in each.wanted():
            copy, original = installed / places[each.folder] / file, REPOSITORY / each.folder / file
            assert copy.is_file() and copy.stat().st_size == original.stat().st_size, copy
    assert (installed / "Resources" / "medsam2-embedded.safetensors").is_file()
    s4ext = (installed.parents[2] / "share" / "Slicer-5.12" / f"{NAME}.s4ext").read_text(encoding="utf-8")
    assert "depends PyTorch\n" in s4ext


def test_the_command_runs_from_the_installed_tree(installed: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from MedSAM2Lib.cli import main; import MedSAM2Lib; print(MedSAM2Lib.__file__)\n"
        "main(['models', 'verify', 'embedded'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines[0] == str(installed / "MedSAM2Lib" / "__init__.py"), done.stderr
    assert lines[1].startswith("embedded: whole and unchanged")


def test_a_listed_file_that_is_missing_stops_cmake(source: Path, tmp_path: Path) -> None:
    (source / "MedSAM2Slicer" / "MedSAM2SlicerLib" / "resources.py").unlink()
    with pytest.raises(SystemExit, match=r"nonexistent\s+file or directory\s+'MedSAM2SlicerLib/resources\.py'"):
        tool("package").package(source, tmp_path)


def test_a_missing_description_stops_cmake(source: Path, tmp_path: Path) -> None:
    lists = source / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace("EXTENSION_DEPENDS", "EXTENSION_NEEDS"))
    with pytest.raises(SystemExit, match="EXTENSION_DEPENDS is not set"):
        tool("package").package(source, tmp_path)


def test_cmake_the_index_and_the_old_description_say_the_same() -> None:
    entry = json.loads((REPOSITORY / f"{NAME}.json").read_text(encoding="utf-8"))
    variables, old = cmake_variables(), description()
    assert set(entry) <= JSON_KEYS and {"$schema", "category", "scm_url"} <= set(entry)
    assert entry["build_dependencies"] == [] and entry["category"] == old["category"] == "Segmentation"
    assert entry["scm_url"] == old["scmurl"] == variables["EXTENSION_HOMEPAGE"] + ".git"
    repository = entry["scm_url"].rpartition("/")[2]
    assert repository.startswith("Slicer") and not NAME.startswith("Slicer"), "rules of the extensions index"
    assert variables["EXTENSION_DEPENDS"] == old["depends"] == "PyTorch"
    for key in ("homepage", "contributors", "description", "iconurl", "screenshoturls"):
        assert variables[f"EXTENSION_{key.upper()}"] == old[key]
    assert f"project({NAME})" in (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")


def test_pictures_that_the_index_fetches_are_in_the_repository() -> None:
    variables = cmake_variables()
    urls = [variables["EXTENSION_ICONURL"], *variables["EXTENSION_SCREENSHOTURLS"].split()]
    for url in urls:
        assert url.startswith("https://raw.githubusercontent.com/")
        inside = url.partition("/main/")[2]
        assert (REPOSITORY / inside).is_file() and inside.endswith((".png", ".jpg", ".gif")), url


def test_the_icon_is_128_pixels_wide_and_high_with_transparent_corners() -> None:
    with Image.open(REPOSITORY / "MedSAM2Slicer" / "Resources" / "Icons" / f"{NAME}.png") as icon:
        assert icon.size == (128, 128) and icon.mode == "RGBA"
        assert icon.getpixel((0, 0))[3] == 0 and icon.getpixel((64, 64))[3] == 255


def test_the_module_folder_holds_one_python_file_because_slicer_takes_each_for_a_module() -> None:
    folder = REPOSITORY / "MedSAM2Slicer"
    assert [path.name for path in folder.glob("*.py")] == [f"{NAME}.py"]
    assert len((folder / f"{NAME}.py").read_text(encoding="utf-8").splitlines()) < 200


def test_the_repository_is_small_enough_for_the_index() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git clone")
    files = [REPOSITORY / name for name in listed.stdout.split("\0") if name]
    assert sum(file.stat().st_size for file in files if file.is_file()) < MOST_MEGABYTES * 1e6
