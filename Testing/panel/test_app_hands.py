"""What `medsam2 app` does to the panel: voxels hit exactly, whatever the grid, and refusals that change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2Lib.types import BoxPrompt, PointPrompt
from Testing.panel.panel_ground import PanelBench, middle_point
from Testing.panel.volumes import oblique
from Testing.scene.session_ground import MIDDLE, ORGAN


@pytest.fixture
def hands(bench: PanelBench) -> Any:
    from MedSAM2SlicerLib.panel.hands import Hands

    return Hands(bench.panel)


def prompts_of(bench: PanelBench) -> list[Any]:
    from MedSAM2SlicerLib.scene.prompts import PromptStore

    chosen = bench.panel.selection
    store = PromptStore(bench.panel.scene, chosen.volume, chosen.segmentation)
    try:
        return list(store.prompts(chosen.segment_id).values())
    finally:
        store.close()


def job(**options: Any) -> str:
    """The JSON that the command hands over; nothing is asked for but what is given."""
    nothing = dict.fromkeys(("volume", "ijk_to_lps", "orientations", "memory", "range", "model", "save", "screenshot"))
    return json.dumps(
        {**nothing, "objects": [], "axis": "k", "window": "display", "propagate": False, "quit": False, **options}
    )


def point(ijk: tuple[float, ...], axis: str = "k", positive: bool = True) -> dict[str, Any]:
    return {"kind": "point", "ijk": ijk, "axis": axis, "positive": positive}


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_a_click_hits_the_voxel_in_a_fine_oblique_grid(bench: PanelBench, hands: Any, axis: Any) -> None:
    mask = np.zeros((40, 420, 380), bool)
    mask[18:23, 100:140, 90:150] = True
    bench.show(mask, oblique() @ np.diag([0.3, 0.3, 1.0, 1.0]))
    hands.click((127.0, 113.0, 20.0), axis)
    assert prompts_of(bench) == [PointPrompt((127.0, 113.0, 20.0), axis)]


def test_a_drag_is_the_box_from_voxel_to_voxel(bench: PanelBench, hands: Any) -> None:
    bench.show(ORGAN)
    hands.drag((5, 6, 12), (23, 20, 12), "k")
    assert prompts_of(bench) == [BoxPrompt((5, 6, 12), (23, 20, 12), "k")]


def test_a_negative_point_is_clicked_with_its_own_tool(bench: PanelBench, hands: Any) -> None:
    bench.show(ORGAN)
    hands.click(MIDDLE, "k")
    hands.click((3.0, 13.0, 12.0), "k", positive=False)
    assert [one.positive for one in prompts_of(bench)] == [True, False]


def test_a_button_that_is_off_and_a_voxel_outside_are_refused_in_words(bench: PanelBench, hands: Any) -> None:
    bench.show(ORGAN)
    with pytest.raises(InputError, match="Propagate cannot be pressed now") as refused:
        hands.press("propagateButton")
    assert refused.value.code == "E_BUTTON_OFF"
    with pytest.raises(MedSAM2Error) as outside:
        hands.click((500.0, 5.0, 12.0), "k")
    assert outside.value.code == "E_CLICK_OUTSIDE"
    assert bench.segmentation is None


def test_what_the_panel_shows_as_an_error_is_raised(bench: PanelBench, hands: Any) -> None:
    from MedSAM2SlicerLib.scene.segments import set_status

    bench.show(ORGAN)
    hands.click(MIDDLE, "k")
    set_status(bench.segmentation, bench.panel.selection.segment_id, "completed")
    with pytest.raises(MedSAM2Error) as locked:
        hands.press("acceptButton")
    assert locked.value.code == "E_SEGMENT_LOCKED"


def test_a_job_gives_named_segments_and_a_scene_that_can_be_read_again(bench: PanelBench, tmp_path: Path) -> None:
    from MedSAM2SlicerLib.panel.app_run import run

    bench.show(ORGAN)
    saved, picture = tmp_path / "out.mrb", tmp_path / "out.png"
    objects = [{"name": "organ", "prompts": [point(MIDDLE)]}]
    options = {"range": "all", "orientations": "1", "propagate": True, "save": str(saved), "screenshot": str(picture)}
    run(job(objects=objects, **options))
    voxels = bench.voxels()
    assert np.array_equal(voxels, bench.expected(middle_point(), orientations="1"))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mrb", "out.png"], "nothing partial is left"
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(saved))
    bench.rest()
    bench.volume = bench.panel.selection.volume
    assert np.array_equal(bench.voxels(), voxels)
    segmentation = bench.segmentation.GetSegmentation()
    assert segmentation.GetSegment(bench.panel.selection.segment_id).GetName() == "organ"
    assert prompts_of(bench) == [middle_point()]


def test_coordinates_of_a_file_that_slicer_mirrors_are_found_again(bench: PanelBench) -> None:
    from MedSAM2SlicerLib.panel.app_run import run

    bench.show(ORGAN, np.diag([-1.0, -1.0, 2.0, 1.0]))
    last = ORGAN.shape[0] - 1
    mirrored = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, -2.0, 2.0 * last], [0.0, 0.0, 0.0, 1.0]]
    i, j, k = MIDDLE
    run(
        job(
            ijk_to_lps=mirrored,
            objects=[{"name": "", "prompts": [point((i, j, last - k))]}],
            range=[last - 20, last - 10],
        )
    )
    assert prompts_of(bench) == [middle_point()]
    assert bench.state.range == (10, 20)


@pytest.mark.parametrize(("window", "shown"), [([-50, 150], (-50.0, 150.0)), ("auto", (-160.0, 240.0))])
def test_the_window_that_was_asked_for_is_shown_and_given_to_the_engine(
    bench: PanelBench, window: Any, shown: tuple[float, float]
) -> None:
    from MedSAM2SlicerLib.panel.app_run import run

    volume = bench.show(ORGAN)
    slicer.util.arrayFromVolume(volume)[:2] = -1000  # the air by which a CT is known
    run(job(objects=[{"name": "", "prompts": [point(MIDDLE)]}], window=window))
    display = volume.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == shown
    assert bench.choices[-1].window == shown


def test_a_preview_is_in_the_scene_that_is_saved(
    bench: PanelBench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from MedSAM2SlicerLib.panel.app_run import run

    bench.show(ORGAN)
    objects = [{"name": "organ", "prompts": [point(MIDDLE)]}]
    run(job(objects=objects))
    assert "organ: 0 voxels in the segment; a preview on 1 slices is not in it yet" in capsys.readouterr().out
    run(job(save=str(tmp_path / "out.mrb")))
    assert np.array_equal(bench.voxels()[12], bench.expected_slice(middle_point()))
    assert bench.voxels().sum() == bench.voxels()[12].sum() > 0


def test_a_volume_that_is_none_and_a_prompt_outside_are_said_and_nothing_is_saved(
    bench: PanelBench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from MedSAM2SlicerLib.panel.app_run import run

    text = tmp_path / "text.nrrd"
    text.write_text("no volume")
    saved = tmp_path / "out.mrb"
    run(job(volume=str(text), save=str(saved)))
    assert "text.nrrd cannot be opened: give a volume" in capsys.readouterr().err
    bench.show(ORGAN)
    run(job(objects=[{"name": "", "prompts": [point((500.0, 5.0, 12.0))]}], save=str(saved)))
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("medsam2: ")
    assert not saved.exists()


def test_a_folder_that_has_gone_is_said_and_leaves_nothing(bench: PanelBench, tmp_path: Path) -> None:
    from MedSAM2SlicerLib.panel.outcome_files import save_scene, save_screenshot

    for save, name in ((save_scene, "out.mrb"), (save_screenshot, "out.png")):
        with pytest.raises(MedSAM2Error) as refused:
            save(tmp_path / "gone" / name)
        assert refused.value.code == "E_OUT_WRITE"
    assert list(tmp_path.iterdir()) == []
