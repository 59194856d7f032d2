"""Where the object is looked for: everywhere in an image, and where the prompted images have it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MedSAM2Lib.imageset.images import KEY
from MedSAM2Lib.imageset.order import Descriptors
from MedSAM2Lib.imageset.search import Look, first_regions, refitted_regions, same_place, worth
from MedSAM2Lib.tracking.runner import SliceRecord
from MedSAM2Lib.types import SliceFrame
from MedSAM2Lib.volume.region import SliceGrid

SPACING = (1.0, 1.0)


def look(mask: np.ndarray, predicted_iou: float = 0.8, object_score: float = 3.0, likeness: float = 0.0) -> Look:
    """A look at a whole image of 64 x 64 with this mask [16, 16]."""
    logits = torch.from_numpy(np.where(mask, 4.0, -4.0).astype(np.float32))[None, None]
    record = SliceRecord(0, 1, logits, predicted_iou, object_score, torch.zeros(1, 4))
    return Look(SliceFrame(KEY, (64, 64), 0.0, 0.0, 64.0, 64.0), record, likeness=likeness)


def square(first: int, last: int) -> np.ndarray:
    mask = np.zeros((16, 16), dtype=bool)
    mask[first:last, first:last] = True
    return mask


@pytest.mark.parametrize("shape", [(64, 64), (40, 100), (100, 40), (7, 300)])
def test_windows_leave_no_pixel_out_and_overlap(shape: tuple[int, int]) -> None:
    regions = first_regions(SliceGrid(shape, SPACING), [])
    seen = np.zeros(shape, dtype=int)
    for top, left, bottom, right in regions:
        assert bottom - top == pytest.approx(right - left)
        seen[max(0, round(top)) : round(bottom), max(0, round(left)) : round(right)] += 1
    assert seen.min() >= 2
    assert len(set(regions)) == len(regions)


def test_the_place_of_a_prompted_image_is_looked_at_whatever_the_sizes() -> None:
    frame = SliceFrame(KEY, (50, 100), 10.0, 20.0, 30.0, 40.0)
    assert same_place(frame, SliceGrid((50, 100), SPACING)) == (10.0, 20.0, 30.0, 40.0)
    assert same_place(frame, SliceGrid((200, 200), SPACING)) == (60.0, 40.0, 100.0, 80.0)
    assert same_place(frame, SliceGrid((200, 200), SPACING)) in first_regions(SliceGrid((200, 200), SPACING), [frame])


def test_a_look_is_worth_more_that_is_trusted_alike_and_clear_of_the_border() -> None:
    best = look(square(4, 9), likeness=0.6)
    for other in (look(square(4, 9)), look(square(4, 9), 0.7, likeness=0.6), look(square(0, 9), likeness=0.6)):
        assert worth(best) > worth(other) > worth(look(square(4, 4)))
    assert worth(look(square(4, 9), object_score=-1.0)) == -np.inf


def test_the_two_best_looks_are_fitted_again_and_none_without_an_object() -> None:
    grid = SliceGrid((64, 64), SPACING)
    looks = [look(square(4, 9)), look(square(2, 12), 0.9), look(square(0, 16), 0.3), look(square(4, 4))]
    regions = refitted_regions(grid, looks, 1.7)
    assert regions == [pytest.approx((28 - 34, 28 - 34, 28 + 34, 28 + 34)), pytest.approx((9, 9, 43, 43))]
    assert refitted_regions(grid, looks[3:], 1.7) == []


def test_the_most_similar_image_comes_next_and_the_first_of_equals() -> None:
    descriptors = Descriptors(4)
    for place, value in enumerate(([1.0, 0.0], [0.0, 1.0], [0.7, 0.7], [0.7, 0.7])):
        descriptors.put(place, torch.tensor(value).view(1, 2, 1, 1))
    assert descriptors.most_similar([1, 2, 3], [0]) == 2
    assert descriptors.most_similar([1, 3], [0]) == 3
    assert descriptors.most_similar([2, 3], [0, 1]) == 2
