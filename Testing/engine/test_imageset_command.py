"""`medsam2 imageset`: one mask for each image, written as they come; what cannot be done is said in one sentence."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MedSAM2Lib.cli import main
from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.imageset.session import ImageResult, ImageSetSession
from Testing.engine.pictures import box_text, disc_picture, disc_pictures, write_dicom, write_set

COUNT = 4
ROWS = ["image", "confidence", "object_score", "found", "prompted", "shown", "mask_pixels"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    write_set(folder, COUNT)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "masks"


BOX = box_text(disc_pictures(1)[0][1])


def imageset(*arguments: object, zoom: str = "off") -> int:
    return main(["imageset", *(str(argument) for argument in arguments), "--device", "cpu", "--zoom", zoom])


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "confidences.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mask_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_every_image_gets_one_mask_of_its_size_and_one_row(
    images: Path, out: Path, capsys: pytest.CaptureFixture
) -> None:
    assert imageset(images, "--prompt", "0.png", "--box", BOX, "--out", out, zoom="auto") == 0
    assert {path.name for path in out.iterdir()} == {f"{n}.png" for n in range(COUNT)} | {
        "confidences.csv",
        "imageset.json",
    }
    rows = rows_of(out)
    assert list(rows[0]) == ROWS
    assert sorted(row["image"] for row in rows) == [f"{n}.png" for n in range(COUNT)]
    assert (rows[0]["image"], rows[0]["prompted"], rows[0]["shown"]) == ("0.png", "yes", "")
    assert all("0.png" in row["shown"].split(";") for row in rows[1:])
    for row in rows:
        number = int(row["image"].removesuffix(".png"))
        mask = mask_of(out / row["image"])
        assert mask.shape == disc_pictures(COUNT)[number][0].shape
        assert set(np.unique(mask)) <= {0, 255}
        assert int(row["mask_pixels"]) == np.count_nonzero(mask)
        assert dice(mask > 0, disc_pictures(COUNT)[number][1]) > 0.7
    assert f"{COUNT} of {COUNT} images" in capsys.readouterr().out


def test_names_make_no_difference(images: Path, out: Path, tmp_path: Path) -> None:
    other = tmp_path / "renamed"
    other.mkdir()
    names = {"0.png": "zz.png", "1.png": "a.png", "2.png": "m.png", "3.png": "b.png"}
    for old, new in names.items():
        shutil.copy(images / old, other / new)
    assert imageset(images, "--prompt", "0.png", "--box", BOX, "--out", out) == 0
    assert imageset(other, "--prompt", "zz.png", "--box", BOX, "--out", tmp_path / "second") == 0
    for old, new in names.items():
        assert (out / old).read_bytes() == (tmp_path / "second" / new).read_bytes()


def test_formats_depths_and_equal_files_in_one_set(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    grey, truth = disc_pictures(1)[0]
    Image.fromarray(grey).save(folder / "first.png")
    shutil.copy(folder / "first.png", folder / "again.png")
    Image.fromarray(disc_picture(1)[0].astype(np.uint16) * 250).save(folder / "deep.tif")
    Image.fromarray(np.stack([disc_picture(2)[0]] * 3 + [np.full((64, 64), 255, np.uint8)], -1)).save(
        folder / "alpha.png"
    )
    Image.fromarray(disc_picture(3)[0]).convert("P").save(folder / "palette.bmp")
    Image.fromarray(disc_picture(4)[0]).save(folder / "lossy.jpeg")
    write_dicom(folder / "1.2.3", disc_picture(5)[0])
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    assert imageset(folder, "--prompt", "first.png", "--box", box_text(truth), "--out", out) == 0
    rows = {row["image"]: row for row in rows_of(out)}
    assert set(rows) == {"first.png", "again.png", "deep.tif", "alpha.png", "palette.bmp", "lossy.jpeg", "1.2.3"}
    assert {path.name for path in out.glob("*.png")} == {
        "first.png", "again.png", "deep.png", "alpha.png", "palette.png", "lossy.png", "1.2.3.png",
    }  # fmt: skip
    assert (out / "first.png").read_bytes() == (out / "again.png").read_bytes()
    assert rows["again.png"]["prompted"] == "yes"


def test_points_and_masks_on_several_images(images: Path, out: Path, tmp_path: Path) -> None:
    truths = [truth for _, truth in disc_pictures(COUNT)]
    Image.fromarray(truths[1].astype(np.uint8)).save(tmp_path / "drawn.png")
    row, column = np.argwhere(truths[0]).mean(axis=0).round().astype(int)
    arguments = ("--prompt", "1.png", "--mask", tmp_path / "drawn.png")
    arguments += ("--prompt", "0.png", "--point", f"{column},{row}", "--point", "1,1,-")
    assert imageset(images, *arguments, "--out", out) == 0
    assert np.array_equal(mask_of(out / "1.png") > 0, truths[1])
    assert sum(row["prompted"] == "yes" for row in rows_of(out)) == 2


def test_a_mask_too_thin_for_the_network_is_still_found_on_its_image(images: Path, out: Path, tmp_path: Path) -> None:
    line = np.zeros_like(disc_pictures(1)[0][1])
    line[20, 10:14] = True
    Image.fromarray(line.astype(np.uint8)).save(tmp_path / "line.png")
    assert imageset(images, "--prompt", "0.png", "--mask", tmp_path / "line.png", "--out", out) == 0
    assert np.array_equal(mask_of(out / "0.png") > 0, line)
    row = next(row for row in rows_of(out) if row["image"] == "0.png")
    assert (row["found"], row["mask_pixels"]) == ("yes", "4")


def test_more_prompted_images_than_the_memory_holds_are_said_and_all_held(
    images: Path, out: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ("--prompt", "0.png", "--box", BOX, "--prompt", "1.png", "--point", "30,30", "--capacity", 1)
    assert imageset(images, *arguments, "--out", out) == 0
    assert "to hold 1 image and 2 are prompted" in capsys.readouterr().err
    bank = json.loads((out / "imageset.json").read_text())["bank"]
    assert (sorted(bank["prompted"]), bank["tracked"]) == (["0.png", "1.png"], [])
    assert all(event["kept"] == (event["image"] in bank["prompted"]) for event in bank["events"])


@pytest.mark.parametrize(
    "options",
    [("--memory", "none"), ("--memory", "temporal"), ("--order", "free"), ("--rule", "code", "--capacity", 2)],
)
def test_every_memory_and_order_runs(images: Path, out: Path, options: tuple[object, ...]) -> None:
    assert imageset(images, "--prompt", "0.png", "--box", BOX, *options, "--out", out) == 0
    assert len(rows_of(out)) == COUNT


def test_an_unreadable_image_is_named_and_left_out(images: Path, out: Path, capsys: pytest.CaptureFixture) -> None:
    (images / "2.png").write_bytes((images / "2.png").read_bytes()[:100])
    assert imageset(images, "--prompt", "0.png", "--box", BOX, "--out", out) == 3
    assert "2.png" in capsys.readouterr().err
    assert sorted(row["image"] for row in rows_of(out)) == ["0.png", "1.png", "3.png"]
    assert not (out / "2.png").exists()


def test_ctrl_c_keeps_what_is_done(
    images: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    real = ImageSetSession.run

    def cut_short(session: ImageSetSession) -> Iterator[ImageResult]:
        yield from itertools.islice(real(session), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageSetSession, "run", cut_short)
    assert imageset(images, "--prompt", "0.png", "--box", BOX, "--out", out) == 130
    assert len(rows_of(out)) == len(list(out.glob("*.png"))) == 2
    assert "kept what was done, 2 of 4" in capsys.readouterr().out
    monkeypatch.undo()
    assert imageset(images, "--prompt", "0.png", "--box", BOX, "--out", out) == 0
    assert len(rows_of(out)) == COUNT


def test_the_same_set_is_replaced_and_another_one_refused(
    images: Path, out: Path, capsys: pytest.CaptureFixture
) -> None:
    assert imageset(images, "--prompt", "0.png", "--box", BOX, "--out", out) == 0
    assert imageset(images, "--prompt", "0.png", "--box", BOX, "--out", out, "--memory", "none") == 0
    assert json.loads((out / "imageset.json").read_text())["settings"]["memory"] == "none"
    before = {path: path.read_bytes() for path in out.iterdir()}
    Image.fromarray(disc_picture(9)[0]).save(images / "more.png")
    capsys.readouterr()
    assert imageset(images, "--prompt", "0.png", "--box", BOX, "--out", out) == 2
    assert "another set" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.iterdir()} == before


ON_FIRST = ("--prompt", "0.png", "--box", "1,1,5,5")
REFUSED = {
    "nothing prompted": ((), "give --prompt IMAGE"),
    "a point before any image": (("--point", "3,3", "--prompt", "0.png"), "comes before any --prompt"),
    "an image without a prompt": (("--prompt", "0.png"), "has nothing after it"),
    "an image that is not there": (("--prompt", "7.png", "--point", "3,3"), "not among the 4 images"),
    "a point outside": (("--prompt", "0.png", "--point", "64,3"), "lies outside 0.png"),
    "a box outside": (("--prompt", "0.png", "--box", "1,1,5,64"), "lies outside 0.png"),
    "a box without area": (("--prompt", "0.png", "--box", "1,1,1,5"), "has no area"),
    "a point in 3D": (("--prompt", "0.png", "--point", "1,1,1"), "not of the form x,y"),
    "negative points alone": (("--prompt", "0.png", "--point", "1,1,-"), "negative points only"),
    "two boxes": (("--prompt", "0.png", "--box", "1,1,5,5", "--box", "2,2,7,7"), "contradicts"),
    "a mask that is not there": (("--prompt", "0.png", "--mask", "no.png"), "does not exist"),
    "no order": ((*ON_FIRST, "--memory", "temporal", "--order", "free"), "goes by the order"),
    "a rule that is not used": ((*ON_FIRST, "--rule", "code", "--order", "free"), "leave --rule"),
    "a margin that is not used": ((*ON_FIRST, "--margin", "0.1", "--order", "free"), "leave --margin"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_sentence_and_nothing_is_written(
    images: Path, out: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    arguments, words = REFUSED[name]
    assert imageset(images, *arguments, "--out", out) == 2
    _assert_refused(capsys, words)
    assert not out.exists()


def test_folders_that_do_not_serve_are_refused(
    images: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    prompt = ("--prompt", "0.png", "--box", BOX)
    (tmp_path / "empty").mkdir()
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "1.png").write_text("someone's own")
    for folder, place, words in (
        (tmp_path / "empty", out, "no image in"),
        (tmp_path / "nowhere", out, "does not exist"),
        (images / "0.png", out, "not a folder"),
        (images, images, "folder of the images"),
        (images, taken, "holds 1.png"),
        (images, tmp_path / "not" / "there", "does not exist"),
        (images, images / "0.png", "is a file"),
    ):
        assert imageset(folder, *prompt, "--out", place) == 2
        _assert_refused(capsys, words)
    assert not out.exists()
    assert (taken / "1.png").read_text() == "someone's own"
    shutil.copy(images / "1.png", images / "1.JPG")
    assert imageset(images, *prompt, "--out", out) == 2
    _assert_refused(capsys, "would share one mask")


def test_a_prompted_image_that_cannot_be_read_is_refused(
    images: Path, out: Path, capsys: pytest.CaptureFixture
) -> None:
    (images / "0.png").write_bytes(b"broken")
    assert imageset(images, "--prompt", "0.png", "--box", BOX, "--out", out) == 2
    _assert_refused(capsys, "0.png cannot be read")
    assert not out.exists()


@pytest.mark.parametrize("kind", ["colour", "size"])
def test_masks_that_do_not_fit_are_refused(
    images: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture, kind: str
) -> None:
    pixels = np.zeros((64, 64, 3) if kind == "colour" else (64, 63), np.uint8)
    pixels[3:9, 3:9] = (255, 0, 0) if kind == "colour" else 255
    Image.fromarray(pixels).save(tmp_path / "drawn.png")
    assert imageset(images, "--prompt", "0.png", "--mask", tmp_path / "drawn.png", "--out", out) == 2
    _assert_refused(capsys, "in colour" if kind == "colour" else "63x64 pixels")
    assert not out.exists()


def _assert_refused(capsys: pytest.CaptureFixture, words: str) -> None:
    """One sentence on standard error, with these words in it."""
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert error.startswith("medsam2: ")
