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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.config_checks import check_config
from MedSAM2Lib.training.presets import PRESETS, network_preset
from MedSAM2Lib.training.schedule import ScheduleConfig

CONFIGS = Path(__file__).parent / "configs"
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
"""How a precision is called in a configuration, and by Lightning Fabric."""

CHOICES = {
    "precision": ("fp32", "bf16", "auto"),
    "method": ("clips", "medical-sam2-3d", "medical-sam2-2d"),
    "optimizer": ("muon", "adam"),
}

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
        precision: ``fp32``, ``bf16`` (mixed) or ``auto`` (bf16 on cuda).
        threads: processor threads of the network.
        checkpoint_minutes, checkpoint_every: after how much time, and after how many frames, the run is saved.
        validate_every, report_every: frames between validations, and between lines of progress.
        gradient_limit: largest norm of the gradient; a larger one is scaled down to it. None: any.
        method: ``clips``, or a recipe of Medical SAM 2 (``recipes``).
        optimizer: ``muon`` (for matrices, AdamW for the rest) or ``adam``.
        constant_rate: always the schedule's peak rate.
        rate_shares: shares of the learning rate for parts of the network, by name; Adam only.
        frozen: parts of the network that do not learn.
        average_decay: of the moving average of the weights, which is validated and shipped; 0 for none.
        workers: processes that make batches; -1 for all processors but one, 0 for none.
        validation_slices, validation_clips, validation_frames: held-out slices, clips, and slices of a clip.
        held_out_share: share of a user's cases that is kept for validation.
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
    gradient_limit: float | None = 1.0
    method: str = "clips"
    optimizer: str = "muon"
    constant_rate: bool = False
    rate_shares: dict[str, float] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    average_decay: float = 0.998
    workers: int = 0
    validation_slices: int = 48
    validation_clips: int = 16
    validation_frames: int = 8
    held_out_share: float = 0.2


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
            "E_CONFIG_JSON",
            "The configuration {path} is no JSON ({reason}): correct it there, or start from one of {known}.",
            path=path,
            reason=error,
            known=", ".join(known_configs()),
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
    places = {each.name for each in dataclasses.fields(TrainingConfig)} | {"frames"}
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
        raise InputError(
            "E_CONFIG_NETWORK",
            "The configuration's network is wrong: {reason} Correct it, or name one of {known}.",
            reason=str(error).rstrip(".") + ".",
            known=", ".join(PRESETS),
        ) from error
    return config


def _checked(kind: Callable[..., Settings], data: dict[str, Any], place: str) -> Settings:
    names = {each.name for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    plain = _plain(kind, data, place, names)
    for each in dataclasses.fields(kind):  # type: ignore[arg-type]
        if each.default is dataclasses.MISSING and each.name not in plain:
            raise InputError("E_CONFIG_KEY_MISSING", "The configuration says no {key}: add it.", key=each.name)
    return kind(**plain)


def _plain(kind: Any, data: dict[str, Any], place: str, known: set[str]) -> dict[str, Any]:
    """The values of a table, every one of the kind that its field is declared as."""
    declared = {each.name: str(each.type) for each in dataclasses.fields(kind)}
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
    "float | None": ("a number or null", lambda value: value is None or _is_number(value)),
    "str": ("a text", lambda value: isinstance(value, str)),
    "tuple[str, ...]": (
        "a list of texts",
        lambda value: isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value),
    ),
    "dict[str, float]": (
        "a table of numbers",
        lambda value: isinstance(value, dict) and all(_is_number(each) for each in value.values()),
    ),
}


_LEAST: dict[str, int | None] = {
    "bodies": 1,
    "threads": 1,
    "checkpoint_minutes": None,
    "checkpoint_every": 1,
    "validate_every": 1,
    "report_every": 1,
    "gradient_limit": None,
    "seed": 0,
    "held_out": 0,
    "workers": -1,
    "average_decay": 0,
    "validation_slices": 1,
    "validation_clips": 1,
    "validation_frames": 2,
    "held_out_share": 0,
}
"""The least value of a number; None for any above 0."""
_MOST = {"seed": 2**63 - 1, "threads": 1024, "workers": 1024}


def _check_ranges(config: TrainingConfig) -> None:
    """Raises InputError for a number that no run can have."""
    for name, least in _LEAST.items():
        value = getattr(config, name)
        if value is not None and (value <= 0 if least is None else value < least):
            raise _wrong(name, "more than 0" if least is None else f"{least} or more", value)
    for name in ("average_decay", "held_out_share"):
        if getattr(config, name) >= 1:
            raise _wrong(name, "less than 1", getattr(config, name))
    for name, most in _MOST.items():
        if (getattr(config, name) or 0) > most:
            raise _wrong(name, f"{most} or less", getattr(config, name))
    for each in dataclasses.fields(ScheduleConfig):
        value, above_zero = getattr(config.schedule, each.name), each.type == "int" or each.name == "peak_rate"
        if value < 0 or (above_zero and value == 0):
            raise _wrong(f"schedule.{each.name}", "more than 0" if above_zero else "0 or more", value)
    for name, choices in CHOICES.items():
        if getattr(config, name) not in choices:
            raise _wrong(name, f"one of {', '.join(choices)}", getattr(config, name))
    if config.rate_shares and config.optimizer != "adam":
        raise _wrong("rate_shares", "left out, or optimizer must be adam", config.rate_shares)


def _wrong(key: str, words: str, value: object) -> InputError:
    return InputError(
        "E_CONFIG_VALUE", "The configuration's {key} must be {words}, not {value!r}.", key=key, words=words, value=value
    )


def _unknown(key: str, known: Sequence[str]) -> InputError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return InputError("E_CONFIG_KEY", "The configuration has no key {key}: did you mean {near}?", key=key, near=near[0])
