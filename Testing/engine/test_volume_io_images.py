"""Image and numpy files: what is in them comes back, and what is not a volume is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.volume.io import read_volume
from MedSAM2Lib.volume.volume import Volume

SPACING, ORIGIN = (0.7, 0.9, 3.0), (10.5, -20.25, 33.125)
TURN = np.deg2rad(20)
OBLIQUE = np.array([[np.cos(TURN), -np.sin(TURN), 0], [np.sin(TURN), np.cos(TURN), 0], [0, 0, 1]])
DIRECTIONS = {
    "straight": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "left-handed": np.diag([1.0, 1.0, -1.0]),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "oblique": OBLIQUE @ np.array([[1, 0, 0], [0, np.cos(0.4), -np.sin(0.4)], [0, np.sin(0.4), np.cos(0.4)]]),
}


def voxels(dtype: type = np.int16, shape: tuple[int, ...] = (5, 8, 7)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def written(path: Path, array: np.ndarray, direction: np.ndarray | None = None, vector: bool = False) -> Path:
    """A file written by SimpleITK alone, as other programs would."""
    image = sitk.GetImageFromArray(array, isVector=vector)
    if image.GetDimension() == 3:
        image.SetSpacing(SPACING)
        image.SetOrigin(ORIGIN)
        image.SetDirection((np.eye(3) if direction is None else direction).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


def refusal_of(path: Path, code: str) -> str:
    with pytest.raises(VolumeError) as refusal:
        read_volume(path)
    assert refusal.value.code == code
    return str(refusal.value)


def cut(path: Path, share: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".mha", ".mhd"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_voxels_spacing_origin_and_direction_come_back(tmp_path: Path, suffix: str, direction: str) -> None:
    array = voxels()
    volume = read_volume(written(tmp_path / f"ct{suffix}", array, DIRECTIONS[direction]))
    assert np.array_equal(volume.array, array)
    assert volume.array.dtype == np.int16
    assert volume.spacing == pytest.approx(SPACING, rel=1e-6)
    assert volume.origin == pytest.approx(ORIGIN, abs=1e-5)
    assert np.allclose(volume.direction, DIRECTIONS[direction], atol=1e-6)
    assert volume.name == f"ct{suffix}"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_the_type_of_the_voxels_is_kept(tmp_path: Path, dtype: type) -> None:
    assert read_volume(written(tmp_path / "a.nrrd", voxels(dtype))).array.dtype == dtype


def test_a_picture_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    Image.fromarray(voxels(np.uint8, (8, 7))).save(tmp_path / "x.png")
    volume = read_volume(tmp_path / "x.png")
    assert np.array_equal(volume.array[0], voxels(np.uint8, (8, 7)))
    assert volume.shape == (1, 8, 7)


def test_an_npz_carries_its_geometry(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", imgs=voxels(), spacing=SPACING, origin=ORIGIN, direction=OBLIQUE.ravel())
    volume = read_volume(tmp_path / "a.npz")
    assert np.array_equal(volume.array, voxels())
    assert np.allclose(volume.ijk_to_world, Volume.from_array(voxels(), SPACING, ORIGIN, OBLIQUE).ijk_to_world)


def test_numpy_files_without_geometry_have_voxels_of_1_mm(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", imgs=voxels())
    np.save(tmp_path / "b.npy", voxels().astype(">i2"))
    np.save(tmp_path / "c.npy", voxels()[0])
    for name in ("a.npz", "b.npy"):
        volume = read_volume(tmp_path / name)
        assert np.array_equal(volume.array, voxels())
        assert volume.array.dtype.isnative
        assert np.array_equal(volume.ijk_to_world, np.eye(4))
    assert read_volume(tmp_path / "c.npy").shape == (1, 8, 7)


def test_of_two_namesakes_the_one_that_was_named_is_read(tmp_path: Path) -> None:
    written(tmp_path / "ct.nii", np.full((3, 4, 5), 7, dtype=np.int16))
    written(tmp_path / "ct.nii.gz", np.full((3, 4, 5), 9, dtype=np.int16))
    assert (read_volume(tmp_path / "ct.nii.gz").array == 9).all()
    assert (read_volume(tmp_path / "ct.nii").array == 7).all()


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".mha", ".npy", ".npz", ".png"])
def test_half_a_file_is_refused_without_a_word_from_the_libraries(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path, noise = tmp_path / f"half{suffix}", np.random.default_rng(0).integers(0, 255, (20, 30, 30)).astype(np.uint8)
    if suffix == ".npy":
        np.save(path, noise)
    elif suffix == ".npz":
        np.savez(path, imgs=noise)
    elif suffix == ".png":
        Image.fromarray(noise[0]).save(path)
    else:
        written(path, noise)
    sentence = refusal_of(cut(path), "E_VOLUME_INCOMPLETE" if ".nii" in suffix else "E_VOLUME_UNREADABLE")
    assert path.name in sentence
    assert "again" in sentence
    assert not any(word in sentence.lower() for word in ("sitk", "itk error", "exception", "[nrrd]"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("size", [2, 8])
def test_a_nifti_of_version_2_is_measured_as_well(tmp_path: Path, size: int) -> None:
    header = bytearray(544)
    header[:12] = (540).to_bytes(4, "little") + b"n+2\0\r\n\032\n"
    for place, value, width in ((12, 4, 2), (14, 16, 2), (168, 544, 8)):
        header[place : place + width] = value.to_bytes(width, "little")
    for place, value in enumerate([3, size, size, size, 1, 1, 1, 1]):
        header[16 + 8 * place : 24 + 8 * place] = value.to_bytes(8, "little")
    path = tmp_path / "two.nii"
    path.write_bytes(bytes(header) + bytes(2 * size**3 - 2))
    assert f"{544 + 2 * size**3 - 2} of {544 + 2 * size**3} bytes" in refusal_of(path, "E_VOLUME_INCOMPLETE")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".npy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_voxels_that_are_not_finite_numbers_stay_so(tmp_path: Path, suffix: str, dtype: type) -> None:
    array = np.random.default_rng(0).normal(size=(3, 300, 400)).astype(dtype)
    wrong = np.zeros(array.shape, dtype=bool)
    wrong[0, 0, 0] = wrong[1, 150, 200] = wrong[2, 299, 399] = True
    array[wrong] = np.nan, np.inf, -np.inf
    path = tmp_path / f"v{suffix}"
    if suffix == ".npy":
        np.save(path, array)
    else:
        written(path, array)
    read = read_volume(path).array
    assert np.array_equal(~np.isfinite(read), wrong)
    assert np.array_equal(read[~wrong], array[~wrong])


def test_a_nifti_compressed_in_several_parts_is_complete(tmp_path: Path) -> None:
    import gzip

    content = written(tmp_path / "one.nii", voxels()).read_bytes()
    path = tmp_path / "parts.nii.gz"
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    assert np.array_equal(read_volume(path).array, voxels())


def test_a_file_that_is_not_there_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal_of(tmp_path / "none.nrrd", "E_VOLUME_MISSING")
    (tmp_path / "empty.nrrd").touch()
    assert "empty file" in refusal_of(tmp_path / "empty.nrrd", "E_VOLUME_UNREADABLE")


@pytest.mark.parametrize("name", ["notes.txt", "notes.nrrd", "notes.nii.gz", "notes.npz", "notes.npy", "notes"])
def test_a_text_is_refused_whatever_its_name(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("not an image " * 100)
    assert name in refusal_of(tmp_path / name, "E_VOLUME_UNREADABLE")
    assert capfd.readouterr().err == ""


def test_pickled_objects_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"run": "me"}], dtype=object))
    refusal_of(tmp_path / "a.npy", "E_VOLUME_UNREADABLE")


def colour(path: Path) -> Path:
    return written(path, voxels(np.uint8, (5, 8, 7, 3)), vector=True)


def complex_numbers(path: Path) -> Path:
    return written(path, voxels(np.complex64))


def in_time(path: Path) -> Path:
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(voxels())] * 3), str(path))
    return path


def sheared(path: Path) -> Path:
    path.write_text(
        "NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\nencoding: ascii\n"
        "space directions: (1,0,0) (0.2,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n1 2 3 4 5 6 7 8\n"
    )
    return path


@pytest.mark.parametrize(
    ("make", "name", "code", "remedy"),
    [
        (colour, "rgb.nrrd", "E_VOLUME_COLOUR", "VectorIndexSelectionCast"),
        (colour, "rgb.mha", "E_VOLUME_COLOUR", "VectorIndexSelectionCast"),
        (complex_numbers, "k.nrrd", "E_VOLUME_TYPE", "magnitude"),
        (complex_numbers, "k.mha", "E_VOLUME_COLOUR", "complex numbers"),
        (in_time, "cine.nii.gz", "E_VOLUME_TIME", "[:, :, :, 0]"),
        (in_time, "cine.nrrd", "E_VOLUME_TIME", "[:, :, :, 0]"),
        (sheared, "tilt.nrrd", "E_VOLUME_SHEARED", "resample"),
    ],
)
def test_what_is_no_grey_volume_is_refused_with_what_to_do(
    tmp_path: Path, make: Callable[[Path], Path], name: str, code: str, remedy: str
) -> None:
    assert remedy in refusal_of(make(tmp_path / name), code)


def test_the_command_that_a_refusal_names_makes_a_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "cine.npz", imgs=np.stack([voxels()] * 2))
    np.save(tmp_path / "cine.npy", np.stack([voxels()] * 2))
    makers = [
        (in_time(tmp_path / "cine.nrrd"), "E_VOLUME_TIME", "frame.nrrd"),
        (colour(tmp_path / "rgb.nrrd"), "E_VOLUME_COLOUR", "grey.nrrd"),
        (tmp_path / "cine.npz", "E_VOLUME_TIME", "frame.npy"),
        (tmp_path / "cine.npy", "E_VOLUME_TIME", "frame.npy"),
    ]
    for path, code, product in makers:
        program = refusal_of(path, code).split('python -c "')[1].split('"')[0]
        exec(program, {})
        assert read_volume(tmp_path / product).shape == (5, 8, 7)
        (tmp_path / product).unlink()


def test_a_single_frame_of_four_dimensions_is_a_volume(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(voxels())]), str(tmp_path / "one.nii.gz"))
    assert np.array_equal(read_volume(tmp_path / "one.nii.gz").array, voxels())


def test_an_npz_without_images_or_with_a_wrong_geometry_says_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", volume=voxels(), labels=voxels())
    assert "volume, labels" in refusal_of(tmp_path / "a.npz", "E_NPZ_KEYS")
    np.savez(tmp_path / "b.npz", imgs=voxels(), spacing=(1.0, 2.0))
    assert "'spacing'" in refusal_of(tmp_path / "b.npz", "E_NPZ_GEOMETRY")


def test_real_volumes_are_read_as_they_are_described(shared_data: Path) -> None:
    ct = read_volume(shared_data / "ct_abdomen" / "ct.nii.gz")
    assert ct.shape == (30, 101, 122)
    assert ct.spacing == pytest.approx((3, 3, 3))
    assert np.allclose(ct.direction, np.diag([-1, -1, 1])), "RAS in the file, LPS here"
    for path in sorted((shared_data / "ct_lesions").glob("*.npz")):
        lesion, stored = read_volume(path), np.load(path)
        assert lesion.array.dtype == np.uint8
        assert lesion.shape == stored["gts"].shape
        assert lesion.spacing == pytest.approx(tuple(stored["spacing"]))
