"""What is evaluated: one object in one volume with its truth, and where such cases come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from MedSAM2Lib.types import BoolArray
from MedSAM2Lib.volume.volume import Volume


@dataclass(frozen=True, eq=False)
class Case:
    """One object to segment.

    Args:
        name: unique in its source, ``volume/object``.
        volume: what the model is shown.
        truth: boolean [k, j, i] on the volume's voxels, at least one of them True.
    """

    name: str
    volume: Volume
    truth: BoolArray

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the volume and the truth, as hexadecimal."""
        digest = hashlib.sha256(self.volume.checksum().encode())
        digest.update(np.packbits(self.truth).tobytes())
        return digest.hexdigest()


class CaseSource(Protocol):
    """Where cases come from, read or made one at a time."""

    @property
    def description(self) -> str:
        """What the source is, in a few words for the table."""
        ...

    @property
    def count(self) -> int | None:
        """How many cases there are, or None where only reading them would tell."""
        ...

    def cases(self) -> Iterator[Case]:
        """The cases, always in one order; raises InputError for one that cannot be read."""
        ...
