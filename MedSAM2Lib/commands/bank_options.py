"""The options of the self-sorting memory bank, for every command that has one; their defaults are the bank's own."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.memory.options import SelfSortingOptions

_DEFAULTS = SelfSortingOptions()
_NAMES = ("rule", "capacity", "least_iou", "margin", "shown", "resampling", "neighbour")


@dataclass(frozen=True)
class BankChoice:
    """What a command line says of the bank; None is left to the defaults, and the capacity to the model."""

    rule: str | None = None
    capacity: int | None = None
    least_iou: float | None = None
    margin: float | None = None
    shown: int | None = None
    resampling: str | None = None
    neighbour: bool | None = None

    def options(self, capacity: int, seed: int) -> SelfSortingOptions:
        """The bank's options; ``capacity`` is the model's own, ``seed`` that of everything random."""
        given = {name: getattr(self, name) for name in _NAMES if getattr(self, name) is not None}
        return replace(_DEFAULTS, **{"capacity": capacity, "seed": seed, **given})


def add_bank_options(parser: argparse.ArgumentParser, with_neighbour: bool = True) -> None:
    """Adds ``--rule`` and the others; sets of images have no neighbour to show."""
    group = parser.add_argument_group("self-sorting memory")
    group.add_argument(
        "--rule",
        choices=("paper", "code"),
        help="which entry makes room: paper, the one least dissimilar to all others; code, as in the released code "
        f"(default {_DEFAULTS.rule})",
    )
    group.add_argument(
        "--capacity", type=int, metavar="K", help="entries kept, at least the prompted ones (default: the model's, 16)"
    )
    group.add_argument(
        "--least-iou",
        type=float,
        metavar="IOU",
        help=f"predicted IoU that a newcomer must be over (default {_DEFAULTS.least_iou:g})",
    )
    group.add_argument(
        "--margin",
        type=float,
        help=f"how much less confident than the entry that leaves a newcomer may be (default {_DEFAULTS.margin:g})",
    )
    group.add_argument(
        "--shown",
        type=int,
        metavar="N",
        help=f"entries shown beside the prompted ones (default {_DEFAULTS.shown})",
    )
    group.add_argument(
        "--resampling",
        choices=("most-similar", "drawn"),
        help="which entries are shown: the most similar ones, or drawn by similarity with --seed, as published "
        f"(default {_DEFAULTS.resampling})",
    )
    if with_neighbour:
        group.add_argument(
            "--neighbour",
            choices=("on", "off"),
            help=f"show the slice tracked just before as well (default {'on' if _DEFAULTS.neighbour else 'off'})",
        )


def bank_choice(options: argparse.Namespace) -> BankChoice:
    """The options as one typed object. Raises InputError for numbers out of range, and without that memory."""
    neighbour = getattr(options, "neighbour", None)
    choice = BankChoice(
        options.rule,
        options.capacity,
        options.least_iou,
        options.margin,
        options.shown,
        options.resampling,
        None if neighbour is None else neighbour == "on",
    )
    given = [name for name in _NAMES if getattr(choice, name) is not None]
    if given and options.memory != "self-sorting":
        raise InputError(
            "E_BANK_OPTIONS",
            "--{option} belongs to --memory self-sorting: add that, or leave --{option} out.",
            option=given[0].replace("_", "-"),
        )
    _check("--capacity", choice.capacity, 1, 10_000)
    _check("--shown", choice.shown, 0, 10_000)
    _check("--least-iou", choice.least_iou, 0.0, 1.0)
    _check("--margin", choice.margin, 0.0, 1.0)
    return choice


def _check(option: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise InputError(
            "E_BANK_NUMBER",
            "{option} {value:g} is out of range: give a number from {least:g} to {most:g}.",
            option=option,
            value=value,
            least=least,
            most=most,
        )
