"""`medsam2 train`: runs that go on after any end as if never stopped, models that load, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

pytest.importorskip("lightning")

from MedSAM2Lib.cli import main
from MedSAM2Lib.commands import train_job
from MedSAM2Lib.training import loop
from MedSAM2Lib.training.configuration import read_settings, training_config
from MedSAM2Lib.training.cost import Cost, cost_of
from MedSAM2Lib.training.curve import Curve
from MedSAM2Lib.training.loop import Trainer
from MedSAM2Lib.training.package import package
from MedSAM2Lib.training.run_lock import only_run
from MedSAM2Lib.weights.loading import load_network
from MedSAM2Lib.weights.saving import save_network
from Testing.engine.checkpoints import tiny_network
from Testing.engine.command_line import ROOT
from Testing.engine.training_cases import written_case, written_cases
from Testing.engine.training_ground import TINY

SETTINGS = {
    "network": TINY.to_dict(),
    "frames": 60,
    "schedule": {
        "single_share": 0.2,
        "images": 4,
        "short": 3,
        "short_clips": 2,
        "long": 4,
        "long_clips": 2,
        "set_size": 3,
        "set_clips": 2,
        "warmup_steps": 2,
    },
    "seed": 5,
    "bodies": 1,
    "held_out": 1,
    "checkpoint_every": 8,
    "validate_every": 24,
    "report_every": 1,
    "validation_slices": 2,
    "validation_clips": 2,
    "validation_frames": 3,
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic bodies for all tests of this file, made by the first that needs them."""
    return tmp_path_factory.mktemp("pool")


