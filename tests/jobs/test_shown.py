"""What a terminal shows: one clerk's list, an explanation, what a world was made of."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from nba.decisions.explain import Explanation
from nba.jobs.inspect import explanation_lines
from nba.jobs.worlds import make_world


def test_an_explanation_leaves_out_what_says_nothing() -> None:
    rows = pl.DataFrame(
        {"action_type": ["win_back"], "why": [""], "due": [float("nan")], "chance": [0.01044]}
    )
    shown = explanation_lines(Explanation("c1", "k1", "engine", "", rows, {}))
    assert shown == ["c1 of clerk k1, arm engine", "  action_type win_back, chance 0.01044"]


def test_a_world_says_where_its_history_ends(tmp_path: Path) -> None:
    lines = make_world(
        tmp_path,
        preset="published",
        family="capture",
        customers=20,
        clerks=2,
        stores=1,
        days=30,
        seed=1,
        describe_it=False,
    )
    tables = tmp_path / "tables"
    newest = pl.read_parquet(tables / "transactions.parquet")["ts"].max()
    assert f"`nba ingest {tables}`, then `nba run --as-of 2024-10-31`" in lines[-1]
    assert str(newest) < "2024-10-31"
