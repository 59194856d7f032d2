"""Draws the module's icon and the thumbnails of its sample data into MedSAM2Slicer/Resources/Icons.

The icon: three slices of a volume, an organ's mask on each, and one click on the middle slice.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from MedSAM2Lib.evaluation.phantom import make_phantom  # noqa: E402
from MedSAM2Lib.volume.intensity import CT_PRESETS  # noqa: E402

ICONS = REPOSITORY / "MedSAM2Slicer" / "Resources" / "Icons"
SIDE, SCALE = 128, 8
BACKGROUND = (18, 104, 128, 255)
SLICE, SLICE_EDGE = (214, 226, 234), (255, 255, 255, 255)
MASK, MASK_EDGE = (240, 138, 36, 255), (255, 196, 128, 255)
CLICK, CLICK_EDGE = (255, 255, 255, 255), (12, 60, 78, 255)
THUMBNAIL = (260, 280)


def draw_icon() -> Image.Image:
    """The icon, 128 x 128, drawn eight times as large and made smaller."""
    canvas = Image.new("RGBA", (SIDE * SCALE, SIDE * SCALE), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).rounded_rectangle(_scaled(2, 2, 126, 126), radius=26 * SCALE, fill=BACKGROUND)
    for height, width, opacity in ((98, 17, 110), (64, 29, 255), (30, 15, 110)):
        layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
        draw = ImageDraw.Draw(layer)
        slab = [(64, height - 25), (116, height), (64, height + 25), (12, height)]
        points = [(x * SCALE, y * SCALE) for x, y in slab]
        draw.polygon(points, fill=(*SLICE, opacity))
        draw.line([*points, points[0]], fill=(*SLICE_EDGE[:3], min(255, opacity + 60)), width=2 * SCALE)
        draw.ellipse(
            _scaled(64 - width, height - width * 0.48, 64 + width, height + width * 0.48),
            fill=(*MASK[:3], max(opacity, 200)),
            outline=MASK_EDGE,
            width=2 * SCALE,
        )
        canvas = Image.alpha_composite(canvas, layer)
    draw = ImageDraw.Draw(canvas)
    draw.ellipse(_scaled(54 - 8, 62 - 8, 54 + 8, 62 + 8), fill=CLICK, outline=CLICK_EDGE, width=3 * SCALE)
    return canvas.resize((SIDE, SIDE), Image.LANCZOS)


def draw_phantom() -> Image.Image:
    """The phantom's slice with its organ outlined."""
    phantom = make_phantom()
    k = int(phantom.click[2])
    grey = Image.fromarray(CT_PRESETS["soft-tissue"].to_bytes(phantom.volume.array[k])).convert("RGB")
    mask = Image.fromarray((phantom.truth[k] * 255).astype(np.uint8))
    side = THUMBNAIL[0]
    picture = Image.new("RGB", THUMBNAIL, (0, 0, 0))
    picture.paste(grey.resize((side, side), Image.BICUBIC), (0, (THUMBNAIL[1] - side) // 2))
    inside = np.asarray(mask.resize((side, side), Image.BICUBIC)) > 127
    edge = inside & ~(np.roll(inside, 2, 0) & np.roll(inside, -2, 0) & np.roll(inside, 2, 1) & np.roll(inside, -2, 1))
    colour = Image.new("RGB", (side, side), MASK[:3])
    picture.paste(colour, (0, (THUMBNAIL[1] - side) // 2), Image.fromarray((edge * 255).astype(np.uint8)))
    return picture


def _scaled(*values: float) -> list[float]:
    return [value * SCALE for value in values]


def main() -> int:
    ICONS.mkdir(parents=True, exist_ok=True)
    draw_icon().save(ICONS / "MedSAM2Slicer.png", optimize=True)
    draw_phantom().save(ICONS / "MedSAM2Phantom.png", optimize=True)
    print(f"drawn into {ICONS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
