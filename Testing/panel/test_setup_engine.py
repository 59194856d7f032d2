"""Engines and devices: the same engine as the command's, kept as long as it serves, and errors that say what to do."""

from __future__ import annotations

import importlib.abc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from MedSAM2SlicerLib.session.ports import EngineChoice
from MedSAM2SlicerLib.session.worker import Worker
from MedSAM2SlicerLib.setup.device import devices, measure, seconds_per_slice
from MedSAM2SlicerLib.setup.engine_factory import EngineFactory, EngineSettings

from MedSAM2Lib.commands.segment_job import load_model
from MedSAM2Lib.commands.segmentation import SegmentSettings
from MedSAM2Lib.errors import DeviceError, InputError, MedSAM2Error, ModelError
from MedSAM2Lib.tracking.engine import Sam2Engine
from MedSAM2Lib.tracking.stand_in import RegionGrowingEngine
from MedSAM2Lib.types import BoxPrompt, SegmentationEngine
from MedSAM2Lib.volume.volume import Volume

MODULE_FOLDER = Path(__file__).resolve().parents[2] / "MedSAM2Slicer"
CPU = EngineSettings(device="cpu")


def code_of(kind: type[MedSAM2Error], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


class RefusingFinder(importlib.abc.MetaPathFinder):
    """Lets the import of one package fail as a broken installation does."""

    def __init__(self, name: str, error: Exception) -> None:
        self._name, self._error = name, error

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self._name:
            raise self._error


def logits_of(engine: SegmentationEngine) -> np.ndarray:
    """The network's answer to a box around a bright block in noise."""
    grey = np.random.default_rng(0).normal(0.0, 10.0, (3, 64, 64))
    grey[:, 20:40, 24:48] += 120.0
    session = engine.open(Volume.from_array(grey.astype(np.int16), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), name="block"))
    object_id = session.add_object("block")
    prompt = BoxPrompt((24.0, 20.0, 1.0), (47.0, 39.0, 1.0))
    session.add_prompt(object_id, prompt)
    return session.preview(object_id, prompt.slice).logits


def test_the_engine_is_the_one_that_the_command_makes() -> None:
    command = load_model(SegmentSettings(volume=None, out=Path("mask.seg.nrrd"), device="cpu", window="-160,240"))
    ready = EngineFactory(lambda: CPU)(EngineChoice(window=(-160.0, 240.0)))
    assert isinstance(ready.engine, Sam2Engine)
    assert ready.engine.options == command.options
    assert ready.engine.identity == Sam2Engine(command.loaded.network, command.context, command.options).identity
    ours = logits_of(ready.engine)
    assert (ours > 0).any()
    np.testing.assert_array_equal(ours, logits_of(Sam2Engine(command.loaded.network, command.context, command.options)))


def test_what_provenance_needs_is_told() -> None:
    ready = EngineFactory(lambda: CPU)(EngineChoice())
    assert (ready.model, ready.device) == ("embedded", "cpu fp32")
    assert len(ready.checksum) == 64
    assert set(ready.versions) == {"MedSAM2Slicer", "torch"}
    assert ready.notices() == ()


def test_another_window_or_memory_does_not_load_the_network_again_and_another_setting_does() -> None:
    settings = [CPU]
    factory = EngineFactory(lambda: settings[0])
    first = factory(EngineChoice(window=(0.0, 100.0))).engine
    second = factory(EngineChoice(window=(0.0, 200.0), memory="key-slice")).engine
    assert isinstance(first, Sam2Engine) and isinstance(second, Sam2Engine)
    assert second.network is first.network and second.options != first.options
    first.context.notice("something")
    assert not second.context.notices, "notices of one engine are not those of the next"
    settings[0] = EngineSettings(device="cpu", seed=7)
    third = factory(EngineChoice()).engine
    assert isinstance(third, Sam2Engine) and third.network is not first.network
    factory.forget()
    settings[0] = CPU
    fourth = factory(EngineChoice()).engine
    assert isinstance(fourth, Sam2Engine) and fourth.network is not third.network


def test_a_model_that_is_missing_broken_or_unknown_is_a_typed_error(tmp_path: Path) -> None:
    factory = EngineFactory(lambda: EngineSettings(device="cpu", models_folder=tmp_path))
    assert code_of(ModelError, lambda: factory(EngineChoice(model="medsam2-latest"))) == "E_MODEL_NOT_INSTALLED"
    assert code_of(ModelError, lambda: factory(EngineChoice(model="medsam"))) == "E_MODEL_UNKNOWN"
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no checkpoint")
    assert code_of(ModelError, lambda: factory(EngineChoice(model=str(broken)))).startswith("E_CHECKPOINT")
    assert factory(EngineChoice()).model == "embedded", "the factory goes on after an error"


def test_a_device_or_a_window_that_is_none_is_a_typed_error() -> None:
    wrong = EngineFactory(lambda: EngineSettings(device="cuda:99"))
    assert code_of(DeviceError, lambda: wrong(EngineChoice())) == "E_DEVICE_ABSENT"
    assert code_of(InputError, lambda: EngineFactory(lambda: CPU)(EngineChoice(window=(5.0, 5.0)))) == "E_WINDOW"


def test_torch_missing_and_torch_broken_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = EngineFactory(lambda: CPU)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        assert code_of(MedSAM2Error, lambda: factory(EngineChoice())) == "E_TORCH_MISSING"
        assert code_of(MedSAM2Error, devices) == "E_TORCH_MISSING"
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "torch")
        patch.setattr(sys, "meta_path", [RefusingFinder("torch", OSError("DLL load failed")), *sys.meta_path])
        assert code_of(MedSAM2Error, lambda: factory(EngineChoice())) == "E_TORCH_BROKEN"


def test_a_package_that_is_missing_is_named() -> None:
    code = (
        "import sys; sys.modules['safetensors'] = None\n"
        "from MedSAM2Lib.errors import MedSAM2Error\n"
        "from MedSAM2SlicerLib.setup.engine_factory import EngineChoice, EngineFactory\n"
        "try: EngineFactory()(EngineChoice())\n"
        "except MedSAM2Error as error: print(error.code, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=MODULE_FOLDER, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("E_PACKAGES_MISSING The package safetensors is not installed"), done.stderr


def test_the_processor_is_always_among_the_devices_with_its_threads() -> None:
    found = devices()
    assert found[-1].name == "cpu" and not found[-1].is_gpu
    assert "1 thread" in found[-1].title
    assert "fp32" in found[-1].precisions and "fp16" not in found[-1].precisions
    assert len({device.name for device in found}) == len(found)


def test_seconds_per_slice_are_measured_on_the_engines_thread() -> None:
    worker = Worker()
    threads: list[threading.Thread] = []

    class Noticing(RegionGrowingEngine):
        def open(self, volume):  # type: ignore[no-untyped-def]
            threads.append(threading.current_thread())
            return super().open(volume)

    job = measure(Noticing(), worker.submit)
    assert job.done.wait(60) and job.error is None
    assert 0 < job.result < 10
    assert threads and threads[0] is not threading.main_thread()
    worker.close(5)


def test_the_measurement_counts_every_slice_but_the_first() -> None:
    ready = EngineFactory(lambda: CPU)(EngineChoice())
    assert 0 < seconds_per_slice(ready.engine) < 10
