"""Suggested SNOMED CT codes for the names that people give to segments, from a table that ships with the engine."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from MedSAM2Lib.dicom.segment_info import Code
from MedSAM2Lib.resources import resources_dir

_SIDES = {
    "left": "left",
    "lt": "left",
    "l": "left",
    "sinister": "left",
    "sinistra": "left",
    "sin": "left",
    "right": "right",
    "rt": "right",
    "r": "right",
    "dexter": "right",
    "dextra": "right",
    "dex": "right",
}
_NOISE = {"the", "of", "in", "a", "segment", "segmentation", "seg", "mask", "label", "roi", "structure", "organ"}
_WORD_EDGE = re.compile(r"(?<=[a-z])(?=[A-Z])|[^0-9A-Za-z]+")


@dataclass(frozen=True)
class TerminologyEntry:
    """How a structure is coded: the ``names`` it goes by, its codes, and the colour it is usually shown in (0 to 255).

    ``sided`` says that there is a left and a right one. ``region`` is there for what is found in an organ, such as a
    tumour of the liver.
    """

    names: tuple[str, ...]
    category: Code
    type: Code
    rgb: tuple[int, int, int]
    type_modifier: Code | None = None
    region: Code | None = None
    region_modifier: Code | None = None
    sided: bool = False


@dataclass(frozen=True)
class Terminology:
    """The table: entries by the words of their names, whatever those words' order, and the codes of the sides."""

    entries: Mapping[frozenset[str], TerminologyEntry]
    sides: Mapping[str, Code]
    findings: Code


def suggest(name: str) -> TerminologyEntry | None:
    """The entry that a segment's name means, or None where the table has none.

    Case, accents, separators, word order, plurals, numbers at the end and words such as "mask" make no difference:
    ``kidney_left``, ``Rt Kidney``, ``vertebrae_L1``, ``LungUpperLobeRight``, ``ren sinister``, ``liver tumor 2``.
    Raises ModelError where the table is missing.
    """
    table = terminology()
    words = _words(name)
    if not words:
        return None
    found = _sided(words, table) or _finding(words, table)
    if found is None and len(words) > 1 and words[-1].isdigit():
        return suggest(" ".join(words[:-1]))
    return found


@lru_cache(maxsize=1)
def terminology() -> Terminology:
    """The table of Resources/terminology.json, read once."""
    plain = json.loads((resources_dir() / "terminology.json").read_text(encoding="utf-8"))
    categories = {key: Code(**code) for key, code in plain["categories"].items()}
    entries: dict[frozenset[str], TerminologyEntry] = {}
    for one in plain["entries"]:
        entry = _entry(one, categories)
        for name in entry.names:
            entries[frozenset(_words(name))] = entry
    sides = {key: Code(**code) for key, code in plain["sides"].items()}
    return Terminology(entries, sides, categories["abnormal"])


def _entry(plain: Mapping[str, Any], categories: Mapping[str, Code]) -> TerminologyEntry:
    red, green, blue = plain["rgb"]
    return TerminologyEntry(
        names=tuple(plain["names"]),
        category=categories[plain["category"]],
        type=Code(**plain["type"]),
        rgb=(red, green, blue),
        sided=bool(plain.get("sided")),
    )


def _words(name: str) -> list[str]:
    """Small words without accents, sides in one spelling, plurals without their s."""
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = [word.casefold() for word in _WORD_EDGE.split(plain) if word]
    return [_SIDES.get(word, _singular(word)) for word in words if word not in _NOISE]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _sided(words: list[str], table: Terminology) -> TerminologyEntry | None:
    """What the words name as they stand, or without the side."""
    exact = table.entries.get(frozenset(words))
    if exact is not None:
        return exact
    sides = {word for word in words if word in table.sides}
    entry = table.entries.get(frozenset(words) - sides)
    if len(sides) != 1 or entry is None or not entry.sided:
        return None
    return replace(entry, type_modifier=table.sides[sides.pop()])


def _finding(words: list[str], table: Terminology) -> TerminologyEntry | None:
    """An abnormal structure in an organ, such as a cyst of the left kidney."""
    for word in words:
        entry = table.entries.get(frozenset([word]))
        if entry is None or entry.category != table.findings:
            continue
        rest = [other for other in words if other != word]
        organ = _sided(rest, table) if rest else None
        if organ is not None and organ.category != table.findings:
            return replace(entry, region=organ.type, region_modifier=organ.type_modifier)
    return None
