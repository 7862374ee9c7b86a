"""Stepping the world: plans acted out, common random numbers, the same bytes."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from experiments.common.policies import BASELINES, RandomContacts
from nba.errors import UsageError
from nba.simulation import World, WorldConfig, simulate
from nba.simulation.habits import absent_on
from nba.simulation.observed import Rules

APPEND_ONLY = {
    "transactions": ["order_id", "line_no"],
    "interactions": ["interaction_id"],
    "responses": ["response_id"],
    "feedback": ["feedback_id"],
}
_SCRIPT = """
import sys
from pathlib import Path
from nba.simulation import WorldConfig, simulate
simulate(WorldConfig(customers=300, clerks=4, stores=2, days=50, pilot_days=20), Path(sys.argv[1]))
"""


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes_on_one_and_on_four_cores(tmp_path):
    found = []
    for threads in ("1", "4"):
        folder = tmp_path / threads / "shop"
        environment = {
            **os.environ,
            **dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS"), threads),
        }
        subprocess.run([sys.executable, "-c", _SCRIPT, str(folder)], env=environment, check=True)
        found.append(digests(tmp_path / threads))
    assert found[0] == found[1]
    assert len(found[0]) == 18 + 4


def test_another_seed_gives_another_year(tmp_path):
    for seed in (1, 2):
        simulate(WorldConfig(customers=60, days=20, seed=seed), tmp_path / str(seed))
    assert (
        digests(tmp_path / "1")["transactions.parquet"]
        != digests(tmp_path / "2")["transactions.parquet"]
    )


def test_increments_continue_the_history_and_never_repeat_a_key(played):
    world, observed = played.world.copy(), played.observed()
    policy = RandomContacts(Rules(), seed=5)
    tables = {name: [frame] for name, frame in played.tables().items()}
    for _ in range(15):
        outcome = world.step(world.date, policy.plan(world.date, observed), habitual=["C0000001"])
        observed.add(outcome.tables)
        for name, frame in outcome.tables.items():
            tables.setdefault(name, []).append(frame)
        end = world.scene.timestamps([float(outcome.day), float(world.day)])
        for name in APPEND_ONLY:
            if name in outcome.tables:
                assert outcome.tables[name]["ts"].is_between(end[0], end[1]).all(), name
    for name, key in APPEND_ONLY.items():
        assert pl.concat(tables[name]).select(key).is_unique().all(), name
    feedback = pl.concat(tables["feedback"])
    sent = feedback.filter(pl.col("kind") == "sent")
    made = pl.concat(tables["interactions"]).filter(pl.col("action_id").is_not_null())
    assert set(sent["action_id"]) == set(made["action_id"])
    assert 0.5 < sent.height / feedback.height < 0.95
    assert set(feedback["kind"]) >= {"sent", "skipped"}


def test_a_contact_changes_nobody_but_the_customer_contacted(played):
    one, other = played.world.copy(), played.world.copy()
    who = played.observed().eligible(one.date, Rules())["customer_id"][:5]
    plan = pl.DataFrame(
        {
            "action_id": "a-" + who,
            "customer_id": who,
            "clerk_id": ["K00001"] * 5,
            "mode": ["private_partner"] * 5,
            "product_ids": ["P00001|P00030"] * 5,
        }
    ).with_columns(clerk_id=_clerks(played, who))
    for day in range(30):
        first = one.step(one.day, plan if day == 0 else None).tables["transactions"]
        second = other.step(other.day).tables["transactions"]
        untouched = ~pl.col("customer_id").is_in(who.to_list()) | pl.col("customer_id").is_null()
        assert_frame_equal(first.filter(untouched), second.filter(untouched))
    changed = np.flatnonzero(one.state.contacts != other.state.contacts)
    assert set(one.scene.customer_ids.gather(changed)) <= set(who)
    assert len(changed) > 0


def _clerks(played, who):
    customers = played.observed().table("customers").select("customer_id", "clerk_id")
    return who.to_frame().join(customers, on="customer_id", how="left")["clerk_id"]


def test_plans_of_every_export_format_are_understood(played):
    """Times naive, in UTC or as text and product lists as text mean the same."""
    who = played.observed().eligible(played.world.date, Rules())
    plan = BASELINES["random"](played.world, Rules()).plan(played.world.date, played.observed())
    assert plan is not None
    assert who.height > 0
    zone = played.world.config.time_zone
    variants = [
        plan,
        plan.with_columns(
            pl.col("contact_from", "contact_to")
            .dt.replace_time_zone(zone)
            .dt.convert_time_zone("UTC"),
            pl.col("product_ids").list.join(","),
        ),
        plan.with_columns(pl.col("contact_from", "contact_to").dt.strftime("%Y-%m-%d %H:%M:%S")),
    ]
    outcomes = [played.world.copy().step(played.world.day, v).tables for v in variants]
    for outcome in outcomes[1:]:
        assert_frame_equal(outcome["interactions"], outcomes[0]["interactions"])


def test_minutes_absence_and_blocks_decide_what_is_sent(played):
    world = played.world.copy()
    people = world.scene.people
    customers = world.scene.customer_ids.gather(np.flatnonzero(people.clerk == 0)[:90])
    plan = pl.DataFrame({"customer_id": customers}).with_columns(
        action_id="x-" + pl.col("customer_id"),
        clerk_id=pl.lit("K00001"),
        mode=pl.lit("private_partner"),
        minutes=pl.lit(10.0),
        channel=pl.lit("chat"),
    )
    kinds: set[str] = set()
    for _ in range(7):
        outcome = world.step(world.day, plan)
        kinds |= set(outcome.tables["feedback"]["kind"])
        assert outcome.minutes <= world.scene.shops.minutes[0] + 10
    assert kinds == {"sent", "skipped", "expired", "undelivered"}


def test_mode_none_leaves_customers_alone(played):
    plan = pl.DataFrame(
        {"action_id": ["h"], "customer_id": ["C0000001"], "clerk_id": ["K00001"], "mode": ["none"]}
    )
    outcome = played.world.copy().step(played.world.day, plan)
    assert outcome.contacts == 0
    assert "feedback" not in outcome.tables


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"customer_id": ["nobody"]}, "no such customer"),
        ({"clerk_id": ["nobody"]}, "no such clerk"),
        ({"mode": ["telepathy"]}, "no such mode"),
    ],
)
def test_a_plan_of_another_world_is_refused(played, change, message):
    row = {"action_id": ["a"], "customer_id": ["C0000001"], "clerk_id": ["K00001"],
           "mode": ["topic_expert"]}  # fmt: skip
    with pytest.raises(UsageError, match=message):
        played.world.copy().step(played.world.day, pl.DataFrame({**row, **change}))


def test_days_are_played_in_order(played):
    with pytest.raises(UsageError, match="in order"):
        played.world.copy().step(played.world.date + dt.timedelta(days=1))


@pytest.mark.proof
def test_a_hundred_thousand_customers_take_two_minutes_and_four_gigabytes(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from nba.simulation import WorldConfig, simulate\n"
        "simulate(WorldConfig(customers=100_000), Path(sys.argv[1]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "shop")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert time.perf_counter() - begin < 120
    assert int(done.stdout) < 4_000_000  # kilobytes


@pytest.mark.proof
def test_cost_is_linear_in_customers_and_days(tmp_path):
    seconds = {}
    for customers, days in ((20_000, 60), (40_000, 60), (20_000, 120)):
        world = World(WorldConfig(customers=customers, days=days))
        begin = time.process_time()
        for day in range(days):
            world.step(day, habitual=True)
        seconds[customers, days] = time.process_time() - begin
    assert seconds[40_000, 60] < 2.6 * seconds[20_000, 60]
    assert seconds[20_000, 120] < 2.6 * seconds[20_000, 60]


def test_leave_is_known_a_week_ahead(played):
    """A plan for tomorrow knows who is off; the list of the history reaches a week further."""
    absences = played.tables()["absences"]
    world = played.world
    assert absences["date"].max() > world.date - dt.timedelta(days=30)
    known = {(clerk, date) for clerk, date in absences.iter_rows() if date >= world.date}
    expected = {
        (f"K{clerk + 1:05d}", world.date + dt.timedelta(days=ahead))
        for ahead in range(7)
        for clerk in np.flatnonzero(absent_on(world.scene, world.day + ahead))
    }
    assert known == expected


def test_a_copy_at_the_start_opens_the_same_shop():
    world = World(WorldConfig(customers=50, days=5))
    twin = world.copy()
    assert_frame_equal(world.step(0).tables["products"], twin.step(0).tables["products"])
