"""``medsam2 models``: which models there are, where they come from, and fetching, checking and removing them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from MedSAM2Lib.errors import InputError, ModelError
from MedSAM2Lib.weights.catalogue import (
    FOLDER_VARIABLE,
    ModelEntry,
    as_plain_data,
    default_models_folder,
    find_entry,
    installed_models,
    model_path,
    read_catalogue,
)

_LICENCE_COLUMN = 42
_REPORTED_STEPS = 20


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ``models`` and its own sub-commands to the command line."""
    parser = subparsers.add_parser(
        "models",
        help="list, download, check and remove models",
        description=f"Models are kept in {default_models_folder()}, or in the folder of ${FOLDER_VARIABLE}.",
    )
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = _add_action(actions, "list", "all models, and which are installed")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")

    info = _add_action(actions, "info", "everything about one model: its source, size and licence")
    info.add_argument("name", metavar="NAME")

    download = _add_action(actions, "download", "fetch a model from the Hugging Face hub")
    download.add_argument("name", metavar="NAME")
    download.add_argument(
        "--accept-licence", action="store_true", help="accept the model's licence without being asked"
    )

    verify = _add_action(actions, "verify", "check that installed models are whole and unchanged")
    verify.add_argument("name", metavar="NAME", nargs="?", help="all installed models if left out")

    remove = _add_action(actions, "remove", "remove a downloaded model")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--yes", action="store_true", help="remove without being asked")


def run(args: argparse.Namespace) -> int:
    """Runs one action; returns the process's exit code. Raises MedSAM2Error for the command line to print."""
    entries = read_catalogue()
    folder: Path = args.folder.expanduser() if args.folder else default_models_folder()
    if args.action == "list":
        return _list(entries, folder, as_json=args.json)
    if args.action == "verify":
        return _verify([find_entry(args.name, entries)] if args.name else installed_models(entries, folder), folder)
    entry = find_entry(args.name, entries)
    if args.action == "info":
        return _info(entry, folder)
    if args.action == "download":
        return _download(entry, folder, accepted=args.accept_licence)
    return _remove(entry, folder, confirmed=args.yes)


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, purpose: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help=f"folder of downloaded models (default: ${FOLDER_VARIABLE}, or a folder in the user's cache)",
    )
    return parser


def _list(entries: Iterable[ModelEntry], folder: Path, as_json: bool) -> int:
    if as_json:
        print(json.dumps([as_plain_data(entry, folder) for entry in entries], indent=2, ensure_ascii=False))
        return 0
    rows = [
        (
            entry.name,
            "yes" if model_path(entry, folder).is_file() else "no",
            _size(entry),
            _shortened(entry.licence, _LICENCE_COLUMN),
            entry.purpose,
        )
        for entry in entries
    ]
    print(_table(("NAME", "INSTALLED", "SIZE", "LICENCE", "PURPOSE"), rows))
    print(f"\nModels folder: {folder}")
    return 0


def _info(entry: ModelEntry, folder: Path) -> int:
    path = model_path(entry, folder)
    facts = {
        "Name": entry.name,
        "Title": entry.title,
        "Purpose": entry.purpose,
        "Network": f"SAM {entry.sam_version} {entry.architecture}, images of {entry.image_size} x {entry.image_size}",
        "Size": _size(entry),
        "Licence": entry.licence,
        "Licence text": entry.licence_url or "-",
        "Source": entry.source,
        "File": entry.file,
        "SHA-256": entry.sha256 or "kept at download",
        "Installed": str(path) if path.is_file() else "no",
    }
    width = max(map(len, facts))
    print("\n".join(f"{label:<{width}}  {value}" for label, value in facts.items()))
    return 0


def _download(entry: ModelEntry, folder: Path, accepted: bool) -> int:
    from MedSAM2Lib.weights.download import download_model

    if not entry.is_embedded:
        print(f"{entry.title} ({_size(entry)}) from {entry.source} into {folder}")
        print(f"Licence: {entry.licence}" + (f" ({entry.licence_url})" if entry.licence_url else ""))
        if not accepted:
            _ask(
                "Do you accept the licence, and download the model? [y/N] ",
                InputError(
                    "E_LICENCE_NOT_ACCEPTED",
                    "{name} was not downloaded because its licence was not accepted; add --accept-licence once you "
                    "have read it.",
                    name=entry.name,
                ),
            )
    # huggingface_hub draws its own progress bar on a terminal.
    report = None if sys.stderr.isatty() else _PrintedProgress(entry)
    path = download_model(entry, folder, report)
    print(f"Installed: {path}")
    return 0


def _verify(entries: Sequence[ModelEntry], folder: Path) -> int:
    from MedSAM2Lib.weights.checksums import kept_checksum
    from MedSAM2Lib.weights.loading import check_model

    problems = 0
    for entry in entries:
        try:
            checkpoint = check_model(entry, folder)
        except ModelError as error:
            problems += 1
            print(f"{entry.name}: {error}", file=sys.stderr)
        else:
            compared = entry.sha256 or kept_checksum(checkpoint.path)
            state = "whole and unchanged" if compared else "whole; no checksum was kept to compare it with"
            print(f"{entry.name}: {state} ({len(checkpoint.tensors)} tensors)")
    if not entries:
        print("No model is installed.")
    return 2 if problems else 0


def _remove(entry: ModelEntry, folder: Path, confirmed: bool) -> int:
    from MedSAM2Lib.weights.download import remove_model, stored_files

    if not entry.is_embedded and not stored_files(entry, folder):
        print(f"{entry.name} is not installed in {folder}: there is nothing to remove.")
        return 0
    if not confirmed and not entry.is_embedded:
        _ask(
            f"Remove {entry.title} from {folder}? [y/N] ",
            InputError(
                "E_NOT_CONFIRMED", "{name} was not removed; add --yes to do so without a question.", name=entry.name
            ),
        )
    print("\n".join(f"Removed: {file}" for file in remove_model(entry, folder)))
    return 0


def _ask(question: str, refusal: InputError) -> None:
    """Raises ``refusal`` unless someone at a terminal answers yes."""
    if not sys.stdin.isatty() or input(question).strip().lower() not in ("y", "yes"):
        raise refusal


class _PrintedProgress:
    """A line at each twentieth of a download, for logs and for programs that run this command."""

    def __init__(self, entry: ModelEntry) -> None:
        self._total = entry.megabytes
        self._step = 0

    def __call__(self, done: int) -> None:
        megabytes = done / 1e6
        step = int(_REPORTED_STEPS * megabytes / self._total)
        if step > self._step:
            self._step = step
            print(f"{megabytes:.1f} of {self._total:.1f} MB", file=sys.stderr, flush=True)


def _size(entry: ModelEntry) -> str:
    return f"{entry.megabytes:.0f} MB"


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in (head, *rows))
    return "\n".join(lines)
