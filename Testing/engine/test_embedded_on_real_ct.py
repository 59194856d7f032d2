"""The embedded model on real CT: it only has to work, and to beat what needs no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MedSAM2Lib.weights.loading import load_network
from Testing.benchmarks.real_ct import real_cases, rows


def test_a_box_on_real_organs_and_lesions_beats_the_true_key_slice_repeated(shared_data: Path) -> None:
    table = rows(load_network("embedded"), real_cases(shared_data))
    assert len(table) == 9
    boxed, repeated = [row.box.volume_dice for row in table], [row.repeated for row in table]
    assert np.mean(boxed) > np.mean(repeated)
    assert sum(ours > theirs for ours, theirs in zip(boxed, repeated)) >= 7
