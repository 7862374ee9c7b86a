"""Tests of simple lists: started, looked at each night, ended by an arm that does harm."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from experiments.report_world.play import make_project, play_quarter
from nba.cli import app
from nba.decisions.hashing import uniform
from nba.errors import ConflictError, NotFoundError, UsageError
from nba.jobs.impact.live_record import (
    ArmRecord,
    LiveTest,
    planned_shares,
    policies_of_day,
    record_file,
    running_test,
)
from nba.jobs.impact.live_tests import guard, look_at, start_test, stop_test
from nba.jobs.ingest import ingest_folder
from nba.settings import ArmShares, Project
from nba.simulation.config import WorldConfig
from nba.wiring import Wiring

SHARES = ArmShares(holdout=0.3)
CONFIG = WorldConfig(customers=200, clerks=2, seed=6, start=dt.date(2025, 6, 1))
ARMS = {"due_worth": 0.35}
LISTS = {"due_worth": ArmRecord(share=0.35)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tested") / "shop"
    make_project(play_quarter(CONFIG, SHARES, history=40, days=16), folder, SHARES)
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Wiring:
    shutil.copytree(made, tmp_path / "shop")
    return Wiring(Project.open(tmp_path / "shop"))


def test_a_test_holds_from_the_next_plan_until_it_is_ended(shop: Wiring) -> None:
    last = shop.runs.planned_days()[-1]
    root = ["--project", str(shop.project.root), "experiment"]
    call = [*root, "start", "due", "--arm", "due_worth=0.35", "--reason", "is it as good?"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    test = running_test(shop.project)
    assert test is not None
    assert test.started == last + dt.timedelta(days=1)
    assert policies_of_day(shop, test.started).due_worth == 0.35
    assert policies_of_day(shop, last).due_worth == 0.0
    assert planned_shares(shop, last, test.started) == {}
    with pytest.raises(ConflictError, match="runs already"):
        start_test(shop, "other", LISTS, weeks=4, reason="too")
    assert "running" in CliRunner().invoke(app, [*root, "list"]).output
    done = CliRunner().invoke(app, [*root, "stop", "due", "--reason", "decided"])
    assert done.exit_code == 0, done.output
    assert "ended" in CliRunner().invoke(app, [*root, "list"]).output
    assert policies_of_day(shop, test.started).due_worth == 0.0
    with pytest.raises(NotFoundError, match="no test"):
        stop_test(shop, "due", reason="again")


def test_what_is_no_list_or_leaves_nothing_is_refused(shop: Wiring) -> None:
    with pytest.raises(UsageError, match="simple lists"):
        start_test(shop, "x", {"holdout": ArmRecord(share=0.5)}, weeks=4, reason="r")
    for share in (0.95, 1.5):
        with pytest.raises(UsageError, match="do not fit") as refused:
            start_test(shop, "x", {"due_worth": ArmRecord(share=share)}, weeks=4, reason="r")
        assert "pydantic" not in str(refused.value)


def test_an_arm_that_does_harm_ends_its_test(shop: Wiring, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    days = shop.runs.planned_days()
    listed: set[str] = set()
    for day in days:
        log = shop.runs.of(day).read("plan/log")
        half = pl.Series(uniform(log["customer_id"], "half") < 0.5)
        due = (pl.col("arm") == "engine") & half
        shop.runs.of(day).write(
            "plan/log",
            log.with_columns(arm=pl.when(due).then(pl.lit("due_worth")).otherwise("arm")),
        )
        listed |= set(log.filter(due)["customer_id"])
    test = LiveTest(name="due", arms=ARMS, weeks=4, started=days[0], reason="is it as good?")
    record_file(shop.project, "due").parent.mkdir(parents=True)
    record_file(shop.project, "due").write_text(test.model_dump_json(), encoding="utf-8")
    tomorrow = days[-1] + dt.timedelta(days=1)
    assert guard(shop, tomorrow) == ()
    blocked = sorted(listed)[: int(0.6 * len(listed))]
    tables = tmp_path / "more"
    tables.mkdir()
    pl.DataFrame(
        {
            "response_id": [f"block-{one}" for one in blocked],
            "customer_id": blocked,
            "ts": dt.datetime.combine(days[5], dt.time(12)),
            "kind": "blocked",
        }
    ).write_parquet(tables / "responses.parquet")
    ingest_folder(shop, tables)
    assert look_at(shop, test, tomorrow).height == 4
    (said,) = guard(shop, tomorrow)
    assert said.startswith("WARN the test due is ended: due_worth: STOP: blocks")
    assert running_test(shop.project) is None
    client = MlflowClient(shop.project.tracking_uri)
    found = client.get_experiment_by_name("nba tests")
    (run,) = client.search_runs([found.experiment_id])
    assert run.data.metrics["due_worth/blocked"] > 0.3
