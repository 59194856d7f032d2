"""Masks out and in: voxel for voxel, names and colours kept, the disk's troubles told, other grids refused."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAM2Lib.errors import InputError, OutputError, PromptError
from MedSAM2Lib.volume.io import MASK_SUFFIXES, read_mask, write_mask
from MedSAM2Lib.volume.volume import Volume

TURN = np.deg2rad(30)
OBLIQUE = np.array([[np.cos(TURN), 0, np.sin(TURN)], [0, -1, 0], [np.sin(TURN), 0, -np.cos(TURN)]])


def volume() -> Volume:
    return Volume.from_array(np.zeros((6, 9, 8), dtype=np.int16), (0.7, 0.9, 3.0), (10.5, -20.25, 33.125), OBLIQUE)


def blocks() -> list[np.ndarray]:
    """Three objects: the first two overlap, the third lies apart."""
    masks = [np.zeros((6, 9, 8), dtype=bool) for _ in range(3)]
    masks[0][1:3, 2:6, 2:6] = masks[1][2:5, 4:8, 4:8] = masks[2][5, 0, 0] = True
    return masks


def label_map(dtype: type = np.uint8) -> np.ndarray:
    labels = np.zeros((6, 9, 8), dtype=dtype)
    for value, mask in enumerate(blocks(), start=1):
        labels[mask] = value
    return labels


def header_of(path: Path) -> dict[str, str]:
    """The fields of an NRRD header, read without any library."""
    lines = path.read_bytes().split(b"\n\n", 1)[0].decode().splitlines()
    pairs = (line.split(":=" if ":=" in line else ": ", 1) for line in lines[1:] if not line.startswith("#"))
    return dict(pairs)  # type: ignore[arg-type]


def voxels_of(path: Path) -> np.ndarray:
    """The voxels of an NRRD, read without any library: k, j, i and the layers last, where there are several."""
    sizes = [int(size) for size in header_of(path)["sizes"].split()]
    content = zlib.decompress(path.read_bytes().split(b"\n\n", 1)[1], 31)
    return np.frombuffer(content, dtype=np.uint8).reshape(sizes[::-1])


@pytest.mark.parametrize("suffix", MASK_SUFFIXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_come_back_on_the_volumes_grid(tmp_path: Path, suffix: str, dtype: type) -> None:
    labels = label_map(dtype)
    write_mask(tmp_path / f"m{suffix}", labels, volume(), ["a", "b", "c"])
    image = sitk.ReadImage(str(tmp_path / f"m{suffix}"))
    assert np.array_equal(sitk.GetArrayFromImage(image), labels)
    assert sitk.GetArrayFromImage(image).dtype == dtype
    assert image.GetSpacing() == pytest.approx(volume().spacing)
    assert image.GetOrigin() == pytest.approx(volume().origin)
    assert np.allclose(image.GetDirection(), volume().direction.ravel(), atol=1e-6)
    assert np.array_equal(read_mask(tmp_path / f"m{suffix}", volume()), labels > 0)
    assert [path.name for path in tmp_path.iterdir()] == [f"m{suffix}"]


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nrrd", ".nii.gz", ".mha"])
def test_masks_are_written_compressed(tmp_path: Path, suffix: str) -> None:
    large = Volume.from_array(np.zeros((40, 100, 100), dtype=np.uint8))
    write_mask(tmp_path / f"m{suffix}", np.ones((40, 100, 100), dtype=np.uint8), large)
    assert (tmp_path / f"m{suffix}").stat().st_size < 10_000


def test_a_segmentation_has_3d_slicers_fields(tmp_path: Path) -> None:
    path = tmp_path / "m.seg.nrrd"
    write_mask(path, label_map(), volume(), ["Liver", "Milz ö", "two\nlines"], [(1, 0, 0), (0, 0.5, 0), (0, 0, 1)])
    fields = header_of(path)
    assert fields["space"] == "left-posterior-superior"
    assert fields["encoding"] == "gzip"
    assert fields["kinds"] == "domain domain domain"
    assert (
        fields["Segmentation_MasterRepresentation"] == fields["Segmentation_SourceRepresentation"] == "Binary labelmap"
    )
    assert fields["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    assert fields["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    for number, (name, color) in enumerate([("Liver", "1 0 0"), ("Milz ö", "0 0.5 0"), ("two\\nlines", "0 0 1")]):
        assert fields[f"Segment{number}_ID"] == f"Segment_{number + 1}"
        assert fields[f"Segment{number}_Name"] == name
        assert fields[f"Segment{number}_Color"] == color
        assert fields[f"Segment{number}_LabelValue"] == str(number + 1)
        assert fields[f"Segment{number}_Layer"] == "0"
        assert fields[f"Segment{number}_Extent"] == "0 7 0 7 1 5", "of the layer: 3D Slicer cuts it to the first one's"
        assert "TerminologyEntry:" in fields[f"Segment{number}_Tags"]


def test_segments_without_names_colours_or_voxels_are_there_too(tmp_path: Path) -> None:
    path = tmp_path / "m.seg.nrrd"
    write_mask(path, np.zeros((6, 9, 8), dtype=np.uint8), volume(), ["first", "second"])
    fields = header_of(path)
    assert fields["Segment0_Extent"] == fields["Segment1_Extent"] == "0 -1 0 -1 0 -1"
    assert fields["Segment0_Color"] != fields["Segment1_Color"]
    write_mask(path, label_map(), volume())
    assert header_of(path)["Segment2_Name"] == "Segment_3"


def test_overlapping_objects_are_written_in_layers_with_the_list_first(tmp_path: Path) -> None:
    path = tmp_path / "m.seg.nrrd"
    write_mask(path, blocks(), volume(), ["a", "b", "c"])
    fields, stored = header_of(path), voxels_of(path)
    assert fields["dimension"] == "4"
    assert fields["sizes"] == "2 8 9 6"
    assert fields["kinds"] == "list domain domain domain"
    assert fields["space directions"].startswith("none (")
    for number, mask in enumerate(blocks()):
        layer, value = int(fields[f"Segment{number}_Layer"]), int(fields[f"Segment{number}_LabelValue"])
        assert np.array_equal(stored[..., layer] == value, mask)
    assert np.array_equal(read_mask(path, volume()), np.any(blocks(), axis=0))


def test_3d_slicer_reads_the_segments_voxel_for_voxel(tmp_path: Path) -> None:
    slicer, vtk = pytest.importorskip("slicer"), pytest.importorskip("vtk")
    from vtk.util.numpy_support import vtk_to_numpy

    masks = blocks()
    write_mask(tmp_path / "m.seg.nrrd", masks, volume(), ["a", "Milz ö", "c"])
    scene, node, storage = (
        slicer.vtkMRMLScene(),
        slicer.vtkMRMLSegmentationNode(),
        slicer.vtkMRMLSegmentationStorageNode(),
    )
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "m.seg.nrrd"))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert [segmentation.GetNthSegment(n).GetName() for n in range(3)] == ["a", "Milz ö", "c"]
    for number, mask in enumerate(masks):
        segment = segmentation.GetNthSegment(number)
        image = segment.GetRepresentation("Binary labelmap")
        i0, i1, j0, j1, k0, k1 = image.GetExtent()
        part = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
        found = np.zeros_like(mask)
        found[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = part == segment.GetLabelValue()
        assert np.array_equal(found, mask)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        ras = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        assert np.allclose(np.diag([-1, -1, 1, 1]) @ ras, volume().ijk_to_world)


def test_overlapping_objects_are_refused_by_a_label_map_and_others_are_not(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.seg\.nrrd") as refusal:
        write_mask(tmp_path / "m.nii.gz", blocks(), volume())
    assert refusal.value.code == "E_MASK_OVERLAP"
    assert not list(tmp_path.iterdir())
    write_mask(tmp_path / "m.nii.gz", blocks()[1:], volume())
    assert np.array_equal(read_mask(tmp_path / "m.nii.gz", volume()), np.any(blocks()[1:], axis=0))


@pytest.mark.parametrize("name", ["M.NII.GZ", "M.nii.GZ", "m.NII", "M.NRRD", "M.Seg.Nrrd", "M.MHA"])
def test_capitals_in_a_suffix_make_no_difference(tmp_path: Path, name: str) -> None:
    write_mask(tmp_path / name, label_map(), volume())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert np.array_equal(read_mask(tmp_path / name, volume()), label_map() > 0)


def test_another_suffix_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.seg\.nrrd or") as refusal:
        write_mask(tmp_path / "m.png", label_map(), volume())
    assert refusal.value.code == "E_OUT_SUFFIX"


@pytest.mark.parametrize(
    "labels", [np.zeros((6, 9, 7), np.uint8), np.zeros((6, 9, 8), np.int32), [np.zeros((1, 2, 3), bool)]]
)
def test_labels_of_another_shape_or_type_are_a_mistake_of_the_caller(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must"):
        write_mask(tmp_path / "m.nrrd", labels, volume())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="gone") as refusal:
        write_mask(tmp_path / "gone" / "m.nrrd", label_map(), volume())
    assert refusal.value.code == "E_OUT_FOLDER"


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: to a program much like a full disk."""
    resource = pytest.importorskip("resource", reason="limits of this kind are Unix only")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", MASK_SUFFIXES)
