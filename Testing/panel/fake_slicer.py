"""Stand-ins for what Slicer has and the host has not: an extensions manager, pip, the PyTorch extension."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from typing import Any

import pytest
import slicer


@dataclass
class FakeExtensions:
    """qSlicerExtensionsManagerModel, as far as the module asks it; ``interactive`` is a property there as here."""

    installed: set[str] = field(default_factory=set)
    interactive: bool = True
    works: bool = True
    asked: list[tuple[str, bool, bool]] = field(default_factory=list)

    def isExtensionInstalled(self, name: str) -> bool:
        return name in self.installed

    def installExtensionFromServer(self, name: str, restart: bool = True, update: bool = False) -> bool:
        self.asked.append((name, restart, self.interactive))
        if self.works:
            self.installed.add(name)
        return self.works


@dataclass
class FakeApplication:
    """slicer.app with an extensions manager."""

    extensions: FakeExtensions = field(default_factory=FakeExtensions)
    testing: bool = False
    majorVersion: int = 5  # noqa: N815
    minorVersion: int = 12  # noqa: N815

    def testingEnabled(self) -> bool:
        return self.testing

    def extensionsManagerModel(self) -> FakeExtensions:
        return self.extensions


@dataclass
class FakeSlicer:
    """What was called, and how it goes."""

    app: FakeApplication
    pip_ensured: list[tuple[list[str], dict[str, Any]]] = field(default_factory=list)
    pip_installed: list[Any] = field(default_factory=list)
    torch_installed: list[dict[str, Any]] = field(default_factory=list)
    pip_error: Exception | None = None
    torch_result: Any = "torch"

    @property
    def calls(self) -> int:
        return len(self.pip_ensured) + len(self.pip_installed) + len(self.torch_installed)

    def pip_ensure(self, requirements: list[str], **options: Any) -> None:
        self.pip_ensured.append((requirements, options))
        if self.pip_error:
            raise self.pip_error

    def pip_install(self, requirements: Any) -> None:
        self.pip_installed.append(requirements)
        if self.pip_error:
            raise self.pip_error

    def installTorch(self, **options: Any) -> Any:
        self.torch_installed.append(options)
        return self.torch_result


def pretend(
    monkeypatch: pytest.MonkeyPatch, *, packaging: bool = True, extension_loaded: bool = True, **app: Any
) -> FakeSlicer:
    """Puts the stand-ins where the module looks: Slicer 5.12 with ``packaging``, 5.10 without."""
    fake = FakeSlicer(FakeApplication(**app))
    monkeypatch.setattr(slicer, "app", fake.app, raising=False)
    monkeypatch.setattr(slicer.util, "pip_install", fake.pip_install)
    module = types.ModuleType("slicer.packaging")
    module.pip_ensure = fake.pip_ensure  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "slicer.packaging", module if packaging else None)
    if extension_loaded:
        utils = types.ModuleType("PyTorchUtils")
        utils.PyTorchUtilsLogic = lambda: fake  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "PyTorchUtils", utils)
        fake.app.extensions.installed.add("PyTorch")
    return fake
