"""A folder of images from files to mask files: read, load the model, prompt, run, write as the results come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tqdm import tqdm

from MedSAM2Lib import __version__
from MedSAM2Lib.commands.imageset import ImageSetSettings
from MedSAM2Lib.commands.imageset_files import SetFile, fingerprint, images_of, picture_files, read_files
from MedSAM2Lib.commands.imageset_outputs import CSV_NAME, SetOutputs
from MedSAM2Lib.commands.imageset_prompts import by_image, check_names, prompts_of
from MedSAM2Lib.commands.prompt_options import WrittenPrompt
from MedSAM2Lib.commands.segment_job import load_model
from MedSAM2Lib.commands.segmentation import EXIT_INTERRUPTED, ReadyModel, SegmentSettings
from MedSAM2Lib.imageset.options import ImageSetOptions, usual_least_confidence
from MedSAM2Lib.imageset.session import ImageSetSession
from MedSAM2Lib.tracking.device import choose_device
from MedSAM2Lib.tracking.engine import stop_rule_for
from MedSAM2Lib.tracking.features import FeatureCache
from MedSAM2Lib.tracking.runner import NetworkRunner

EXIT_SOME_LEFT_OUT = 3


def run_set(settings: ImageSetSettings, written: Sequence[WrittenPrompt]) -> int:
    """Segments every image of a folder; returns the exit code."""
    prompted = by_image(written)
    paths = picture_files(settings.folder)
    check_names(prompted, paths, settings.folder)
    choose_device(settings.device)
    files = read_files(paths)
    outputs = SetOutputs(settings.out, fingerprint(files), [file.mask_name for file in files])
    outputs.check(settings.folder)
    prompts = prompts_of(prompted, files)
    model = ready_model(settings)
    session = open_session(files, model, settings)
    for identity, prompt in prompts:
        session.add_prompt(session.place_of(identity), prompt)
    left_out = [file for file in files if file.error is not None]
    for file in left_out:
        print(f"medsam2: left out: {file.error}", file=sys.stderr)
    start = time.perf_counter()
    interrupted = _collect(session, outputs, manifest(settings, model, session, written, left_out))
    if outputs.rows:
        outputs.end({"interrupted": interrupted, "bank": bank_contents(session)})
    _say(session, model, outputs, len(files) - len(left_out), interrupted, time.perf_counter() - start)
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_LEFT_OUT if left_out else 0


def ready_model(settings: ImageSetSettings) -> ReadyModel:
    """The network with how it is shown images; raises ModelError, DeviceError or InputError."""
    return load_model(
        SegmentSettings(
            volume=None,
            out=settings.out,
            model=settings.model,
            image_size=settings.image_size,
            device=settings.device,
            precision=settings.precision,
            zoom=settings.zoom,
            seed=settings.seed,
        )
    )


def open_session(files: Sequence[SetFile], model: ReadyModel, settings: ImageSetSettings) -> ImageSetSession:
    """A session on the readable images."""
    features = FeatureCache(model.context.device, model.options.host_cache_bytes)
    runner = NetworkRunner(model.loaded.network, model.context, features.move_to_host)
    return ImageSetSession(images_of(files), runner, features, set_options(model, settings))


def set_options(model: ReadyModel, settings: ImageSetSettings) -> ImageSetOptions:
    """The options with what the user left to the model."""
    zoom, least = model.options.zoom, settings.least_confidence
    return ImageSetOptions(
        memory="temporal" if settings.memory == "temporal" else "none" if settings.memory == "none" else "self-sorting",
        order="free" if settings.order == "free" else "content",
        bank=settings.bank.options(model.loaded.config.bank_capacity, settings.seed),
        zoom=zoom,
        fit=model.options.fit,
        least_confidence=usual_least_confidence(zoom) if least is None else least,
    )


def manifest(
    settings: ImageSetSettings,
    model: ReadyModel,
    session: ImageSetSession,
    written: Sequence[WrittenPrompt],
    left_out: Sequence[SetFile],
) -> dict[str, Any]:
    """What is needed to do it again, as plain data."""
    options, loaded = session.options, model.loaded
    return {
        "program": {"name": "medsam2", "version": __version__},
        "folder": str(settings.folder),
        "images": sum(len(image.names) for image in session.images),
        "left_out": [file.path.name for file in left_out],
        "prompts": [[one.kind, one.text] for one in written],
        "model": {"name": loaded.name, "sha256": loaded.checksum, "image_size": loaded.config.image_size},
        "settings": {
            "memory": options.memory,
            "order": options.order,
            "bank": {"rule": options.bank.rule, "capacity": options.bank.capacity, "shown": options.bank.shown},
            "least_iou": options.bank.least_iou,
            "margin": options.bank.margin,
            "resampling": options.bank.resampling,
            "seed": options.bank.seed,
            "zoom": options.zoom,
            "fit": options.fit,
            "least_confidence": options.least_confidence,
            "device": str(model.context.device),
            "precision": str(model.context.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
        },
    }


def bank_contents(session: ImageSetSession) -> dict[str, Any] | None:
    """What the memory holds at the end and every offer to it, images by their names; None before a run."""
    bank = session.bank()
    if bank is None:
        return None
    names = [image.names[0] for image in session.images]
    return {
        "capacity": bank.capacity,
        "prompted": [names[place] for place in bank.prompted],
        "tracked": [names[place] for place in bank.tracked],
        "events": [
            {
                "image": names[event.slice_index],
                "kept": event.kept,
                "pushed_out": None if event.pushed_out is None else names[event.pushed_out],
                "reason": event.reason,
            }
            for event in bank.events
        ],
    }


def _collect(session: ImageSetSession, outputs: SetOutputs, description: dict[str, Any]) -> bool:
    """Runs to the end or to Ctrl-C, and says whether that came; what is done is written by then."""
    try:
        for _ in _bar(session.describe(), len(session.images), "look"):
            pass
        for result in _bar(session.run(), len(session.images), "segment"):
            if not outputs.rows:
                outputs.begin(description)
            names = session.images[result.place].names
            shown = [session.images[place].names[0] for place in result.shown]
            outputs.write(result, session.mask(result), names, shown)
    except KeyboardInterrupt:
        return True
    return False


def _bar(steps: Iterator[Any], total: int, what: str) -> Iterator[Any]:
    with tqdm(steps, total=total, unit="image", desc=what, disable=None, leave=False) as bar:
        yield from bar


def _say(
    session: ImageSetSession, model: ReadyModel, outputs: SetOutputs, total: int, interrupted: bool, seconds: float
) -> None:
    least = stop_rule_for(model.loaded.config, enabled=True).predicted_iou
    for result in session.results():
        if result.prompted and result.predicted_iou <= least:
            model.context.notice(
                f"The model is unsure of the object on the prompted image {session.images[result.place].names[0]} "
                f"(predicted IoU {result.predicted_iou:.2f}): try a box, or more points."
            )
    bank = session.bank()
    if session.options.memory == "self-sorting" and bank is not None and bank.grown:
        model.context.notice(
            f"The memory is to hold {bank.capacity} image{'s' if bank.capacity != 1 else ''} and "
            f"{len(bank.prompted)} are prompted: it keeps them all, and no other image beside them."
        )
    for sentence in model.context.notices:
        print(f"note: {sentence}", file=sys.stderr)
    done, found = len(outputs.rows), sum(row["found"] == "yes" for row in outputs.rows)
    cut = "interrupted: kept what was done, " if interrupted else ""
    speed = f"{seconds:.1f} s ({done / max(seconds, 1e-9):.1f} images/s)"
    if done or not interrupted:
        print(f"{cut}{done} of {total} images in {speed}, the object found in {found}; {outputs.folder / CSV_NAME}")
    else:
        print("interrupted: nothing was done yet, nothing is written")
