"""A slice gives what the whole gives, for every view keyed by customers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from polars.testing import assert_frame_equal

from nba.errors import NotFoundError
from nba.features import VIEWS
from nba.features.tags import load_tags, with_tags
from nba.features.view import View
from nba.stores.fresh import FreshRows, base_without, read_base, write_base

ZONE = "Asia/Shanghai"
NIGHT = datetime(2025, 9, 1)
NOW = datetime(2025, 9, 1, 14, 25, 36)
CHOSEN = ["c1", "c7", "c20", "nobody"]
#: Tables of which rows come in during the day, by the column that dates them.
DATED = ("transactions", "interactions", "responses", "tags", "behaviour")


@pytest.fixture
def views(repository: Path) -> Mapping[str, View]:
    return with_tags(VIEWS, load_tags(repository / "features" / "tags.yaml", VIEWS))


def fresh(path: Path, views: Mapping[str, View]) -> FreshRows:
    return FreshRows(path, lambda: views, time_zone=ZONE, window_days=lambda: 365)


def before(tables: Mapping[str, pa.Table], moment: datetime) -> dict[str, pa.Table]:
    """Return the tables without the dated rows from a moment on."""
    kept = {name: table.filter(pc.less(table["ts"], moment)) for name, table in tables.items()
            if name in DATED}  # fmt: skip
    return {**tables, **kept}


def accepted(tables: Mapping[str, pa.Table], since: datetime) -> dict[str, pl.DataFrame]:
    """Return the dated rows from a moment on as the outbox hands them out: times in UTC."""
    found = {}
    for name in DATED:
        frame = pl.from_arrow(tables[name].filter(pc.greater_equal(tables[name]["ts"], since)))
        assert isinstance(frame, pl.DataFrame)
        moments = [one for one, dtype in frame.schema.items() if dtype == pl.Datetime]
        found[name] = frame.with_columns(
            pl.col(moments).dt.replace_time_zone(ZONE).dt.convert_time_zone("UTC")
        )
    return found


def test_base_and_day_together_give_what_a_night_at_that_moment_would(
    make_tables: Callable[..., Any],
    to_duckdb: Callable[..., Any],
    views: Mapping[str, View],
    tmp_path: Path,
) -> None:
    tables = make_tables(5)
    lines = tables["transactions"]
    known = pc.is_in(lines["product_id"], tables["products"]["product_id"].combine_chunks())
    priced = pc.is_valid(lines["unit_price"])
    tables["transactions"] = lines.filter(pc.and_(known, priced))  # as the loader leaves them
    path = tmp_path / "fresh.duckdb"
    began = NIGHT - timedelta(days=60)  # a long day, with rows in every table
    write_base(path, to_duckdb(before(tables, began)), began, datetime(2025, 9, 1, tzinfo=UTC))
    day, loaded, one = accepted(tables, began), to_duckdb(tables), fresh(path, views)
    for now in (NOW, NOW.replace(hour=23, second=0), NOW + timedelta(days=1)):
        found = one.rows(CHOSEN, day, now)
        assert len(found) == 7
        for name, frame in found.items():
            whole = views[name].build(loaded, now).to_polars().sort(views[name].entity_keys)
            expected = whole.filter(pl.col("customer_id").is_in(CHOSEN))
            assert_frame_equal(frame, expected, check_exact=True)
            assert frame.height > 0
    mine = {name: rows.filter(pl.col("customer_id") == "c7") for name, rows in day.items()}
    read = one.tables(["c7"], mine, NOW)
    assert read["purchases"].height > 0
    assert set(read["transactions"]["customer_id"]) == {"c7"}
    # without what was accepted, the base speaks alone
    old = one.rows(["c7"], {}, NOW)["customer_behaviour"]
    new = one.rows(["c7"], mine, NOW)["customer_behaviour"]
    assert old["days_since_purchase"].item() >= new["days_since_purchase"].item()


def test_plans_made_once_hold_for_whoever_comes_next(
    make_tables: Callable[..., Any], to_duckdb: Callable[..., Any], tmp_path: Path
) -> None:
    # the first slice is empty: a plan that rested on what its tables held would fail after it
    path = tmp_path / "fresh.duckdb"
    loaded = to_duckdb(make_tables(6))
    views = {name: VIEWS[name] for name in ("customer_state", "customer_contact")}
    write_base(path, loaded, NIGHT, datetime(2025, 9, 1, tzinfo=UTC))
    one = fresh(path, views)
    whole = {name: view.build(loaded, NOW).to_polars() for name, view in views.items()}
    everybody = sorted(whole["customer_state"]["customer_id"])
    one.prepare(NOW)
    for part in (["nobody"], everybody[:1], everybody, everybody[3:9], ["nobody"], everybody[1::3]):
        for name, frame in one.rows(part, {}, NOW).items():
            expected = whole[name].sort(views[name].entity_keys)
            expected = expected.filter(pl.col("customer_id").is_in(part))
            assert_frame_equal(frame, expected, check_exact=True)


def test_queries_that_were_compiled_once_serve_whoever_starts_later(
    make_tables: Callable[..., Any], to_duckdb: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "fresh.duckdb"
    views = {"customer_state": VIEWS["customer_state"]}
    write_base(path, to_duckdb(make_tables(5)), NIGHT, datetime(2025, 9, 1, tzinfo=UTC))
    asked: list[str] = []

    def started(made_of: str) -> FreshRows:
        return FreshRows(
            path,
            lambda: asked.append(made_of) or views,
            time_zone=ZONE,
            window_days=lambda: 365,
            definitions=lambda: made_of,
        )

    started("a").prepare(NOW)
    started("a").prepare(NOW + timedelta(hours=1))
    assert asked == ["a"]
    later = started("a").rows(["c1"], {}, NOW)["customer_state"]
    assert_frame_equal(later, fresh(path, views).rows(["c1"], {}, NOW)["customer_state"])
    started("b").prepare(NOW)
    started("b").prepare(NOW + timedelta(days=1))
    assert asked.count("b") == 2


def test_an_erased_customer_leaves_the_base(
    make_tables: Callable[..., Any],
    to_duckdb: Callable[..., Any],
    views: Mapping[str, View],
    tmp_path: Path,
) -> None:
    path = tmp_path / "fresh.duckdb"
    write_base(path, to_duckdb(make_tables(5)), NIGHT, datetime(2025, 9, 1, tzinfo=UTC))
    one = fresh(path, views)
    assert one.tables(["c7"], {}, NOW)["transactions"].height > 0
    counts = base_without(path, ["c7"])
    assert counts["c7"] > 0
    assert base_without(path, ["c7"]) == {}
    gone = one.tables(["c7"], {}, NOW)
    assert all(frame.is_empty() for frame in gone.values())
    assert one.tables(["c1"], {}, NOW)["transactions"].height > 0
    assert b"c7\x00" not in path.read_bytes()
    base = read_base(path)
    assert base is not None
    assert (base.as_of, base.made_at) == (NIGHT, datetime(2025, 9, 1, tzinfo=UTC))


def test_without_a_base_it_says_what_to_do(views: Mapping[str, View], tmp_path: Path) -> None:
    nothing = fresh(tmp_path / "none.duckdb", views)
    assert nothing.base() is None
    with pytest.raises(NotFoundError, match="no base"):
        nothing.rows(["c1"], {}, NOW)
