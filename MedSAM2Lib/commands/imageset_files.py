"""The files of a set of images: which there are, which are the same, and which cannot be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from MedSAM2Lib.errors import InputError, MedSAM2Error, VolumeError
from MedSAM2Lib.imageset.images import Pixels, SetImage
from MedSAM2Lib.volume.io.pictures import is_picture, picture_stem, read_picture


@dataclass(frozen=True)
class SetFile:
    """One file of the set; ``shape`` is None where it cannot be read, and ``error`` then says why."""

    path: Path
    sha256: str
    shape: tuple[int, int] | None
    error: MedSAM2Error | None = None

    @property
    def mask_name(self) -> str:
        """The name of its mask's file."""
        return f"{picture_stem(self.path.name)}.png"


def picture_files(folder: Path) -> list[Path]:
    """The images of a folder by name, hidden files left out.

    Raises InputError for no such folder, for a folder without images, and where two images would share one mask.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InputError(
            "E_SET_FOLDER", "{path} {what}: give the folder that holds the images.", path=folder, what=what
        )
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    pictures = [path for path in files if is_picture(path)]
    if not pictures:
        raise InputError(
            "E_SET_EMPTY",
            "There is no image in {path}: put PNG, JPEG, TIFF, BMP or single-frame DICOM files there.",
            path=folder,
        )
    _check_stems(pictures)
    return pictures


def read_files(paths: Sequence[Path]) -> list[SetFile]:
    """Every file read once: its digest, its size, and whether it can be read."""
    with tqdm(paths, unit="image", desc="read", disable=None, leave=False) as bar:
        return [_read(path) for path in bar]


def images_of(files: Sequence[SetFile]) -> list[SetImage]:
    """The images of readable files; those of one content are one image."""
    groups: dict[str, list[SetFile]] = {}
    for file in files:
        if file.shape is not None:
            groups.setdefault(file.sha256, []).append(file)
    return [_image(identity, same) for identity, same in groups.items()]


def fingerprint(files: Sequence[SetFile]) -> str:
    """A digest of the set: its names and contents, readable or not."""
    lines = sorted(f"{file.sha256} {file.path.name}\n" for file in files)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _image(identity: str, files: Sequence[SetFile]) -> SetImage:
    path, shape = files[0].path, files[0].shape
    assert shape is not None

    def load() -> Pixels:
        picture = read_picture(path)
        return Pixels(picture.pixels, picture.modality)

    return SetImage(identity, shape, tuple(file.path.name for file in files), load)


def _read(path: Path) -> SetFile:
    try:
        digest = _sha256(path)
    except OSError as error:
        reason = error.strerror or error
        unreadable = VolumeError(
            "E_PICTURE_UNREADABLE", "{path} cannot be opened ({reason}).", path=path, reason=reason
        )
        return SetFile(path, "", None, unreadable)
    try:
        return SetFile(path, digest, read_picture(path).shape)
    except VolumeError as error:
        return SetFile(path, digest, None, error)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_stems(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(picture_stem(path.name).casefold(), path)
        if other is not path:
            raise InputError(
                "E_SET_STEMS",
                "{first} and {second} would share one mask, {mask}: rename one of them.",
                first=other.name,
                second=path.name,
                mask=f"{picture_stem(path.name)}.png",
            )
