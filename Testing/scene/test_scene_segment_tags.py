"""Tags that say how a segment was made: what Slicer's own DICOM-SEG exporter reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.segment_tags import ALGORITHM_NAME, ALGORITHM_TYPE, get_tag, set_tag

from Testing.scene.ground import SHAPE, block, paint, two_touching_segments
from Testing.scene.session_ground import Bench

BLOCK = block(SHAPE, slice(2, 5), slice(3, 7), slice(3, 8))


def algorithm_of(segmentation: Any, segment_id: str) -> tuple[str, str]:
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    return get_tag(segment, ALGORITHM_TYPE), get_tag(segment, ALGORITHM_NAME)


def test_only_segments_that_a_commit_has_changed_are_ours(scene: Any, volume: Any) -> None:
    segmentation, liver, kidney = two_touching_segments(scene, volume)
    committer = Committer(volume, segmentation)
    paint(segmentation, kidney, np.roll(BLOCK, 5, axis=2), volume)
    committer.commit(liver, np.zeros(SHAPE, dtype=bool))
    assert algorithm_of(segmentation, liver) == ("", "")
    committer.commit(liver, BLOCK)
    assert algorithm_of(segmentation, liver) == ("SEMIAUTOMATIC", "MedSAM2Slicer")
    assert algorithm_of(segmentation, kidney) == ("", "")


def test_what_another_program_found_by_itself_is_half_ours_once_it_was_corrected(scene: Any, volume: Any) -> None:
    segmentation, liver, _ = two_touching_segments(scene, volume)
    segment = segmentation.GetSegmentation().GetSegment(liver)
    set_tag(segment, ALGORITHM_TYPE, "AUTOMATIC")
    set_tag(segment, ALGORITHM_NAME, "another")
    Committer(volume, segmentation).commit(liver, BLOCK)
    assert algorithm_of(segmentation, liver) == ("SEMIAUTOMATIC", "MedSAM2Slicer")


def test_a_propagation_marks_its_segment_and_no_other(bench: Bench) -> None:
    other = bench.add_segment()
    bench.click()
    assert algorithm_of(bench.segmentation, bench.segment_id) == ("", "")
    bench.propagate()
    assert algorithm_of(bench.segmentation, bench.segment_id) == ("SEMIAUTOMATIC", "MedSAM2Slicer")
    assert algorithm_of(bench.segmentation, other) == ("", "")
