"""What the module needs and does not have, said before anything is downloaded, and installed after a click.

Packages of requirements.txt come by pip: through ``slicer.packaging`` in Slicer 5.12, ``slicer.util.pip_install`` in
5.10. PyTorch comes through the PyTorch extension only, which picks the build for the graphics driver.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError

from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.resources import resources_dir
from MedSAM2SlicerLib.setup.errors import SetupError
from MedSAM2SlicerLib.setup.requirements import (
    SHIPPED_WITH_SLICER,
    TORCH,
    InstalledVersion,
    Package,
    installed_version,
    packages,
    read_requirements,
)

REQUESTER = "MedSAM2Slicer"
PYTORCH_EXTENSION = "PyTorch"
PYTORCH_MODULE = "PyTorchUtils"

_PACKAGES_MEGABYTES = 15.0
_PACKAGES_DISK_MEGABYTES = 40.0


@dataclass(frozen=True)
class Download:
    """Something to be downloaded: what, from where, roughly how many 10^6 bytes, and how many of disk it then takes."""

    what: str
    source: str
    megabytes: float
    disk_megabytes: float


PYPI = "pypi.org"
EXTENSION_DOWNLOAD = Download("PyTorch extension", "extensions.slicer.org", 1.0, 1.0)
TORCH_FOR_CPU = Download("PyTorch and torchvision for the CPU", "download.pytorch.org, pypi.org", 250.0, 900.0)
TORCH_FOR_GPU = Download("PyTorch and torchvision with CUDA", "download.pytorch.org, pypi.org", 3000.0, 7000.0)
"""The PyTorch extension brings torchvision along; this module does not use it."""


@dataclass(frozen=True)
class DependencyState:
    """What the module needs: what is there, what is missing, and what an installation would download.

    ``packages`` are those of requirements.txt, ``shipped`` those that come with Slicer. ``extension`` says whether the
    PyTorch extension is installed (None: no extensions here, as outside of Slicer), ``extension_loaded`` whether
    its module can be imported: not before a restart. ``nvidia_driver`` says whether PyTorch would come with CUDA.
    """

    packages: tuple[Package, ...]
    shipped: tuple[Package, ...]
    torch: Package
    extension: bool | None
    extension_loaded: bool
    nvidia_driver: bool

    @property
    def missing(self) -> tuple[Package, ...]:
        """Packages that are not there in a version that will do, PyTorch included."""
        return tuple(each for each in (*self.packages, *self.shipped, self.torch) if not each.satisfied)

    @property
    def ready(self) -> bool:
        """Whether the engine can run with the models that are installed."""
        return not self.missing

    @property
    def restart_needed(self) -> bool:
        """Whether the PyTorch extension is installed and Slicer has not been restarted since."""
        return not self.torch.satisfied and self.extension is True and not self.extension_loaded

    @property
    def extension_needed(self) -> bool:
        """Whether the PyTorch extension has to be installed first."""
        return not self.torch.satisfied and self.extension is False and not self.extension_loaded

    @property
    def downloads(self) -> tuple[Download, ...]:
        """What ``install_missing`` downloads, or the extension before it. Sizes are rough and depend on the system."""
        if self.extension_needed:
            return (EXTENSION_DOWNLOAD,)
        names = ", ".join(each.name for each in (*self.packages, *self.shipped) if not each.satisfied)
        found = [Download(names, PYPI, _PACKAGES_MEGABYTES, _PACKAGES_DISK_MEGABYTES)] if names else []
        if not self.torch.satisfied and self.extension_loaded:
            found.append(TORCH_FOR_GPU if self.nvidia_driver else TORCH_FOR_CPU)
        return tuple(found)


def dependency_state(
    requirements: Path | None = None, installed: InstalledVersion = installed_version
) -> DependencyState:
    """What is there now; quick, imports and changes nothing.

    Args:
        requirements: the requirements file; the module's own by default.
        installed: from a package's name to its installed version.
    """
    file = requirements or resources_dir() / "requirements.txt"
    return DependencyState(
        packages=packages(read_requirements(file), installed),
        shipped=packages(SHIPPED_WITH_SLICER, installed),
        torch=packages([TORCH], installed)[0],
        extension=application.has_extension(PYTORCH_EXTENSION),
        extension_loaded=PYTORCH_MODULE in sys.modules or find_spec(PYTORCH_MODULE) is not None,
        nvidia_driver=shutil.which("nvidia-smi") is not None,
    )


def install_missing(state: DependencyState) -> None:
    """Installs what is missing: first the packages, then PyTorch. Main thread only, after a click, blocks for minutes.

    The caller has shown ``state.downloads``. With --testing nothing is installed.

    Raises:
        SetupError: ``E_MAIN_THREAD``, ``E_INSTALL_TESTING``, ``E_INSTALL_FAILED``; and before anything is installed
            ``E_PYTORCH_EXTENSION`` (install that first), ``E_RESTART_NEEDED``, ``E_TORCH_OLD`` (uninstall that first),
            ``E_TORCH_BY_HAND`` (no extensions here).
    """
    _check_may_install()
    _check_torch_can_come(state)
    wanted = [each.requirement for each in (*state.packages, *state.shipped) if not each.satisfied]
    if wanted:
        _pip_install(wanted)
    if not state.torch.satisfied:
        _install_torch()
    importlib.invalidate_caches()


def install_pytorch_extension() -> None:
    """Downloads the PyTorch extension; it is there after a restart. Main thread only, after a click.

    Raises:
        SetupError: ``E_MAIN_THREAD``, ``E_INSTALL_TESTING`` or ``E_EXTENSION_FAILED``.
    """
    _check_may_install()
    if not application.install_extension(PYTORCH_EXTENSION):
        raise SetupError(
            "E_EXTENSION_FAILED",
            "The {name} extension could not be installed; check the network, or install it in Slicer's Extensions "
            "Manager, then restart Slicer.",
            name=PYTORCH_EXTENSION,
        )


def _check_may_install() -> None:
    if not application.on_main_thread():
        raise SetupError("E_MAIN_THREAD", "Packages are installed on the main thread only; please report this defect.")
    if application.is_testing():
        raise SetupError("E_INSTALL_TESTING", "Slicer runs with --testing, where nothing is installed.")


def _check_torch_can_come(state: DependencyState) -> None:
    if state.torch.satisfied:
        return
    if state.torch.installed is not None:
        raise SetupError(
            "E_TORCH_OLD",
            "PyTorch {installed} is installed and {least} or newer is needed; uninstall it in the module PyTorch "
            "Utils, restart Slicer, and install again.",
            installed=state.torch.installed,
            least=state.torch.least,
        )
    if state.restart_needed:
        raise SetupError(
            "E_RESTART_NEEDED", "The {name} extension is installed; restart Slicer to use it.", name=PYTORCH_EXTENSION
        )
    if state.extension_needed:
        raise SetupError(
            "E_PYTORCH_EXTENSION",
            "PyTorch comes with the {name} extension, which is not installed; install that first.",
            name=PYTORCH_EXTENSION,
        )
    if not state.extension_loaded:
        raise SetupError(
            "E_TORCH_BY_HAND",
            "PyTorch is missing, and this program has no extensions to bring it; install it into its Python: "
            "python -m pip install '{requirement}'.",
            requirement=state.torch.requirement,
        )


def _pip_install(requirements: list[str]) -> None:
    try:
        application.pip_install(requirements, REQUESTER)
    except (CalledProcessError, OSError, RuntimeError) as error:
        raise _failed(", ".join(requirements), error) from error


def _install_torch() -> None:
    import PyTorchUtils  # type: ignore[import-not-found]

    needed = TORCH.removeprefix("torch")
    try:
        torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=needed)
    except (CalledProcessError, ImportError, OSError, RuntimeError) as error:
        raise _failed("PyTorch", error) from error
    if torch is None:
        raise _failed("PyTorch", "it is not there afterwards")


def _failed(what: str, reason: object) -> SetupError:
    return SetupError(
        "E_INSTALL_FAILED",
        "{what} could not be installed ({reason}); check the network and the free disk space, look at Slicer's Python "
        "console, and try again.",
        what=what,
        reason=reason,
    )
