"""Synthetic abdomens: organs in their places, contrast where they touch, and a pool that knows its generator."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MedSAM2Lib.training import pool
from MedSAM2Lib.training.abdomen import label_contacts, make_abdomen
from MedSAM2Lib.training.anatomy import GRID_SHAPE, LabelVolume
from MedSAM2Lib.training.canvas import LEAST_TARGET_VOXELS
from MedSAM2Lib.training.phases import phase_look, tissue_look
from MedSAM2Lib.training.rendering import render_clip, slab_interpolation
from MedSAM2Lib.training.sampling import Body, ClipGeometry, choose_target, target_tissue
from MedSAM2Lib.training.tissues import Tissue
from Testing.engine.training_ground import label_volume, noise_bank


@cache
def abdomen(seed: int = 4) -> LabelVolume:
    return make_abdomen(seed, GRID_SHAPE)


def target_of(volume: LabelVolume, tissue: Tissue) -> int:
    return next(row for row in range(len(volume.targets)) if target_tissue(volume, row) is tissue)


def test_equal_seeds_give_equal_abdomens() -> None:
    again = make_abdomen(4, GRID_SHAPE)
    for name in ("labels", "tissues", "targets", "contacts"):
        assert np.array_equal(getattr(abdomen(), name), getattr(again, name))
    assert not np.array_equal(abdomen().labels, make_abdomen(5, GRID_SHAPE).labels)


@pytest.mark.parametrize("seed", [0, 4])
def test_an_abdomen_has_the_common_organs_and_the_liver_is_the_largest(seed: int) -> None:
    volume = abdomen(seed)
    counts = np.bincount(volume.labels.ravel(), minlength=len(volume.tissues))
    sizes: dict[Tissue, int] = {}
    for row, labels in enumerate(volume.targets):
        tissue = target_tissue(volume, row)
        sizes[tissue] = max(sizes.get(tissue, 0), int(counts[labels].sum()))
    assert {Tissue.LIVER, Tissue.KIDNEY, Tissue.SPLEEN, Tissue.BILE, Tissue.WALL, Tissue.ARTERY} <= set(sizes)
    assert sizes[Tissue.LIVER] > max(sizes[Tissue.KIDNEY], sizes[Tissue.SPLEEN], sizes[Tissue.BILE])
    assert min(sizes.values()) >= LEAST_TARGET_VOXELS
    assert not volume.targets[:, 0].any()


def test_no_kidney_holds_the_fat_of_its_sinus_and_a_hollow_organ_holds_its_content() -> None:
    volume = abdomen(0)
    for row, labels in enumerate(volume.targets):
        tissues = {Tissue(int(tissue)) for tissue in volume.tissues[labels]}
        if target_tissue(volume, row) is Tissue.KIDNEY:
            assert Tissue.FAT not in tissues
        if target_tissue(volume, row) is Tissue.WALL:
            assert len(tissues) > 1


def test_contacts_are_the_labels_that_share_four_faces() -> None:
    labels = np.zeros((4, 4, 4), dtype=np.uint8)
    labels[1:3, 1:3, 1] = 1
    labels[1:3, 1:3, 2] = 2
    labels[0, 0, 0] = 3
    contacts = label_contacts(labels, 4)
    assert np.array_equal(contacts, contacts.T)
    assert contacts[1, 2] and contacts[0, 1] and contacts[0, 2]
    assert not contacts[0, 3] and not contacts[1, 3]


@pytest.mark.parametrize("make_look", [phase_look, tissue_look])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_the_object_keeps_its_least_contrast_to_what_it_touches(make_look, seed: int) -> None:
    rng = np.random.default_rng(seed)
    volume = abdomen()
    assert volume.contacts is not None
    in_target = volume.targets[int(rng.integers(len(volume.targets)))]
    look = make_look(rng, volume.tissues, in_target, volume.contacts)
    touching = volume.contacts[in_target].any(axis=0) & ~in_target
    gaps = np.abs(look.levels[in_target][:, None] - look.levels[touching][None])
    assert gaps.min() >= look.least_contrast * (1 - 1e-3)
    assert look.least_contrast >= 0.0149


def test_tissues_of_one_kind_look_alike() -> None:
    volume = abdomen()
    assert volume.contacts is not None
    target = volume.targets[target_of(volume, Tissue.LIVER)]
    muscles = (volume.tissues == Tissue.MUSCLE) & ~volume.contacts[target].any(axis=0)
    spreads = []
    for seed in range(20):
        look = phase_look(np.random.default_rng(seed), volume.tissues, target, volume.contacts)
        spreads.append(float(np.ptp(look.levels[muscles])) * look.width)
    assert muscles.sum() >= 2
    assert max(spreads) < 30


def test_clips_of_an_abdomen_follow_the_random_stream() -> None:
    volume = abdomen()
    choice = choose_target(np.random.default_rng(0), Body.of(volume), leave=False)
    geometry = ClipGeometry(1, np.array([60.0, 61.0]), 1.0, 0.0, 0.0, 100.0)
    one, same = (
        render_clip(np.random.default_rng(7), volume, geometry, choice.target, 64, noise_bank()) for _ in range(2)
    )
    assert np.array_equal(one.images, same.images)
    assert 0 <= one.images.min() < one.images.max() <= 1


@given(thickness=st.floats(1.0, 3.0), phase=st.floats(0, 1), first=st.integers(0, 9), count=st.integers(4, 40))
@settings(max_examples=60, deadline=None)
def test_slabs_keep_constants_and_the_place_of_things(thickness: float, phase: float, first: int, count: int) -> None:
    positions = first + np.linspace(0, count - 1, 50)
    weights = slab_interpolation(positions, first, count, thickness, phase)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert weights.min() >= 0
    assert np.abs(weights @ (first + np.arange(count)) - positions).max() <= thickness


def test_an_abdomen_survives_the_pool_and_a_stale_body_is_made_anew(tmp_path: Path) -> None:
    path = pool.body_path(tmp_path, 3)
    pool.save_body(abdomen(), path)
    read = pool.load_body(path)
    assert np.array_equal(read.contacts, abdomen().contacts)
    path.rename(tmp_path / f"body-000003-v{pool.GENERATOR_VERSION - 1}.npz")
    assert pool.fill_pool(tmp_path, range(3, 4)) == [path]
    assert np.array_equal(pool.load_body(path).labels, make_abdomen(3, GRID_SHAPE).labels)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_evaluations_bodies_are_geometric() -> None:
    assert pool.make_body(3).contacts is not None
    assert pool.make_body(pool.ALL_GEOMETRIC_FROM).contacts is None
    assert label_volume().contacts is None
