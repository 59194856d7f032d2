"""The catalogue of models: complete, honest about licences, and read without torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from MedSAM2Lib.errors import ModelError
from MedSAM2Lib.weights.catalogue import (
    EMBEDDED,
    FOLDER_VARIABLE,
    as_plain_data,
    default_models_folder,
    find_entry,
    installed_models,
    model_path,
    read_catalogue,
)
from MedSAM2Lib.weights.checksums import kept_checksum, sha256_of, sidecar_of, verified_checksum, write_sidecar


def test_the_models_of_the_field_are_all_there() -> None:
    names = {entry.name for entry in read_catalogue()}
    sizes = ("tiny", "small", "base-plus", "large")
    assert {f"{version}-hiera-{size}" for version in ("sam2", "sam2.1") for size in sizes} < names
    assert {"medsam2-latest", "medsam2-2411", "medsam2-us-heart", "medsam2-ct-lesion", "medical-sam2", EMBEDDED} < names


def test_every_entry_is_complete_and_unlike_the_others() -> None:
    entries = read_catalogue()
    assert len({entry.name for entry in entries}) == len(entries)
    assert len({entry.file for entry in entries}) == len(entries), "all are kept in one folder"
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9.-]+", entry.name)
        assert entry.licence and entry.purpose and entry.title and entry.source
        assert entry.image_size % 32 == 0 and entry.megabytes > 0
        assert entry.sam_version in ("2.0", "2.1")
        assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert entry.is_embedded == (entry.name == EMBEDDED)


def test_a_licence_that_is_not_stated_is_said_to_be_so() -> None:
    assert "not stated" in find_entry("medical-sam2", read_catalogue()).licence


def test_the_embedded_models_file_is_the_catalogues() -> None:
    entry = find_entry(EMBEDDED, read_catalogue())
    path = model_path(entry, Path("anywhere"))
    if not path.is_file():
        pytest.skip("no embedded model has been trained yet")
    assert entry.sha256 in (None, sha256_of(path))
    assert abs(path.stat().st_size / 1e6 - entry.megabytes) < 0.2


def test_an_unknown_name_is_answered_with_its_neighbours() -> None:
    with pytest.raises(ModelError, match=r"sam2\.1-hiera-tiny") as caught:
        find_entry("sam2.1-hiera-tny", read_catalogue())
    assert caught.value.code == "E_MODEL_UNKNOWN"
    with pytest.raises(ModelError, match="called xxxxxxxxxxxx: `medsam2 models list`") as caught:
        find_entry("xxxxxxxxxxxx", read_catalogue())
    assert "sam2" not in str(caught.value).replace("`medsam2 models list`", "")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"models": [{"name": "a"}]}', '{"models": [{"colour": "red"}]}'])
def test_a_broken_catalogue_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "models.json"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        read_catalogue(path)
    assert caught.value.code == "E_CATALOGUE_BROKEN"


def test_the_models_folder_follows_the_environment_and_the_platform(tmp_path: Path) -> None:
    assert default_models_folder({FOLDER_VARIABLE: str(tmp_path)}) == tmp_path
    assert default_models_folder({"XDG_CACHE_HOME": "/c"}, "linux") == Path("/c/medsam2slicer/models")
    assert default_models_folder({}, "linux") == Path.home() / ".cache" / "medsam2slicer" / "models"
    assert default_models_folder({}, "darwin") == Path.home() / "Library" / "Caches" / "medsam2slicer" / "models"
    assert default_models_folder({"LOCALAPPDATA": "/l"}, "win32") == Path("/l/medsam2slicer/models")


def test_installed_models_are_those_whose_file_is_there(tmp_path: Path) -> None:
    entries = [entry for entry in read_catalogue() if not entry.is_embedded]
    assert installed_models(entries, tmp_path) == ()
    (tmp_path / entries[3].file).write_bytes(b"x")
    assert installed_models(entries, tmp_path) == (entries[3],)
    data = json.loads(json.dumps([as_plain_data(entry, tmp_path) for entry in entries]))
    assert [entry["installed"] for entry in data].index(True) == 3
    assert data[3]["path"] == str(tmp_path / entries[3].file)


def test_checksums_are_kept_as_sha256sum_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"abc")
    checksum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert verified_checksum(path, None) == checksum
    write_sidecar(path, checksum)
    assert sidecar_of(path).read_text() == f"{checksum}  model.pt\n"
    assert kept_checksum(path) == checksum
    path.write_bytes(b"abd")
    with pytest.raises(ModelError, match=r"ba7816bf8f01") as caught:
        verified_checksum(path, None)
    assert caught.value.code == "E_CHECKSUM"
    sidecar_of(path).write_text("not a checksum")
    assert kept_checksum(path) is None
