"""What is looked at before a DICOM-SEG is written: one line for each thing, and what can be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from MedSAM2Lib.errors import MedSAM2Error

Check = Literal["source", "geometry", "terminology", "empty segments", "names", "dependency"]
State = Literal["ok", "warning", "fails"]
FixKey = Literal["choose folder", "leave transform", "convert", "describe", "rename"]


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    ``template`` is an English sentence with the fields of ``fields``; ``code`` is empty where all is well. ``fix`` is
    what one button can do about it, None where the sentence alone says what to do.
    """

    check: Check
    state: State
    template: str
    fields: Mapping[str, object] = field(default_factory=dict)
    code: str = ""
    fix: FixKey | None = None

    @property
    def sentence(self) -> str:
        return self.template.format(**self.fields)


def good(check: Check, template: str, **fields: object) -> Line:
    """All is well."""
    return Line(check, "ok", template, fields)


def note(check: Check, code: str, fix: FixKey | None, template: str, **fields: object) -> Line:
    """It is written all the same."""
    return Line(check, "warning", template, fields, code, fix)


def failing(check: Check, error: MedSAM2Error, fix: FixKey | None = None) -> Line:
    """Nothing is written as long as it stands."""
    return Line(check, "fails", error.template, error.fields, error.code, fix)


def ready(lines: Iterable[Line]) -> bool:
    """Whether a file can be written."""
    return all(line.state != "fails" for line in lines)


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names as a sentence holds them."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
