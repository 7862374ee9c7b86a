"""The cheap loop: the same plans as the nightly job, lists from tables alone, honest figures."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from experiments.closed_loop.run import EnginePolicy as NightlyEngine
from experiments.common.compare import prepare
from experiments.world_choices.choices import replaced_choices
from experiments.world_choices.run import world_choices
from experiments.worlds.engine import EnginePolicy
from experiments.worlds.lists import LISTS, category_states
from experiments.worlds.play import Played, accuracy
from experiments.worlds.report import best_simple, paired, write
from experiments.worlds.run import play_worlds
from experiments.worlds.templates import dated, statement_parts
from nba.simulation import WorldConfig
from nba.simulation.observed import Rules

MOMENTS = [dt.datetime(2025, 10, 1), dt.datetime(2026, 2, 20), dt.datetime(2025, 11, 3)]
SMALL = WorldConfig(customers=300, clerks=3, stores=1, days=120, pilot_days=28, seed=4)


def test_plans_equal_those_of_the_nightly_job_on_the_same_tables(tmp_path: Path) -> None:
    """Two nights: the second takes in an increment, and reads what the first one planned."""
    world, observed = prepare(SMALL)
    cheap, nightly = EnginePolicy(tmp_path / "cheap"), NightlyEngine(tmp_path / "nightly")
    for _ in range(2):
        day = world.date
        actions = cheap.plan(day, observed)
        expected = nightly.plan(day, observed)
        assert actions is not None
        assert expected is not None
        assert expected.height > 5
        assert_frame_equal(actions, expected)
        folder = nightly.project.run_folder(day.isoformat())
        for name in ("log", "clerks", "preferred_mode"):
            assert_frame_equal(
                cheap.kept(day, f"plan/{name}"), pl.read_parquet(folder / f"plan/{name}.parquet")
            )
        observed.add(world.step(world.day, actions).tables)


def test_sql_that_follows_the_moment_in_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown way"):
        statement_parts(["SELECT 3", "SELECT 7", "SELECT 1"], MOMENTS)


def test_literals_follow_the_moment() -> None:
    def text(day: dt.datetime, prefix: str) -> str:
        before = day - dt.timedelta(days=90)
        return (
            f'FROM "{prefix}sales" WHERE ts >= MAKE_TIMESTAMP({before.year}, {before.month}, '
            f"{before.day}, 0) AND {day.toordinal() - 719_163} > 30 AND {day.timetuple().tm_yday}"
            f" < 365 AND {day.year} AND {day.isoweekday()}"
        )

    parts = statement_parts([text(day, f"lake_{i}_") for i, day in enumerate(MOMENTS)], MOMENTS)
    other = dt.datetime(2027, 7, 9)
    assert dated(parts, other, "lake_77_") == text(other, "lake_77_")


@pytest.mark.parametrize("name", ["due_worth", "most_overdue", "recency_spend"])
def test_lists_keep_minutes_and_rules_and_bring_one_product_that_was_bought(played, name):
    observed, day = played.observed(), played.world.date
    plan = LISTS[name](played.world, Rules()).plan(day, observed)
    assert plan is not None
    allowed = observed.eligible(day, Rules())
    assert plan["customer_id"].is_unique().all()
    assert set(plan["customer_id"]) <= set(allowed["customer_id"])
    used = plan.group_by("clerk_id").agg(pl.col("minutes").sum())
    budget = used.join(allowed.select("clerk_id", "budget").unique(), on="clerk_id")
    assert (budget["minutes"] <= budget["budget"] + 1e-9).all()
    brought = plan.explode("product_ids").drop_nulls("product_ids")
    bought = observed.purchases().select("customer_id", product_ids="product_id")
    assert brought.join(bought, on=["customer_id", "product_ids"], how="anti").is_empty()
    assert plan["product_ids"].list.len().max() == 1


def test_a_category_is_due_at_one_gap_and_never_where_it_was_not_bought(played):
    states = category_states(played.world.date, played.observed())
    assert states.select("customer_id", "category").is_unique().all()
    assert states["due"].is_between(0, 1).all()
    assert (states["margin"] > -1e-9).mean() > 0.95
    bought = played.observed().purchases()["customer_id"].n_unique()
    assert states["customer_id"].n_unique() <= bought


def test_accuracy_of_a_prediction_is_measured_on_the_contacts_listed() -> None:
    true = np.arange(40.0)
    rows = pl.DataFrame({"uplift": true / 2, "gain_amount": true, "window_amount": -true})
    found = accuracy(Played(np.zeros(1), contacts_truth=[rows]))
    assert found["rank_correlation"] == pytest.approx(1.0)
    assert found["rank_correlation_window"] == pytest.approx(-1.0)
    assert found["slope"] == pytest.approx(2.0)
    assert found["deciles"][0] == [0.75, 1.5]
    assert accuracy(Played(np.zeros(1), contacts_truth=[rows.drop("uplift")])) == {}


def test_worlds_are_played_once_and_reported(tmp_path: Path) -> None:
    options = {"presets": ["published"], "families": ["null"], "seeds": [1, 2], "customers": 120,
               "clerks": 2, "days": 120, "weeks": 1, "tail_weeks": 1, "observable_worlds": 1,
               "policies": ["due_worth", "observable_oracle", "oracle"],
               "log": str(tmp_path / "log.jsonl")}  # fmt: skip
    result = play_worlds(**options)
    assert [row["policy"] for row in result.rows] == ["no_contact", *options["policies"]] * 2
    assert all(row["incremental_amount"] == 0 for row in result.rows)
    again = play_worlds(**options)
    assert again.rows == result.rows
    text = write(result, tmp_path)
    assert "| published | null |" in text
    assert json.loads((tmp_path / "result.json").read_text())["rows"]
    assert (tmp_path / "table.md").read_text() == text


def test_each_choice_of_the_truth_is_worth_at_least_the_lists_own(played) -> None:
    world, observed, rules = played.world, played.observed(), Rules()
    plan = LISTS["due_worth"](world, rules).plan(world.date, observed)
    assert plan is not None
    worth = replaced_choices(world, observed, plan, rules)
    assert worth["listed"] <= worth["true_products"] <= worth["true_products_and_modes"] + 1e-6
    assert worth["listed"] <= worth["true_modes"] <= worth["true_products_and_modes"] + 1e-6
    assert worth["true_products_and_modes"] <= worth["true_customers_too"]
    nobody = replaced_choices(world, observed, plan.clear(), rules)
    assert nobody["listed"] == 0
    assert nobody["true_customers_too"] == worth["true_customers_too"]


def test_one_night_is_asked_which_choice_loses_most() -> None:
    rows = world_choices(presets=["published"], families=["extra_orders"], seeds=[5],
                         policies=["due_worth"], customers=80, clerks=2, days=120)  # fmt: skip
    assert rows["policy"].to_list() == ["due_worth"]
    assert rows["listed"][0] <= rows["true_customers_too"][0]


def row(policy: str, seed: int, amount: float) -> dict[str, object]:
    return {"preset": "p", "family": "f", "seed": seed, "policy": policy,
            "incremental_amount": amount}  # fmt: skip


def test_the_best_simple_list_is_chosen_in_hindsight_and_held_against_the_engine() -> None:
    rows = [row("due_worth", 1, 10), row("due_worth", 2, 20), row("most_overdue", 1, 18),
            row("most_overdue", 2, 14), row("engine", 1, 20), row("engine", 2, 18)]  # fmt: skip
    assert best_simple(pl.DataFrame(rows)) == "most_overdue"
    mean, low, high = paired(pl.DataFrame(rows), "engine", "most_overdue")
    assert mean == 3
    # Student's t with one degree of freedom: 12.706 standard errors of 1.
    assert (low, high) == (pytest.approx(3 - 12.706, abs=0.01), pytest.approx(15.706, abs=0.01))
