"""The images of a set: told apart by their content, read when they are needed, seen by the network as slices are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MedSAM2Lib.tracking.view import VolumeView
from MedSAM2Lib.types import BoolArray, FloatArray, SliceFrame, SliceKey
from MedSAM2Lib.volume.intensity import Window, automatic_window
from MedSAM2Lib.volume.region import Region, SliceGrid, slice_grid
from MedSAM2Lib.volume.slices import to_voxels
from MedSAM2Lib.volume.volume import Volume

KEY = SliceKey("k", 0)
"""An image is a volume of one slice: pixel (x, y) is the voxel (x, y, 0)."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Grey ``[rows, columns]`` of any real type, or colour uint8 ``[rows, columns, 3]``; DICOM's modality, if any."""

    array: NDArray
    modality: str | None = None


@dataclass(frozen=True, eq=False)
class SetImage:
    """One image: ``identity`` is a digest of its content, ``shape`` its rows and columns.

    ``names`` are all files with that content: they are one image. ``load`` reads its pixels.
    """

    identity: str
    shape: tuple[int, int]
    names: tuple[str, ...]
    load: Callable[[], Pixels]


class ImageView:
    """One image as the network sees it.

    Args:
        pixels: 8 bits are shown from 0 to 255, all else in the window that ``automatic_window`` finds.
        fit: how the whole image fills the square.
        image_size: side S of the network's image.
        channels: of the network's image, 1 or 3; one-channel networks see the luma of colours (ITU-R BT.601).
    """

    def __init__(self, pixels: Pixels, fit: str, image_size: int, channels: int) -> None:
        self._planes = [
            VolumeView(volume, window_of(volume, pixels.modality), fit, image_size)
            for volume in map(_volume, _planes(pixels.array, channels))
        ]
        self.slices = self._planes[0]

    @property
    def grid(self) -> SliceGrid:
        """The image's size, with pixels of 1 mm."""
        return slice_grid(self.slices.volume, KEY.axis)

    def frame(self, region: Region | None) -> SliceFrame:
        """The frame of a region, or of the whole image."""
        return self.slices.frame(KEY, region)

    def image(self, frame: SliceFrame) -> Tensor:
        """The network's image in 0..1: [S, S] for grey, [3, S, S] for colour."""
        planes = [plane.image(frame) for plane in self._planes]
        return planes[0] if len(planes) == 1 else torch.stack(planes)


def window_of(volume: Volume, modality: str | None) -> Window:
    """The grey values shown from black to white."""
    return Window(0.0, 255.0) if volume.array.dtype == np.uint8 else automatic_window(volume, modality)


def pixel_mask(frame: SliceFrame, low_res_logits: FloatArray) -> BoolArray:
    """Where low-resolution logits say object, on the image's pixels ``[rows, columns]``."""
    return np.asarray(to_voxels(frame, low_res_logits) > 0)


def _planes(pixels: NDArray, channels: int) -> list[NDArray]:
    if pixels.ndim == 2:
        return [pixels]
    if channels == 3:
        return [np.ascontiguousarray(pixels[..., channel]) for channel in range(3)]
    return [np.rint(pixels.astype(np.float32) @ _LUMA).astype(np.uint8)]


def _volume(plane: NDArray) -> Volume:
    return Volume.from_array(plane[None], name="image")
