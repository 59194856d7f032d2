"""A folder of images and label maps as cases: one for each labelled object.

Pairs are found by name. Either images and label maps lie side by side (``ct1.nii.gz`` with ``ct1_label.nii.gz``,
``ct1_image.nrrd`` with ``ct1.seg.nrrd``), or in sub-folders ``images`` and ``labels`` (also ``imagesTr`` and
``labelsTr``), where the names may be equal. A ``.npz`` file with ``imgs`` and ``gts`` is a pair of its own. The names
of the labels come from ``dataset.json`` as nnU-Net writes it, from the segmentation file, or are ``label 1`` and so on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.volume.io import read_objects, read_volume

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
SEGMENTATION_SUFFIX = ".seg.nrrd"
PAIR_SUFFIX = ".npz"
IMAGE_ENDINGS = ("_image", "_img", "_0000")
LABEL_ENDINGS = ("_label", "_labels", "_gt", "_seg", "_mask", "_segmentation")
SUB_FOLDERS = (("images", "labels"), ("imagesTr", "labelsTr"), ("imagesTs", "labelsTs"))
NAMES_FILE = "dataset.json"

_SHOWN = 3


@dataclass(frozen=True)
class Pair:
    """An image and its label map; one file for both where they are the same."""

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class FolderSource:
    """The objects of a folder's pairs; nothing is read before the cases are asked for."""

    folder: Path
    pairs: tuple[Pair, ...]
    names: Mapping[int, str] = field(default_factory=dict)
    count: None = None

    @staticmethod
    def of(folder: Path) -> FolderSource:
        """Finds the pairs of a folder, or of one ``.npz`` file.

        Raises InputError for what is no folder, holds no pairs, or holds an image or a label map without its partner.
        """
        if folder.is_file() and folder.name.lower().endswith(PAIR_SUFFIX):
            return FolderSource(folder, (Pair(folder.stem, folder, folder),))
        if not folder.is_dir():
            raise InputError(
                "E_DATA_FOLDER",
                "{folder} is not a folder of images and label maps, nor a .npz file: check the path.",
                folder=folder,
            )
        return FolderSource(folder, tuple(_pairs(folder)), _label_names(folder / NAMES_FILE))

    @property
    def description(self) -> str:
        count = len(self.pairs)
        return f"{self.folder} ({count} volume{'' if count == 1 else 's'})"

    def cases(self) -> Iterator[Case]:
        """Volume by volume; raises VolumeError for what cannot be read, PromptError for a label map of another grid."""
        for pair in self.pairs:
            volume = read_volume(pair.image)
            for labelled in read_objects(pair.labels, volume, self.names):
                yield Case(f"{pair.name}/{labelled.name}", volume, labelled.mask)


def _pairs(folder: Path) -> Iterator[Pair]:
    images, labels = _files_by_case(folder)
    alone = [*(images[name] for name in images.keys() - labels), *(labels[name] for name in labels.keys() - images)]
    if alone:
        shown = ", ".join(str(path.relative_to(folder)) for path in sorted(alone)[:_SHOWN])
        raise InputError(
            "E_UNPAIRED",
            "{folder} has {count} without a partner: {shown}{more}. Give image and label map one name, with endings "
            "such as _image and _label, or put them into sub-folders images and labels.",
            folder=folder,
            count="1 file" if len(alone) == 1 else f"{len(alone)} files",
            shown=shown,
            more=" and others" if len(alone) > _SHOWN else "",
        )
    if not images:
        raise InputError(
            "E_NO_CASES",
            "{folder} holds no images with label maps: put NIfTI or NRRD pairs or .npz files with imgs and gts there.",
            folder=folder,
        )
    for name in sorted(images):
        yield Pair(name, images[name], labels[name])


def _files_by_case(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Image files and label files by the name that a pair has in common."""
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for file in _files(folder):
        if file.name.lower().endswith(PAIR_SUFFIX):
            _put(images, file.name[: -len(PAIR_SUFFIX)], file)
            _put(labels, file.name[: -len(PAIR_SUFFIX)], file)
        elif (stem := _stem(file)) is not None:
            is_label = file.name.lower().endswith(SEGMENTATION_SUFFIX) or _without(stem, LABEL_ENDINGS) != stem
            _put(labels, _without(stem, LABEL_ENDINGS), file) if is_label else _put(
                images, _without(stem, IMAGE_ENDINGS), file
            )
    for image_folder, label_folder in SUB_FOLDERS:
        for found, place, endings in ((images, image_folder, IMAGE_ENDINGS), (labels, label_folder, LABEL_ENDINGS)):
            for file in _files(folder / place):
                if (stem := _stem(file)) is not None:
                    _put(found, _without(stem, endings), file)
    return images, labels


def _put(found: dict[str, Path], name: str, file: Path) -> None:
    if name in found:
        raise InputError(
            "E_PAIR_TWICE",
            "{first} and {second} are both called {name}: rename one, or take it away.",
            first=found[name],
            second=file,
            name=name,
        )
    found[name] = file


def _files(folder: Path) -> list[Path]:
    """The files of a folder in order, hidden ones left out; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _stem(file: Path) -> str | None:
    """The name without its suffix; None for what is no image file."""
    name = file.name.lower()
    suffix = next((each for each in (SEGMENTATION_SUFFIX, *IMAGE_SUFFIXES) if name.endswith(each)), None)
    return None if suffix is None else file.name[: -len(suffix)]


def _without(stem: str, endings: tuple[str, ...]) -> str:
    ending = next((each for each in endings if stem.lower().replace("-", "_").endswith(each)), "")
    return stem[: len(stem) - len(ending)] or stem


def _label_names(file: Path) -> dict[int, str]:
    """Names by label from ``{"labels": {"liver": 1}}``, or, as older files have it, ``{"labels": {"1": "liver"}}``."""
    if not file.exists():
        return {}
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))["labels"]
        pairs = [(key, value) if isinstance(value, int) else (value, int(key)) for key, value in labels.items()]
        return {int(value): str(name) for name, value in pairs}
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "E_DATASET_JSON",
            '{file} does not name labels as {{"labels": {{"liver": 1}}}}: correct it, or take it away.',
            file=file,
        ) from error
