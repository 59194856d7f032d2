"""The module loads in a clone, from a wheel and from Slicer's install tree, with only its own folder on the path."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest
from MedSAM2SlicerLib.resources import module_file, resources_dir

from MedSAM2Lib.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("layout_probe.py")
NOT_COPIED = shutil.ignore_patterns(
    ".*", "shared", "runs", "build", "dist", "demo", "Testing", "__pycache__", "*.egg-info"
)


def copy_of_the_clone(folder: Path) -> Path:
    shutil.copytree(REPOSITORY, folder, ignore=NOT_COPIED)
    return folder


def probe(module: Path, what: str = "setup", **environment: str) -> dict[str, Any]:
    """What ``layout_probe`` prints of this module file, in a new process."""
    packages = sysconfig.get_paths()["purelib"]
    command = [sys.executable, "-S", str(PROBE), str(module), packages, str(REPOSITORY / "SlicerHost"), what]
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=module.parent, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def assert_loaded(found: dict[str, Any], module: Path, engine: Path, engine_resources: Path) -> None:
    assert found["title"] == "MedSAM2" and found["categories"] == ["Segmentation"]
    assert found["has_icon"] and found["requirements"]
    assert Path(found["module_file"]) == module
    assert Path(found["engine"]) == engine
    assert Path(found["engine_resources"]) == engine_resources
    assert found["embedded_bytes"] > 1_000_000


def assert_set_up_without_torch(found: dict[str, Any]) -> None:
    assert found["panel"] == "MedSAM2Panel" and not found["torch"]


def test_a_clone_puts_its_engine_on_the_path(tmp_path: Path) -> None:
    clone = copy_of_the_clone(tmp_path / "clone")
    module = clone / "MedSAM2Slicer" / "MedSAM2Slicer.py"
    found = probe(module)
    assert_loaded(found, module, clone / "MedSAM2Lib", clone / "Resources")
    assert_set_up_without_torch(found)
    assert found["added_to_the_path"] == [str(clone), str(clone / "MedSAM2Slicer")]


def test_slicers_install_tree_alone_is_enough_for_a_click_with_the_embedded_model(tmp_path: Path) -> None:
    package = [sys.executable, str(REPOSITORY / "tools" / "package.py"), "--folder", str(tmp_path)]
    installed = Path(subprocess.run(package, capture_output=True, text=True, check=True).stdout.strip())
    found = probe(installed / "MedSAM2Slicer.py", "click")
    assert_loaded(found, installed / "MedSAM2Slicer.py", installed / "MedSAM2Lib", installed / "Resources")
    assert found["added_to_the_path"] == [str(installed)]
    assert found["in_the_block"] > 240 and found["voxels"] < 2 * found["in_the_block"], "half of the block's 480 voxels"


def test_a_wheel_holds_the_module_beside_its_library(tmp_path: Path) -> None:
    source = copy_of_the_clone(tmp_path / "clone")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    built = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    unpacked = tmp_path / "site-packages"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(unpacked)
    shipped = sorted(path.relative_to(source) for path in (source / "MedSAM2Slicer" / "Resources").rglob("*.*"))
    assert shipped
    for path in shipped:
        assert (unpacked / "MedSAM2SlicerModule" / path.relative_to("MedSAM2Slicer")).is_file(), path
    assert module_file(unpacked / "MedSAM2SlicerLib") == unpacked / "MedSAM2SlicerModule" / "MedSAM2Slicer.py"
    for path in (source / "MedSAM2Slicer" / "MedSAM2SlicerLib").rglob("*.py"):
        assert (unpacked / path.relative_to(source / "MedSAM2Slicer")).is_file(), f"not in the wheel: {path}"
    module = unpacked / "MedSAM2SlicerModule" / "MedSAM2Slicer.py"
    found = probe(module, PYTHONPATH=str(unpacked))
    assert_loaded(found, module, unpacked / "MedSAM2Lib", unpacked / "MedSAM2Lib" / "Resources")
    assert_set_up_without_torch(found)


def test_missing_module_files_are_reported_with_the_places_tried(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        resources_dir(tmp_path / "MedSAM2SlicerLib")
    assert caught.value.code == "E_MODULE_FILES_MISSING"
    assert str(tmp_path) in str(caught.value) and "MedSAM2SlicerModule" in str(caught.value)
