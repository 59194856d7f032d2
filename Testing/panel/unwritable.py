"""Places on a disk that nothing can be written to, for the user that runs the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KINDS = ("read-only folder", "below a file")


@contextmanager
def unwritable_folder(kind: str, tmp_path: Path) -> Iterator[Path]:
    """A folder of a kind; root may write everywhere but into the kernel's own folders."""
    if kind == "below a file":
        (tmp_path / "file").write_text("in the way")
        yield tmp_path / "file" / "folder"
    elif os.name == "posix" and os.geteuid() == 0:
        yield Path("/sys")
    else:
        folder = tmp_path / "read-only"
        folder.mkdir()
        folder.chmod(0o555)
        try:
            yield folder
        finally:
            folder.chmod(0o755)
