"""A sweep keeps what is clearly better, one factor after the other; the command writes table, plot and winner."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from MedSAM2Lib.cli import main
from MedSAM2Lib.commands.sweep import FACTOR_NAMES
from MedSAM2Lib.evaluation.settings import Setting, read_settings
from MedSAM2Lib.evaluation.sweep_report import sweep_table
from MedSAM2Lib.evaluation.sweeping import FACTORS, START, Choice, Factor, Measure, Scores, bank_choices, sweep

OBJECTS = ("one", "two", "three")


def each(measure: Callable[[Setting], Scores]) -> Measure:
    """Measures the settings of a stage one by one."""
    return lambda settings: [measure(setting) for setting in settings]


def by_capacity_and_memory(setting: Setting) -> dict[str, float]:
    """Dice that grows to capacity 16 and falls behind it; temporal memory is a little better."""
    value = 0.6 - abs(setting.self_sorting.capacity - 16) / 100
    value += 0.05 if setting.memory == "temporal" else 0.0
    return {name: value + place / 100 for place, name in enumerate(OBJECTS)}


def test_each_stage_starts_from_what_the_ones_before_kept() -> None:
    factors = [
        bank_choices("capacity", (8, 16, 32)),
        Factor("memory", [Choice(memory, {"memory": memory}) for memory in ("self-sorting", "temporal")]),
    ]
    start = replace(START, self_sorting=replace(START.self_sorting, capacity=8))
    capacity, memory = sweep(start, factors, each(by_capacity_and_memory))
    assert capacity.kept.label == "16"
    assert memory.kept.label == "temporal"
    assert memory.kept.setting.self_sorting.capacity == 16
    assert memory.kept.difference is not None
    assert memory.kept.difference.mean == pytest.approx(0.05)


def test_a_choice_ahead_on_some_objects_and_behind_on_others_is_not_kept() -> None:
    def hardly(setting: Setting) -> dict[str, float]:
        gains = (0.3, -0.1, -0.1) if setting.self_sorting.rule == "code" else (0.0, 0.0, 0.0)
        return {name: 0.5 + gain for name, gain in zip(OBJECTS, gains)}

    (stage,) = sweep(START, [bank_choices("rule", ("paper", "code"))], each(hardly))
    assert stage.kept.label == "paper"


def test_the_held_setting_is_measured_once_and_stands_in_every_stage() -> None:
    seen: list[str] = []

    def count(setting: Setting) -> dict[str, float]:
        seen.append(setting.name)
        return dict.fromkeys(OBJECTS, 0.5)

    stages = list(sweep(START, [bank_choices("capacity", (16, 8)), bank_choices("margin", (0.2, 0.3))], each(count)))
    assert seen == [START.name, "capacity: 8", "margin: 0.2", "margin: 0.3"]
    assert [one.label for one in stages[1].candidates] == ["0.2", "0.3", "as before"]
    assert stages[1].kept.setting == START
    table = sweep_table(stages, "about")
    assert "| margin | as before | 3 | 0.5000 | - | - | yes |" in table


def test_every_factor_of_the_sweep_can_be_asked_for_by_its_name_and_changes_something() -> None:
    assert tuple(factor.name for factor in FACTORS) == FACTOR_NAMES
    for factor in FACTORS:
        settings = [choice.applied(START, factor.name) for choice in factor.choices]
        assert len({json.dumps(setting.as_dict()) for setting in settings}) == len(settings)
        assert len({setting.name for setting in settings}) == len(settings)


@pytest.mark.long
def test_the_command_writes_a_table_a_plot_and_a_winner_that_evaluate_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sweep", "--objects", "2", "--factors", "rule,neighbour", "--prompt", "box", "--at", "largest"]
    assert main([*arguments, "--device", "cpu", "--out", str(tmp_path / "swept")]) == 0
    names = sorted(path.name for path in (tmp_path / "swept").iterdir())
    assert names == ["results-isotropic.csv", "results-thick.csv", "sweep.md", "sweep.png", "winner.json"]
    (winner,) = read_settings(tmp_path / "swept" / "winner.json")
    assert winner.memory == "self-sorting"
    printed = capsys.readouterr().out
    assert f"neighbour: {'on' if winner.self_sorting.neighbour else 'off'}" in printed
    rows = (tmp_path / "swept" / "results-thick.csv").read_text()
    assert main([*arguments, "--device", "cpu", "--out", str(tmp_path / "swept")]) == 0
    assert (tmp_path / "swept" / "results-thick.csv").read_text() == rows


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--objects", "1"), "--objects 1 is out of range"),
        (("--factors", "colour"), "--factors 'colour' is not a list of"),
        (("--prompt", "scribble"), "--prompt 'scribble' is not a list of"),
    ],
)
def test_options_that_cannot_be_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert main(["sweep", *arguments, "--out", str(tmp_path / "swept")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "swept").exists()
