"""Runs of a tiny network: they learn, they resume as if never stopped, and they end as a model file that loads."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

pytest.importorskip("lightning")

import numpy as np

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training import package as packaging
from MedSAM2Lib.training.averaging import WeightAverage
from MedSAM2Lib.training.clips import ClipMaker
from MedSAM2Lib.training.configuration import TrainingConfig
from MedSAM2Lib.training.loop import Trainer
from MedSAM2Lib.training.methods import ClipObjective
from MedSAM2Lib.training.muon import MuonAdamW
from MedSAM2Lib.training.presets import network_preset
from MedSAM2Lib.training.run_folder import RunNotes
from MedSAM2Lib.training.schedule import ScheduleConfig
from MedSAM2Lib.weights.loading import load_network
from Testing.engine.test_training_unroll import MemoryPlan, batch
from Testing.engine.training_ground import TINY, body

SCHEDULE = ScheduleConfig(
    frames=60, single_share=0.2, long_from=0.5, images=4, short=3, short_clips=2, long=4, long_clips=2, warmup_steps=2
)


CONFIG = TrainingConfig(SCHEDULE, seed=5, bodies=1)


def trainer(out: Path, config: TrainingConfig = CONFIG, report: Callable[[str], None] = lambda line: None) -> Trainer:
    maker = ClipMaker([body()], TINY.image_size, config.seed)
    return Trainer(TINY, config, out, maker, notes=RunNotes("a test"), report=report)


def curve(out: Path) -> list[dict[str, str]]:
    with (out / "curve.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_a_resumed_run_repeats_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole").run()
    first = trainer(tmp_path / "parts")
    first.run(stop_after_steps=4)
    first.save()
    first.run(stop_after_steps=2)
    second = trainer(tmp_path / "parts")
    second.resume()
    assert second.progress.step == 4
    parts = second.run()
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    assert int(curve(tmp_path / "whole")[-1]["frames"]) >= SCHEDULE.frames
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_a_change_of_length_is_noted_down(tmp_path: Path) -> None:
    first = trainer(tmp_path)
    first.run(stop_after_steps=3)
    first.save()
    second = trainer(tmp_path, replace(CONFIG, schedule=replace(SCHEDULE, frames=80)))
    second.resume()
    second.run(stop_after_steps=1)
    described = json.loads((tmp_path / "run.json").read_text())
    assert described["plans"] == [{"from_step": 0, "frames": 60}, {"from_step": 3, "frames": 80}]


@pytest.mark.parametrize("method", ["clips", "medical-sam2-3d", "medical-sam2-2d"])
def test_mixed_precision_trains_by_every_method(method: str, tmp_path: Path) -> None:
    config = replace(CONFIG, method=method, precision="bf16")
    whole = trainer(tmp_path / "whole", config)
    whole.run(stop_after_steps=4)
    whole.save()
    first = trainer(tmp_path / "parts", config)
    first.run(stop_after_steps=2)
    first.save()
    second = trainer(tmp_path / "parts", config)
    second.resume()
    second.run(stop_after_steps=2)
    assert all(math.isfinite(float(row["loss"])) for row in curve(tmp_path / "whole"))
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    assert all(weight.dtype == torch.float32 for weight in whole.network.parameters())


def test_there_is_nothing_to_resume_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        trainer(tmp_path).resume()
    assert refused.value.code == "E_NO_CHECKPOINT"


def test_steps_on_one_batch_lower_its_loss() -> None:
    objective = ClipObjective(Sam2Network(TINY).train())
    optimizer = MuonAdamW.for_module(objective, 2e-3)
    losses = []
    for _ in range(30):
        loss = objective(batch(3), MemoryPlan(), np.random.default_rng(0)).total
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_a_packaged_run_loads_from_the_file_alone(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run")
    averaged = run.run(stop_after_steps=2)
    run.save()
    out = tmp_path / "model.safetensors"
    size = packaging.package(tmp_path / "run", out, "tiny", "1.2.3")
    assert size == out.stat().st_size
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "medsam2slicer"
    assert (metadata["name"], metadata["version"]) == ("tiny", "1.2.3")
    assert NetworkConfig.from_dict(json.loads(metadata["config"])) == TINY
    training = json.loads(metadata["training"])
    plans = [{"from_step": 0, "frames": 60}]
    told = {"command": "a test", "seed": 5, "data": "synthetic anatomy", "start": None, "settings": None}
    assert training == {**told, "frames": training["frames"], "steps": 2, "plans": plans}
    assert training["frames"] > 0
    loaded = load_network(out).network
    pixels = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.encode_image(pixels).top, averaged.encode_image(pixels).top, atol=0.02, rtol=0.02
        )


def test_packaging_refuses_folders_without_a_run_and_models_too_large_to_ship(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError) as refused:
        packaging.package(tmp_path, tmp_path / "model.safetensors", "none", "0")
    assert refused.value.code == "E_NO_RUN"
    run = trainer(tmp_path / "run")
    run.run(stop_after_steps=1)
    run.save()
    with pytest.raises(OutputError) as too_large:
        packaging.package(tmp_path / "run", tmp_path / "model.safetensors", "none", "0", limit=1000)
    assert too_large.value.code == "E_MODEL_TOO_LARGE"


def test_the_average_follows_slowly_and_forgets_the_start() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 0.0)
    average = WeightAverage(network, decay=0.9)
    torch.nn.init.constant_(network.weight, 1.0)
    average.update(network, step=0)
    assert average.network.weight.item() == pytest.approx(0.9)
    torch.nn.init.constant_(network.weight, 2.0)
    average.update(network, step=10_000)
    assert average.network.weight.item() == pytest.approx(0.9 + 0.1 * 1.1)


def test_the_larger_network_can_still_be_shipped() -> None:
    network = Sam2Network(network_preset("embedded-192"))
    assert 6e6 < sum(weight.numel() for weight in network.parameters()) < packaging.LARGEST_BYTES / 2
    with torch.no_grad():
        assert network.encode_image(torch.zeros(1, 1, 192, 192)).top.shape == (1, 128, 12, 12)


def test_the_embedded_network_is_small_and_takes_one_channel() -> None:
    config = network_preset("embedded")
    count = sum(weight.numel() for weight in Sam2Network(config).parameters())
    assert 2.5e6 < count < 3e6
    assert config.image_encoder.in_channels == 1 and config.draw_prompts
    assert replace(config, zoom=None) != config
    with pytest.raises(InputError) as unknown:
        network_preset("huge")
    assert unknown.value.code == "E_UNKNOWN_PRESET"
