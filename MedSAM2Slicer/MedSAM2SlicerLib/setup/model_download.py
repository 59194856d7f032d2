"""Downloading a model in another process, which can be ended at any moment and prints how far it is."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import MedSAM2Lib
from MedSAM2Lib.errors import InputError
from MedSAM2Lib.weights.catalogue import ModelEntry
from MedSAM2Lib.weights.download import stored_files
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.setup.errors import SetupError

Phase = Literal["running", "done", "failed", "cancelled"]

_PROGRESS = re.compile(r"(?P<done>\d+(?:\.\d+)?) of (?P<total>\d+(?:\.\d+)?) MB")
_ERROR_PREFIX = "medsam2: "
_NEEDED = ("torch", "safetensors", "huggingface_hub", "tqdm")
_GRACE_SECONDS = 5.0
# PythonSlicer sets PYTHONPATH anew, so that the engine's folder is handed over as an argument.
_RUN_COMMAND = "import sys; sys.path.insert(0, sys.argv.pop(1)); from MedSAM2Lib.cli import main; sys.exit(main())"


class Timer(Protocol):
    """Calls back on the main thread, some times a second, from ``start`` to ``stop``."""

    def start(self, callback: Callable[[], None]) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class DownloadState:
    """How far a download is: its phase, 10^6 bytes done and in all, and in the end what there is to say."""

    name: str
    phase: Phase
    done_megabytes: float
    total_megabytes: float
    message: str = ""

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(1.0, self.done_megabytes / self.total_megabytes) if self.total_megabytes > 0 else 0.0


Observer = Callable[[DownloadState], None]


def download_command(entry: ModelEntry, folder: Path) -> list[str]:
    """`medsam2 models download` for a model whose licence the user has accepted, with this very engine."""
    arguments = ["models", "download", entry.name, "--accept-licence", "--folder", str(folder)]
    engine = str(Path(MedSAM2Lib.__file__).resolve().parents[1])
    return [application.python_program(), "-c", _RUN_COMMAND, engine, *arguments]


class ModelDownload:
    """One download, from ``start`` to its end or to ``cancel``.

    Args:
        entry: the model.
        folder: where downloaded models are kept; made if it is not there.
        timer: polls the process.
        observer: gets every new state.
        accepted_licence: the licence, as the catalogue has it, that the user has accepted for this model; None if none.
        command: what is run; `medsam2 models download` by default.
        environment: of the process; Slicer's own by default.
    """

    def __init__(
        self,
        entry: ModelEntry,
        folder: Path,
        timer: Timer,
        observer: Observer,
        accepted_licence: str | None,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._entry, self._folder, self._timer, self._observer = entry, folder, timer, observer
        self._accepted_licence = accepted_licence
        self._command = list(command or download_command(entry, folder))
        self._environment = dict(environment or os.environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._output = Path()
        self.state = DownloadState(entry.name, "running", 0.0, entry.megabytes)

    def start(self) -> None:
        """Starts the process.

        Raises:
            InputError: ``E_LICENCE_NOT_ACCEPTED``.
            SetupError: ``E_PACKAGES_MISSING`` (they check the model once it is here), ``E_PROCESS`` where Python does
                not start, ``E_TEMPORARY`` where no temporary file can be written.
        """
        self._check()
        self._output = _output_file()
        try:
            with self._output.open("wb") as output:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**self._environment, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            self._clean_up()
            raise SetupError("E_PROCESS", "Python could not be started ({reason}).", reason=error) from error
        self._observer(self.state)
        self._timer.start(self._poll)

    def cancel(self) -> None:
        """Ends the process and removes what it had fetched; does nothing once the download has ended."""
        if self._process is None or self.state.phase != "running":
            return
        _end(self._process)
        for file in stored_files(self._entry, self._folder):
            if file.suffix == ".part":
                with contextlib.suppress(OSError):
                    file.unlink()
        self._finish("cancelled", "")

    def _check(self) -> None:
        if self._accepted_licence != self._entry.licence:
            raise InputError(
                "E_LICENCE_NOT_ACCEPTED",
                "The model {name} is not downloaded before its licence is accepted: {licence}.",
                name=self._entry.name,
                licence=self._entry.licence,
            )
        missing = [name for name in _NEEDED if find_spec(name) is None]
        if missing:
            raise SetupError(
                "E_PACKAGES_MISSING",
                "A model is checked once it is here, for which {missing} must be installed first.",
                missing=", ".join(missing),
            )

    def _poll(self) -> None:
        process = self._process
        if process is None or self.state.phase != "running":
            return
        code = process.poll()
        text = self._output.read_text(encoding="utf-8", errors="replace")
        if code is None:
            self._progress(text)
        elif code == 0:
            self._finish("done", "", self.state.total_megabytes)
        else:
            self._finish("failed", _what_went_wrong(text, code))

    def _progress(self, text: str) -> None:
        found = list(_PROGRESS.finditer(text))
        if found and float(found[-1]["done"]) != self.state.done_megabytes:
            self._say(replace(self.state, done_megabytes=float(found[-1]["done"])))

    def _finish(self, phase: Phase, message: str, done_megabytes: float | None = None) -> None:
        self._timer.stop()
        self._clean_up()
        done = self.state.done_megabytes if done_megabytes is None else done_megabytes
        self._say(replace(self.state, phase=phase, message=message, done_megabytes=done))

    def _say(self, state: DownloadState) -> None:
        self.state = state
        self._observer(state)

    def _clean_up(self) -> None:
        shutil.rmtree(self._output.parent, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and those that it started: PythonSlicer only launches the Python that does the work."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=_GRACE_SECONDS)


def _output_file() -> Path:
    """Where the process prints to, in a folder of its own."""
    try:
        return Path(tempfile.mkdtemp(prefix="medsam2-download-")) / "output.txt"
    except OSError as error:
        raise SetupError(
            "E_TEMPORARY",
            "No temporary file can be written ({reason}): check the temporary folder's permissions and free space.",
            reason=error.strerror,
        ) from error


def _what_went_wrong(text: str, code: int) -> str:
    """The command's own sentence, or the last line that it printed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line.removeprefix(_ERROR_PREFIX) for line in lines if line.startswith(_ERROR_PREFIX)]
    return (said or lines or [f"The download ended with code {code}."])[-1]
