"""`medsam2 segment --batch`: several volumes and their prompts from one CSV file, the model loaded once."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from MedSAM2Lib.commands.outputs import Outputs, check_folder, check_outputs
from MedSAM2Lib.commands.prompt_options import WrittenPrompt
from MedSAM2Lib.commands.segment_job import finish, input_files, load_model, read_case, segment
from MedSAM2Lib.commands.segmentation import EXIT_INTERRUPTED, ReadyModel, SegmentSettings
from MedSAM2Lib.errors import InputError, MedSAM2Error

_PROMPT_COLUMNS = ("point", "box", "mask")
_COLUMNS = ("volume", "object", *_PROMPT_COLUMNS, "out")
_EXIT_SOME_FAILED = 2


@dataclass
class BatchCase:
    """One volume of a batch: its file, its prompts as on a command line, the name of its mask."""

    volume: Path
    out: str
    prompts: list[WrittenPrompt] = field(default_factory=list)


def run_batch(file: Path, settings: SegmentSettings, folder: Path) -> int:
    """Segments every volume of the file into ``folder``; a bad one is named and skipped, the others are done."""
    cases = read_cases(file)
    if settings.logits is not None or settings.report is not None:
        raise InputError("E_BATCH_OUTPUTS", "--batch writes masks and a report each: leave --logits and --report out.")
    check_folder(folder if folder.is_dir() else folder.resolve().parent, folder)
    folder.mkdir(exist_ok=True)
    model = load_model(settings)
    failed = 0
    for number, case in enumerate(cases, start=1):
        print(f"[{number}/{len(cases)}] {case.volume}")
        try:
            if _run_case(case, model, settings, folder, [file, *(each.volume for each in cases)]):
                return EXIT_INTERRUPTED
        except MedSAM2Error as error:
            failed += 1
            print(f"medsam2: {case.volume}: {error}", file=sys.stderr)
    return _EXIT_SOME_FAILED if failed else 0


def read_cases(file: Path) -> list[BatchCase]:
    """The cases of a batch file, in order; relative paths are taken from the file's folder. Raises InputError."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            _check_columns(file, reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            "E_BATCH_FILE", "{file} is not a readable CSV file ({reason}).", file=file, reason=error
        ) from error
    cases: dict[str, BatchCase] = {}
    for line, row in enumerate(rows, start=2):
        _add_row(cases, file, line, row)
    if not cases:
        raise InputError("E_BATCH_EMPTY", "{file} has no rows: write one prompt a row under its header.", file=file)
    names = [_stem(Path(case.out)) for case in cases.values()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            "E_BATCH_OUT",
            "Several volumes of {file} would write {name}: give each mask its own name in a column out.",
            file=file,
            name=twice[0],
        )
    return list(cases.values())


def _add_row(cases: dict[str, BatchCase], file: Path, line: int, row: dict[str, str | None]) -> None:
    values = {name: (row.get(name) or "").strip() for name in _COLUMNS}
    given = [(kind, values[kind]) for kind in _PROMPT_COLUMNS if values[kind]]
    if not values["volume"] or len(given) != 1:
        raise InputError(
            "E_BATCH_ROW",
            "Line {line} of {file} needs a volume and exactly one of point, box and mask.",
            line=line,
            file=file,
        )
    case = cases.get(values["volume"])
    if case is None:
        volume = file.parent / values["volume"]
        case = cases[values["volume"]] = BatchCase(volume, values["out"] or f"{_stem(volume)}.seg.nrrd")
    kind, text = given[0]
    name = WrittenPrompt("object", values["object"] or "object")
    if name not in case.prompts:
        case.prompts.append(name)
    place = _end_of_object(case.prompts, name)
    case.prompts.insert(place, WrittenPrompt(kind, str(file.parent / text) if kind == "mask" else text))


def _end_of_object(prompts: list[WrittenPrompt], name: WrittenPrompt) -> int:
    place = prompts.index(name) + 1
    while place < len(prompts) and prompts[place].kind != "object":
        place += 1
    return place


def _run_case(
    case: BatchCase, model: ReadyModel, settings: SegmentSettings, folder: Path, others: Sequence[Path]
) -> bool:
    own = replace(settings, volume=case.volume)
    mask = folder / case.out
    outputs = Outputs(mask, report=folder / f"{_stem(mask)}.json")
    check_outputs(outputs, [*others, *input_files(own, case.prompts)])
    start = time.perf_counter()
    volume, objects = read_case(own, case.prompts)
    seconds = time.perf_counter() - start
    fresh = replace(model, context=replace(model.context, notices=[]))
    done = segment(volume, objects, fresh, own)
    done.seconds = {"read": seconds, **done.seconds}
    finish(done, fresh, own, outputs)
    return done.interrupted


def _check_columns(file: Path, columns: object) -> None:
    found = set(columns) if isinstance(columns, (list, tuple)) else set()
    unknown = sorted(str(name) for name in found - set(_COLUMNS))
    if "volume" not in found or unknown:
        raise InputError(
            "E_BATCH_COLUMNS",
            "{file} must have the columns volume, object, point, box, mask and may have out; found {found}.",
            file=file,
            found=", ".join(sorted(str(name) for name in found)) or "none",
        )


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".seg.nrrd", ".nii.gz"):
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return path.stem or "volume"
