"""A night in partitions: the same scores and the same plan, one partition in memory at a time."""

from __future__ import annotations

import shutil
from datetime import datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.command import nba
from tests.jobs.conftest import DAY, wiring

from nba.pipeline.partitions import CLERKS, CUSTOMERS, Partitions, _places
from nba.stores.nightly_runs import NightlyRunState

#: What tells the rows of a kept table apart, where it is not the customer alone.
KEYS = {
    "actions": ("action_id",),
    "clerks": ("clerk_id",),
    "reserve": ("clerk_id", "rank", "mode"),
    "shifts": ("clerk_id",),
    "posts": ("audience",),
    "post_members": ("audience", "customer_id"),
    "affinity": ("customer_id", "rank"),
    "timing_category": ("customer_id", "category"),
    "needs": ("customer_id", "need_id"),
    "mode": ("customer_id", "mode"),
    "contributions": ("customer_id", "feature"),
    "offers": ("customer_id", "kind", "rank"),
}
#: What a plan reads of the whole shop, kept before the partitions are planned.
GROUPS = ("scores", "plan", "inputs")


def kept(shop: Path) -> dict[str, pl.DataFrame]:
    """Return every table that the run of DAY left, sorted."""
    folder = wiring(shop).runs.of(DAY)
    tables = {f"{group}/{k}": v for group in GROUPS for k, v in folder.tables(group).items()}
    return {
        name: table.sort(KEYS.get(name.partition("/")[2], ("customer_id",)))
        if {"customer_id", "clerk_id", "audience"} & set(table.columns)
        else table
        for name, table in tables.items()
        if not name.startswith("inputs") or name == "inputs/offers"
    }


def assert_same(after: dict[str, pl.DataFrame], before: dict[str, pl.DataFrame]) -> None:
    """Plans and scores are equal, floats to 1e-9; the settings' digest aside."""
    assert after.keys() == before.keys()
    for name, table in before.items():
        given = [column for column in table.columns if column != "policy_version"]
        assert_frame_equal(after[name].select(given), table.select(given), rel_tol=1e-9)


@pytest.mark.parametrize("count", [2, 5])
def test_a_night_in_partitions_leaves_the_same(made: Path, tmp_path: Path, count: int) -> None:
    shop = Path(shutil.copytree(made, tmp_path / "shop"))
    before = kept(shop)
    with (shop / "nba.yaml").open("a", encoding="utf-8") as file:
        file.write(f"\npartitions: {count}\n")
    printed = nba("--project", shop, "run", "--as-of", DAY, "--from", "score", "--force")
    assert f"partition {count} of {count}" in printed
    assert_same(kept(shop), before)
    assert not (wiring(shop).runs.of(DAY).path / "partitions").exists()


def test_processes_of_this_machine_leave_the_same(made: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(made, tmp_path / "shop"))
    before = kept(shop)
    with (shop / "nba.yaml").open("a", encoding="utf-8") as file:
        file.write("\npartitions: 3\nworkers: 2\nthreads: 2\n")
    printed = nba("--project", shop, "run", "--as-of", DAY, "--from", "score", "--force")
    assert "3 of 3 done" in printed
    assert_same(kept(shop), before)
    assert not (wiring(shop).runs.of(DAY).path / "partitions").exists()


@pytest.mark.requires("java")
def test_tasks_of_spark_leave_the_same(made: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(made, tmp_path / "shop"))
    before = kept(shop)
    with (shop / "nba.yaml").open("a", encoding="utf-8") as file:
        file.write("\nscore_engine: spark\nthreads: 1\n")
    try:
        printed = nba("--project", shop, "run", "--as-of", DAY, "--from", "score", "--force")
    finally:
        wiring(shop).spark_session().stop()
    assert "task 2 of 2" in printed
    assert_same(kept(shop), before)
    assert not (wiring(shop).runs.of(DAY).path / "partitions").exists()


def test_processes_share_a_night_and_the_last_publishes(made: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(made, tmp_path / "shop"))
    day = DAY + timedelta(days=1)
    nba("--project", shop, "train", "--as-of", day)
    whole = Path(shutil.copytree(shop, tmp_path / "whole"))
    nba("--project", whole, "run", "--as-of", day)

    def part(number: int, code: int = 0) -> str:
        return nba(
            "--project", shop, "run", "--as-of", day, "--partition", f"{number}/2", code=code
        )

    assert "none of 2 yet" in part(1, code=75)
    assert "the plan waits for partitions 1 of 2" in part(2)
    assert wiring(shop).plan_store.plan(day) is None
    part(1)
    assert wiring(shop).plan_store.plan(day) is not None
    assert_frame_equal(
        wiring(shop).plan_store.actions(day), wiring(whole).plan_store.actions(day), rel_tol=1e-9
    )
    assert "nothing to do" in nba("--project", shop, "run", "--as-of", day)
    assert "K/N" in nba("--project", shop, "run", "--partition", "3/2", code=2)


def test_a_partition_asks_for_the_models_of_the_night(made: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(made, tmp_path / "shop"))
    day = DAY + timedelta(days=2)
    said = nba("--project", shop, "run", "--as-of", day, "--partition", "1/2", code=1)
    assert f"nba train --as-of {day}" in said
    night = wiring(shop).plan_store.last_night()
    assert night is not None
    assert (night.as_of, night.state) == (day, NightlyRunState.FAILED)


def test_every_customer_and_every_clerk_is_in_one_partition(made: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(made, tmp_path / "shop"))
    context = wiring(shop).run(datetime.combine(DAY, time()))
    partitions = Partitions.of(context, 2)
    partitions.share_out(context)
    kept = {
        name: pl.concat(
            partitions.members(name, part).with_columns(part=part).collect() for part in range(2)
        )
        for name in (CUSTOMERS, CLERKS)
    }
    store = context.ports.feature_store
    state, clerks = (store.snapshot(name, context.as_of) for name in ("customer_state", "clerk"))
    assert sorted(kept[CUSTOMERS]["customer_id"]) == sorted(state["customer_id"])
    assert sorted(kept[CLERKS]["clerk_id"]) == sorted(clerks["clerk_id"])
    by_store = kept[CLERKS].join(clerks, on="clerk_id").group_by("store_id")
    assert by_store.agg(pl.col("part").n_unique())["part"].max() == 1


def test_partitions_are_about_equal() -> None:
    units = pl.Series("unit", [f"s{store}" for store in range(40) for _ in range(store + 1)])
    places = _places(units, 4)
    sizes = units.to_frame().join(places, on="unit").group_by("part").len()["len"]
    assert sizes.max() - sizes.min() <= 40
    assert_frame_equal(_places(units, 4), places)
