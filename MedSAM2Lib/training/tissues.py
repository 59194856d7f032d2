"""What the synthetic body is made of: tissue kinds with the CT numbers and textures they are rendered with.

Ranges are rounded textbook values of computed tomography in Hounsfield units (HU); they only have to be plausible,
because nearly half of all clips are rendered with free contrast instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Tissue(IntEnum):
    """Kinds of tissue; the value is what a label volume's tissue table stores."""

    OUTSIDE = 0
    FAT = 1
    MUSCLE = 2
    CORTEX = 3
    MARROW = 4
    DISC = 5
    CORD = 6
    LUNG = 7
    GAS = 8
    FLUID = 9
    WALL = 10
    ORGAN = 11
    VESSEL = 12
    LESION = 13
    CONTENT = 14
    LIVER = 15
    SPLEEN = 16
    KIDNEY = 17
    MEDULLA = 18
    PANCREAS = 19
    ADRENAL = 20
    BILE = 21
    ARTERY = 22
    VEIN = 23
    HEART = 24
    CYST = 25
    STOOL = 26
    TABLE = 27


@dataclass(frozen=True)
class TissueLook:
    """Mean CT number range and texture of one tissue, both in HU; ``texture`` is a standard deviation range."""

    low: float
    high: float
    texture_low: float = 0.0
    texture_high: float = 4.0


LOOKS: dict[Tissue, TissueLook] = {
    Tissue.OUTSIDE: TissueLook(-1000.0, -990.0, 0.0, 0.0),
    Tissue.FAT: TissueLook(-120.0, -75.0, 2.0, 18.0),
    Tissue.MUSCLE: TissueLook(35.0, 75.0, 2.0, 14.0),
    Tissue.CORTEX: TissueLook(250.0, 1000.0, 20.0, 120.0),
    Tissue.MARROW: TissueLook(80.0, 350.0, 20.0, 80.0),
    Tissue.DISC: TissueLook(55.0, 120.0, 2.0, 10.0),
    Tissue.CORD: TissueLook(10.0, 50.0, 2.0, 8.0),
    Tissue.LUNG: TissueLook(-900.0, -700.0, 20.0, 130.0),
    Tissue.GAS: TissueLook(-1000.0, -900.0, 0.0, 10.0),
    Tissue.FLUID: TissueLook(-5.0, 30.0, 0.0, 6.0),
    Tissue.WALL: TissueLook(30.0, 90.0, 0.0, 8.0),
    Tissue.ORGAN: TissueLook(10.0, 130.0, 0.0, 10.0),
    Tissue.VESSEL: TissueLook(30.0, 320.0, 0.0, 8.0),
    Tissue.LESION: TissueLook(-15.0, 160.0, 0.0, 25.0),
    Tissue.CONTENT: TissueLook(-120.0, 120.0, 10.0, 120.0),
    Tissue.LIVER: TissueLook(40.0, 65.0, 0.0, 5.0),
    Tissue.SPLEEN: TissueLook(35.0, 55.0, 0.0, 4.0),
    Tissue.KIDNEY: TissueLook(15.0, 40.0, 0.0, 8.0),
    Tissue.MEDULLA: TissueLook(12.0, 38.0, 0.0, 8.0),
    Tissue.PANCREAS: TissueLook(0.0, 48.0, 4.0, 22.0),
    Tissue.ADRENAL: TissueLook(0.0, 35.0, 0.0, 6.0),
    Tissue.BILE: TissueLook(0.0, 20.0, 0.0, 3.0),
    Tissue.ARTERY: TissueLook(30.0, 50.0, 0.0, 4.0),
    Tissue.VEIN: TissueLook(30.0, 50.0, 0.0, 4.0),
    Tissue.HEART: TissueLook(30.0, 50.0, 0.0, 5.0),
    Tissue.CYST: TissueLook(-5.0, 25.0, 0.0, 3.0),
    Tissue.STOOL: TissueLook(-60.0, 70.0, 20.0, 140.0),
    Tissue.TABLE: TissueLook(-200.0, 250.0, 0.0, 60.0),
}

SOFT_TISSUES = frozenset({Tissue.ORGAN, Tissue.LESION, Tissue.WALL, Tissue.MUSCLE})