@pytest.fixture(autouse=True)
def brief(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates once for all tests of the file, pictures only where a test looks at them: they take most of a test."""
    if "unknown part" not in request.node.name:
        monkeypatch.setattr(train_job, "cost_of", _cost_of)
    if "ends_with_curves" not in request.node.name:
        monkeypatch.setattr(loop, "plot_run", lambda folder, report: None)


@cache
def _known_cost() -> Cost:
    return cost_of(TINY, training_config(read_settings("finetune")))


def _cost_of(network: object, config: object) -> Cost:
    return _known_cost()


@pytest.fixture
def config(tmp_path: Path, pool: Path) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps({**SETTINGS, "pool": str(pool)}))
    return path


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    return written_cases(tmp_path / "cases")


def train(*arguments: object) -> int:
    return main(["train", *(str(argument) for argument in arguments), "--device", "cpu"])


def rows(out: Path, name: str = "curve.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "last.ckpt", weights_only=True)["average"]


def same_weights(first: Path, second: Path) -> bool:
    pairs = zip(weights(first).values(), weights(second).values())
    return all(torch.equal(*pair) for pair in pairs)


def test_a_run_on_synthetic_anatomy_ends_with_curves_and_a_model_that_loads(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "runs" / "first"
    assert train("--config", config, "--seed", 6, "--out", out) == 0
    said = capsys.readouterr().err
    assert "frozen: nothing" in said and "GB of memory on cpu" in said and "validation  box_2d" in said
    names = {"run.json", "last.ckpt", "curve.csv", "curve.png", "validation.csv", "model.safetensors"}
    assert {path.name for path in out.iterdir()} == names
    assert int(rows(out)[-1]["frames"]) >= 60
    assert len(rows(out, "validation.csv")) >= 2
    loaded = load_network(out / "model.safetensors")
    assert loaded.config == TINY
    with safe_open(out / "model.safetensors", "pt") as file:
        told = json.loads(file.metadata()["training"])
    command = f"medsam2 train --config {config} --seed 6 --device cpu --out {out}"
    assert (told["seed"], told["command"], told["start"]) == (6, command, None)
    assert told["settings"]["schedule"]["images"] == 4


def test_a_run_killed_in_the_middle_resumes_to_the_same_curve(config: Path, cases: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train("--config", config, "--finetune", cases, "--from", written_start(tmp_path), "--out", whole) == 0
    code = "import sys; from MedSAM2Lib.cli import main; main(sys.argv[1:])"
    options = ["--config", config, "--finetune", cases, "--from", written_start(tmp_path), "--out", killed]
    command = [sys.executable, "-c", code, "train", *map(str, options), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:
        if "of 60 frames" in line and int(line.split()[0]) >= 30:
            running.kill()
            break
    running.stderr.close()
    assert running.wait() == -signal.SIGKILL
    shutil.copy(killed / "run.json", killed / "last.part.ckpt")  # as if it had been killed while it saved
    with (killed / "curve.csv").open("a") as file:
        file.write("1,2,")
    assert 0 < len(rows(killed)) < len(rows(whole))
    assert train("--resume", "--out", killed) == 0
    assert rows(killed) == rows(whole)
    assert rows(killed, "validation.csv") == rows(whole, "validation.csv")
    assert same_weights(killed, whole)


def test_a_run_killed_before_its_first_checkpoint_begins_again(config: Path, cases: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    options = ("--config", config, "--finetune", cases, "--frames", 12)
    for folder in (out, whole):
        assert train(*options, "--out", folder) == 0
    (out / "last.ckpt").unlink()
    (out / "model.safetensors").unlink()
    assert train("--resume", "--out", out) == 0
    assert rows(out) == rows(whole) and same_weights(out, whole)


def test_a_run_killed_before_it_wrote_anything_begins_anew(
    config: Path, cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.lock").touch()  # what a run that was killed while it read its cases leaves
    options = ("--config", config, "--finetune", cases, "--frames", 4, "--resume")
    (out / "curve.csv").touch()
    assert train(*options, "--out", out) == 2
    assert "no training run" in capsys.readouterr().err
    (out / "curve.csv").unlink()
    assert train(*options, "--out", out) == 0
    assert "begins anew" in capsys.readouterr().err.splitlines()[0]
    assert len(rows(out)) >= 1 and not (out / "run.lock").exists()


def test_two_trainings_never_write_one_folder(
    config: Path, cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    options = ("--config", config, "--finetune", cases, "--out", out)
    with another_holds(out) as other:
        assert train(*options) == 2
        assert f"Another training writes {out}: wait for it" in capsys.readouterr().err.splitlines()[-1]
        assert [path.name for path in out.iterdir()] == ["run.lock"]
        other.kill()
        other.wait()
        with only_run(out):  # its worker still lives
            pass
    assert not list(out.iterdir())


@contextmanager
def another_holds(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder, as a training does, and has a worker."""
    code = """if True:
        import os, sys, time
        from pathlib import Path
        from MedSAM2Lib.training.run_lock import only_run
        with only_run(Path(sys.argv[1])):
            worker = os.fork() if hasattr(os, "fork") else 1
            if worker:
                print(worker, flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        worker = int(other.stdout.readline())
        try:
            yield other
        finally:
            other.kill()
            if worker > 1:
                os.kill(worker, signal.SIGKILL)


def test_a_case_that_cannot_be_read_leaves_no_folder_behind(config: Path, cases: Path, tmp_path: Path) -> None:
    next(cases.rglob("mask.seg.nrrd")).write_bytes(b"no mask")
    assert train("--config", config, "--finetune", cases, "--out", tmp_path / "runs" / "new") == 2
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_keeps_the_last_checkpoint_and_says_how_to_go_on(
    config: Path, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out, whole, step = tmp_path / "out", tmp_path / "whole", Trainer._step
    options = ("--config", config, "--finetune", cases, "--workers", 1)

    def step_and_interrupt(trainer: Trainer, *arguments: object) -> object:
        row = step(trainer, *arguments)  # type: ignore[arg-type]
        if trainer.progress.step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return row

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", step_and_interrupt)
        assert train(*options, "--out", out) == 130
    assert f"medsam2 train --resume --out {out}" in capsys.readouterr().err
    kept = torch.load(out / "last.ckpt", weights_only=True)
    assert 0 < kept["step"] <= 7
    assert (out / "curve.png").exists() and not (out / "model.safetensors").exists()
    assert train(*options, "--resume", "--out", out) == 0
    assert train(*options, "--out", whole) == 0
    assert rows(out) == rows(whole) and same_weights(out, whole)


def test_a_longer_run_goes_on_and_keeps_its_command_and_its_plans(config: Path, cases: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert train("--config", config, "--finetune", cases, "--frames", 12, "--out", out) == 0
    command = json.loads((out / "run.json").read_text())["command"]
    steps = len(rows(out))
    assert train("--resume", "--frames", 24, "--out", out) == 0
    told = json.loads((out / "run.json").read_text())
    assert told["command"] == command
    assert told["plans"] == [{"from_step": 0, "frames": 12}, {"from_step": steps, "frames": 24}]
    assert len(rows(out)) > steps


@pytest.mark.parametrize("recipe", ["medical-sam2-3d", "medical-sam2-2d"])
def test_a_recipe_resumes_to_the_same_curve_and_says_what_is_frozen(
    recipe: str, cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    start = written_start(tmp_path)
    options = ("--recipe", recipe, "--finetune", cases, "--from", start, "--set", "held_out_share=0")
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert train(*options, "--frames", 8, "--out", out) == 0
    said = capsys.readouterr().err
    assert "frozen: image_encoder" in said if recipe.endswith("3d") else "frozen: sam_prompt_encoder" in said
    assert train("--resume", "--frames", 16, "--out", out) == 0
    assert train(*options, "--frames", 16, "--out", whole) == 0
    assert rows(out) == rows(whole) and same_weights(out, whole)
    begun = load_network(start).network.state_dict()
    moved = {name.split(".")[0] for name, tensor in weights(whole).items() if not torch.equal(tensor, begun[name])}
    assert "sam_mask_decoder" in moved and "sam_prompt_encoder" not in moved
    assert ("image_encoder" in moved) == recipe.endswith("2d")


def written_start(folder: Path) -> Path:
    """Starting weights in a file: a tiny network."""
    path = folder / "start.safetensors"
    if not path.exists():
        from MedSAM2Lib.network.sam2 import Sam2Network

        torch.manual_seed(0)
        save_network(Sam2Network(TINY), path, torch.float32)
    return path


def test_starting_weights_are_where_a_run_begins_and_are_found_from_any_folder(
    config: Path, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, out = written_start(tmp_path), tmp_path / "out"
    options = ("--config", config, "--finetune", cases, "--from", start.name, "--set", "schedule.peak_rate=1e-60")
    monkeypatch.chdir(tmp_path)
    assert train(*options, "--frames", 4, "--out", out) == 0
    (out / "last.ckpt").unlink()  # as if it had been killed before the first
    monkeypatch.chdir(cases)
    assert train("--resume", "--out", out) == 0
    begun = load_network(start).network.state_dict()
    assert all(torch.equal(tensor, begun[name]) for name, tensor in weights(out).items())
    told = json.loads((out / "run.json").read_text())["start"]
    assert told["name"] == "start" and len(told["sha256"]) == 64


def test_pairs_as_evaluate_reads_them_are_cases_too(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    written_case(tmp_path / "case")
    data = tmp_path / "data"
    data.mkdir()
    shutil.move(tmp_path / "case" / "image.nrrd", data / "one.nrrd")
    shutil.move(tmp_path / "case" / "mask.seg.nrrd", data / "one.seg.nrrd")
    assert train("--config", config, "--finetune", data, "--frames", 4, "--out", tmp_path / "out") == 0
    assert "organ, cube" in capsys.readouterr().err


def test_a_packaged_run_tells_how_it_was_made_and_a_large_one_is_refused(
    config: Path, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out, file = tmp_path / "out", tmp_path / "model.safetensors"
    assert train("--config", config, "--finetune", cases, "--frames", 4, "--out", out) == 0
    assert main(["train", "--package", str(out), "--out", str(file), "--name", "mine", "--model-version", "3"]) == 0
    with safe_open(file, "pt") as opened:
        metadata, names = opened.metadata(), list(opened.keys())
        assert all(opened.get_tensor(name).dtype == torch.float16 for name in names)
    assert (metadata["name"], metadata["version"]) == ("mine", "3")
    told = json.loads(metadata["training"])
    assert told["data"].startswith("3 cases") and told["frames"] >= 4
    monkeypatch.setattr(train_job, "package", lambda *given, **more: package(*given, **{"limit": 1000, **more}))
    capsys.readouterr()
    assert main(["train", "--package", str(out), "--out", str(tmp_path / "no.safetensors")]) == 2
    assert "--any-size" in capsys.readouterr().err and not (tmp_path / "no.safetensors").exists()
    assert main(["train", "--package", str(out), "--out", str(tmp_path / "any.safetensors"), "--any-size"]) == 0


def test_a_full_disk_keeps_the_last_good_checkpoint(
    config: Path, cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full, which is a full disk")
    out = tmp_path / "out"
    options = ("--config", config, "--finetune", cases)
    assert train(*options, "--frames", 12, "--out", out) == 0
    good = (out / "last.ckpt").read_bytes()
    (out / "last.part.ckpt").symlink_to("/dev/full")
    capsys.readouterr()
    assert train("--resume", "--frames", 40, "--out", out) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "No space left" in said and "is kept" in said and "--resume" in said
    assert (out / "last.ckpt").read_bytes() == good
    assert not (out / "last.part.ckpt").is_symlink()
    assert train("--resume", "--out", out) == 0


def test_a_curve_on_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full, which is a full disk")
    curve = Curve(tmp_path / "curve.csv", ("step",), 0)
    (tmp_path / "curve.csv").unlink()
    (tmp_path / "curve.csv").symlink_to("/dev/full")
    with pytest.raises(train_job.OutputError) as refused:
        curve.add({"step": 1})
    assert refused.value.code == "E_CURVE_NOT_SAVED"


def test_a_loss_without_a_number_is_left_out_and_at_last_ends_the_run(
    config: Path, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from MedSAM2Lib.training import methods

    good = methods.frame_loss
    bad: list[int] = []

    def sometimes(*given: object) -> object:
        loss = good(*given)  # type: ignore[arg-type]
        return loss._replace(mask=loss.mask * float("nan")) if len(rows(out)) in bad else loss

    monkeypatch.setattr(methods, "frame_loss", sometimes)
    out = tmp_path / "once"
    bad[:] = [1, 2]
    options = ("--config", config, "--finetune", cases)
    assert train(*options, "--frames", 24, "--out", out) == 0
    assert [row["loss"] for row in rows(out)[1:3]] == ["nan", "nan"]
    assert all(torch.isfinite(tensor).all() for tensor in weights(out).values())
    out = tmp_path / "always"
    bad[:] = range(3, 1000)
    capsys.readouterr()
    assert train(*options, "--frames", 400, "--out", out) == 2
    assert "schedule.peak_rate" in capsys.readouterr().err.strip().splitlines()[-1]
    assert all(torch.isfinite(tensor).all() for tensor in weights(out).values())


BAD_INPUT = {
    "no such configuration": (["--config", "embeded"], "embedded, "),
    "unknown key": (["--config", "CONFIG", "--set", "schedule.imags=3"], "schedule.images"),
    "wrong type": (["--config", "CONFIG", "--set", "bodies=many"], "bodies must be a whole number"),
    "no assignment": (["--config", "CONFIG", "--set", "bodies"], "KEY=VALUE"),
    "no data": (["--config", "CONFIG", "--finetune", "nowhere"], "nowhere"),
    "no cases": (["--config", "CONFIG", "--finetune", "EMPTY"], "no images with label maps"),
    "unknown model": (["--config", "CONFIG", "--from", "nowhere.pt"], "nowhere.pt"),
    "weights of another network": (["--config", "CONFIG", "--from", "embedded"], "do not fit"),
    "size without weights": (["--config", "CONFIG", "--image-size", "512"], "--from"),
    "no network": (["--recipe", "medical-sam2-3d"], "--from"),
    "recipe and configuration": (["--recipe", "medical-sam2-3d", "--config", "CONFIG"], "--config"),
    "unknown device": (["--config", "CONFIG", "--device", "gpu"], "no kind of device"),
    "nothing to resume": (["--frames", "3", "--resume"], "leave out --resume"),
    "nothing to package": (["--package", "EMPTY"], "no training run"),
    "package and train": (["--package", "EMPTY", "--frames", "3"], "leave out --frames"),
    "unknown part": (["--config", "CONFIG", "--set", 'frozen=["encoder"]'], "no part encoder"),
}


@pytest.mark.parametrize("what", BAD_INPUT)
def test_bad_input_gives_one_sentence_exit_code_2_and_nothing_written(
    what: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments, words = BAD_INPUT[what]
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    named = [part.replace("CONFIG", str(config)).replace("EMPTY", str(empty)) for part in arguments]
    assert main(["train", "--out", str(out), *named]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not out.exists() and not list(empty.iterdir())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run in ``out`` and its cases in ``cases``."""
    folder = tmp_path_factory.mktemp("finished")
    written_cases(folder / "cases")
    (folder / "tiny.json").write_text(json.dumps({**SETTINGS, "frames": 4}))
    assert train("--config", folder / "tiny.json", "--finetune", folder / "cases", "--out", folder / "out") == 0
    return folder


CHANGED = {
    "another seed": (["--seed", "9"], "seed 5, not 9"),
    "another rate": (["--set", "schedule.peak_rate=1e-5"], "schedule.peak_rate 0.0014, not 1e-05"),
    "another network": (["--set", "network.memory_dim=8"], "network.memory_dim 16, not 8"),
    "other starting weights": (["--from", "START"], "start.sha256 None"),
    "another method": (["--set", "optimizer=adam"], "optimizer muon, not adam"),
    "other cases": (["--finetune", "OTHER"], "3 cases"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_resumed_run_may_not_change(what: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments, words = CHANGED[what]
    start = str(written_start(tmp_path))
    other = str(written_cases(tmp_path / "other", 1)) if "OTHER" in arguments else ""
    before = {path: path.read_bytes() for path in (finished / "out").iterdir()}
    named = [part.replace("START", start).replace("OTHER", other) for part in arguments]
    config = ["--config", finished / "tiny.json"] if "network" in what else []
    assert train("--resume", *config, *named, "--out", finished / "out") == 2
    said = capsys.readouterr().err
    assert words in said and len(said.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in (finished / "out").iterdir()} == before


def test_another_run_is_never_written_over(finished: Path, capsys: pytest.CaptureFixture) -> None:
    before = {path: path.read_bytes() for path in (finished / "out").iterdir()}
    assert train("--finetune", finished / "cases", "--out", finished / "out") == 2
    assert "--resume" in capsys.readouterr().err
    assert train("--finetune", finished / "cases", "--out", finished / "tiny.json") == 2
    assert "is a file" in capsys.readouterr().err.strip().splitlines()[-1]
    assert {path: path.read_bytes() for path in (finished / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("cut", "is damaged"),
        ("other", "of another network"),
        ("optimizer", "of another network"),
        ("json", "does not describe"),
        ("key", "'memory_dims' is no setting of the network"),
        ("begun", "begun is no table"),
    ],
)
def test_a_damaged_run_is_refused(
    damage: str, words: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished / "out", out)
    if damage == "cut":
        (out / "last.ckpt").write_bytes((out / "last.ckpt").read_bytes()[:5000])
    elif damage == "json":
        (out / "run.json").write_text("{}")
    elif damage in ("key", "begun"):
        told = json.loads((out / "run.json").read_text())
        told["network"].update({"memory_dims": 3} if damage == "key" else {})
        told["begun"] = 7 if damage == "begun" else None
        (out / "run.json").write_text(json.dumps(told))
    else:
        state = torch.load(out / "last.ckpt", weights_only=True)
        others = {f"network.{name}": tensor for name, tensor in tiny_network().state_dict().items()}
        changed = {"objective": others} if damage == "other" else {"optimizer": {"state": [], "param_groups": [1]}}
        state.update(changed)
        torch.save(state, out / "last.ckpt")
    capsys.readouterr()
    assert train("--resume", "--frames", 40, "--out", out) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]
