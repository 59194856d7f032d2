"""One SlicerHost for all tests of this folder, offscreen, with its scene closed between two tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

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
