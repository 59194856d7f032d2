"""Prompts drawn into the dense map: what lies where, and when the network looks at it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from MedSAM2Lib.network.config import HieraConfig, NetworkConfig
from MedSAM2Lib.network.prompt_drawing import draw_prompts
from MedSAM2Lib.network.prompt_encoder import PromptEncoder
from MedSAM2Lib.network.prompts import PromptTensors

SIZE = 128
SIDE = SIZE // 4
CONFIG = NetworkConfig(
    image_size=SIZE, image_encoder=HieraConfig(in_channels=1), model_dim=32, memory_dim=32, draw_prompts=True
)
places = st.integers(0, 4 * (SIZE - 1)).map(lambda quarters: quarters / 4)


def points(*prompts: tuple[float, float, int], mask_logits: Tensor | None = None) -> PromptTensors:
    """One object's points as (x, y, label)."""
    coordinates = torch.tensor([[[x, y] for x, y, _ in prompts]], dtype=torch.float32)
    return PromptTensors(coordinates, torch.tensor([[label for _, _, label in prompts]]), mask_logits)


def pixel_of(place: float) -> int:
    """The low-res pixel that holds a network pixel's centre."""
    return min(int((place + 0.5) / 4), SIDE - 1)


@given(x=places, y=places, label=st.sampled_from([0, 1]))
def test_a_click_is_highest_at_its_place(x: float, y: float, label: int) -> None:
    drawn = draw_prompts(points((x, y, label)), SIZE)[0, 0]
    sign = 1 if label else -1
    peak = (sign * drawn).max()
    assert drawn[pixel_of(y), pixel_of(x)] * sign >= peak - 1e-4
    assert 2.8 < peak <= 3
    assert (sign * drawn >= 0).all()


def test_a_click_has_a_standard_deviation_of_a_sixteenth_of_the_side() -> None:
    drawn = draw_prompts(points((65.5, 65.5, 1)), SIZE)[0, 0]
    assert drawn[16, 16] == pytest.approx(3)
    assert drawn[16, 18] / drawn[16, 16] == pytest.approx(0.6065, abs=1e-3)
    assert drawn[16, 26] < 1e-4


@given(corners=st.tuples(places, places, places, places))
def test_a_box_is_one_inside_and_minus_one_outside(corners: tuple[float, float, float, float]) -> None:
    left, right = sorted(corners[:2])
    top, bottom = sorted(corners[2:])
    drawn = draw_prompts(points((left, top, 2), (right, bottom, 3)), SIZE)[0, 0]
    assert set(drawn.unique().tolist()) <= {-1.0, 1.0}
    centres = torch.arange(SIDE) * 4 + 1.5  # in network pixels, 0 at the first pixel's centre
    inside_rows = (centres >= top) & (centres <= bottom)
    inside_columns = (centres >= left) & (centres <= right)
    inside = inside_rows[:, None] & inside_columns[None, :]
    assert (drawn[inside] == 1).all()
    grown_rows = (centres >= top - 2) & (centres <= bottom + 2)
    grown_columns = (centres >= left - 2) & (centres <= right + 2)
    assert (drawn[~(grown_rows[:, None] & grown_columns[None, :])] == -1).all()
    if right - left >= 4 and bottom - top >= 4:
        assert torch.equal(drawn > 0, inside)


@given(x=places, y=places)
def test_the_smallest_box_still_covers_its_pixel(x: float, y: float) -> None:
    drawn = draw_prompts(points((x, y, 2), (x, y, 3)), SIZE)[0, 0]
    assert drawn[pixel_of(y), pixel_of(x)] == 1
    assert 1 <= (drawn > 0).sum() <= 4


@given(x=places, y=places)
@settings(max_examples=20)
def test_clicks_add_to_a_box(x: float, y: float) -> None:
    box = ((20.0, 30.0, 2), (90.0, 100.0, 3))
    both = draw_prompts(points(*box, (x, y, 0)), SIZE)
    alone = draw_prompts(points(*box), SIZE) + draw_prompts(points((x, y, 0)), SIZE)
    torch.testing.assert_close(both, alone)


def test_padding_points_leave_no_trace() -> None:
    drawn = draw_prompts(points((50.0, 40.0, 1), (0.0, 0.0, -1)), SIZE)
    assert torch.equal(drawn, draw_prompts(points((50.0, 40.0, 1)), SIZE))


def test_earlier_logits_are_the_ground_and_a_box_is_not_drawn_over_them() -> None:
    logits = torch.linspace(-40, 40, SIDE * SIDE).view(1, 1, SIDE, SIDE)
    drawn = draw_prompts(points((20.0, 30.0, 2), (90.0, 100.0, 3), mask_logits=logits), SIZE)
    assert torch.equal(drawn, logits.clamp(-1, 1))


def test_objects_with_and_without_prompts_share_a_batch() -> None:
    torch.manual_seed(0)
    encoder = PromptEncoder(CONFIG)
    mixed = PromptTensors(
        torch.tensor([[[40.0, 50.0], [0, 0]], [[0, 0], [0, 0]], [[10.0, 20.0], [60.0, 70.0]]]),
        torch.tensor([[1, -1], [-1, -1], [2, 3]]),
    )
    with torch.no_grad():
        dense = encoder.encode_mask(mixed)
        click = encoder.encode_mask(points((40.0, 50.0, 1)))
        box = encoder.encode_mask(points((10.0, 20.0, 2), (60.0, 70.0, 3)))
    torch.testing.assert_close(dense[0], click[0])
    torch.testing.assert_close(dense[2], box[0])
    assert torch.equal(dense[1], encoder.no_mask_embed.weight[0, :, None, None].expand_as(dense[1]))


def test_without_drawing_points_leave_the_dense_map_alone() -> None:
    encoder = PromptEncoder(replace(CONFIG, draw_prompts=False))
    with torch.no_grad():
        dense = encoder.encode_mask(points((40.0, 50.0, 1)))
    assert torch.equal(dense, encoder.no_mask_embed.weight[..., None, None])


@pytest.mark.parametrize("size", [64, 192])
def test_drawing_scales_with_the_image(size: int) -> None:
    """The same prompt, in fractions of the image, covers the same fraction of the map."""
    scaled = tuple((value + 0.5) * size / SIZE - 0.5 for value in (63.5, 31.5))
    drawn = draw_prompts(points((*scaled, 1)), size)[0, 0]
    expected = draw_prompts(points((63.5, 31.5, 1)), SIZE)[0, 0]
    assert drawn.mean() == pytest.approx(expected.mean().item(), rel=0.02)
