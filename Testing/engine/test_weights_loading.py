"""Loading a network by name or path: the same numbers in every format, and nothing loaded that is not whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from MedSAM2Lib.errors import ModelError, OutputError
from MedSAM2Lib.network.prompts import PromptTensors
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.resources import resources_dir
from MedSAM2Lib.weights import catalogue
from MedSAM2Lib.weights.catalogue import FOLDER_VARIABLE, find_entry, read_catalogue
from MedSAM2Lib.weights.checksums import sha256_of, sidecar_of, write_sidecar
from MedSAM2Lib.weights.loading import load_network, open_checkpoint
from MedSAM2Lib.weights.saving import save_network
from Testing.engine.checkpoints import TINY, published_tensors, tiny_network, write_published


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models, which the environment names."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


def code_of(source: str | Path, **options: int) -> str:
    with pytest.raises(ModelError) as caught:
        load_network(source, **options)  # type: ignore[arg-type]
    return caught.value.code


@torch.inference_mode()
def logits_of(network: Sam2Network) -> torch.Tensor:
    torch.manual_seed(1)
    features = network.encode_image(torch.randn(1, 1, TINY.image_size, TINY.image_size, dtype=network.dtype))
    prompts = PromptTensors(torch.tensor([[[20.0, 30.0]]], dtype=network.dtype), torch.ones(1, 1, dtype=torch.int32))
    return network.decode(network.without_memory(features.top), features.high_res, prompts, multimask=True).candidates


def test_a_saved_network_computes_the_same_after_loading(tmp_path: Path) -> None:
    network, path = tiny_network(), tmp_path / "tiny.safetensors"
    save_network(network, path, dtype=torch.float32)
    loaded = load_network(path)
    assert loaded.config == TINY
    assert (loaded.name, loaded.path, loaded.checksum) == ("tiny", path, sha256_of(path))
    assert torch.equal(logits_of(loaded.network), logits_of(network))
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_a_loaded_network_is_for_inference_and_independent_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_network(tiny_network(), path)
    network = load_network(str(path)).network
    before = logits_of(network)
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert torch.equal(logits_of(network), before)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}


def test_half_precision_files_are_read_as_float32_and_stay_close(tmp_path: Path) -> None:
    network, path = tiny_network(), tmp_path / "tiny.safetensors"
    save_network(network, path, notes={"trained": "never"})
    with safe_open(path, "pt") as file:
        assert file.get_tensor("no_mem_embed").dtype == torch.float16
        assert file.metadata()["trained"] == "never"
    torch.testing.assert_close(logits_of(load_network(path).network), logits_of(network), rtol=0, atol=2e-3)


def test_any_floating_type_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_network(tiny_network(), path)
    network = load_network(path, dtype=torch.bfloat16).network
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.bfloat16}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("key", [None, "model", "state_dict"])
def test_pickled_checkpoints_with_our_config_load_too(tmp_path: Path, key: str | None, prefix: str) -> None:
    network, path = tiny_network(), tmp_path / "tiny.pt"
    tensors = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    torch.save({**({key: tensors} if key else tensors), "config": TINY.to_dict(), "epoch": 3}, path)
    loaded = load_network(path)
    assert loaded.config == TINY
    assert torch.equal(logits_of(loaded.network), logits_of(network))


def test_saving_refuses_what_the_type_cannot_hold(tmp_path: Path) -> None:
    network = tiny_network()
    network.no_mem_embed[0, 0, 0] = 1e6
    with pytest.raises(ValueError, match="no_mem_embed"):
        save_network(network, tmp_path / "tiny.safetensors")
    with pytest.raises(OutputError):
        save_network(tiny_network(), tmp_path / "absent" / "tiny.safetensors")


def test_missing_unexpected_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    tensors = tiny_network().state_dict()
    path, metadata = tmp_path / "tiny.safetensors", {"config": json.dumps(TINY.to_dict())}

    def problems(**changed: torch.Tensor) -> ModelError:
        save_file(
            {**{name: tensor for name, tensor in tensors.items() if name not in dropped}, **changed}, path, metadata
        )
        with pytest.raises(ModelError) as caught:
            load_network(path)
        return caught.value

    dropped = {"no_obj_ptr"}
    error = problems()
    assert error.code == "E_CHECKPOINT_TENSORS"
    assert "1 missing (no_obj_ptr)" in str(error)
    dropped = {name for name in tensors if name.startswith("obj_ptr_proj.")}
    assert "6 missing (obj_ptr_proj.layers.0.weight, obj_ptr_proj.layers.0.bias, " in str(problems())
    dropped = set()
    assert "1 unexpected (adapter)" in str(problems(adapter=torch.ones(2)))
    assert "1 of the wrong shape (no_obj_ptr [1, 5] instead of [1, 32])" in str(problems(no_obj_ptr=torch.ones(1, 5)))


def test_a_changed_file_is_refused_by_the_checksum_kept_at_download(models: Path) -> None:
    path = models / "mine.safetensors"
    save_network(tiny_network(), path)
    write_sidecar(path, sha256_of(path))
    load_network(path)
    save_network(tiny_network(seed=1), path)
    with pytest.raises(ModelError, match="download it again") as caught:
        load_network(path)
    assert caught.value.code == "E_CHECKSUM"
    sidecar_of(path).unlink()
    load_network(path)


def test_a_damaged_embedded_model_is_installed_again_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = find_entry("embedded", read_catalogue())
    monkeypatch.setattr(catalogue, "resources_dir", lambda: tmp_path)
    shutil.copy(resources_dir() / "models.json", tmp_path)
    content = (resources_dir() / entry.file).read_bytes()
    (tmp_path / entry.file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match="install MedSAM2Slicer again") as caught:
        load_network("embedded")
    assert caught.value.code == "E_CHECKSUM"
    assert "download" not in str(caught.value)


def test_a_catalogue_model_that_is_not_its_publishers_file_is_refused(models: Path) -> None:
    entry = find_entry("sam2.1-hiera-tiny", read_catalogue())
    write_published(models / entry.file)
    assert entry.sha256 is not None
    assert code_of(entry.name) == "E_CHECKSUM"


def test_catalogue_names_bring_their_image_size(models: Path) -> None:
    entry = find_entry("medsam2-2411", read_catalogue())
    assert code_of(entry.name) == "E_MODEL_NOT_INSTALLED"
    path = write_published(models / entry.file)
    loaded = load_network(entry.name)
    assert (loaded.name, loaded.path, loaded.config.image_size) == (entry.name, path, 512)
    assert loaded.network.no_mem_embed.shape == (1, 1, 256)
    assert open_checkpoint(path).config.image_size == 1024


def test_a_file_of_a_known_name_brings_its_image_size_but_not_its_name(tmp_path: Path) -> None:
    # medsam2-latest has a known checksum, which this file has not: it may be a copy trained further.
    path = write_published(tmp_path / "MedSAM2_latest.pt")
    assert load_network(path).config.image_size == 512
    assert load_network(path).name == "MedSAM2_latest"
    assert load_network(path, image_size=256).config.image_size == 256


def test_hugging_face_files_load(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        names = transformers.Sam2VideoModel(transformers.Sam2VideoConfig()).state_dict()
    torch.save({name: torch.zeros(1).expand(tensor.shape) for name, tensor in names.items()}, tmp_path / "model.pt")
    checkpoint = open_checkpoint(tmp_path / "model.pt")
    assert set(checkpoint.tensors) == set(published_tensors())


def test_sources_that_are_nothing_are_told_apart(models: Path) -> None:
    with pytest.raises(ModelError, match=r"medsam2-latest") as caught:
        load_network("medsam2-lates")
    assert caught.value.code == "E_MODEL_UNKNOWN"
    assert code_of("absent.pt") == "E_CHECKPOINT_MISSING"
    assert code_of("./folder/absent") == "E_CHECKPOINT_MISSING"
    assert code_of(Path("embedded")) == "E_CHECKPOINT_MISSING"
    assert code_of(models) == "E_CHECKPOINT_BROKEN"
    with pytest.raises(ModelError, match="models download sam2-hiera-tiny"):
        load_network("sam2-hiera-tiny")


def test_loading_imports_no_compiler(tmp_path: Path) -> None:
    # torch imports one, in over a second, if random weights are drawn for the network without memory.
    path = tmp_path / "tiny.safetensors"
    save_network(tiny_network(), path)
    code = (
        "import sys; from MedSAM2Lib.weights.loading import load_network; before = set(sys.modules); "
        f"load_network({str(path)!r}); print(len({{'sympy', 'torch._dynamo'}} & (set(sys.modules) - before)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
