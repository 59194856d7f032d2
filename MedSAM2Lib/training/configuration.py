"""What a training run is asked for: a JSON file whose keys are the run's, by name from ``configs`` or by path.

``network`` is the name of a preset or a table of ``NetworkConfig``; without it the starting weights say what the
network is. ``schedule`` is a table of ``ScheduleConfig``; ``frames`` may stand one level higher.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.config_checks import check_config
from MedSAM2Lib.training.presets import network_preset
from MedSAM2Lib.training.schedule import ScheduleConfig

CONFIGS = Path(__file__).parent / "configs"
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
"""How a precision is called in a configuration, and by Lightning Fabric."""

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class TrainingConfig:
    """One run but for its folder, device and starting weights.

    Attributes:
        network: None takes that of the starting weights.
        schedule: how long, in which order, at which rate.
        seed: of everything random.
        bodies, held_out: synthetic bodies to train on and to validate on.
        pool: folder of these bodies; missing ones are made.
        precision: ``fp32`` or ``bf16`` (mixed).
        threads: processor threads of the network.
        checkpoint_minutes, checkpoint_every: after how much time, and after how many frames, the run is saved.
        validate_every, report_every: frames between validations, and between lines of progress.
        gradient_limit: largest norm of the gradient; a larger one is scaled down to it.
    """

    schedule: ScheduleConfig
    network: NetworkConfig | None = None
    seed: int = 0
    bodies: int = 300
    held_out: int = 24
    pool: str = "runs/pool"
    precision: str = "fp32"
    threads: int = 1
    checkpoint_minutes: float = 2.0
    checkpoint_every: int = 2500
    validate_every: int = 4000
    report_every: int = 600
    gradient_limit: float = 1.0


def known_configs() -> list[str]:
    """Names of the configurations that come with the engine."""
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


def read_settings(source: str) -> dict[str, Any]:
    """The JSON table of a named configuration or of a file; raises InputError where there is none or it is no table."""
    path = CONFIGS / f"{source}.json" if source in known_configs() else Path(source)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            "E_CONFIG_MISSING",
            "There is no configuration {source}: give a JSON file, or one of {known}.",
            source=source,
            known=", ".join(known_configs()),
        ) from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(
            "E_CONFIG_JSON", "The configuration {path} is no JSON ({reason}).", path=path, reason=error
        ) from error
    if not isinstance(data, dict):
        raise InputError("E_CONFIG_JSON", "The configuration {path} must be a table {{...}}.", path=path)
    return data


def override(settings: dict[str, Any], assignments: Sequence[str]) -> None:
    """Puts ``schedule.peak_rate=0.001`` and the like into settings; a value is JSON, else a text. Raises InputError."""
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise InputError("E_CONFIG_SET", "--set {text} is no KEY=VALUE.", text=assignment)
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        table = settings
        *places, name = key.split(".")
        for place in places:
            table = table.setdefault(place, {})
            if not isinstance(table, dict):
                raise InputError("E_CONFIG_SET", "--set {text}: {place} is no table.", text=assignment, place=place)
        table[name] = value


def training_config(settings: Mapping[str, Any]) -> TrainingConfig:
    """The checked configuration; raises InputError that names the key at fault and, if unknown, the nearest one."""
    top = dict(settings)
    schedule = top.pop("schedule", {})
    if not isinstance(schedule, dict):
        raise _wrong("schedule", "a table", schedule)
    if "frames" in top:
        schedule = {**schedule, "frames": top.pop("frames")}
    network = top.pop("network", None)
    places = {field.name for field in dataclasses.fields(TrainingConfig)} | {"frames"}
    config = TrainingConfig(
        schedule=_checked(ScheduleConfig, schedule, "schedule."),
        network=None if network is None else _network(network),
        **_plain(TrainingConfig, top, "", places),
    )
    _check_ranges(config)
    return config


def _network(value: object) -> NetworkConfig:
    if isinstance(value, str):
        return network_preset(value)
    try:
        config = NetworkConfig.from_dict(value)
        check_config(config)
    except (TypeError, ValueError) as error:
        raise InputError("E_CONFIG_NETWORK", "The configuration's network is wrong: {reason}.", reason=error) from error
    return config


def _checked(kind: Callable[..., Settings], data: dict[str, Any], place: str) -> Settings:
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    plain = _plain(kind, data, place, names)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING and field.name not in plain:
            raise InputError("E_CONFIG_KEY_MISSING", "The configuration says no {key}: add it.", key=field.name)
    return kind(**plain)


def _plain(kind: Any, data: dict[str, Any], place: str, known: set[str]) -> dict[str, Any]:
    """The values of a table, every one of the kind that its field is declared as."""
    declared = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    for key, value in data.items():
        if key not in declared:
            raise _unknown(f"{place}{key}", [f"{place}{name}" for name in known])
        words, fits = _KINDS.get(declared[key], ("", lambda _: True))
        if not fits(value):
            raise _wrong(f"{place}{key}", words, value)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "int": ("a whole number", _is_whole),
    "float": ("a number", _is_number),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "str": ("a text", lambda value: isinstance(value, str)),
}


def _check_ranges(config: TrainingConfig) -> None:
    """Raises InputError for a number that no run can have."""
    positive = ("bodies", "threads", "checkpoint_minutes", "checkpoint_every", "validate_every", "report_every")
    for name in (*positive, "gradient_limit"):
        if getattr(config, name) <= 0:
            raise _wrong(name, "more than 0", getattr(config, name))
    for name in ("seed", "held_out"):
        if getattr(config, name) < 0:
            raise _wrong(name, "0 or more", getattr(config, name))
    for field in dataclasses.fields(ScheduleConfig):
        value = getattr(config.schedule, field.name)
        if (_is_number(value) and value < 0) or (field.name in ("frames", "warmup_steps") and value < 1):
            raise _wrong(f"schedule.{field.name}", "more than 0", value)
    if config.precision not in PRECISIONS:
        raise _wrong("precision", " or ".join(PRECISIONS), config.precision)


def _wrong(key: str, words: str, value: object) -> InputError:
    return InputError(
        "E_CONFIG_VALUE", "The configuration's {key} must be {words}, not {value!r}.", key=key, words=words, value=value
    )


def _unknown(key: str, known: Sequence[str]) -> InputError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return InputError("E_CONFIG_KEY", "The configuration has no key {key}: did you mean {near}?", key=key, near=near[0])
