"""A setting: a name and the options of the engine that go with it; settings are read from a file or listed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.types import Orientations

NO_MEMORY, REPEATED, REPEATED_WITHIN = "none", "repeated", "repeated-within"
BASELINES = (NO_MEMORY, REPEATED, REPEATED_WITHIN)
MEMORIES = ("temporal", "self-sorting", "key-slice", *BASELINES)
ORIENTATIONS = ("1", "3", "auto")
STOPS = ("auto", "off")

Options = TypeVar("Options")


@dataclass(frozen=True)
class Setting:
    """What is compared with what.

    Args:
        name: unique in a run, for tables and files.
        memory: ``temporal`` (SAM 2), ``self-sorting`` (Medical SAM 2), ``key-slice`` (prompted slices only); or what
            the others are measured against: ``none`` (each slice is prompted by the box of its neighbour's result),
            ``repeated`` (the true mask of the prompted slice on every slice; no model), ``repeated-within`` (on the
            object's true extent only).
        self_sorting: how that memory chooses.
        orientations: ``1``, ``3`` or ``auto``.
        stop: ``auto`` ends a direction where the object ends, ``off`` runs to the last slice.
        stop_predicted_iou, stop_misses: of the stop rule; the model's own where None.
        zoom: ``auto``, ``off`` or a factor, as ``medsam2 segment --zoom`` takes it.
        model: a name or a checkpoint; the run's own where None.
    """

    name: str
    memory: str = "temporal"
    self_sorting: SelfSortingOptions = field(default_factory=SelfSortingOptions)
    orientations: Orientations = "1"
    stop: str = "auto"
    stop_predicted_iou: float | None = None
    stop_misses: int | None = None
    zoom: str = "auto"
    model: str | None = None

    @property
    def needs_model(self) -> bool:
        """Whether a network computes anything."""
        return self.memory not in (REPEATED, REPEATED_WITHIN)

    def as_dict(self) -> dict[str, Any]:
        """All that decides the result: without the name, and the self-sorting options only where they count."""
        described = asdict(self)
        del described["name"]
        if self.memory != "self-sorting":
            del described["self_sorting"]
        return described


def listed_settings(memories: Sequence[str], orientations: Sequence[str]) -> list[Setting]:
    """One setting for each memory and orientations, named after what they differ in. Raises InputError."""
    described = [
        {"name": memory if len(orientations) == 1 else f"{memory}, {count}", "memory": memory, "orientations": count}
        for memory in memories
        for count in orientations
    ]
    return settings_from(described, "--memory and --orientations")


def read_settings(path: Path) -> list[Setting]:
    """The settings of a JSON file: a list of objects with the fields of ``Setting``. Raises InputError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            "E_SETTINGS_FILE", "{path} is not a readable JSON file ({reason}).", path=path, reason=error
        ) from error
    return settings_from(content, str(path))


def settings_from(content: object, source: str) -> list[Setting]:
    """Settings from plain data; ``source`` is named in errors.

    Raises InputError for data that are no list of settings, for unknown fields and values, and for a name given twice.
    """
    if not isinstance(content, list) or not content or not all(isinstance(each, dict) for each in content):
        raise InputError(
            "E_SETTINGS",
            '{source} must be a list of settings, for example [{{"name": "temporal"}}, '
            '{{"name": "sorted", "memory": "self-sorting"}}].',
            source=source,
        )
    settings = [_setting(each, source) for each in content]
    names = [setting.name for setting in settings]
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise InputError(
            "E_SETTING_TWICE", "{source} has two settings '{name}': rename one.", source=source, name=twice[0]
        )
    return settings


def _setting(content: Mapping[str, object], source: str) -> Setting:
    if not isinstance(content.get("name"), str) or not str(content["name"]).strip():
        raise InputError("E_SETTING_NAME", 'A setting of {source} has no name: add "name".', source=source)
    where = f"setting '{content['name']}' of {source}"
    values = dict(content)
    if isinstance(values.get("zoom"), (int, float)) and not isinstance(values["zoom"], bool):
        values["zoom"] = f"{values['zoom']:g}"
    if isinstance(values.get("orientations"), int):
        values["orientations"] = str(values["orientations"])
    bank = values.pop("self_sorting", {})
    if not isinstance(bank, dict):
        raise _bad(where, "self_sorting", bank, "an object with its options")
    setting = _filled(Setting, {**values, "self_sorting": _filled(SelfSortingOptions, bank, where)}, where)
    for name, value, choices in (
        ("memory", setting.memory, MEMORIES),
        ("orientations", setting.orientations, ORIENTATIONS),
        ("stop", setting.stop, STOPS),
    ):
        if value not in choices:
            raise _bad(where, name, value, _either(choices))
    _check_numbers(setting, where)
    return setting


def _filled(kind: type[Options], values: Mapping[str, object], where: str) -> Options:
    """A dataclass from plain values, each of the type that its field has."""
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(
            "E_SETTING_FIELD",
            "The {where} has no field '{field}': use {known}.",
            where=where,
            field=unknown[0],
            known=_either(sorted(known)),
        )
    hints = get_type_hints(kind)
    for name, value in values.items():
        allowed = get_args(hints[name]) or (hints[name],)
        if not any(_is_of(value, one) for one in allowed):
            raise _bad(where, name, value, _either([getattr(one, "__name__", repr(one)) for one in allowed]))
    return kind(**values)


def _is_of(value: object, allowed: object) -> bool:
    """Whether a value is of a type, or is that value of a Literal; an integer may stand for a real number."""
    if not isinstance(allowed, type):
        return value == allowed
    if isinstance(value, bool) or allowed is bool:
        return isinstance(value, bool) and allowed is bool
    return isinstance(value, (int, float) if allowed is float else allowed)


def _check_numbers(setting: Setting, where: str) -> None:
    for name, number, least in (
        ("stop_misses", setting.stop_misses, 1),
        ("capacity", setting.self_sorting.capacity, 1),
        ("shown", setting.self_sorting.shown, 0),
    ):
        if number is not None and number < least:
            raise _bad(where, name, number, f"{least} or more")
    for name, share in (("margin", setting.self_sorting.margin), ("least_iou", setting.self_sorting.least_iou)):
        if not 0.0 <= share <= 1.0:
            raise _bad(where, name, share, "a number from 0 to 1")


def _bad(where: str, name: str, value: object, wanted: str) -> InputError:
    return InputError(
        "E_SETTING_VALUE",
        "The {where} has {field} = {value}: give {wanted}.",
        where=where,
        field=name,
        value=repr(value),
        wanted=wanted,
    )


def _either(choices: Iterable[object]) -> str:
    words = [str(choice) for choice in choices]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
