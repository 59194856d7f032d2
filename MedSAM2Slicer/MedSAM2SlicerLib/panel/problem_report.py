"""What a bug report needs, as text: versions, device, what was being done, and the trace. Nothing of the patient."""

from __future__ import annotations

import platform
import sys

import MedSAM2Lib
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.session.state import SessionError, SessionState


def problem_report(error: SessionError, state: SessionState) -> str:
    """The report; it names no volume and no file of the user's but those in the trace."""
    major, minor = application.version()
    torch = getattr(sys.modules.get("torch"), "__version__", "not imported")
    lines = {
        "MedSAM2Slicer": MedSAM2Lib.__version__,
        "Slicer": f"{major}.{minor}",
        "Python": platform.python_version(),
        "torch": torch,
        "System": platform.platform(),
        "Device": state.device or "not chosen yet",
        "Model": state.model,
        "Memory": state.memory,
        "Orientations": state.orientations,
        "Phase": state.phase,
        "Error": error.code,
    }
    told = "\n".join(f"{name}: {value}" for name, value in lines.items())
    return f"{told}\n\n{error.sentence}\n\n{error.trace}".rstrip() + "\n"
