"""What the world writes is what the data contract says."""

from __future__ import annotations

import polars as pl
import pytest

from nba.schema.tables import TABLES, Kind
from nba.simulation.tables import NOT_MADE, schema_of


@pytest.fixture(scope="module")
def tables(played):
    return played.tables()


def test_every_table_is_written_that_the_world_can_know(tables):
    assert set(tables) == set(TABLES) - NOT_MADE
    assert all(frame.height for frame in tables.values())


@pytest.mark.parametrize("name", sorted(set(TABLES) - NOT_MADE))
def test_schema_keys_and_values_keep_the_contract(tables, name):
    frame, table = tables[name], TABLES[name]
    assert dict(frame.schema) == schema_of(table)
    assert frame.select(table.key).is_unique().all()
    for column in table.columns:
        values = frame[column.name]
        if column.required:
            assert values.null_count() == 0, column.name
        if column.values and column.kind is not Kind.ID_LIST:
            assert set(values.drop_nulls().unique()) <= set(column.values), column.name
        if column.minimum is not None:
            assert values.drop_nulls().cast(pl.Float64).min() >= column.minimum, column.name
        if column.references and column.references in tables:
            key = TABLES[column.references].columns[0].name
            assert set(values.drop_nulls().unique()) <= set(tables[column.references][key])


def test_customers_differ_in_all_that_decides_who_may_be_contacted(tables):
    latest = tables["customers"].unique("customer_id", keep="last", maintain_order=True)
    assert latest.height == 600
    for column, least in (("friend_since", 100), ("blocked_at", 5), ("birthday", 100)):
        known = latest[column].drop_nulls().len()
        assert least <= known < latest.height, column
    assert 0.02 < 1 - latest["consent_contact"].mean() < 0.15
    assert 0.02 < 1 - latest["consent_profiling"].mean() < 0.2
    assert set(latest["locale"]) == {"zh", "en"}
    assert latest["birthday"].drop_nulls().str.len_chars().unique().sort().to_list() == [5, 10]


def test_some_sales_are_anonymous_and_some_lines_come_back(tables):
    sales = tables["transactions"]
    assert 0 < sales["customer_id"].null_count() < 0.3 * sales.height
    back = sales.filter(pl.col("quantity") < 0)
    assert 0.005 < back.height / sales.height < 0.1
    origin = back.with_columns(("O" + pl.col("order_id").str.slice(1)).alias("order_id"))
    found = origin.join(sales, on=["order_id", "line_no", "product_id"], how="inner")
    assert found.height == back.height
    assert (found["ts"] > found["ts_right"]).all()


def test_most_contacts_have_no_propensity_and_the_pilot_logs_its_own(tables):
    made = tables["interactions"]
    pilot = made.filter(pl.col("propensity").is_not_null())
    assert 0 < pilot.height < 0.2 * made.height
    arms = pilot.group_by("mode").agg(pl.len(), pl.col("propensity").first())
    assert arms.height == 4
    expected = pilot.height * arms["propensity"]
    assert ((arms["len"] - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 df, .001
    assert made.filter(pl.col("mode") == "none")["propensity"].null_count() == 0


def test_the_truth_stands_apart(played, tables):
    names = {path.name for path in played.truth.iterdir()}
    assert names == {"config.json", "customers.parquet", "cells.parquet", "contacts.parquet"}
    contacts = pl.read_parquet(played.truth / "contacts.parquet")
    made = tables["interactions"].filter(pl.col("mode") != "none")
    assert set(contacts["interaction_id"]) == set(made["interaction_id"])


def test_nothing_is_known_before_it_happens(played, tables):
    """Answers come after contacts, versions grow by what has happened, nobody is contacted late."""
    answers = tables["responses"].join(tables["interactions"], on="interaction_id", how="inner")
    assert (answers["ts"] >= answers["ts_right"]).all()
    versions = tables["customers"]
    for column in ("blocked_at", "consent_at"):
        assert versions.filter(pl.col(column) > pl.col("valid_from")).height == 0, column
    lost = (
        versions.filter(pl.col("blocked_at").is_not_null())
        .group_by("customer_id")
        .agg(pl.col("blocked_at").first())
    )
    late = tables["interactions"].join(lost, on="customer_id", how="inner")
    assert late.filter(pl.col("ts") > pl.col("blocked_at")).height == 0
    end = played.world.scene.timestamps([float(played.world.day)])[0]
    for name in ("transactions", "interactions", "responses", "memberships"):
        assert tables[name][TABLES[name].time_column].max() < end, name


def test_clerks_keep_to_their_week_and_their_shift(played, tables):
    zone = played.world.config.time_zone
    made = tables["interactions"].join(
        tables["clerks"].select("clerk_id", "working_days", "shift_start", "shift_end"),
        on="clerk_id",
    )
    local = made.with_columns(pl.col("ts").dt.convert_time_zone(zone))
    weekday = pl.col("ts").dt.weekday().cast(pl.String)
    assert local.select(pl.col("working_days").str.contains(weekday)).to_series().all()
    clock = pl.col("ts").dt.strftime("%H:%M")
    within = (clock >= pl.col("shift_start")) & (clock <= pl.col("shift_end"))
    assert local.select(within).to_series().all()


def test_products_are_known_before_they_are_sold_brought_or_stocked(tables):
    known = tables["products"].group_by("product_id").agg(pl.col("valid_from").min())
    brought = tables["interactions"].select("ts", pl.col("product_ids").alias("product_id"))
    for frame in (tables["transactions"], tables["stock"], brought.explode("product_id")):
        both = frame.drop_nulls("product_id").join(known, on="product_id", how="left")
        assert both["valid_from"].null_count() == 0
        assert (both["ts"].dt.date() >= both["valid_from"].dt.date()).all()
