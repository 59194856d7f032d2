"""A real MRML scene for each test, with Slicer's logics around it and no window."""

from __future__ import annotations

from typing import Any

import pytest

from SlicerHost.scene import Core, start_core
from Testing.scene.ground import add_volume


@pytest.fixture
def core() -> Core:
    return start_core()


@pytest.fixture
def scene(core: Core) -> Any:
    return core.scene


@pytest.fixture
def volume(scene: Any) -> Any:
    return add_volume(scene)