def test_a_full_disk_is_told_and_leaves_the_old_file_as_it_was(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (30, 90, 80)).astype(np.uint8)
    grid = Volume.from_array(np.zeros((30, 90, 80), dtype=np.uint8))
    path = tmp_path / f"m{suffix}"
    path.write_text("the old one")
    with disk_of(4096), pytest.raises(OutputError, match="free space") as refusal:
        write_mask(path, labels, grid)
    assert refusal.value.code == "E_OUT_WRITE"
    assert str(path) in str(refusal.value)
    assert path.read_text() == "the old one"
    assert [found.name for found in tmp_path.iterdir()] == [path.name], "nothing half-written is left"
    assert capfd.readouterr().err == ""


def test_a_folder_in_the_files_place_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "m.nrrd").mkdir()
    with pytest.raises(OutputError, match="could not be written"):
        write_mask(tmp_path / "m.nrrd", label_map(), volume())
    assert [path.name for path in tmp_path.iterdir()] == ["m.nrrd"]


def moved(**changes: object) -> Volume:
    parts = {"spacing": (0.7, 0.9, 3.0), "origin": (10.5, -20.25, 33.125), "direction": OBLIQUE, **changes}
    return Volume.from_array(np.zeros((6, 9, 8), dtype=np.int16), **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (moved(spacing=(0.7, 0.9, 2.5)), "spacing (0.7, 0.9, 3) instead of (0.7, 0.9, 2.5)"),
        (moved(origin=(10.5, -20.25, 34)), "origin (10.5, -20.25, 33.125) instead of (10.5, -20.25, 34)"),
        (moved(direction=np.eye(3)), "direction"),
        (Volume.from_array(np.zeros((6, 9, 9))), "size 8x9x6 voxels, not 9x9x6"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".seg.nrrd"])
