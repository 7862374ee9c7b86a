"""`nba report`: its figures agree with queries that share nothing with it but the files."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from experiments.report_world.play import Quarter, make_project, play_quarter
from nba.cli import app
from nba.evaluation.impact.arms import arms_table
from nba.evaluation.impact.cohort import build_cohort
from nba.jobs.impact.gather import gather, period
from nba.jobs.impact.run import Written, write_impact_report
from nba.jobs.policies import standing
from nba.settings import ArmShares
from nba.simulation.config import WorldConfig
from nba.wiring import Wiring

SHARES = ArmShares(holdout=0.3)
#: The days with a list lie in one arm period.
CONFIG = WorldConfig(customers=250, clerks=3, stores=2, seed=4, start=dt.date(2025, 5, 1))


@pytest.fixture(scope="module")
def quarter() -> Quarter:
    return play_quarter(CONFIG, SHARES, history=60, days=42)


@pytest.fixture(scope="module")
def project(quarter: Quarter, tmp_path_factory: pytest.TempPathFactory) -> Wiring:
    return make_project(quarter, tmp_path_factory.mktemp("shop") / "shop", SHARES)


@pytest.fixture(scope="module")
def written(project: Wiring) -> Written:
    return write_impact_report(project, None, None)


@pytest.fixture(scope="module")
def sql(project: Wiring, quarter: Quarter) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the tables as delivered and the plans as kept."""
    root, zone = project.project.root, CONFIG.time_zone
    connection = duckdb.connect()
    connection.execute(f"SET TimeZone = '{zone}'")
    for path in (root / "tables").glob("*.parquet"):
        connection.execute(f"CREATE VIEW {path.stem} AS FROM '{path}'")
    for name in ("log", "actions", "clerks"):
        connection.execute(
            f"CREATE VIEW plan_{name} AS SELECT *, strptime(split_part(filename, '/', -3), "
            f"'%Y-%m-%d')::DATE AS day FROM read_parquet('{root}/data/runs/*/plan/{name}.parquet', "
            "filename = true, union_by_name = true)"
        )
    connection.execute(
        """CREATE TABLE money AS
        SELECT t.customer_id, t.ts::DATE AS day, t.order_id, t.quantity > 0 AS bought,
            t.quantity * t.unit_price - sign(t.quantity) * coalesce(abs(t.discount), 0) AS amount,
            amount - t.quantity * p.cost AS margin
        FROM transactions t JOIN (SELECT product_id, any_value(cost) AS cost FROM products
            GROUP BY ALL) p USING (product_id)
        WHERE t.customer_id IS NOT NULL"""
    )
    connection.execute(
        """CREATE TABLE cohort AS
        SELECT l.customer_id, arg_min(l.arm, l.day) AS arm, min(l.day) AS start
        FROM plan_log l GROUP BY ALL"""
    )
    connection.execute(
        f"""CREATE TABLE outcome AS
        SELECT c.*, coalesce(sum(m.margin), 0) AS margin, coalesce(sum(m.amount), 0) AS amount,
            count(DISTINCT m.order_id || m.day::VARCHAR) FILTER (m.bought) AS orders
        FROM cohort c LEFT JOIN money m ON m.customer_id = c.customer_id AND m.day >= c.start
            AND m.day <= DATE '{quarter.last}' GROUP BY ALL"""
    )
    yield connection
    connection.close()


