"""Who reacts, and when: logs by hand."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from nba.models.mode.effects.draws import belief_draws, correlation_root
from nba.models.mode.effects.modifiers import FATIGUE_RANGE, RESPONSE_RANGE, ModifierMeans


def frame(response: list[float | None], fatigue: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame({"response_rate": response, "fatigue": fatigue})


def test_the_usual_customer_is_the_mean_and_moves_nothing() -> None:
    usual = ModifierMeans.of(frame([0.1, 0.3, None], [1.0, 3.0, None]))
    assert (usual.response, usual.fatigue) == (pytest.approx(0.2), 2.0)
    assert usual.logs(frame([0.2, None], [2.0, None])) == pytest.approx(np.zeros((2, 2)))
    assert ModifierMeans.of(frame([None], [None])) == ModifierMeans(1.0, 0.0)


def test_more_answers_raise_and_fatigue_lowers_within_bounds() -> None:
    found = ModifierMeans(0.2, 2.0).logs(frame([0.4, 0.0, 9.0], [3.0, 0.0, 90.0]))
    low, high = np.log(RESPONSE_RANGE)
    assert found[:, 0] == pytest.approx([np.log(2), low, high])
    assert found[:, 1] == pytest.approx([-1.0, 2.0, -FATIGUE_RANGE])


def test_draws_go_together_as_beliefs_do() -> None:
    """Two modes are one belief; the last has a share of its own."""
    root = correlation_root(np.array([[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 4.0]]]))
    clerks = pl.Series([f"k{i}" for i in range(4000)])
    draws = belief_draws(clerks, datetime(2026, 3, 1), np.zeros(4000, dtype=np.int64), root)
    assert draws.std(axis=0) == pytest.approx(np.ones(3), abs=0.05)
    found = np.corrcoef(draws.T)
    assert found[0, 1] == pytest.approx(1.0, abs=1e-3)
    assert found[0, 2] == pytest.approx(0.5, abs=0.05)
