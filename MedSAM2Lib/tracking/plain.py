"""Dataclasses as plain data and back: dicts, lists, numbers, strings, None and numpy arrays, by their declared types.

Every tensor, and every dataclass that is compared by identity, is written once, in a table beside the data; whoever
shared it before shares it again afterwards.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kind = TypeVar("Kind")
_SHARED = "shared"
_TYPE = "type"
_SEQUENCES: dict[Any, Callable[[Any], Any]] = {
    list: list,
    Sequence: list,
    tuple: tuple,
    set: set,
    deque: deque,
}


class PlainWriter:
    """Writes values; ``shared`` is the table of what is referred to by its place."""

    def __init__(self) -> None:
        self.shared: list[Any] = []
        self._places: dict[int, int] = {}
        self._alive: list[object] = []

    def write(self, value: Any) -> Any:
        """A value as plain data. Raises TypeError for one that is none of the kinds above."""
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (Tensor, np.ndarray)):
            return self._refer(value, lambda: _array(value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._write_dataclass(value)
        if isinstance(value, Mapping):
            return [[self.write(key), self.write(one)] for key, one in value.items()]
        if isinstance(value, (set, frozenset)):
            return sorted(self.write(one) for one in value)
        if isinstance(value, (list, tuple, deque)):
            return [self.write(one) for one in value]
        raise TypeError(f"{type(value).__name__} is not plain data")

    def write_fields(self, value: Any, without: Sequence[str] = ()) -> dict[str, Any]:
        """A dataclass's fields by name, some left out."""
        names = [field.name for field in dataclasses.fields(value) if field.name not in without]
        return {name: self.write(getattr(value, name)) for name in names}

    def _write_dataclass(self, value: Any) -> Any:
        def written() -> dict[str, Any]:
            return {_TYPE: type(value).__name__, **self.write_fields(value)}

        by_identity = type(value).__eq__ is object.__eq__
        return self._refer(value, written) if by_identity else written()

    def _refer(self, value: object, written: Callable[[], Any]) -> dict[str, int]:
        if id(value) not in self._places:
            data = written()
            self._alive.append(value)
            self._places[id(value)] = len(self.shared)
            self.shared.append(data)
        return {_SHARED: self._places[id(value)]}


class PlainReader:
    """Reads what a ``PlainWriter`` has written.

    Args:
        shared: the writer's table.
        device: where tensors are put.

    Whatever does not fit the declared types raises TypeError, ValueError, KeyError or IndexError.
    """

    def __init__(self, shared: Sequence[Any], device: torch.device) -> None:
        self._shared = shared
        self._device = device
        self._known: dict[tuple[int, type], Any] = {}
        self._hints: dict[type, dict[str, Any]] = {}

    def all_of(self, kind: type[Kind]) -> list[Kind]:
        """Everything of one class that has been read from the table."""
        return [value for (_, known), value in self._known.items() if known is kind]

    def read(self, hint: Any, data: Any) -> Any:
        """A value of the type ``hint``."""
        origin = get_origin(hint)
        if origin is Union or type(hint).__name__ == "UnionType":
            return self._read_union(get_args(hint), data)
        if origin is Literal:
            return _only(data in get_args(hint) and not isinstance(data, bool), data, hint)
        if origin is np.ndarray or hint is Tensor:
            return self._read_shared(hint, data)
        if origin is dict:
            key, value = get_args(hint)
            return {self.read(key, one): self.read(value, other) for one, other in data}
        if origin in _SEQUENCES:
            return self._read_sequence(origin, get_args(hint), data)
        if dataclasses.is_dataclass(hint):
            return self._read_dataclass(hint, data)
        if hint is float:
            return float(_only(isinstance(data, (int, float)) and not isinstance(data, bool), data, hint))
        return _only(type(data) is hint or (data is None and hint is type(None)), data, hint)

    def read_fields(self, kind: type[Kind], data: Any, **given: Any) -> Kind:
        """A dataclass from its fields by name; those ``given`` are taken as they are."""
        if kind not in self._hints:
            self._hints[kind] = get_type_hints(kind)
        hints = self._hints[kind]
        names = {field.name for field in dataclasses.fields(kind)} - set(given)  # type: ignore[arg-type]
        _only(isinstance(data, dict) and set(data) - {_TYPE} == names, data, kind)
        return kind(**{name: self.read(hints[name], data[name]) for name in names}, **given)

    def _read_union(self, kinds: Sequence[Any], data: Any) -> Any:
        if data is None:
            return _only(type(None) in kinds, data, kinds)
        tag = self._looked_up(data).get(_TYPE) if isinstance(data, dict) else None
        fitting = [kind for kind in kinds if kind is not type(None) and (tag is None or kind.__name__ == tag)]
        _only(len(fitting) == 1, data, kinds)
        return self.read(fitting[0], data)

    def _read_sequence(self, origin: Any, kinds: Sequence[Any], data: Any) -> Any:
        _only(isinstance(data, list), data, origin)
        if origin is tuple and kinds[-1] is not Ellipsis:
            _only(len(data) == len(kinds), data, kinds)
            return tuple(self.read(kind, one) for kind, one in zip(kinds, data))
        return _SEQUENCES[origin]([self.read(kinds[0], one) for one in data])

    def _read_dataclass(self, kind: Any, data: Any) -> Any:
        if isinstance(data, dict) and _SHARED in data:
            return self._read_shared(kind, data)
        _only(isinstance(data, dict) and data.get(_TYPE) == kind.__name__, data, kind)
        return self.read_fields(kind, data)

    def _read_shared(self, hint: Any, data: Any) -> Any:
        place = self.read(int, data[_SHARED])
        kind = get_origin(hint) or hint
        if (place, kind) not in self._known:
            _only(0 <= place < len(self._shared), place, hint)
            found = self._shared[place]
            if dataclasses.is_dataclass(hint):
                _only(isinstance(found, dict) and _SHARED not in found, found, hint)
                value = self._read_dataclass(hint, found)
            else:
                _only(isinstance(found, np.ndarray), found, hint)
                value = self._tensor(found) if hint is Tensor else _checked(found, hint)
            self._known[(place, kind)] = value
        return self._known[(place, kind)]

    def _looked_up(self, data: dict[str, Any]) -> dict[str, Any]:
        if _SHARED not in data:
            return data
        found = self._shared[self.read(int, data[_SHARED])]
        return found if isinstance(found, dict) else {}

    def _tensor(self, array: NDArray) -> Tensor:
        _only(array.dtype in (np.float32, np.uint16), array.dtype, Tensor)
        if array.dtype == np.uint16:
            return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16).to(self._device)
        return torch.from_numpy(array.copy()).to(self._device)


def _array(value: Tensor | NDArray) -> NDArray:
    """A copy as an array; bf16, which numpy does not have, bit for bit as uint16."""
    if isinstance(value, np.ndarray):
        return value.copy()
    value = value.detach().cpu().contiguous()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(np.uint16).copy()
    return np.array(value.numpy(), dtype=np.float32)


def _checked(array: NDArray, hint: Any) -> NDArray:
    wanted = get_args(get_args(hint)[1])[0]
    _only(array.dtype == wanted, array.dtype, hint)
    return array.copy()


def _only(fits: bool, data: Any, hint: Any) -> Any:
    """``data`` where it fits; raises TypeError otherwise."""
    if not fits:
        raise TypeError(f"{str(data)[:60]} is not {hint}")
    return data