def rows(sql: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    return sql.execute(query).pl().to_dicts()


def test_the_arms_agree(written: Written, sql: duckdb.DuckDBPyConnection) -> None:
    expected = rows(
        sql,
        "SELECT arm, count(*) AS customers, avg(margin)::DOUBLE AS margin_mean, "
        "avg(orders) AS orders_mean FROM outcome GROUP BY arm ORDER BY arm",
    )
    found = written.report.tables["arms"].select(*expected[0]).to_dicts()
    assert len(found) == 2
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == pytest.approx(theirs)


def test_the_headline_is_the_difference_without_what_was_foreseeable(
    written: Written, sql: duckdb.DuckDBPyConnection
) -> None:
    """Without covariates the difference would be that of the means: it moves by noise only."""
    engine, holdout = rows(
        sql, "SELECT arm, avg(margin)::DOUBLE AS m FROM outcome GROUP BY arm ORDER BY arm"
    )
    head = written.report.headline
    assert abs(head.effect.estimate - (engine["m"] - holdout["m"])) < 4 * head.effect.standard_error
    assert head.total == pytest.approx(head.effect.estimate * head.effect.treated)


def test_the_hours_are_those_beyond_what_as_many_held_out_took(
    written: Written, sql: duckdb.DuckDBPyConnection, quarter: Quarter
) -> None:
    """As for the margin, taking off what was foreseeable moves the difference by little."""
    engine, holdout = rows(
        sql,
        f"""SELECT arm, avg(minutes) AS m, count(*) AS customers FROM (
            SELECT c.arm, coalesce(sum(i.minutes), 0)::DOUBLE AS minutes FROM cohort c
            LEFT JOIN interactions i ON i.customer_id = c.customer_id AND i.mode <> 'none'
                AND i.ts::DATE BETWEEN c.start AND DATE '{quarter.last}'
            GROUP BY c.customer_id, c.arm) GROUP BY arm ORDER BY arm""",
    )
    head = written.report.headline
    expected = (engine["m"] - holdout["m"]) * engine["customers"] / 60
    assert head.hours == pytest.approx(expected, rel=0.1)
    assert head.per_hour == pytest.approx(head.total / head.hours)
    kept = json.loads((written.folder / "report.json").read_text(encoding="utf-8"))
    assert kept["headline"]["per_hour"] == pytest.approx(head.per_hour)


def test_the_levers_agree(written: Written, sql: duckdb.DuckDBPyConnection) -> None:
    expected = rows(
        sql,
        """SELECT arm, avg((orders > 0)::INT) AS active,
            sum(orders) / sum((orders > 0)::INT) AS frequency,
            sum(amount)::DOUBLE / sum(orders) AS order_value
        FROM outcome GROUP BY arm ORDER BY arm""",
    )
    levers = {row["lever"]: row for row in written.report.tables["levers"].to_dicts()}
    for name in ("active", "frequency", "order_value"):
        assert levers[name]["treated_mean"] == pytest.approx(expected[0][name])
        assert levers[name]["control_mean"] == pytest.approx(expected[1][name])
    parts = sum(levers[name]["amount"] for name in ("active", "frequency", "order_value"))
    assert parts == pytest.approx(levers["all"]["amount"])
    assert parts == pytest.approx(levers["all"]["treated_mean"] - levers["all"]["control_mean"])


def test_the_funnel_agrees(written: Written, sql: duckdb.DuckDBPyConnection) -> None:
    expected = rows(
        sql,
        """WITH a AS (SELECT action_id, mode FROM plan_actions WHERE mode <> 'none'),
        i AS (SELECT * FROM interactions WHERE action_id IN (SELECT action_id FROM a)),
        r AS (SELECT i.action_id, bool_or(r.kind <> 'delivered' AND r.kind NOT IN
                ('blocked', 'complained')) AS read,
            bool_or(r.kind IN ('replied', 'clicked', 'joined', 'attended')) AS replied,
            true AS delivered
            FROM responses r JOIN i USING (interaction_id) GROUP BY ALL),
        b AS (SELECT DISTINCT i.action_id, true AS bought FROM i JOIN money m
            ON m.customer_id = i.customer_id AND m.bought
            AND m.day BETWEEN i.ts::DATE AND i.ts::DATE + 13),
        f AS (SELECT action_id, bool_or(kind <> 'expired') AS shown FROM feedback GROUP BY ALL)
        SELECT a.mode, count(*) AS planned, count(*) FILTER (f.shown) AS shown,
            count(*) FILTER (i.action_id IS NOT NULL) AS sent,
            count(*) FILTER (r.delivered) AS delivered, count(*) FILTER (r.read) AS read,
            count(*) FILTER (r.replied) AS replied, count(*) FILTER (b.bought) AS bought
        FROM a LEFT JOIN i USING (action_id) LEFT JOIN r USING (action_id)
            LEFT JOIN b USING (action_id) LEFT JOIN f USING (action_id)
        GROUP BY a.mode""",
    )
    found = written.report.tables["funnel"].to_dicts()
    by_mode = {row["mode"]: row for row in found}
    assert by_mode[None]["planned"] == sum(row["planned"] for row in expected) > 100
    for row in expected:
        assert by_mode[row["mode"]] == row


def test_minutes_relations_and_those_who_got_nothing_agree(
    written: Written, sql: duckdb.DuckDBPyConnection, quarter: Quarter
) -> None:
    tables = written.report.tables
    stores = rows(
        sql,
        """SELECT store_id, sum(minutes) AS minutes, sum(minutes_planned) AS planned,
            60 * sum(price_per_minute * minutes) / sum(minutes) AS hour_value
        FROM plan_clerks GROUP BY ALL""",
    )
    mine = {row["store_id"]: row for row in tables["minutes"].to_dicts()}
    for row in stores:
        assert {name: mine[row["store_id"]][name] for name in row} == pytest.approx(row)
    span = f"BETWEEN DATE '{quarter.first}' AND DATE '{quarter.last}'"
    used = rows(
        sql,
        f"SELECT sum(minutes) AS used, count(*) AS contacts FROM interactions WHERE mode <> 'none' "
        f"AND ts::DATE {span}",
    )[0]
    assert mine[None]["used"] == pytest.approx(used["used"])
    restraint = dict(tables["restraint"].iter_rows())
    assert restraint["contacts"] == used["contacts"]
    joins = rows(sql, f"SELECT count(*) AS n FROM memberships WHERE joined_at::DATE {span}")[0]
    assert dict(tables["relations"].iter_rows())["group_joins"] == joins["n"]
    never = rows(
        sql,
        "SELECT count(*) AS n FROM (SELECT customer_id FROM plan_log WHERE arm = 'engine' "
        "GROUP BY ALL HAVING count(*) FILTER (mode <> 'none') = 0)",
    )[0]
    assert tables["nothing"]["customers"].sum() == never["n"]


def test_content_and_segments_add_up(written: Written, sql: duckdb.DuckDBPyConnection) -> None:
    tables = written.report.tables
    sent = rows(sql, "SELECT count(*) AS n FROM interactions WHERE action_id IS NOT NULL")[0]["n"]
    assert tables["content"]["sent"].sum() == sent
    cohort = rows(sql, "SELECT count(*) AS n FROM cohort WHERE arm = 'engine'")[0]["n"]
    for name in ("segments", "stores", "clerks"):
        assert tables[name]["customers"].sum() == cohort


def test_the_page_stands_in_both_languages_and_names_the_run(written: Written) -> None:
    for locale, words in {"en": "leaving alone", "zh": "对照组"}.items():
        page = (written.folder / f"report.{locale}.html").read_text(encoding="utf-8")
        assert words in page
        assert written.run_id in page
        assert "NaN" not in page
        assert "None" not in page
    kept = json.loads((written.folder / "report.json").read_text(encoding="utf-8"))
    assert kept["headline"]["total"] == pytest.approx(written.report.headline.total)
    assert kept["funnel"] == written.report.tables["funnel"].to_dicts()


def test_the_run_says_in_a_sentence_what_came_out(project: Wiring, written: Written) -> None:
    from mlflow import MlflowClient

    run = MlflowClient(project.project.tracking_uri).get_run(written.run_id)
    assert str(written.first) in run.info.run_name
    assert run.data.metrics["earned_total"] == pytest.approx(written.report.headline.total)
    assert "report.en.html" in run.data.tags["mlflow.note.content"]


def test_a_day_whose_outcome_is_not_known_is_told_in_words(
    project: Wiring, quarter: Quarter, tmp_path: Path
) -> None:
    day, known = str(quarter.first), str(quarter.first + dt.timedelta(days=14))
    call = ["--project", str(project.project.root), "report", "--from", day, "--to", day]
    done = CliRunner().invoke(app, [*call, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"Too early to say: the outcome of the first day is known on {known}" in done.output
    page = (tmp_path / "report.zh.html").read_text(encoding="utf-8")
    assert "还太早" in page
    assert "95% 的把握" not in page


def test_days_without_a_plan_are_refused(project: Wiring) -> None:
    from nba.errors import NotFoundError, UsageError

    with pytest.raises(NotFoundError, match="no plan is kept"):
        write_impact_report(project, dt.date(2030, 1, 1), None)
    with pytest.raises(UsageError, match="first day"):
        write_impact_report(project, dt.date(2025, 8, 2), dt.date(2025, 8, 1))


def test_the_command_prints_the_sentence_and_the_files(project: Wiring, tmp_path: Path) -> None:
    call = ["--project", str(project.project.root), "report", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert "report.en.html" in done.output
    assert (tmp_path / "tables" / "arms.csv").is_file()


def test_what_is_kept_of_each_night_is_what_the_report_says(
    project: Wiring, quarter: Quarter
) -> None:
    after = quarter.last + dt.timedelta(days=1)
    first, last = period(project, None, None)
    whole = arms_table(build_cohort(gather(project, first, last)))
    assert standing(project, after).equals(whole)
    assert standing(project, first).is_empty()


def test_running_arms_are_analysed_for_a_look_of_any_day(project: Wiring, written: Written) -> None:
    call = ["--project", str(project.project.root), "experiment", "analyse"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert "engine against holdout: go on" in done.output
    rows = json.loads(CliRunner().invoke(app, [*call, "--json"]).output)
    margin = next(row for row in rows if row["outcome"] == "margin")
    head = written.report.headline.effect
    assert margin["estimate"] == pytest.approx(head.estimate)
    assert margin["lower"] < margin["fixed_lower"] == pytest.approx(head.lower)
    done = CliRunner().invoke(app, [*call, "--control", "nobody"])
    assert done.exit_code == 2 or "engine, holdout" in str(done.exception)


def test_what_a_test_could_find_is_said_before_it_begins(project: Wiring, written: Written) -> None:
    call = ["--project", str(project.project.root), "experiment", "power", "--to"]
    done = CliRunner().invoke(app, [*call, str(written.last), "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.output)
    assert [row["weeks"] for row in rows] == [2, 4, 8, 13, 26]
    shares = [row["share_of_margin"] for row in rows]
    assert shares == sorted(shares, reverse=True)


def test_another_policy_is_valued_from_the_log_or_refused(project: Wiring) -> None:
    call = ["--project", str(project.project.root), "experiment", "what-if"]
    done = CliRunner().invoke(app, [*call, "times 0.5"])
    assert done.exit_code == 0, done.output
    assert "per customer and day" in done.output
    done = CliRunner().invoke(app, [*call, "only nobody"])
    assert "there is no policy" in str(done.exception)
