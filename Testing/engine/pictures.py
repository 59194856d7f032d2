"""What tests of image sets share: small pictures of a bright disc with the truth, in files and in sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from MedSAM2Lib.imageset import prompts
from MedSAM2Lib.imageset.images import Pixels, SetImage
from MedSAM2Lib.imageset.options import ImageSetOptions
from MedSAM2Lib.imageset.session import ImageResult, ImageSetSession
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.features import DEFAULT_HOST_BYTES, FeatureCache
from MedSAM2Lib.tracking.runner import NetworkRunner
from MedSAM2Lib.types import BoolArray, BoxPrompt
from MedSAM2Lib.weights.loading import LoadedModel, load_network

SHAPES = ((64, 64), (72, 60), (56, 80), (64, 48), (80, 80), (60, 60))


def disc_picture(seed: int, shape: tuple[int, int] = (64, 64)) -> tuple[NDArray[np.uint8], BoolArray]:
    """A noisy grey picture with one bright disc and a darker square, and where the disc is."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    radius = min(shape) * rng.uniform(0.18, 0.28)
    row, column = (rng.uniform(radius + 1, side - radius - 1) for side in shape)
    disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    grey = np.full(shape, 90.0)
    grey[: shape[0] // 4, : shape[1] // 4] = 50.0
    grey[disc] = 190.0
    noisy = grey + rng.normal(0, 5, shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), disc


def disc_pictures(count: int) -> list[tuple[NDArray[np.uint8], BoolArray]]:
    """Pictures of several sizes."""
    return [disc_picture(seed, SHAPES[seed % len(SHAPES)]) for seed in range(count)]


def box_text(truth: BoolArray) -> str:
    """The tight box as the command takes it."""
    rows, columns = np.nonzero(truth)
    return f"{columns.min()},{rows.min()},{columns.max()},{rows.max()}"


def box_of(truth: BoolArray) -> BoxPrompt:
    """The tight box as a session takes it."""
    return prompts.box(*(float(part) for part in box_text(truth).split(",")))


@lru_cache(maxsize=1)
def embedded() -> LoadedModel:
    """The embedded model, loaded once."""
    return load_network("embedded")


def session_on(
    pictures: Sequence[NDArray], options: ImageSetOptions, host_bytes: int = DEFAULT_HOST_BYTES
) -> ImageSetSession:
    """A session on pixels, the embedded model in fp32 on the CPU."""
    context = ExecutionContext(torch.device("cpu"), torch.float32)
    features = FeatureCache(context.device, host_bytes)
    runner = NetworkRunner(embedded().network, context, features.move_to_host)
    images = [
        SetImage(
            digest_of(pixels),
            (pixels.shape[0], pixels.shape[1]),
            (f"{number}.png",),
            lambda pixels=pixels: Pixels(pixels),
        )
        for number, pixels in enumerate(pictures)
    ]
    return ImageSetSession(images, runner, features, options)


def digest_of(pixels: NDArray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def masks_by_identity(session: ImageSetSession, results: Sequence[ImageResult]) -> dict[str, bytes]:
    """Masks as bytes, told by the images' digests."""
    return {session.images[result.place].identity: session.mask(result).tobytes() for result in results}


def write_dicom(path: Path, pixels: NDArray, photometric: str = "MONOCHROME2", frames: int = 1) -> Path:
    """A DICOM file of 8 or 16 bits; colour [rows, columns, 3] where ``photometric`` is RGB."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality = "OT"
    dataset.PhotometricInterpretation = photometric
    dataset.SamplesPerPixel = 3 if photometric == "RGB" else 1
    if photometric == "RGB":
        dataset.PlanarConfiguration = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes() * frames
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_set(folder: Path, count: int) -> list[BoolArray]:
    """A folder of PNG files ``0.png``, ``1.png``, ...; returns the truths."""
    folder.mkdir(parents=True)
    made = disc_pictures(count)
    for number, (pixels, _) in enumerate(made):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return [truth for _, truth in made]
