"""What runs keep, by day and name."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from nba.data.erasure import Leaving
from nba.errors import NotFoundError
from nba.stores.run_folders import RunFolders

TABLE = pl.DataFrame({"customer_id": ["c1"], "value": [1.5]})


def test_tables_and_texts_come_back_by_name(tmp_path: Path) -> None:
    folder = RunFolders(tmp_path / "runs").of(date(2026, 3, 2))
    assert not folder.has("plan/log")
    assert folder.read_text("rules.json") is None
    folder.write("inputs/quota", TABLE)
    folder.write("inputs/events", TABLE)
    folder.write_text("rules.json", "{}")
    assert folder.read("inputs/quota").equals(TABLE)
    assert list(folder.tables("inputs")) == ["events", "quota"]
    assert folder.read_text("rules.json") == "{}"
    with pytest.raises(NotFoundError, match="plan/log"):
        folder.read("plan/log")


def test_tables_of_customers_are_read_for_some_of_them(tmp_path: Path) -> None:
    folder = RunFolders(tmp_path / "runs").of(date(2026, 3, 2))
    both = pl.DataFrame({"customer_id": ["c1", "c2"], "value": [1.5, 2.5]})
    stock = pl.DataFrame({"product_id": ["p1"]})
    folder.write("inputs/quota", both)
    folder.write("inputs/stock", stock)
    among = pl.DataFrame({"customer_id": ["c2", "c3"]})
    assert folder.read("inputs/quota", among).equals(both[1:])
    found = folder.tables("inputs", among)
    assert found["quota"].equals(both[1:])
    assert found["stock"].equals(stock)


def test_a_day_without_a_plan_is_refused_with_the_days_that_have_one(tmp_path: Path) -> None:
    runs = RunFolders(tmp_path / "runs")
    for day in (date(2026, 3, 3), date(2026, 3, 2)):
        runs.of(day).write("plan/actions", TABLE)
    runs.of(date(2026, 3, 4)).write("scores/timing", TABLE)
    assert runs.planned_days() == [date(2026, 3, 2), date(2026, 3, 3)]
    assert runs.planned(date(2026, 3, 2)).read("plan/actions").equals(TABLE)
    with pytest.raises(NotFoundError) as raised:
        runs.planned(date(2026, 3, 4))
    assert raised.value.found == "plans of 2026-03-02, 2026-03-03"


def test_an_erasure_takes_the_name_and_what_was_said(tmp_path: Path) -> None:
    folder = RunFolders(tmp_path / "runs").of(date(2026, 3, 2))
    names = pl.DataFrame({"customer_id": ["c1", "c2"], "name": ["王丽", "张伟"]})
    said = pl.DataFrame({"customer_id": ["c1", "c2"], "text": ["王女士您好", "张先生您好"]})
    folder.write("inputs/names", names)
    folder.write("inputs/said", said)
    RunFolders(tmp_path / "runs").erase(Leaving.of(["c1"], {}))
    assert folder.read("inputs/names").rows() == [("c2", "张伟")]
    assert folder.read("inputs/said").rows() == [("c2", "张先生您好")]
