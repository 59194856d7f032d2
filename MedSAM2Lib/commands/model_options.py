"""`--model`, `--device`, `--precision`, `--seed`: alike in every command that runs a network."""

from __future__ import annotations

import argparse


def add_network_options(group: argparse._ActionsContainer, precision: str = "auto") -> None:
    """Adds ``--model``, ``--device`` and ``--precision``; evaluations take fp32 by default, which repeats."""
    group.add_argument(
        "--model", default="embedded", help="name from `medsam2 models list`, or a checkpoint (default embedded)"
    )
    group.add_argument("--device", default="auto", help="cpu, cuda, cuda:N, mps or auto (default auto)")
    meaning = {"auto": "the faster one, measured", "fp32": "which repeats"}[precision]
    group.add_argument(
        "--precision", choices=("fp32", "bf16", "auto"), default=precision, help=f"default {precision}: {meaning}"
    )


def add_seed_option(group: argparse._ActionsContainer) -> None:
    """Adds ``--seed``."""
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of everything random (default 0)")
