"""A real MRML scene for each test, with Slicer's logics around it and no window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from SlicerHost.scene import Core, start_core
from Testing.scene.ground import add_volume
from Testing.scene.session_ground import Bench, bench_of


@pytest.fixture
def core() -> Core:
    return start_core()


@pytest.fixture
def scene(core: Core) -> Any:
    return core.scene


@pytest.fixture
def volume(scene: Any) -> Any:
    return add_volume(scene)


@pytest.fixture
def bench(scene: Any) -> Iterator[Bench]:
    """A session on the scene, with one segment of a small organ open."""
    with bench_of(scene) as made:
        yield made