def test_a_mask_on_another_grid_is_refused_with_the_difference(
    tmp_path: Path, suffix: str, other: Volume, told: str
) -> None:
    write_mask(tmp_path / f"m{suffix}", label_map(), volume())
    with pytest.raises(PromptError, match="not on the volume's grid") as refusal:
        read_mask(tmp_path / f"m{suffix}", other)
    assert refusal.value.code == "E_MASK_GRID"
    assert told in str(refusal.value)
    assert "Resample" in str(refusal.value)


def test_a_shift_by_a_hundredth_of_a_voxel_is_another_grid_and_rounding_is_not(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.nii.gz", label_map(), volume())
    rounding = moved(origin=(10.5 + 1e-5, -20.25, 33.125))
    assert read_mask(tmp_path / "m.nii.gz", rounding).any()
    with pytest.raises(PromptError, match="origin"):
        read_mask(tmp_path / "m.nii.gz", moved(origin=(10.507, -20.25, 33.125)))


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.nrrd", np.zeros((6, 9, 8), dtype=np.uint8), volume())
    with pytest.raises(PromptError, match="at least one voxel") as refusal:
        read_mask(tmp_path / "m.nrrd", volume())
    assert refusal.value.code == "E_MASK_EMPTY"


def test_a_segmentation_cropped_to_its_segments_finds_its_place(tmp_path: Path) -> None:
    whole, mask = volume(), blocks()[1]
    corner = whole.ijk_to_world @ (4, 4, 2, 1)
    crop = Volume.from_array(mask[2:5, 4:8, 4:8], whole.spacing, corner[:3], whole.direction)
    write_mask(tmp_path / "m.seg.nrrd", [crop.array], crop)
    assert np.array_equal(read_mask(tmp_path / "m.seg.nrrd", whole), mask)
    between = Volume.from_array(crop.array, whole.spacing, (whole.ijk_to_world @ (4.4, 4, 2, 1))[:3], whole.direction)
    write_mask(tmp_path / "n.seg.nrrd", [between.array], between)
    with pytest.raises(PromptError, match="grid"):
        read_mask(tmp_path / "n.seg.nrrd", whole)


def test_masks_in_numpy_files_are_taken_on_the_volumes_voxels(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", label_map())
    np.savez(tmp_path / "m.npz", imgs=np.zeros((6, 9, 8)), gts=label_map())
    for name in ("m.npy", "m.npz"):
        assert np.array_equal(read_mask(tmp_path / name, volume()), label_map() > 0)
    np.save(tmp_path / "n.npy", label_map()[:, :, :7])
    with pytest.raises(PromptError, match="size 7x9x6"):
        read_mask(tmp_path / "n.npy", volume())


def test_real_organs_lie_on_their_ct(shared_data: Path) -> None:
    from MedSAM2Lib.volume.io import read_volume

    ct = read_volume(shared_data / "ct_abdomen" / "ct.nii.gz")
    organs = read_mask(shared_data / "ct_abdomen" / "organs.nii.gz", ct)
    assert ct.array[organs].mean() > ct.array[~organs].mean() + 100
