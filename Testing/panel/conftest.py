"""One SlicerHost for all tests of this folder, offscreen, with its scene closed between two tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest

from SlicerHost.start import Host, open_host, prepare_environment

prepare_environment()


@pytest.fixture(scope="session")
def running_host() -> Host:
    host = open_host(testing=True)
    host.window.resize(1100, 760)
    host.window.show()
    return host


@pytest.fixture
def host(running_host: Host) -> Iterator[Host]:
    running_host.clear()
    yield running_host
    running_host.window.moduleSelector().selectModule("")
    running_host.clear()


@pytest.fixture
def bench(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's panel with the stand-in engine; nothing is loaded."""
    from Testing.panel.panel_ground import panel_bench

    with panel_bench(host, monkeypatch) as made:
        yield made
