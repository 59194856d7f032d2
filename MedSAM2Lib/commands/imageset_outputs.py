"""The files of `medsam2 imageset`: masks, confidences.csv, imageset.json; each appears whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from MedSAM2Lib.commands.outputs import check_folder
from MedSAM2Lib.errors import OutputError
from MedSAM2Lib.imageset.session import ImageResult
from MedSAM2Lib.types import BoolArray
from MedSAM2Lib.volume.io import replacing
from MedSAM2Lib.volume.io.pictures import picture_stem, write_picture_mask

CSV_NAME = "confidences.csv"
MANIFEST_NAME = "imageset.json"
COLUMNS = ("image", "confidence", "object_score", "found", "prompted", "shown", "mask_pixels")


@dataclass
class SetOutputs:
    """One folder of results.

    Args:
        folder: where they go.
        fingerprint: digest of the set.
        mask_names: names of all mask files.
    """

    folder: Path
    fingerprint: str
    mask_names: Sequence[str]
    rows: list[dict[str, object]] = field(default_factory=list)
    _manifest: Mapping[str, Any] = field(default_factory=dict)

    def check(self, images: Path) -> None:
        """Raises OutputError for a folder that cannot be written, is the set's own, or holds something else."""
        if self.folder.is_file():
            raise OutputError("E_OUT_IS_FILE", "--out {path} is a file: give a folder.", path=self.folder)
        check_folder(self.folder if self.folder.is_dir() else self.folder.resolve().parent, self.folder)
        if self.folder.resolve() == images.resolve():
            raise OutputError(
                "E_OUT_SAME", "--out {path} is the folder of the images: give another one.", path=self.folder
            )
        there = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        if MANIFEST_NAME in there:
            self._check_same_set()
        elif taken := sorted(there & {*self.mask_names, CSV_NAME}):
            raise OutputError(
                "E_OUT_TAKEN",
                "--out {path} holds {name}, which no run of this command has written: give another folder.",
                path=self.folder,
                name=taken[0],
            )

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Makes the folder, removes an earlier run's results of the same set, and says which set this is."""
        self.folder.mkdir(exist_ok=True)
        self._manifest = {"set": self.fingerprint, **manifest}
        self._write_manifest({})
        for name in (CSV_NAME, *self.mask_names):
            (self.folder / name).unlink(missing_ok=True)

    def end(self, found: Mapping[str, Any]) -> None:
        """Adds what is known only after the run."""
        self._write_manifest(found)

    def write(self, result: ImageResult, mask: BoolArray, names: Sequence[str], shown: Sequence[str]) -> None:
        """The mask of an image under each of its names, and the table with one more row for each."""
        for name in names:
            write_picture_mask(self.folder / f"{picture_stem(name)}.png", mask)
            self.rows.append(
                {
                    "image": name,
                    "confidence": f"{result.predicted_iou:.4f}",
                    "object_score": f"{result.object_score:.3f}",
                    "found": "yes" if result.present else "no",
                    "prompted": "yes" if result.prompted else "no",
                    "shown": ";".join(shown),
                    "mask_pixels": int(np.count_nonzero(mask)),
                }
            )
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with replacing(self.folder / CSV_NAME) as partial:
            partial.write_text(table.getvalue(), encoding="utf-8", errors="surrogateescape")

    def _write_manifest(self, found: Mapping[str, Any]) -> None:
        with replacing(self.folder / MANIFEST_NAME) as partial:
            partial.write_text(json.dumps({**self._manifest, **found}, indent=2) + "\n", encoding="utf-8")

    def _check_same_set(self) -> None:
        path = self.folder / MANIFEST_NAME
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            stored = None
        if not isinstance(stored, dict) or stored.get("set") != self.fingerprint:
            raise OutputError(
                "E_OUT_OTHER_SET",
                "--out {path} holds the results of another set of images (its {manifest} says so): give another "
                "folder, or remove it.",
                path=self.folder,
                manifest=MANIFEST_NAME,
            )
