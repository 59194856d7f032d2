"""Reading model files: every layout that is in use, and nothing that could do harm or is half there."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from MedSAM2Lib.errors import ModelError
from MedSAM2Lib.weights.reading import read_tensors

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")

TENSORS = {"image_encoder.weight": torch.arange(6.0).reshape(2, 3), "no_mem_embed": torch.ones(1, 1, 4)}


class TouchesFile:
    """Unpickled the ordinary way, it runs a shell command that makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"echo harm > '{self.target}'",)


def code_of(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value)
    return caught.value.code


def assert_same_tensors(found: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(TENSORS)
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


@pytest.mark.parametrize(
    "payload",
    [
        TENSORS,
        {"model": TENSORS},
        {"state_dict": TENSORS, "optimizer": {"state": {0: torch.ones(3)}}, "epoch": 7, "args": ["a"]},
        {"model": TENSORS, "model_config": {"a": 1}},
        {"model": {f"module.{name}": tensor for name, tensor in TENSORS.items()}},
        {"state_dict": {f"network._orig_mod.{name}": tensor for name, tensor in TENSORS.items()}},
        {**TENSORS, "step": 12, "note": "flat, with others beside"},
    ],
    ids=["flat", "model", "state_dict", "model and config", "module prefix", "two prefixes", "flat with extras"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
def test_pickled_layouts_give_the_same_tensors(tmp_path: Path, payload: dict[str, Any], zipped: bool) -> None:
    path = tmp_path / "model.pt"
    torch.save(payload, path, _use_new_zipfile_serialization=zipped)
    assert_same_tensors(read_tensors(path)[0])


def test_safetensors_are_read_with_their_metadata_under_any_name(tmp_path: Path) -> None:
    for name in ("model.safetensors", "model.pt"):
        save_file(TENSORS, tmp_path / name, {"config": '{"a": 1}'})
        tensors, metadata = read_tensors(tmp_path / name)
        assert_same_tensors(tensors)
        assert metadata == {"config": '{"a": 1}'}


def test_a_config_beside_pickled_tensors_becomes_metadata(tmp_path: Path) -> None:
    config = {"image_size": 64, "image_encoder": {"embed_dim": 8}}
    torch.save({"model": TENSORS, "config": config, "epoch": 2}, tmp_path / "model.pt")
    assert json.loads(read_tensors(tmp_path / "model.pt")[1]["config"]) == config


@pytest.mark.parametrize("config", [{"learning_rate": 1e-4}, "sam2.1_hiera_t.yaml", {"image_encoder": torch.zeros(1)}])
def test_a_config_of_another_program_beside_pickled_tensors_is_left_out(tmp_path: Path, config: object) -> None:
    torch.save({"model": TENSORS, "config": config, "note": "mine"}, tmp_path / "model.pt")
    assert read_tensors(tmp_path / "model.pt")[1] == {"note": "mine"}


def write_zip_pickle(path: Path, harm: object) -> None:
    torch.save({"model": {"a": torch.ones(2), "b": harm}}, path)


def write_old_pickle(path: Path, harm: object) -> None:
    torch.save({"model": {"a": torch.ones(2), "b": harm}}, path, _use_new_zipfile_serialization=False)


def write_plain_pickle(path: Path, harm: object) -> None:
    path.write_bytes(pickle.dumps(harm))


def write_ancient_pickle(path: Path, harm: object) -> None:
    path.write_bytes(pickle.dumps(harm, protocol=2))


def write_torchscript(path: Path, harm: object) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(harm, protocol=2))
        archive.writestr("archive/constants.pkl", pickle.dumps(()))


def write_tar(path: Path, harm: object) -> None:
    # The first bytes of a tar archive are a file's name: here it is one that looks like a pickle.
    with tarfile.open(path, "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        for name in ("\x80\x02", "storages", "tensors", "pickle"):
            data = pickle.dumps(harm, protocol=2)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize(
    "write",
    [write_zip_pickle, write_old_pickle, write_plain_pickle, write_ancient_pickle, write_torchscript, write_tar],
)
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, write: Any, name: str) -> None:
    target = tmp_path / "harm"
    write(tmp_path / name, TouchesFile(target))
    assert code_of(tmp_path / name) == "E_CHECKPOINT_UNSAFE"
    assert not target.exists()
    pickle.loads(pickle.dumps(TouchesFile(target)))
    assert target.exists(), "the weapon of this test is blunt"


def test_a_refusal_names_what_the_file_wanted_to_call(tmp_path: Path) -> None:
    write_zip_pickle(tmp_path / "model.pt", TouchesFile(tmp_path / "harm"))
    with pytest.raises(ModelError, match=r"(posix|nt)\.system"):
        read_tensors(tmp_path / "model.pt")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_refusal_is_all_that_is_said_whatever_the_pickles_protocol(
    tmp_path: Path, protocol: int, recwarn: pytest.WarningsRecorder
) -> None:
    torch.save({"model": Path("mine")}, tmp_path / "model.pt", pickle_protocol=protocol)
    assert code_of(tmp_path / "model.pt") == "E_CHECKPOINT_UNSAFE"
    assert not recwarn.list


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    assert code_of(tmp_path / "model.pt") == "E_CHECKPOINT_UNSAFE"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Please log in</body></html>", "web page"),
        (b"\n  <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 156008466\n", "Git LFS pointer"),
        (b'{"error": "Repository not found"}', "JSON"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), "neither"),
        (b"PK\x03\x04" + bytes(600), "cannot be read"),
        (b"\x80\x02" + bytes(600), "cannot be read"),
        (b"\x80", "cannot be read"),
    ],
)
def test_what_is_no_checkpoint_is_called_by_its_name(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    assert code_of(path) == "E_CHECKPOINT_BROKEN"
    with pytest.raises(ModelError, match=said):
        read_tensors(path)


@pytest.mark.parametrize("payload", [torch.ones(3), [torch.ones(3)], {"epoch": 3}, {"model": {}}])
def test_a_checkpoint_without_named_tensors_is_broken(tmp_path: Path, payload: object) -> None:
    torch.save(payload, tmp_path / "model.pt")
    assert code_of(tmp_path / "model.pt") == "E_CHECKPOINT_BROKEN"


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    assert code_of(tmp_path / "absent.pt") == "E_CHECKPOINT_MISSING"
    assert code_of(tmp_path) == "E_CHECKPOINT_BROKEN"


def example_files(folder: Path) -> list[Path]:
    files = [folder / "zip.pt", folder / "old.pt", folder / "model.safetensors"]
    torch.save({"model": TENSORS}, files[0])
    torch.save({"model": TENSORS}, files[1], _use_new_zipfile_serialization=False)
    save_file(TENSORS, files[2])
    return files


def test_truncation_at_any_point_is_reported(tmp_path: Path) -> None:
    for whole in example_files(tmp_path):
        content = whole.read_bytes()
        cut = tmp_path / "cut"
        for end in range(1, len(content) - 1, max(1, len(content) // 60)):
            cut.write_bytes(content[:end])
            assert code_of(cut) == "E_CHECKPOINT_BROKEN", f"{whole.name} cut after {end} bytes"


def test_damaged_bytes_never_raise_anything_but_a_model_error(tmp_path: Path) -> None:
    generator = random.Random(0)
    refused = 0
    for whole in example_files(tmp_path):
        content = whole.read_bytes()
        for _ in range(150):
            damaged = bytearray(content)
            for _ in range(generator.randint(1, 8)):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            (tmp_path / "damaged").write_bytes(damaged)
            try:
                tensors, _ = read_tensors(tmp_path / "damaged")
                for tensor in tensors.values():
                    tensor.clone()  # every byte that a tensor claims must be there
            except ModelError as error:
                refused += 1
                assert error.code in ("E_CHECKPOINT_BROKEN", "E_CHECKPOINT_UNSAFE")
    assert refused > 100
