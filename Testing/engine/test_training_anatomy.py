"""The synthetic bodies: the same for the same seed, with enough in them to learn from, and kept on disk unharmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MedSAM2Lib.training.anatomy import GRID_SHAPE, make_label_volume
from MedSAM2Lib.training.canvas import LEAST_TARGET_VOXELS
from MedSAM2Lib.training.pool import body_path, fill_pool, load_body, save_body
from MedSAM2Lib.training.shapes import WarpedGrid, superellipsoid, tube
from MedSAM2Lib.training.tissues import Tissue
from Testing.engine.training_ground import body, label_volume


def test_equal_seeds_give_equal_bodies() -> None:
    first, again = label_volume(), make_label_volume(3)
    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(first.targets, again.targets)


def test_other_seeds_give_other_warps() -> None:
    first, other = (WarpedGrid.random(np.random.default_rng(seed), (8, 8, 8), 1.0) for seed in (0, 1))
    assert not np.allclose(first.coordinates, other.coordinates)


def test_a_body_has_many_objects_of_many_tissues() -> None:
    volume = label_volume()
    present = np.unique(volume.labels)
    tissues = {Tissue(int(volume.tissues[label])) for label in present}
    assert volume.labels.shape == GRID_SHAPE
    assert {Tissue.FAT, Tissue.MUSCLE, Tissue.CORTEX, Tissue.MARROW, Tissue.ORGAN, Tissue.VESSEL} <= tissues
    assert len(volume.targets) >= 15
    assert present.max() < len(volume.tissues) <= 255
    assert 0.2 < (volume.labels > 0).mean() < 0.9


def test_every_target_has_voxels_and_the_outside_belongs_to_none() -> None:
    volume = label_volume()
    counts = np.bincount(volume.labels.ravel(), minlength=len(volume.tissues))
    assert (volume.targets @ counts >= LEAST_TARGET_VOXELS).all()
    assert not volume.targets[:, 0].any()


def test_an_object_is_found_in_its_box_as_in_the_whole_volume() -> None:
    indexed = body()
    for target in range(0, len(indexed.volume.targets), 12):
        box, mask = indexed.object_mask(target)
        everywhere = indexed.volume.targets[target][indexed.volume.labels]
        assert np.array_equal(everywhere[box], mask)
        assert everywhere.sum() == mask.sum()


def test_bodies_survive_the_pool_and_are_not_made_twice(tmp_path: Path) -> None:
    path = body_path(tmp_path, 3)
    save_body(label_volume(), path)
    written = path.stat().st_mtime_ns
    assert fill_pool(tmp_path, range(3, 4)) == [path]
    assert path.stat().st_mtime_ns == written
    assert [file.name for file in tmp_path.iterdir()] == [body_path(tmp_path, 3).name]
    read = load_body(path)
    for name in ("labels", "tissues", "targets"):
        assert np.array_equal(getattr(read, name), getattr(label_volume(), name))


def test_an_unwarped_superellipsoid_of_exponent_two_has_the_volume_of_an_ellipsoid() -> None:
    grid = WarpedGrid.random(np.random.default_rng(0), (40, 40, 40), 0.0)
    radii = np.array([6.0, 9.0, 12.0], dtype=np.float32)
    _, level = superellipsoid(grid, np.full(3, 19.5, np.float32), radii, 2.0, np.eye(3, dtype=np.float32))
    assert abs((level < 1).sum() / (4 / 3 * np.pi * radii.prod()) - 1) < 0.02


def test_a_straight_tube_is_a_capped_cylinder() -> None:
    points = np.column_stack([np.arange(5, 25, 0.5), np.full(40, 15.0), np.full(40, 15.0)]).astype(np.float32)
    region, mask = tube((30, 30, 30), points, np.full(40, 3.0, np.float32))
    assert region[0] == slice(1, 30)
    assert mask[14].sum() == sum(j * j + i * i <= 9 for j in range(-3, 4) for i in range(-3, 4))
