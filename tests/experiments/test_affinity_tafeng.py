"""The published protocol, as it was published."""

from __future__ import annotations

import numpy as np

from experiments.affinity_tafeng.run import reality_check_split


def test_the_split_is_the_published_one() -> None:
    train, validation, test = reality_check_split(13_858, seed=3)
    assert [part.sum() for part in (train, validation, test)] == [9977, 1109, 2772]
    assert (train.astype(int) + validation + test == 1).all()
    assert np.array_equal(train, reality_check_split(13_858, seed=3)[0])
