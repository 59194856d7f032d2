"""One volume from file to mask file: read, load the model, prompt, propagate, write, report."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from MedSAM2Lib.commands.notices import notices_of
from MedSAM2Lib.commands.outputs import Outputs, check_outputs, write_outputs
from MedSAM2Lib.commands.prompt_options import NamedObject, WrittenPrompt, mask_file, objects_from
from MedSAM2Lib.commands.report import build_report, report_text
from MedSAM2Lib.commands.segment_dicom import dicom_seg_target, how_to_export, write_dicom_seg
from MedSAM2Lib.commands.segmentation import ReadyModel, Segmentation, SegmentSettings
from MedSAM2Lib.tracking.device import choose_device, telling_no_memory
from MedSAM2Lib.tracking.engine import Sam2Engine, context_for, options_for, stop_rule_for
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import PropagationRequest, SliceKey, SliceResult
from MedSAM2Lib.volume.intensity import parse_window
from MedSAM2Lib.volume.io import read_mask_prompt, read_volume
from MedSAM2Lib.volume.volume import Volume, check_contrast
from MedSAM2Lib.weights.loading import load_network


def run_one(settings: SegmentSettings, written: Sequence[WrittenPrompt]) -> Segmentation:
    """Segments one volume and writes what the settings name."""
    assert settings.volume is not None
    outputs = Outputs(settings.out, settings.logits, settings.report)
    check_outputs(outputs, input_files(settings, written))
    choose_device(settings.device)
    start = time.perf_counter()
    volume, objects = read_case(settings, written)
    read_seconds = time.perf_counter() - start
    target = dicom_seg_target(settings, [one.name for one in objects])
    start = time.perf_counter()
    model = load_model(settings)
    load_seconds = time.perf_counter() - start
    done = segment(volume, objects, model, settings)
    done.seconds = {"read": read_seconds, "load_model": load_seconds, **done.seconds}
    finish(done, model, settings, outputs)
    if target is not None and done.interrupted:
        print(f"note: {how_to_export(settings, target)}", file=sys.stderr)
    elif target is not None:
        write_dicom_seg(done, target)
    return done


def input_files(settings: SegmentSettings, written: Sequence[WrittenPrompt]) -> list[Path]:
    """Every file that a run reads: the volume, mask prompts, the model where it is a file, and --segments."""
    assert settings.volume is not None
    described = [] if settings.segments is None else [settings.segments]
    masks = [mask_file(one.text)[0] for one in written if one.kind == "mask"]
    return [settings.volume, Path(settings.model), *masks, *described]


def read_case(settings: SegmentSettings, written: Sequence[WrittenPrompt]) -> tuple[Volume, list[NamedObject]]:
    """The volume and its objects."""
    assert settings.volume is not None
    volume = read_volume(settings.volume, series=settings.series)
    check_contrast(volume)
    return volume, objects_from(written, settings.axis, lambda path, label: read_mask_prompt(path, volume, label))


def load_model(settings: SegmentSettings) -> ReadyModel:
    """Loads the network and settles what depends on it; raises ModelError, DeviceError or InputError."""
    torch.manual_seed(settings.seed)
    device = choose_device(settings.device)
    with telling_no_memory(device):
        loaded = load_network(settings.model, image_size=settings.image_size, device=device)
    context = context_for(loaded.config, settings.device, settings.precision)
    window = None if settings.window == "auto" else parse_window(settings.window)
    bank = settings.bank.options(loaded.config.bank_capacity, settings.seed)
    options = options_for(loaded.config, window, settings.fit, settings.zoom, settings.memory, bank)
    return ReadyModel(loaded, context, options)


def segment(
    volume: Volume, objects: Sequence[NamedObject], model: ReadyModel, settings: SegmentSettings
) -> Segmentation:
    """Prompts and propagates; Ctrl-C during propagation keeps what is done."""
    session = Sam2Engine(model.loaded.network, model.context, model.options).open(volume)
    done = Segmentation(volume, session, [named.name for named in objects], fused=settings.orientations != "1")
    with done.timed("prompts"):
        _prompt(session, objects)
    stop = stop_rule_for(model.loaded.config, settings.stop)
    first, last = settings.range or (None, None)
    request = PropagationRequest(settings.axis, first=first, last=last, stop=stop, orientations=settings.orientations)
    with done.timed("propagation"):
        _collect(done, session.propagate(request))
    return done


def finish(done: Segmentation, model: ReadyModel, settings: SegmentSettings, outputs: Outputs) -> None:
    """Writes the mask, the logits and the report, and says what was done."""

    def notice() -> None:
        for sentence in notices_of(done, model, settings):
            model.context.notice(sentence)

    replaced = [path.name for path in outputs.paths if path.exists()]
    write_outputs(done, outputs, lambda: report_text(build_report(done, model, settings)), notice)
    for sentence in model.context.notices:
        print(f"note: {sentence}", file=sys.stderr)
    count, seconds = done.slices_computed, done.seconds["propagation"]
    cut = "interrupted: kept what was done, " if done.interrupted else ""
    speed = f"{count} slices in {seconds:.1f} s ({count / max(seconds, 1e-9):.1f} slices/s)"
    print(f"{cut}{speed}; mask in {outputs.mask}" + (f" (replaced: {', '.join(replaced)})" if replaced else ""))


def _prompt(session: TrackingSession, objects: Sequence[NamedObject]) -> None:
    for named in objects:
        object_id = session.add_object(named.name)
        for prompt in named.prompts:
            session.add_prompt(object_id, prompt)
        for key in _unique([prompt.slice for prompt in named.prompts]):
            session.preview(object_id, key)


def _unique(keys: Sequence[SliceKey]) -> list[SliceKey]:
    return list(dict.fromkeys(keys))


def _collect(done: Segmentation, results: Iterator[SliceResult]) -> None:
    """Runs a propagation to its end, or to Ctrl-C; the bar's total grows where an object turns out to be larger."""
    with tqdm(unit="slice", desc="segment", disable=None, leave=False) as bar:
        try:
            for _ in results:
                done.slices_computed += 1
                bar.total = done.slices_computed + done.session.remaining()
                bar.update()
        except KeyboardInterrupt:
            done.interrupted = True
