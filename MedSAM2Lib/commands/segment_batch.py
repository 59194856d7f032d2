"""`medsam2 segment --batch`: several volumes and their prompts from one CSV file, the model loaded once."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from MedSAM2Lib.commands.batch_file import BatchCase, read_cases, stem_of
from MedSAM2Lib.commands.outputs import Outputs, check_folder, check_outputs
from MedSAM2Lib.commands.segment_job import finish, input_files, load_model, read_case, segment
from MedSAM2Lib.commands.segmentation import EXIT_INTERRUPTED, ReadyModel, SegmentSettings
from MedSAM2Lib.errors import InputError, MedSAM2Error, OutputError

_EXIT_SOME_FAILED = 2


def run_batch(file: Path, settings: SegmentSettings, folder: Path) -> int:
    """Segments every volume of the file into ``folder``; a bad one is named and skipped, the others are done.

    What can be told without reading a volume is refused before any work, by InputError.
    """
    cases = read_cases(file)
    if settings.logits is not None or settings.report is not None:
        raise InputError("E_BATCH_OUTPUTS", "--batch writes masks and a report each: leave --logits and --report out.")
    if folder.is_file():
        raise OutputError("E_OUT_IS_FILE", "--out {path} is a file: --batch needs a folder.", path=folder)
    check_folder(folder if folder.is_dir() else folder.resolve().parent, folder)
    model = load_model(settings)
    folder.mkdir(exist_ok=True)
    failed = 0
    for number, case in enumerate(cases, start=1):
        print(f"[{number}/{len(cases)}] {case.volume}")
        try:
            if _run_case(case, model, settings, folder, [file, *(each.volume for each in cases)]):
                return EXIT_INTERRUPTED
        except MedSAM2Error as error:
            failed += 1
            print(f"medsam2: {case.volume}: {error}", file=sys.stderr)
    if failed:
        print(f"{failed} of {len(cases)} failed", file=sys.stderr)
    return _EXIT_SOME_FAILED if failed else 0


def _run_case(
    case: BatchCase, model: ReadyModel, settings: SegmentSettings, folder: Path, others: Sequence[Path]
) -> bool:
    own = replace(settings, volume=case.volume)
    mask = folder / case.out
    outputs = Outputs(mask, report=folder / f"{stem_of(mask)}.json")
    check_outputs(outputs, [*others, *input_files(own, case.prompts)])
    start = time.perf_counter()
    volume, objects = read_case(own, case.prompts)
    seconds = time.perf_counter() - start
    fresh = replace(model, context=replace(model.context, notices=[]))
    done = segment(volume, objects, fresh, own)
    done.seconds = {"read": seconds, **done.seconds}
    finish(done, fresh, own, outputs)
    return done.interrupted
