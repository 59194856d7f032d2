"""Configurations of training: those that come with the engine, and what is said of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import published_config
from MedSAM2Lib.training.configuration import known_configs, override, read_settings, training_config
from MedSAM2Lib.training.presets import EMBEDDED, network_preset
from Testing.engine.training_ground import TINY


@pytest.mark.parametrize("name", known_configs())
def test_the_engines_own_configurations_are_complete(name: str) -> None:
    config = training_config(read_settings(name))
    assert config.schedule.frames > 0
    assert (config.network == EMBEDDED) == name.startswith("embedded")


def test_a_file_says_every_key_and_the_network_as_a_table(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(
        json.dumps({"network": TINY.to_dict(), "frames": 70, "schedule": {"images": 3}, "frozen": ["image_encoder"]})
    )
    settings = read_settings(str(file))
    override(settings, ["seed=9", "schedule.peak_rate=1e-3", "precision=bf16", "gradient_limit=null"])
    config = training_config(settings)
    assert config.network == TINY
    assert (config.schedule.frames, config.schedule.images, config.schedule.peak_rate) == (70, 3, 1e-3)
    assert (config.seed, config.precision, config.gradient_limit) == (9, "bf16", None)
    assert config.frozen == ("image_encoder",)


WRONG = {
    "unknown key": ({"sed": 3}, "no key sed: did you mean seed?"),
    "unknown key of the schedule": (
        {"schedule": {"peak_rat": 3}},
        "did you mean schedule.peak_rate?",
    ),
    "text for a number": ({"seed": "3"}, "seed must be a whole number, not '3'"),
    "true for a number": ({"threads": True}, "threads must be a whole number"),
    "fraction for a whole number": ({"bodies": 2.5}, "bodies must be a whole number"),
    "number for a list": ({"frozen": 1}, "frozen must be a list of texts"),
    "list for a table": ({"rate_shares": [1]}, "rate_shares must be a table"),
    "schedule is no table": ({"schedule": 3}, "schedule must be a table"),
    "no frames": ({"frames": 0}, "schedule.frames must be more than 0"),
    "no step between": (
        {"schedule": {"images_every": 0}},
        "schedule.images_every must be more than 0",
    ),
    "no images in a step": ({"schedule": {"images": 0}}, "schedule.images must be more than 0"),
    "a negative share": ({"schedule": {"set_share": -0.1}}, "schedule.set_share must be 0 or more"),
    "a seed that torch does not take": ({"seed": 2**63}, f"seed must be {2**63 - 1} or less"),
    "more threads than there can be": ({"threads": 100_000}, "threads must be 1024 or less"),
    "negative rate": ({"schedule": {"peak_rate": -1}}, "schedule.peak_rate must be"),
    "no time": ({"checkpoint_minutes": 0}, "checkpoint_minutes must be more than 0"),
    "unknown precision": ({"precision": "fp16"}, "precision must be one of fp32, bf16, auto"),
    "unknown method": ({"method": "magic"}, "method must be one of clips"),
    "rates without adam": ({"rate_shares": {"memory_encoder": 0.1}}, "optimizer must be adam"),
    "unknown network": ({"network": "huge"}, "no network configuration named 'huge'"),
    "wrong network": ({"network": {"image_size": 64}}, "image_encoder is missing"),
    "unknown key of the network": ({"network": {"memory_dimm": 64}}, "Correct it, or name one of embedded"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_in_one_sentence(what: str) -> None:
    settings, words = WRONG[what]
    with pytest.raises(InputError) as refused:
        training_config({"frames": 10, **settings})
    assert words in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[1]", "{'frames': 3}"])
def test_a_file_that_is_no_table_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(text)
    with pytest.raises(InputError) as refused:
        read_settings(str(file))
    assert refused.value.code == "E_CONFIG_JSON" and "wrong.json" in str(refused.value)


def test_lengths_are_needed_and_assignments_have_an_equals_sign() -> None:
    with pytest.raises(InputError) as missing:
        training_config({"seed": 3})
    assert "frames" in str(missing.value)
    for wrong in ("seed", "=3", "seed.more=3"):
        with pytest.raises(InputError) as refused:
            override({"seed": 3}, [wrong])
        assert refused.value.code == "E_CONFIG_SET"


def test_networks_have_names() -> None:
    assert network_preset("embedded") == EMBEDDED
    assert published_config("tiny") != EMBEDDED
