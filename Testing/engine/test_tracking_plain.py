"""Dataclasses as plain data and back: every bit kept, sharing kept, other types refused."""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from MedSAM2Lib.tracking.plain import PlainReader, PlainWriter
from MedSAM2Lib.types import BoolArray

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Leaf:
    """Compared by identity, so that it is shared."""

    values: Tensor
    number: float = 0.0


@dataclass
class Tree:
    """One of each kind."""

    leaves: list[Leaf] = field(default_factory=list)
    named: dict[str, Leaf] = field(default_factory=dict)
    either: Leaf | None = None
    pair: tuple[int, str] = (0, "")
    many: tuple[float, ...] = ()
    places: set[int] = field(default_factory=set)
    queue: deque[int] = field(default_factory=deque)
    way: Literal[-1, 0, 1] = 0
    yes: bool = True
    mask: BoolArray | None = None


def there_and_back(tree: Tree) -> Tree:
    writer = PlainWriter()
    data = json.loads(json.dumps(writer.write(tree)))
    return PlainReader(writer.shared, CPU).read(Tree, data)


@given(st.floats(), st.floats())
def test_numbers_come_back_as_they_were(one: float, other: float) -> None:
    back = there_and_back(Tree(many=(one, other)))
    assert [value.hex() if not math.isnan(value) else "nan" for value in back.many] == [
        value.hex() if not math.isnan(value) else "nan" for value in (one, other)
    ]


def test_every_bf16_comes_back_bit_for_bit() -> None:
    bits = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(256, 256)
    values = bits.view(torch.bfloat16).transpose(0, 1)
    back = there_and_back(Tree([Leaf(values)])).leaves[0].values
    assert back.dtype == torch.bfloat16
    assert torch.equal(back.view(torch.int16), values.contiguous().view(torch.int16))


def test_what_was_one_object_is_one_object_again() -> None:
    values = torch.ones(2, 3)
    first, second = Leaf(values, 1.5), Leaf(values, 2.5)
    tree = Tree([first, second, first], {"a": first}, either=second)
    back = there_and_back(tree)
    assert back.leaves[0] is back.leaves[2] is back.named["a"]
    assert back.leaves[1] is back.either
    assert back.leaves[0] is not back.leaves[1]
    assert back.leaves[0].values is back.leaves[1].values
    assert [leaf.number for leaf in back.leaves] == [1.5, 2.5, 1.5]


def test_containers_keep_their_kind_and_order() -> None:
    mask = np.eye(3, dtype=bool)
    tree = Tree(pair=(7, "x"), many=(1.0, 2.0), places={9, 3}, queue=deque([5, 4]), way=-1, yes=False, mask=mask)
    back = there_and_back(tree)
    assert (back.pair, back.many, back.places, back.queue, back.way, back.yes) == (
        (7, "x"),
        (1.0, 2.0),
        {3, 9},
        deque([5, 4]),
        -1,
        False,
    )
    assert np.array_equal(back.mask, mask)
    assert back.mask is not mask


def test_numbers_of_numpy_become_plain_ones() -> None:
    written = PlainWriter().write([np.float64(1.5), np.int64(3), np.bool_(True), np.float32(0.25)])
    assert [(type(one), one) for one in written] == [(float, 1.5), (int, 3), (bool, True), (float, 0.25)]


def test_what_is_no_plain_data_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not plain data"):
        PlainWriter().write({"path": tmp_path})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pair", [7]),
        ("pair", ["7", "x"]),
        ("many", [True]),
        ("many", 3.0),
        ("places", [1.5]),
        ("way", 2),
        ("way", True),
        ("yes", 1),
        ("either", {"type": "Tree"}),
        ("either", {"shared": 0}),
        ("either", 7),
        ("mask", {"shared": 5}),
        ("named", [["a"]]),
        ("named", [["a", None]]),
    ],
)
def test_data_of_another_type_is_refused(name: str, value: Any) -> None:
    writer = PlainWriter()
    data = writer.write(Tree(mask=np.eye(2, dtype=bool)))
    data[name] = value
    with pytest.raises((TypeError, ValueError, KeyError, IndexError)):
        PlainReader(writer.shared, CPU).read(Tree, data)
