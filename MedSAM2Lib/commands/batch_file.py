"""The file of `medsam2 segment --batch`: one prompt a row, checked whole before any work begins."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from MedSAM2Lib.commands.prompt_options import DEFAULT_OBJECT, WrittenPrompt, mask_file, parse_box, parse_point
from MedSAM2Lib.errors import InputError, PromptError
from MedSAM2Lib.volume.io import MASK_SUFFIXES

_PROMPT_COLUMNS = ("point", "box", "mask")
_COLUMNS = ("volume", "object", *_PROMPT_COLUMNS, "out")
_SEPARATORS = ",;\t"
_DEFAULT_SUFFIX = ".seg.nrrd"


@dataclass
class BatchCase:
    """One volume of a batch: its file, its prompts as on a command line, the name of its mask."""

    volume: Path
    out: str
    prompts: list[WrittenPrompt] = field(default_factory=list)


@dataclass(frozen=True)
class _Row:
    """A row that is not blank: the last of its lines, counted from 1, and its values by column."""

    file: Path
    line: int
    values: dict[str, str]

    def refused(self, code: str, template: str, **fields: object) -> InputError:
        """The error for this row; the sentence begins with its place."""
        return InputError(code, "Line {line} of {file}: " + template, line=self.line, file=self.file, **fields)


def read_cases(file: Path) -> list[BatchCase]:
    """The cases of a batch file, in order; relative paths are taken from the file's folder.

    Values are separated by commas, semicolons or tabs, whichever the header has most; rows without any value do not
    count. Raises InputError, with the line, for what can be told without reading a volume: a file that is missing, a
    row or a prompt that is none, a mask's name that is none.
    """
    cases: dict[str, BatchCase] = {}
    for row in _rows(file, _text_of(file)):
        _add_row(cases, row)
    if not cases:
        raise InputError("E_BATCH_EMPTY", "{file} has no rows: write one prompt a row under its header.", file=file)
    for case in cases.values():
        case.out = case.out or f"{stem_of(case.volume)}{_DEFAULT_SUFFIX}"
    names = [stem_of(Path(case.out)).casefold() for case in cases.values()]
    twice = [case.out for case, name in zip(cases.values(), names) if names.count(name) > 1]
    if twice:
        raise InputError(
            "E_BATCH_OUT",
            "Several volumes of {file} would write {name}: give each mask its own name in a column out.",
            file=file,
            name=twice[0],
        )
    return list(cases.values())


def stem_of(path: Path) -> str:
    """A file's name without its suffix, the double ones taken as one."""
    for suffix in MASK_SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)]
    return path.stem or "volume"


def _text_of(file: Path) -> str:
    if file.is_dir():
        raise InputError("E_BATCH_FILE", "{file} is a folder: give --batch the CSV file in it.", file=file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(
            "E_BATCH_FILE",
            "The batch file {file} cannot be read ({reason}): check its path and permissions.",
            file=file,
            reason=error.strerror or error,
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "E_BATCH_FILE",
            "Line {line} of {file} is not in UTF-8: save the file as UTF-8 (in a spreadsheet program 'CSV UTF-8').",
            file=file,
            line=content.count(b"\n", 0, error.start) + 1,
        ) from error


def _rows(file: Path, text: str) -> list[_Row]:
    header = text.lstrip().split("\n", 1)[0]
    separator = max(_SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows: list[_Row] = []
    columns: list[str] | None = None
    try:
        for values in ([value.strip() for value in found] for found in reader):
            if not any(values):
                continue
            if columns is None:
                columns = [name.lower() for name in values]
                _check_columns(file, columns)
            else:
                rows.append(_row(file, reader.line_num, columns, values))
    except csv.Error as error:
        raise InputError(
            "E_BATCH_FILE",
            "Line {line} of {file} is not CSV ({reason}): write it as a spreadsheet program would.",
            file=file,
            line=reader.line_num,
            reason=error,
        ) from error
    if columns is None:
        _check_columns(file, [])
    return rows


def _row(file: Path, line: int, columns: list[str], values: list[str]) -> _Row:
    row = _Row(file, line, {**dict.fromkeys(_COLUMNS, ""), **dict(zip(columns, values))})
    bare = [value for name in ("point", "box") if (value := row.values[name]) and "," not in value]
    if any(values[len(columns) :]) or len(bare) > 1:
        raise row.refused(
            "E_BATCH_QUOTES",
            'there are more values than columns: write the coordinates in quotes, "60,52,14".',
        )
    return row


def _check_columns(file: Path, columns: list[str]) -> None:
    known = [name for name in columns if name in _COLUMNS]
    if "volume" not in known or len(set(known)) < len([name for name in columns if name]):
        raise InputError(
            "E_BATCH_COLUMNS",
            "The first line of {file} must name the columns volume, object, point, box, mask, out (volume and a "
            "prompt at least, each once); found {found}.",
            file=file,
            found=", ".join(columns) or "none",
        )


def _add_row(cases: dict[str, BatchCase], row: _Row) -> None:
    values = row.values
    given = [(kind, values[kind]) for kind in _PROMPT_COLUMNS if values[kind]]
    if not values["volume"] or len(given) != 1:
        raise row.refused("E_BATCH_ROW", "a row needs a volume and exactly one of point, box and mask.")
    volume = row.file.parent / values["volume"]
    if not volume.exists():
        raise row.refused("E_VOLUME_MISSING", "{path} does not exist, check the path and its spelling.", path=volume)
    prompt = _prompt(row, *given[0])
    case = cases.setdefault(values["volume"], BatchCase(volume, ""))
    if values["out"]:
        _check_out(row, case, values["out"])
        case.out = values["out"]
    name = WrittenPrompt("object", values["object"] or DEFAULT_OBJECT)
    if name not in case.prompts:
        case.prompts.append(name)
    case.prompts.insert(_end_of_object(case.prompts, name), prompt)


def _prompt(row: _Row, kind: str, text: str) -> WrittenPrompt:
    """The row's prompt as on a command line, if it can be understood."""
    if kind == "mask":
        text = str(row.file.parent / text)
        path = mask_file(text)[0]
        if not path.is_file():
            raise row.refused("E_VOLUME_MISSING", "{path} is no file, check the path and its spelling.", path=path)
        return WrittenPrompt(kind, text)
    try:
        if kind == "point":
            parse_point(text, "k")
        else:
            parse_box(text, "k")
    except PromptError as error:
        raise row.refused(error.code, "{reason}", reason=error) from error
    return WrittenPrompt(kind, text)


def _check_out(row: _Row, case: BatchCase, out: str) -> None:
    if Path(out).name != out or "\\" in out:
        raise row.refused(
            "E_BATCH_OUT", "out '{out}' is no plain file name: all masks go into the folder of --out.", out=out
        )
    if not out.lower().endswith(MASK_SUFFIXES):
        raise row.refused(
            "E_OUT_SUFFIX", "out '{out}' must end in {suffixes}.", out=out, suffixes=" or ".join(MASK_SUFFIXES)
        )
    if case.out not in ("", out):
        raise row.refused(
            "E_BATCH_OUT",
            "{volume} has two masks, {one} and {other}: keep one.",
            volume=case.volume,
            one=case.out,
            other=out,
        )


def _end_of_object(prompts: list[WrittenPrompt], name: WrittenPrompt) -> int:
    place = prompts.index(name) + 1
    while place < len(prompts) and prompts[place].kind != "object":
        place += 1
    return place
