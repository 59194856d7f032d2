"""How bright the organs of an abdomen are: by tissue and contrast phase, or by tissue alone in other kinds of images.

Unlike the looks of bodies without anatomy, tissues of one kind look alike, and contrast is guaranteed only between the
object and what it touches: elsewhere in a real image much is as bright as the object. Ranges are rounded textbook
values in Hounsfield units (HU).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.training.looks import Look, keep_contrast
from MedSAM2Lib.training.shapes import BoolArray
from MedSAM2Lib.training.tissues import LOOKS, Tissue

UNENHANCED_SHARE = 0.4
LEAST_HU = (6.0, 26.0)
LOWEST_TARGET_CONTRAST = 0.015

ENHANCEMENT: dict[str, dict[Tissue, tuple[float, float]]] = {
    "arterial": {
        Tissue.LIVER: (5, 25),
        Tissue.SPLEEN: (50, 100),
        Tissue.KIDNEY: (90, 170),
        Tissue.MEDULLA: (20, 70),
        Tissue.PANCREAS: (45, 80),
        Tissue.ADRENAL: (25, 60),
        Tissue.ARTERY: (150, 330),
        Tissue.VEIN: (0, 70),
        Tissue.HEART: (60, 250),
        Tissue.WALL: (10, 50),
        Tissue.LESION: (-10, 70),
    },
    "portal": {
        Tissue.LIVER: (40, 70),
        Tissue.SPLEEN: (60, 90),
        Tissue.KIDNEY: (110, 170),
        Tissue.MEDULLA: (80, 160),
        Tissue.PANCREAS: (40, 65),
        Tissue.ADRENAL: (25, 50),
        Tissue.ARTERY: (80, 140),
        Tissue.VEIN: (90, 150),
        Tissue.HEART: (60, 110),
        Tissue.WALL: (15, 50),
        Tissue.MUSCLE: (5, 20),
        Tissue.LESION: (-10, 60),
    },
    "late": {
        Tissue.LIVER: (25, 45),
        Tissue.SPLEEN: (35, 60),
        Tissue.KIDNEY: (80, 150),
        Tissue.MEDULLA: (80, 170),
        Tissue.PANCREAS: (25, 45),
        Tissue.ADRENAL: (15, 35),
        Tissue.ARTERY: (50, 90),
        Tissue.VEIN: (50, 90),
        Tissue.HEART: (40, 80),
        Tissue.WALL: (10, 40),
        Tissue.MUSCLE: (5, 20),
        Tissue.LESION: (-10, 60),
    },
}
_JITTER = 3.0
_BONE = {Tissue.CORTEX: (180.0, 650.0), Tissue.MARROW: (80.0, 260.0)}


def phase_look(rng: np.random.Generator, tissues: NDArray[np.uint8], in_target: BoolArray, contacts: BoolArray) -> Look:
    """CT numbers of one contrast phase through a window, mostly of soft tissue; arguments are for the labels shown."""
    by_tissue = _phase_values(rng)
    values = np.array([by_tissue[tissue] for tissue in tissues], dtype=np.float32)
    values += np.float32(_JITTER) * rng.standard_normal(len(tissues)).astype(np.float32)
    _scatter(rng, tissues, values)
    textures = np.array([_texture(rng, Tissue(int(tissue))) for tissue in tissues], dtype=np.float32)
    width = float(np.exp(rng.uniform(np.log(250), np.log(700))))
    centre = float(rng.uniform(20, 80))
    middle = float(values[in_target].mean())
    if abs(middle - centre) > 0.45 * width:
        centre, width = middle + float(rng.uniform(-100, 300)), float(rng.uniform(700, 2000))
    least = max(float(rng.uniform(*LEAST_HU)), LOWEST_TARGET_CONTRAST * width)
    values = _keep_touching_contrast(rng, values, in_target, contacts, least)
    noise = min(float(np.exp(rng.uniform(np.log(3), np.log(36)))), 1.6 * least)
    levels = (values - centre) / width + 0.5
    return Look(levels.astype(np.float32), textures / np.float32(width), least / width, noise / width, centre, width)


def tissue_look(
    rng: np.random.Generator, tissues: NDArray[np.uint8], in_target: BoolArray, contacts: BoolArray
) -> Look:
    """Any brightness for any kind of tissue, as in MR; at times CT numbers inverted."""
    by_tissue = rng.uniform(0.05, 0.95, len(Tissue))
    if rng.random() < 0.25:
        numbers = _phase_values(rng)
        by_tissue = np.clip(0.5 - (numbers - 50.0) / rng.uniform(200, 500), 0.03, 0.97)
    elif rng.random() < 0.6:
        by_tissue = 0.5 + (by_tissue - 0.5) * rng.uniform(0.3, 1.0)
    by_tissue[[Tissue.OUTSIDE, Tissue.GAS, Tissue.LUNG, Tissue.CORTEX]] *= 0.2
    values = (by_tissue[tissues] + 0.015 * rng.standard_normal(len(tissues))).astype(np.float32)
    values[tissues == Tissue.OUTSIDE] = rng.uniform(0, 0.05) if rng.random() < 0.9 else rng.uniform(0, 1)
    least = float(rng.uniform(0.04, 0.16))
    values = _keep_touching_contrast(rng, values, in_target, contacts, least)
    textures = rng.uniform(0, 0.5 * least, len(Tissue)) * (rng.random(len(Tissue)) < 0.6)
    noise = min(float(np.exp(rng.uniform(np.log(0.005), np.log(0.12)))), 1.2 * least)
    return Look(values, textures[tissues].astype(np.float32), least, noise)


def _phase_values(rng: np.random.Generator) -> NDArray[np.float64]:
    """[number of tissues] HU of one patient in one phase."""
    values = np.array([rng.uniform(LOOKS[tissue].low, LOOKS[tissue].high) for tissue in Tissue])
    for tissue, bounds in _BONE.items():
        values[tissue] = rng.uniform(*bounds)
    values[Tissue.MUSCLE] = rng.uniform(22, 60)
    values[Tissue.WALL] = rng.uniform(20, 50)
    values[Tissue.LESION] = rng.uniform(5, 70)
    values[Tissue.CONTENT] = rng.uniform(0, 60)
    blood = rng.uniform(30, 50)
    values[[Tissue.ARTERY, Tissue.VEIN, Tissue.HEART]] = blood
    if rng.random() < 0.15:
        values[Tissue.LIVER] = rng.uniform(-5, 40)
    values[Tissue.MEDULLA] = values[Tissue.KIDNEY] - rng.uniform(0, 5)
    if rng.random() > UNENHANCED_SHARE:
        phase = ENHANCEMENT[str(rng.choice(list(ENHANCEMENT)))]
        for tissue, bounds in phase.items():
            values[tissue] += rng.uniform(*bounds)
        if rng.random() < 0.15:
            values[Tissue.FLUID] = rng.uniform(150, 500)
    return values


def _scatter(rng: np.random.Generator, tissues: NDArray[np.uint8], values: NDArray[np.float32]) -> None:
    """Lesions, fluid, food and stool differ from one place to the next."""
    for tissue, spread in ((Tissue.LESION, 20.0), (Tissue.FLUID, 12.0), (Tissue.CONTENT, 25.0), (Tissue.STOOL, 30.0)):
        those = np.flatnonzero(tissues == tissue)
        values[those] += (spread * rng.standard_normal(len(those))).astype(np.float32)


def _texture(rng: np.random.Generator, tissue: Tissue) -> float:
    return float(rng.uniform(LOOKS[tissue].texture_low, LOOKS[tissue].texture_high))


def _keep_touching_contrast(
    rng: np.random.Generator,
    values: NDArray[np.float32],
    in_target: BoolArray,
    contacts: BoolArray,
    least: float,
) -> NDArray[np.float32]:
    """Move the labels that touch the target away from its brightness until ``least`` lies between them."""
    touching = contacts[in_target].any(axis=0) & ~in_target
    concerned = in_target | touching
    values = values.copy()
    values[concerned] = keep_contrast(rng, values[concerned], in_target[concerned], least)
    return values
