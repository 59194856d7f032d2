"""What is missing is found without importing it, said with its size, and installed only where it may be."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CalledProcessError

import pytest
from MedSAM2SlicerLib.resources import resources_dir
from MedSAM2SlicerLib.setup import dependencies
from MedSAM2SlicerLib.setup.dependencies import (
    DependencyState,
    dependency_state,
    install_missing,
    install_pytorch_extension,
)
from MedSAM2SlicerLib.setup.errors import SetupError
from MedSAM2SlicerLib.setup.requirements import packages, read_requirements

from Testing.panel.fake_slicer import pretend

MODULE_FOLDER = Path(__file__).resolve().parents[2] / "MedSAM2Slicer"
SHIPPED = {"numpy": "2.4.6", "scipy": "1.17.1", "Pillow": "11.0"}
EVERYTHING = {**SHIPPED, "safetensors": "0.5.3", "huggingface_hub": "0.30.1", "tqdm": "4.67", "torch": "2.10.0+cu126"}


def state_with(installed: dict[str, str]) -> DependencyState:
    return dependency_state(installed=installed.get)


def without(*names: str) -> dict[str, str]:
    return {name: version for name, version in EVERYTHING.items() if name not in names}


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(SetupError) as caught:
        call()
    return caught.value.code


def test_the_requirements_are_three_packages_and_neither_torch_nor_dicom_ones() -> None:
    names = [package.name for package in packages(read_requirements(resources_dir() / "requirements.txt"))]
    assert names == ["safetensors", "huggingface_hub", "tqdm"]


def test_with_everything_there_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    state = state_with(EVERYTHING)
    assert state.ready and not state.missing and not state.downloads
    assert not state.restart_needed and not state.extension_needed


@pytest.mark.parametrize(
    ("installed", "least", "will_do"),
    [
        ("2.10.0", "2.6", True),
        ("2.6", "2.6.0", True),
        ("2.6.0+cu124", "2.6", True),
        ("2.5.9", "2.6", False),
        ("2.6.0a1", "2.6", True),
        ("10", "9.9", True),
        ("unknown", "1", False),
    ],
)
def test_versions_are_compared_as_numbers(installed: str, least: str, will_do: bool) -> None:
    (package,) = packages([f"torch>={least}"], lambda name: installed)
    assert package.satisfied is will_do


def test_a_requirement_that_is_not_a_least_version_is_refused() -> None:
    with pytest.raises(ValueError, match="name>=version"):
        packages(["torch==2.6"])


def test_what_is_downloaded_is_said_with_its_size_and_torch_grows_with_a_graphics_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch)
    sizes = {}
    for driver in (None, "/usr/bin/nvidia-smi"):
        monkeypatch.setattr(dependencies.shutil, "which", lambda name, found=driver: found)
        few, torch = state_with(SHIPPED).downloads
        assert few.what == "safetensors, huggingface_hub, tqdm" and few.megabytes > 0 and few.source == "pypi.org"
        assert "PyTorch" in torch.what and torch.disk_megabytes > torch.megabytes
        sizes[driver] = torch.megabytes
    assert sizes["/usr/bin/nvidia-smi"] > 5 * sizes[None]


def test_without_the_pytorch_extension_that_is_the_next_thing_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pretend(monkeypatch, extension_loaded=False)
    state = state_with(without("torch"))
    assert state.extension_needed and not state.ready
    assert [download.what for download in state.downloads] == ["PyTorch extension"]
    assert code_of(lambda: install_missing(state)) == "E_PYTORCH_EXTENSION"
    assert fake.calls == 0

    install_pytorch_extension()
    assert fake.app.extensions.asked == [("PyTorch", False, False)], "no restart, no further question"
    assert fake.app.extensions.interactive is True
    state = state_with(without("torch"))
    assert state.restart_needed and not state.extension_needed
    assert code_of(lambda: install_missing(state)) == "E_RESTART_NEEDED"


def test_an_extension_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pretend(monkeypatch, extension_loaded=False)
    fake.app.extensions.works = False
    assert code_of(install_pytorch_extension) == "E_EXTENSION_FAILED"
    assert fake.app.extensions.interactive is True


def test_slicer_5_12_installs_packages_by_its_own_dialog_and_torch_by_the_extension(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = pretend(monkeypatch)
    install_missing(state_with(SHIPPED))
    ((requirements, options),) = fake.pip_ensured
    assert requirements == ["safetensors>=0.4", "huggingface_hub>=0.24", "tqdm>=4.65"]
    assert options == {"requester": "MedSAM2Slicer", "prompt_install": False}, "the panel's button has asked already"
    assert fake.torch_installed == [{"askConfirmation": False, "torchVersionRequirement": ">=2.6"}]
    assert not fake.pip_installed


def test_slicer_5_10_installs_packages_by_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pretend(monkeypatch, packaging=False, minorVersion=10)
    install_missing(state_with(without("tqdm")))
    assert fake.pip_installed == [["tqdm>=4.65"]]
    assert not fake.pip_ensured and not fake.torch_installed


def test_only_what_is_missing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pretend(monkeypatch)
    install_missing(state_with(without("torch")))
    assert not fake.pip_ensured and len(fake.torch_installed) == 1
    install_missing(state_with(EVERYTHING))
    assert fake.calls == 1


def test_nothing_is_installed_in_testing_mode_or_off_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pretend(monkeypatch, testing=True)
    state = state_with(SHIPPED)
    assert code_of(lambda: install_missing(state)) == "E_INSTALL_TESTING"
    assert code_of(install_pytorch_extension) == "E_INSTALL_TESTING"
    fake.app.testing = False
    codes: list[str] = []
    for call in (lambda: install_missing(state), install_pytorch_extension):
        thread = threading.Thread(target=lambda wanted=call: codes.append(code_of(wanted)))
        thread.start()
        thread.join()
    assert codes == ["E_MAIN_THREAD", "E_MAIN_THREAD"]
    assert fake.calls == 0 and not fake.app.extensions.asked


def test_an_old_torch_is_not_replaced_while_it_may_be_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pretend(monkeypatch)
    assert code_of(lambda: install_missing(state_with({**EVERYTHING, "torch": "2.2.2"}))) == "E_TORCH_OLD"
    assert fake.calls == 0


@pytest.mark.parametrize("error", [CalledProcessError(1, "pip"), RuntimeError("no network")])
def test_a_failed_installation_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    fake = pretend(monkeypatch)
    fake.pip_error = error
    assert code_of(lambda: install_missing(state_with(without("tqdm")))) == "E_INSTALL_FAILED"
    fake.pip_error, fake.torch_result = None, None
    assert code_of(lambda: install_missing(state_with(without("torch")))) == "E_INSTALL_FAILED"


def test_where_there_are_no_extensions_torch_is_installed_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = pretend(monkeypatch, extension_loaded=False)
    monkeypatch.setattr(fake.app, "extensionsManagerModel", None)
    state = state_with(without("torch"))
    assert state.extension is None and not state.downloads
    assert code_of(lambda: install_missing(state)) == "E_TORCH_BY_HAND"


def test_finding_out_what_is_there_imports_neither_torch_nor_qt() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from MedSAM2SlicerLib.setup import dependencies, models, model_download, device, engine_factory\n"
        "state = dependencies.dependency_state(); models.models_state()\n"
        "print(state.ready, {'safetensors', 'huggingface_hub', 'qt', 'PySide6'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=MODULE_FOLDER, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True set()", done.stderr
