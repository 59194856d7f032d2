"""The pages for device and installation: what is found and missing, said; nothing done before a click."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from MedSAM2Lib.errors import DeviceError
from SlicerHost import testing
from SlicerHost.start import Host
from Testing.panel.volumes import unforeseen


@dataclass
class Settings:
    device: str = "auto"
    precision: str = "auto"
    seconds_per_slice: float | None = None


class Machine:
    """One GPU, or an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def devices(self) -> tuple[Any, ...]:
        from MedSAM2SlicerLib.setup.device import DeviceState

        gpu = DeviceState("cuda:0", "Some GPU", 8_000_000_000, 6_500_000_000, ("fp32", "bf16"))
        return gpu, DeviceState("cpu", "CPU, 2 threads", 16_000_000_000, None, ("fp32",))

    def seconds_per_slice(self) -> float:
        if self.error is not None:
            raise self.error
        return 0.0625


def device_page(machine: Machine, settings: Settings) -> tuple[Any, Callable[[str], Any]]:
    import qt
    from MedSAM2SlicerLib.panel.device_page import DevicePage
    from MedSAM2SlicerLib.panel.ticker import QtTicker
    from MedSAM2SlicerLib.session.worker import Worker

    page = DevicePage(machine, Worker().submit, QtTicker(unforeseen), settings, unforeseen)
    return page, lambda name: page.widget.findChild(qt.QWidget, name)


def test_devices_are_listed_after_a_click_and_one_can_be_chosen(host: Host) -> None:
    settings = Settings()
    page, find = device_page(Machine(), settings)
    assert find("DevicesTable").rowCount == 0
    find("DeviceLookButton").click()
    assert not find("DeviceMeasureButton").enabled, "one question at a time"
    testing.wait_until(lambda: find("DevicesTable").rowCount == 2)
    row = [find("DevicesTable").item(0, place).text() for place in range(4)]
    assert row == ["cuda:0: Some GPU", "8.0 GB", "6.5 GB", "fp32, bf16"]
    find("DeviceBox").activated.emit(1)
    find("PrecisionBox").activated.emit(2)
    assert (settings.device, settings.precision) == ("cuda:0", "bf16")
    page.close()


def test_measuring_tells_the_seconds_and_remembers_them(host: Host) -> None:
    settings = Settings()
    _, find = device_page(Machine(), settings)
    assert find("DeviceSpeedLabel").text == "Not measured yet."
    find("DeviceMeasureButton").click()
    testing.wait_until(lambda: settings.seconds_per_slice is not None)
    assert settings.seconds_per_slice == 0.0625
    assert find("DeviceSpeedLabel").text == "0.0625 s per slice."


def test_what_goes_wrong_on_the_engines_thread_is_said(host: Host) -> None:
    error = DeviceError("E_DEVICE_MEMORY", "No memory on {device}.", device="cuda:0")
    _, find = device_page(Machine(error), Settings())
    find("DeviceMeasureButton").click()
    testing.wait_until(lambda: find("DeviceSaidLabel").text == "No memory on cuda:0.")
    assert find("DeviceMeasureButton").enabled


def test_the_embedded_model_is_measured_on_this_machine(host: Host) -> None:
    from MedSAM2SlicerLib.panel.this_machine import EngineMachine
    from MedSAM2SlicerLib.setup.engine_factory import EngineFactory

    settings = Settings()
    _, find = device_page(EngineMachine(EngineFactory(), lambda: "embedded"), settings)
    find("DeviceMeasureButton").click()
    testing.wait_until(lambda: settings.seconds_per_slice is not None, 60.0)
    assert settings.seconds_per_slice > 0


class Installer:
    """A machine from which something is missing, until it is installed."""

    def __init__(self, extension: bool = True, error: Exception | None = None) -> None:
        self.extension, self.error, self.torch = extension, error, None
        self.calls: list[str] = []

    def state(self) -> Any:
        from MedSAM2SlicerLib.setup.dependencies import DependencyState
        from MedSAM2SlicerLib.setup.requirements import Package

        there = (Package("numpy", "1.24", "2.0"),)
        torch = Package("torch", "2.6", self.torch)
        return DependencyState((), there, torch, self.extension, self.extension, False)

    def install_missing(self, state: Any) -> None:
        self.calls.append("missing")
        if self.error is not None:
            raise self.error
        self.torch = "2.9"

    def install_pytorch_extension(self) -> None:
        self.calls.append("extension")
        self.extension = True

    def restart(self) -> None:
        self.calls.append("restart")


def setup_page(installer: Installer, installed: Callable[[], None] = lambda: None) -> tuple[Any, Callable[[str], Any]]:
    import qt
    from MedSAM2SlicerLib.panel.setup_page import SetupPage

    page = SetupPage(installer, installed, unforeseen)
    page.widget.show()
    return page, lambda name: page.widget.findChild(qt.QWidget, name)


def test_before_anything_is_installed_it_is_said_what_is_downloaded_and_how_large_it_is(host: Host) -> None:
    installer, told = Installer(), []
    page, find = setup_page(installer, lambda: told.append("installed"))
    assert not page.ready
    assert find("SetupSummaryLabel").text == "Missing: torch."
    text = find("SetupDownloadsLabel").text
    assert "PyTorch" in text and "MB from " in text and "on the disk" in text
    assert installer.calls == []
    find("InstallPackagesButton").click()
    assert installer.calls == ["missing"] and told == ["installed"]
    assert page.ready and not find("InstallPackagesButton").enabled
    assert find("SetupDownloadsLabel").text == ""


def test_without_the_pytorch_extension_that_comes_first(host: Host) -> None:
    installer = Installer(extension=False)
    _, find = setup_page(installer)
    assert "install that first" in find("SetupSummaryLabel").text
    assert not find("InstallPackagesButton").enabled
    find("InstallExtensionButton").click()
    assert installer.calls == ["extension"]
    assert not find("InstallExtensionButton").visible


def test_an_installation_that_fails_says_why_and_can_be_tried_again(host: Host) -> None:
    from MedSAM2SlicerLib.setup.errors import SetupError

    installer = Installer(error=SetupError("E_INSTALL_FAILED", "{what} could not be installed.", what="PyTorch"))
    _, find = setup_page(installer)
    find("InstallPackagesButton").click()
    assert find("SetupSaidLabel").text == "PyTorch could not be installed."
    assert find("InstallPackagesButton").enabled


def test_nothing_is_installed_while_the_engine_is_at_work(host: Host) -> None:
    from MedSAM2SlicerLib.session.state import SessionState

    page, find = setup_page(Installer())
    page.render(SessionState(phase="propagating"))
    assert not find("InstallPackagesButton").enabled
    page.render(SessionState(phase="reviewing"))
    assert find("InstallPackagesButton").enabled


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (5.5e6, "5.5 MB"), (156e6, "156 MB"), (3e9, "3.0 GB")]
)
def test_sizes_read_as_people_write_them(host: Host, number: float, text: str) -> None:
    from MedSAM2SlicerLib.panel.page_parts import size_text

    assert size_text(number) == text
