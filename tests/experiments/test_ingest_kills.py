"""A load that is killed leaves the lake as it was, and repeating it gives the same lake."""

from __future__ import annotations

import pytest

from experiments.ingest_kills.run import ingest_kills


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.proof)])
def test_killed_at_random_moments(kills: int) -> None:
    seen = ingest_kills(kills=kills, seed=2)
    assert seen["neither"] == seen["unread"] == 0
    assert seen["before"] > 0
    assert seen["same_after_repeat"] == kills
    if kills == 100:
        assert seen["left_files"] > 10
