"""A run's folder and its ``run.json``: what was asked for, so that no other run is mixed in, and a model can tell it.

``run.json`` holds ``command``, ``seed``, ``bodies``, ``data`` (in words), ``start`` (name and SHA-256 of the starting
weights), ``plans`` (the planned length, and every change of it), ``schedule``, ``network``, ``fixed`` (what a resumed
run may not change), ``settings`` (the configuration as it was given) and ``begun`` (with which data and weights).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.config_checks import check_config
from MedSAM2Lib.training.checkpoint import CHECKPOINT_NAME
from MedSAM2Lib.training.configuration import TrainingConfig
from MedSAM2Lib.training.files import saving
from MedSAM2Lib.training.starting import Start

RUN_NAME = "run.json"
OURS = (RUN_NAME, CHECKPOINT_NAME, "curve.csv", "validation.csv", "curve.png", "model.safetensors")
FIXED = ("bodies", "method", "precision", "gradient_limit", "average_decay", "frozen", "rate_shares", "optimizer")


@dataclass(frozen=True)
class RunNotes:
    """What is noted down beside the configuration; ``begun``: with which data and starting weights, to go on alike."""

    command: str = ""
    data: str = "synthetic anatomy"
    settings: dict[str, Any] | None = None
    begun: dict[str, Any] | None = None


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The run's last checkpoint."""
        return self.path / CHECKPOINT_NAME

    def described(self) -> dict[str, Any] | None:
        """What ``run.json`` says; None where there is none. Raises InputError ``E_RUN_JSON`` for a broken one."""
        path = self.path / RUN_NAME
        if not path.exists():
            return None
        try:
            return _checked(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                "E_RUN_JSON",
                "{path} does not describe a training run ({reason}): give another folder.",
                path=path,
                reason=f"{error.args[0]} is missing" if isinstance(error, KeyError) else error,
            ) from error

    def found(self) -> list[str]:
        """Names of the files of a run that are there."""
        return [name for name in OURS if (self.path / name).exists()]

    def check_new(self) -> None:
        """Raises InputError ``E_OUT_HAS_RUN`` where files of another run lie."""
        found = self.found()
        if found:
            raise InputError(
                "E_OUT_HAS_RUN",
                "{folder} holds a training run already ({found}): go on with it by --resume, or choose another folder.",
                folder=self.path,
                found=", ".join(found),
            )

    def check_same(self, config: TrainingConfig, network: NetworkConfig, start: Start | None, data: str) -> None:
        """Raises InputError ``E_RUN_CHANGED``, naming the first thing that the resumed run would do otherwise.

        Its length may change. What an older ``run.json`` does not tell is not compared.
        """
        before = self.described()
        if before is None:
            return
        now = _comparable(config, network, start, data)
        started_from = before.get("start") or {"sha256": None}
        for name, value in _flat({**before, "start": started_from}).items():
            if name in now and value != now[name]:
                raise InputError(
                    "E_RUN_CHANGED",
                    "The run in {folder} was begun with {name} {before}, not {now}: resume it as it was, or start "
                    "another one in another folder.",
                    folder=self.path,
                    name=name,
                    before=value,
                    now=now[name],
                )

    def describe(
        self, config: TrainingConfig, network: NetworkConfig, start: Start | None, notes: RunNotes, step: int
    ) -> None:
        """Writes ``run.json`` of a run that begins, or goes on, at ``step``; raises OutputError ``E_RUN_NOT_SAVED``."""
        before = self.described() if step else None
        plan = {"from_step": step, "frames": config.schedule.frames}
        plans = [] if before is None else before.get("plans", [])
        told = _start(start)
        described = {
            "command": notes.command if before is None else before.get("command"),
            "seed": config.seed,
            "bodies": config.bodies,
            "data": notes.data,
            "start": before.get("start") if before is not None and told is None else told,
            "plans": plans if plans and plans[-1].get("frames") == plan["frames"] else [*plans, plan],
            "schedule": asdict(config.schedule),
            "network": network.to_dict(),
            "fixed": {name: getattr(config, name) for name in FIXED},
            "settings": notes.settings,
            "begun": notes.begun,
        }
        with saving(self.path / RUN_NAME) as part:
            part.write_text(json.dumps(described, indent=1), encoding="utf-8")


def _checked(found: Any) -> dict[str, Any]:
    """What ``run.json`` tells; raises KeyError, TypeError or ValueError where a run cannot go on from it."""
    if not isinstance(found, dict):
        raise TypeError("it is no table")
    check_config(NetworkConfig.from_dict(found["network"]))
    tables = {"schedule": found["schedule"], **{name: found.get(name) or {} for name in ("start", "settings", "begun")}}
    tables |= {f"plan {number}": plan for number, plan in enumerate(found.get("plans", []), 1)}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise TypeError(f"{name} is no table")
    return found


def _start(start: Start | None) -> dict[str, str] | None:
    return None if start is None else {"name": start.name, "sha256": start.checksum}


def _comparable(config: TrainingConfig, network: NetworkConfig, start: Start | None, data: str) -> dict[str, Any]:
    told = {
        "seed": config.seed,
        "data": data,
        "schedule": {name: value for name, value in asdict(config.schedule).items() if name != "frames"},
        "network": network.to_dict(),
        "fixed": {name: getattr(config, name) for name in FIXED},
    }
    if start is not None:
        told["start"] = {"sha256": start.checksum}
    return _flat(json.loads(json.dumps(told)))


def _flat(table: dict[str, Any], place: str = "") -> dict[str, Any]:
    """Nested tables as one, ``schedule.peak_rate`` and the like; ``fixed`` is no place of its own."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        where = place if name == "fixed" else f"{place}{name}"
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{where}." if where else ""))
        else:
            flat[where] = value
    return flat
