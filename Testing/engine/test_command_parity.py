"""An official checkpoint through `medsam2 segment` gives the published predictor's logits, from file to file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from torch import Tensor

from MedSAM2Lib.cli import main
from MedSAM2Lib.network.config import IMAGENET_MEAN, IMAGENET_STD
from Testing.engine import reference_sam2 as reference

SIZE = 512
START = 2
AS_PUBLISHED = "--memory temporal --orientations 1 --precision fp32 --zoom off --stop off --fit stretch --device cpu"


def smooth_volume(slices: int, height: int, width: int) -> np.ndarray:
    """Slowly changing 8-bit slices that use the whole range."""
    pixels = reference.random_slices(slices, max(height, width))[:, 0, :height, :width]
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    return np.asarray((pixels * 255).round().numpy(), dtype=np.uint8)


def published_pixels(volume: np.ndarray) -> Tensor:
    """MedSAM2's preprocessing: grey to RGB, Pillow's bicubic resize, 0..1, ImageNet mean and deviation."""
    resized = [
        np.asarray(Image.fromarray(one).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for one in volume
    ]
    pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)


def published_logits(predictor: Any, volume: np.ndarray, prompt: dict[str, Any]) -> np.ndarray:
    """Forward, reset, backward from the prompted slice; float32 on the volume's voxels."""
    found: dict[int, Tensor] = {}
    for reverse in (False, True):
        state = reference.start_session(predictor, published_pixels(volume), *volume.shape[1:])
        predictor.add_new_points_or_box(state, START, 1, normalize_coords=True, **prompt)
        for index, logits in reference.propagate(predictor, state, START, reverse).items():
            found.setdefault(index, logits)
        predictor.reset_state(state)
    return np.stack([found[index][0, 0].numpy() for index in range(len(volume))])


def our_logits(folder: Path, predictor: Any, volume: np.ndarray, arguments: list[str]) -> np.ndarray:
    checkpoint, file = folder / "sam2.1_hiera_tiny.pt", folder / "volume.nrrd"
    torch.save({"model": predictor.state_dict()}, checkpoint)
    sitk.WriteImage(sitk.GetImageFromArray(volume), str(file))
    options = ["--model", str(checkpoint), "--image-size", str(SIZE), "--window", "0,255", *AS_PUBLISHED.split()]
    outputs = ["--out", str(folder / "mask.nrrd"), "--logits", str(folder / "logits.npy")]
    assert main(["segment", str(file), *arguments, *options, *outputs]) == 0
    return np.asarray(np.load(folder / "logits.npy"))


def compare(folder: Path, shape: tuple[int, int, int], arguments: list[str], prompt: dict[str, Any]) -> None:
    predictor = reference.build_reference(reference.ReferenceSize(), "2.1", SIZE)
    volume = smooth_volume(*shape)
    theirs = published_logits(predictor, volume, prompt)
    ours = our_logits(folder, predictor, volume, arguments)
    assert (theirs > -1000).all(), "the reference must see an object, else the comparison says nothing"
    assert min(np.mean((ours > 0) == (theirs > 0), axis=(1, 2))) > 0.9999
    np.testing.assert_allclose(ours, theirs, atol=2e-3 * np.abs(theirs).max())


@pytest.mark.long
def test_a_click_in_a_512_volume(tmp_path: Path) -> None:
    prompt = {"points": [[200.0, 310.0]], "labels": [1]}
    compare(tmp_path, (4, SIZE, SIZE), ["--point", f"200,310,{START}"], prompt)


@pytest.mark.long
def test_a_click_in_slices_of_another_size_and_not_square(tmp_path: Path) -> None:
    prompt = {"points": [[100.0, 210.0]], "labels": [1]}
    compare(tmp_path, (5, 300, 400), ["--point", f"100,210,{START}"], prompt)


@pytest.mark.long
def test_a_box_in_slices_larger_than_the_network(tmp_path: Path) -> None:
    prompt = {"box": [150.0, 200.0, 420.0, 530.0]}
    compare(tmp_path, (5, 640, 600), ["--box", f"150,200,{START},420,530,{START}"], prompt)
