"""Tests whose arms clerks draw: sized, started, planned, looked at and reported by command."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner, Result

from experiments.report_world.play import make_project, play_quarter
from nba.cli import app
from nba.decisions.units import arms_of_units
from nba.jobs.impact.live_record import LiveTest, record_file, running_test
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import silent
from nba.settings import ArmShares, Project
from nba.simulation.config import WorldConfig
from nba.wiring import Wiring

SHARES = ArmShares(holdout=0.2)
CONFIG = WorldConfig(customers=180, clerks=9, stores=3, seed=6, start=dt.date(2025, 5, 1))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("units") / "shop"
    make_project(play_quarter(CONFIG, SHARES, history=115, days=8), folder, SHARES)
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "shop")
    return tmp_path / "shop"


def call(shop: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["--project", str(shop), "experiment", *words])


def spec(shop: Path) -> Path:
    """A marketer's file: contacts half as long, drawn by clerk."""
    content = yaml.safe_load((shop / "serving" / "actions.yaml").read_text(encoding="utf-8"))
    for action in content["actions"]:
        action["minutes"] = action["minutes"] / 2
    (shop / "short.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    arms = {"short": {"share": 0.5, "catalogue": "short.yaml"}}
    path = shop / "spec.yaml"
    path.write_text(yaml.safe_dump({"unit": "clerk", "arms": arms}), encoding="utf-8")
    return path


def drawn_clerks(wiring: Wiring, arm: str) -> list[str]:
    log = wiring.runs.of(wiring.runs.planned_days()[0]).read("plan/log")
    return log.filter(pl.col("arm") == arm)["clerk_id"].to_list()


def test_the_size_is_told_before_with_what_customers_of_a_clerk_have_in_common(
    shop: Path,
) -> None:
    last = Wiring(Project.open(shop)).runs.planned_days()[-1]
    words = ("power", "--share", "0.5", "--to", str(last))
    by_customer = call(shop, *words, "--json")
    by_clerk = call(shop, *words, "--unit", "clerk", "--json")
    assert by_clerk.exit_code == 0, by_clerk.output
    rows, alone = json.loads(by_clerk.stdout), json.loads(by_customer.stdout)
    assert (rows[0]["units"], rows[0]["units_held"]) == (4, 5)
    assert 0 <= rows[0]["correlation"] < 1
    assert all(
        one["detectable"] > other["detectable"] for one, other in zip(rows, alone, strict=True)
    )
    said = call(shop, *words, "--unit", "clerk").output
    assert "4 clerks against 5 in the control" in said
    assert "intra-cluster correlation" in said


@pytest.mark.parametrize(("unit", "share"), [("store", "0.5"), ("clerk", "0.2")])
def test_too_few_units_are_refused_with_what_would_do(shop: Path, unit: str, share: str) -> None:
    words = ("--arm", f"due_worth={share}", "--unit", unit, "--reason", "does it pay?")
    done = call(shop, "start", "few", *words)
    assert done.exit_code != 0
    assert f"too few {unit}s for a test of {unit}s" in str(done.exception)
    assert f"at least 4 {unit}s in every arm" in str(done.exception)
    assert running_test(Project.open(shop)) is None
    assert call(shop, "power", "--share", "0.2", "--unit", unit).exit_code != 0


def test_a_night_plans_every_clerk_by_the_arm_drawn(shop: Path) -> None:
    started = call(
        shop, "start", "short", "--spec", str(spec(shop)), "--reason", "is shorter as good?"
    )
    assert started.exit_code == 0, started.output
    assert "short 50% (own catalogue) of the clerks (short " in started.output
    wiring = Wiring(Project.open(shop))
    test = running_test(wiring.project)
    assert test is not None
    assert test.by_units is not None
    assert sorted(test.units.values()) == [4, 5]
    assert test.detectable is not None
    day = dt.datetime.combine(test.started, dt.time())
    run_nightly(wiring, day, progress=silent)
    log = wiring.runs.of(test.started).read("plan/log")
    assert set(log["arm"]) == {"engine", "holdout", "short"}
    listed = log.filter(pl.col("arm") != "holdout")
    drawn = arms_of_units(listed["clerk_id"], test.by_units)
    assert listed["arm"].to_list() == drawn.to_list()
    action = wiring.runs.of(test.started).read("plan/actions").filter(pl.col("rank") == 1)
    for action_id in action["action_id"].to_list()[:3]:
        words = ["--project", str(shop), "plan", "replay", action_id]
        assert "the same bytes" in CliRunner().invoke(app, words).output


def test_analysis_and_report_count_clerks(shop: Path) -> None:
    wiring = Wiring(Project.open(shop))
    days = wiring.runs.planned_days()
    started = call(
        shop, "start", "due", "--arm", "due_worth=0.5", "--unit", "clerk", "--reason", "r"
    )
    assert started.exit_code == 0, started.output
    test = running_test(wiring.project)
    assert test is not None
    assert test.by_units is not None
    earlier = LiveTest.model_validate({**test.model_dump(), "started": days[0]})
    record_file(wiring.project, "due").write_text(earlier.model_dump_json(), encoding="utf-8")
    for day in days:
        log = wiring.runs.of(day).read("plan/log")
        drawn = arms_of_units(log["clerk_id"], test.by_units)
        arm = pl.when(pl.col("arm") == "engine").then(drawn).otherwise("arm")
        wiring.runs.of(day).write("plan/log", log.with_columns(arm=arm))
    done = call(shop, "analyse", "--control", "engine", "--json")
    assert done.exit_code == 0, done.output
    rows = [row for row in json.loads(done.stdout) if row["outcome"] == "margin"]
    due = next(row for row in rows if row["arm"] == "due_worth")
    assert due["unit"] == "clerk"
    assert {due["units"], due["units_held"]} == {4, 5}
    assert due["ratio_p"] > 0.5
    assert due["upper"] - due["lower"] > due["fixed_upper"] - due["fixed_lower"] > 0
    held = next(row for row in rows if row["arm"] == "holdout")
    assert held["unit"] == "customer"
    said = call(shop, "analyse", "--control", "engine").output
    assert f"drawn by clerk: {due['units']} against {due['units_held']}" in said
    out = shop / "report"
    words = ["--project", str(shop), "report", "--out", str(out)]
    reported = CliRunner().invoke(app, words)
    assert reported.exit_code == 0, reported.output
    figures = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert figures["against_lists"][0]["units"] == due["units_held"]
    assert figures["headline"]["sample_ratio_p"] > 0.001
    assert "by whole clerks" in (out / "report.en.html").read_text(encoding="utf-8")
    assert "按导购整体抽签" in (out / "report.zh.html").read_text(encoding="utf-8")
    left = sorted(set(drawn_clerks(wiring, "due_worth")))[:3]
    for day in days:
        log = wiring.runs.of(day).read("plan/log")
        gone = (pl.col("arm") == "due_worth") & ~pl.col("clerk_id").is_in(left)
        wiring.runs.of(day).write("plan/log", log.filter(~gone))
    few = call(shop, "analyse", "--control", "engine").output
    assert "due_worth against engine: cannot be told" in few
    assert "at least 4 of each are needed" in few
    stopped = call(shop, "stop", "due", "--reason", "decided")
    assert stopped.exit_code == 0, stopped.output
    from mlflow import MlflowClient

    client = MlflowClient(wiring.project.tracking_uri)
    found = client.get_experiment_by_name("nba tests")
    (run,) = client.search_runs([found.experiment_id])
    assert run.data.params["unit"] == "clerk"
