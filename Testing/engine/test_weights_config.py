"""A model file of ours whose configuration is wrong: refused by the key that is at fault, whatever is wrong with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from MedSAM2Lib.cli import main
from MedSAM2Lib.errors import ModelError
from MedSAM2Lib.network.config import HieraConfig, NetworkConfig
from MedSAM2Lib.weights.loading import load_network, open_checkpoint
from Testing.engine.checkpoints import TINY, published_tensors, tiny_network
from Testing.engine.command_line import POINT, written_volume

WHOLE_NUMBERS = [field.name for field in dataclasses.fields(NetworkConfig) if field.type == "int"]
WHOLE_NUMBERS_OF_THE_ENCODER = [field.name for field in dataclasses.fields(HieraConfig) if field.type == "int"]
LISTS = ["pixel_mean", "pixel_std", "top_down_levels"]
LISTS_OF_THE_ENCODER = ["stages", "global_blocks", "window_sizes", "position_grid"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def model_file(folder: Path, text: str) -> Path:
    """A whole model of ours, with this text in place of its configuration."""
    path = folder / "model.safetensors"
    save_file(dict(tiny_network().state_dict()), path, {"format": "pt", "config": text})
    return path


def with_settings(**changed: Any) -> str:
    return json.dumps({**TINY.to_dict(), **changed})


def with_encoder(**changed: Any) -> str:
    return with_settings(image_encoder={**dataclasses.asdict(TINY.image_encoder), **changed})


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ModelError) as caught:
        load_network(model_file(folder, text))
    assert caught.value.code == "E_CHECKPOINT_CONFIG"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(folder))
    return str(caught.value.fields["reason"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((name, value) for name in WHOLE_NUMBERS for value in ("64", 64.0, None, True, [64])),
        *((name, value) for name in LISTS for value in (1, "1, 2", None, [None], ["1"], {"0": 1})),
        *((name, value) for name in ("pixel_mean", "pixel_std") for value in ([float("nan")], [float("inf")], [True])),
        *((name, value) for name in ("sam_version", "fit") for value in (2, 2.1, None, ["stretch"])),
        *(("zoom", value) for value in ("1.7", "auto", [1.7], True, float("nan"), -float("inf"), 10**400)),
        *(("stop_predicted_iou", value) for value in ("0.4", None, [0.4], False, float("nan"))),
        *(("layer_scale", value) for value in ("1e-6", None, float("inf"))),
        *(("draw_prompts", value) for value in (1, "yes", None)),
        *(("image_encoder", value) for value in (None, "hiera", [1, 2], 3)),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(folder: Path, key: str, value: object) -> None:
    assert refusal(folder, with_settings(**{key: value})).startswith(f"{key} must be ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((name, value) for name in WHOLE_NUMBERS_OF_THE_ENCODER for value in ("8", 8.0, None, True)),
        *((name, value) for name in LISTS_OF_THE_ENCODER for value in (1, "1", None, [1.0], [[1]])),
    ],
)
def test_a_setting_of_the_image_encoder_of_the_wrong_kind_is_named(folder: Path, key: str, value: object) -> None:
    assert refusal(folder, with_encoder(**{key: value})).startswith(f"{key} must be ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((name, value) for name in WHOLE_NUMBERS for value in (-1, 10**9, 10**400)),
        *((name, 0) for name in WHOLE_NUMBERS if not name.endswith(("_layers", "_depth"))),
        ("image_size", 100),
        ("sam_version", "2"),
        ("fit", "crop"),
        *(("zoom", value) for value in (0, 0.5, -1.7, 1000)),
        *(("stop_predicted_iou", value) for value in (-0.1, 1.1)),
        *((name, value) for name in ("pixel_mean", "pixel_std") for value in ([], [0.5, 0.5], [0.5] * 1000, [1e300])),
        *(("pixel_std", [value]) for value in (0, -0.25, 1e-300)),
        ("top_down_levels", [2, 4]),
        ("top_down_levels", list(range(-1000, 0))),
        ("prompt_mask_channels", 3),
        ("decoder_heads", 3),
    ],
)
def test_a_value_that_no_network_can_have_is_named(folder: Path, key: str, value: object) -> None:
    assert refusal(folder, with_settings(**{key: value})).startswith(f"{key} ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((name, value) for name in WHOLE_NUMBERS_OF_THE_ENCODER for value in (0, -1, 10**9)),
        *(("stages", value) for value in ([], [1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 10**9])),
        *(("window_sizes", value) for value in ([], [4, 4, 4], [4, 4, 3, 2], [0, 4, 4, 2], [-4, 4, 4, 2])),
        *(("position_grid", value) for value in ([7], [7, 7, 7], [0, 7], [10**9, 7])),
        *(("global_blocks", value) for value in ([4], [-1], list(range(1000)))),
        ("heads", 3),
    ],
)
def test_a_value_that_no_image_encoder_can_have_is_named(folder: Path, key: str, value: object) -> None:
    assert refusal(folder, with_encoder(**{key: value})).startswith(f"{key} ")


def test_widths_that_do_not_fit_together_are_named(folder: Path) -> None:
    assert "memory_dim" in refusal(folder, with_settings(memory_dim=12))
    assert "model_dim" in refusal(folder, with_settings(model_dim=36))
    assert "image_size" in refusal(folder, with_encoder(window_sizes=[12, 4, 4, 2]))
    several = refusal(folder, with_settings(model_dim=36, pixel_std=[0]))
    assert "model_dim" in several
    assert "pixel_std" in several


def test_values_other_than_the_tensors_say_are_named(folder: Path) -> None:
    assert refusal(folder, with_settings(memory_dim=16)) == "memory_dim is 16, but the tensors say 8"
    assert refusal(folder, with_settings(memory_attention_layers=1000)).startswith("memory_attention_layers is 1000")
    assert refusal(folder, with_encoder(in_channels=3)).startswith(
        "pixel_mean (0.5,) is not one number for each of in_channels 3"
    )


def test_unknown_and_missing_keys_are_named(folder: Path) -> None:
    assert refusal(folder, with_settings(brightness=1)).startswith("'brightness' is no setting")
    assert refusal(folder, with_encoder(brightness=1)).startswith("'brightness' is no setting of image_encoder")
    without = {key: value for key, value in TINY.to_dict().items() if key != "image_encoder"}
    assert refusal(folder, json.dumps(without)) == "image_encoder is missing"


@pytest.mark.parametrize("text", ["", "no json", "{", "'{}'", "[" * 100_000])
def test_text_that_is_no_json_is_refused(folder: Path, text: str) -> None:
    assert refusal(folder, text).startswith("config is no JSON")


@pytest.mark.parametrize("text", ["[]", "[1, 2]", "null", "3", '"tiny"', json.dumps(["x" * 10_000])])
def test_json_that_is_no_table_is_refused(folder: Path, text: str) -> None:
    assert refusal(folder, text).startswith("the network must be a table of settings")


def test_keys_that_are_absent_keep_their_default_and_whole_numbers_serve_as_numbers(folder: Path) -> None:
    told = {key: value for key, value in TINY.to_dict().items() if key not in ("bank_capacity", "zoom")}
    config = load_network(model_file(folder, json.dumps({**told, "stop_predicted_iou": 1}))).config
    assert config == dataclasses.replace(TINY, stop_predicted_iou=1.0)


def test_an_image_size_that_does_not_fill_whole_windows_is_refused_with_one_that_does(folder: Path) -> None:
    tensors = dict(tiny_network().state_dict())
    tensors["image_encoder.trunk.pos_embed_window"] = tensors["image_encoder.trunk.pos_embed_window"].repeat(1, 1, 4, 4)
    path = folder / "wide.safetensors"
    save_file(tensors, path, {"config": with_encoder(window_sizes=[16, 4, 4, 2])})
    assert load_network(path, image_size=192).config.image_size == 192
    for image_size, near in ((96, 128), (160, 128), (32, 64), (320_000, 1024)):
        with pytest.raises(ModelError, match=rf"choose a multiple of 64, such as {near}\.") as caught:
            load_network(path, image_size=image_size)
        assert caught.value.code == "E_IMAGE_SIZE"


def test_tensors_of_sizes_that_no_network_has_are_refused_without_a_configuration(folder: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in published_tensors().items() if "pos_embed" not in name}
    tensors["no_mem_embed"] = tensors["no_mem_embed"][..., :250].clone()
    path = folder / "narrow.safetensors"
    save_file(tensors, path)
    with pytest.raises(ModelError, match="model_dim 250 is not a multiple of 8") as caught:
        open_checkpoint(path)
    assert caught.value.code == "E_CHECKPOINT_ARCHITECTURE"


def test_the_command_says_which_setting_is_wrong_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    volume, path = written_volume(tmp_path / "ct.nrrd"), model_file(folder, with_settings(zoom="large"))
    arguments = ["--point", POINT, "--model", str(path), "--out", str(tmp_path / "m.nrrd"), "--device", "cpu"]
    assert main(["segment", str(volume), *arguments]) == 2
    said = capsys.readouterr().err
    assert "zoom must be a finite number or null, not 'large'" in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "m.nrrd").exists()
