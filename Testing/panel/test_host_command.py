"""`python -m SlicerHost`: a window from the command line, and plain words where there can be none."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.panel.test_host_modules import SOURCE, UI

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def module_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "TinyModule"
    (folder / "Resources" / "UI").mkdir(parents=True)
    (folder / "Resources" / "UI" / "TinyModule.ui").write_text(UI)
    (folder / "TinyModule.py").write_text(SOURCE)
    return folder


def run_host(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}}
    return subprocess.run(
        [sys.executable, "-m", "SlicerHost", *arguments],
        env=clean | environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be without a display")
def test_without_a_display_it_says_so_and_how_to_go_on(module_folder: Path) -> None:
    done = run_host("--module", str(module_folder))
    assert done.returncode == 2
    assert "no display" in done.stderr
    assert "QT_QPA_PLATFORM=offscreen" in done.stderr


def test_offscreen_it_opens_the_module_writes_a_picture_and_quits(module_folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "window.png"
    done = run_host(
        *("--module", str(module_folder), "--screenshot", str(picture), "--quit-after-seconds", "2"),
        *("--palette", "dark", "--size", "900x600"),
        QT_QPA_PLATFORM="offscreen",
    )
    assert done.returncode == 0, done.stderr
    with Image.open(picture) as image:
        assert image.size == (900, 600)
        assert len(image.convert("RGB").getcolors(1 << 20) or [1] * 99) > 20


def test_a_module_or_volume_that_is_not_there_is_named(module_folder: Path, tmp_path: Path) -> None:
    done = run_host("--module", str(tmp_path / "Nothing"), QT_QPA_PLATFORM="offscreen")
    assert done.returncode == 2
    assert "Nothing" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_host("--module", str(module_folder), str(tmp_path / "ct.nrrd"), QT_QPA_PLATFORM="offscreen")
    assert done.returncode == 2
    assert "ct.nrrd" in done.stderr


def test_without_a_main_window_a_panel_can_be_set_up_and_is_cleaned_up_at_the_end(module_folder: Path) -> None:
    code = (
        "import sys, slicer\n"
        "from pathlib import Path\n"
        "from SlicerHost.start import open_host\n"
        "host = open_host(with_window=False)\n"
        "module = host.load_module(Path(sys.argv[1]))\n"
        "assert slicer.util.mainWindow() is None and slicer.app.layoutManager() is None\n"
        "panel = module.widgetRepresentation().self()\n"
        "import qt\n"
        "qt.QTimer.singleShot(100, host.app.quit)\n"
        "host.app.run()\n"
        "print(panel.ui.applyButton.text, panel.happened)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(module_folder)],
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "Apply ['cleanup']"


def test_the_host_imports_nothing_of_this_project() -> None:
    for file in sorted((REPOSITORY / "SlicerHost").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            assert not [name for name in names if name.startswith("MedSAM2")], file
