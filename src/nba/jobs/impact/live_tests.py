"""`nba experiment start|stop|list`: tests of arms beside the engine, with a guard.

A test gives a share of the customers to simple lists, or to arms that plan by another catalogue,
contact policy, levers, texts or models. Its shares take the place of those in `nba.yaml` while it
runs; each night looks at it, and an arm that does harm ends it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

import polars as pl
from pydantic import ValidationError

from nba.decisions.settings import DecisionSettings
from nba.errors import ConflictError, NotFoundError, UsageError
from nba.evaluation.impact.cohort import build_cohort
from nba.evaluation.impact.live import analyse
from nba.files import write_text
from nba.jobs.impact.gather import gather
from nba.jobs.impact.live import DAYS, SAID, analysis_lines, last_quarter, plan_test
from nba.jobs.impact.live_record import (
    ArmRecord,
    LiveTest,
    record_file,
    running_test,
    shares_of,
)
from nba.jobs.impact.live_spec import broken
from nba.jobs.impact.live_units import DrawnUnits, draw_units, power_by_units, units_now
from nba.schema.words import SIMPLE_ARMS, Arm, DrawUnit
from nba.settings import PolicyShares, arm_shares
from nba.stores.runs import open_run
from nba.validation import validation_problems
from nba.wiring import Wiring

#: The MLflow experiment in which ended tests are logged.
EXPERIMENT: Final = "nba tests"
#: Verdicts that end a test by themselves.
ENDS: Final = ("stop_harm", "stop_broken", "worse")
#: What the arms are held against.
CONTROL: Final = str(Arm.ENGINE)


def start_test(
    wiring: Wiring,
    name: str,
    arms: Mapping[str, ArmRecord],
    *,
    weeks: int,
    reason: str,
    unit: DrawUnit = DrawUnit.CUSTOMER,
) -> LiveTest:
    """Start a test, from the next plan on.

    Parameters
    ----------
    wiring : Wiring
    name : str
    arms : mapping of str to ArmRecord
        By name; one that changes nothing is a simple list.
    weeks : int
    reason : str
        What is to be decided by it.
    unit : DrawUnit
        Who draws an arm; clerks, stores and groups do for all their customers.

    Raises
    ------
    UsageError
        For an arm that is no simple list, shares that leave the engine nothing, or too few units.
    ConflictError
        When a test runs already, or the name is taken.
    """
    known = [str(arm) for arm in SIMPLE_ARMS]
    own = {arm: record for arm, record in arms.items() if record.changes}
    wrong = sorted(set(arms) - set(own) - set(known))
    if wrong or not arms:
        raise UsageError(
            "a test is of simple lists, or of arms that a file describes",
            expected=f"--arm LIST=SHARE with {', '.join(known)}; or --spec FILE",
            found=", ".join(wrong) or "no arm",
        )
    shares = {arm: record.share for arm, record in arms.items()}
    other = running_test(wiring.project)
    if other is not None or record_file(wiring.project, name).is_file():
        raise ConflictError(
            "a test runs already" if other else "the name is taken",
            expected="one test at a time, each under a name of its own",
            found=other.name if other else name,
            next_step=f"nba experiment stop {other.name} --reason …" if other else "another name",
        )
    started, drawn = _next_day(wiring), _drawn(wiring, name, unit, shares)
    try:
        test = LiveTest(
            name=name, arms=shares, own=own, weeks=weeks, started=started, reason=reason
        ).model_copy(update=_findable(wiring, started, shares, weeks, drawn))
    except ValidationError as error:
        raise validation_problems(
            "the test cannot be kept", error, LiveTest, page="docs/live-tests.md"
        ) from error
    write_text(record_file(wiring.project, name), test.model_dump_json(indent=1) + "\n")
    return test


def _drawn(
    wiring: Wiring, name: str, unit: DrawUnit, shares: Mapping[str, float]
) -> DrawnUnits | None:
    """Return how the units draw; None where each customer does."""
    if unit is DrawUnit.CUSTOMER:
        return None
    if sum(shares.values()) >= 1:
        raise UsageError("the engine is left no customers", expected="shares below 1 in all")
    salt = f"{wiring.decision_settings.salt}/{name}"
    return draw_units(units_now(wiring, unit), unit, shares, salt)


def _left_to_the_engine(wiring: Wiring, shares: Mapping[str, float]) -> float:
    """Return the engine's share beside those of a test's arms."""
    lists = {str(arm): shares.get(arm, 0.0) for arm in SIMPLE_ARMS}
    own = {arm: share for arm, share in shares.items() if arm not in lists}
    try:
        settings = DecisionSettings(
            arms=wiring.settings.arms, policies=PolicyShares(**lists), variants=own
        )
    except ValidationError as error:
        said = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise UsageError(
            "the test's arms do not fit beside those of nba.yaml",
            expected="shares that leave the engine some customers: below "
            f"{arm_shares(wiring.settings.arms, PolicyShares())[Arm.ENGINE]:g} in all",
            found=said,
            next_step="give the arms smaller shares",
        ) from error
    engine = settings.shares[Arm.ENGINE]
    if engine <= 1e-9:
        raise UsageError("the engine is left no customers", expected="shares below 1 in all")
    return engine


def _findable(
    wiring: Wiring,
    started: date,
    shares: Mapping[str, float],
    weeks: int,
    drawn: DrawnUnits | None,
) -> dict[str, object]:
    """Return what a record says of the draw, and of the difference that it can find.

    Parameters
    ----------
    wiring : Wiring
    started : date
    shares : mapping of str to float
        By arm.
    weeks : int
    drawn : DrawnUnits or None
        How the units draw; None where each customer does.
    """
    if drawn is None:
        engine = _left_to_the_engine(wiring, shares)
        return {"detectable": _detectable(wiring, started, shares, engine, weeks)}
    told: dict[str, object] = {
        "unit": drawn.draw.unit, "salt": drawn.draw.salt, "units": drawn.counts
    }  # fmt: skip
    *arms, engine_units = drawn.counts.values()
    planned = wiring.decision_settings.shares_of_customers[Arm.ENGINE]
    try:
        past = last_quarter(wiring, started - timedelta(days=1))
        units = units_now(wiring, drawn.draw.unit)
        power = power_by_units(past, units, (min(arms), engine_units), planned)
    except NotFoundError:
        return told
    longer = math.sqrt(weeks * 7 / DAYS)
    return {**told, "detectable": power.detectable * longer, "icc": power.correlation}


def _next_day(wiring: Wiring) -> date:
    planned = wiring.runs.planned_days()
    return planned[-1] + timedelta(days=1) if planned else date.today()


def _detectable(
    wiring: Wiring, started: date, arms: Mapping[str, float], engine: float, weeks: int
) -> float | None:
    """Return what the smallest arm finds against the engine; None without a year of sales."""
    try:
        least = min(arms.values())
        sizes = plan_test(wiring, started - timedelta(days=1), share=least / (least + engine))
    except NotFoundError:
        return None
    row = sizes.row(0, named=True)
    # the variance grows with the length; the customers are those of both arms
    return float(row["detectable"]) * math.sqrt(weeks / row["weeks"] / (least + engine))


def look_at(wiring: Wiring, test: LiveTest, before: date) -> pl.DataFrame:
    """Return what each arm of a test changed against the engine so far; empty before it has days.

    Customers who changed their arm since it began are left out; where clerks, stores or groups
    draw, who came to another one counts for the first.
    """
    days = [day for day in wiring.runs.planned_days() if test.started <= day < before]
    if not days:
        return pl.DataFrame()
    inputs = gather(wiring, days[0], days[-1])
    if test.by_units is None:
        inputs = replace(inputs, stayed=True)
    inputs = replace(inputs, shares=shares_of(wiring, test), by_units=test.by_units)
    cohort = build_cohort(inputs)
    kept = cohort.table.filter(pl.col("arm").is_in([*test.arms, CONTROL]))
    if kept["arm"].n_unique() < 2:
        return pl.DataFrame()
    return analyse(inputs, type(cohort)(kept), CONTROL)


def guard(wiring: Wiring, day: date) -> Sequence[str]:
    """Look at the running test before a night plans, and end it where an arm does harm."""
    test = running_test(wiring.project)
    if test is None:
        return ()
    if why := broken(wiring, test.own):
        stop_test(wiring, test.name, reason=f"its arms cannot be planned: {why}", day=day)
        return (f"WARN the test {test.name} is ended: its arms cannot be planned: {why}",)
    seen = look_at(wiring, test, day)
    if seen.is_empty():
        return ()
    bad = seen.filter(pl.col("verdict").is_in(ENDS)).unique("arm", maintain_order=True)
    if bad.is_empty():
        return ()
    arm, verdict = bad.select("arm", "verdict").row(0)
    why = f"{arm}: {SAID[verdict]}"
    stop_test(wiring, test.name, reason=why, day=day)
    return (f"WARN the test {test.name} is ended: {why}",)


def stop_test(wiring: Wiring, name: str, *, reason: str, day: date | None = None) -> LiveTest:
    """End a test: from the next plan on the shares of `nba.yaml` hold again; logged in MLflow.

    Parameters
    ----------
    wiring : Wiring
    name : str
    reason : str
    day : date, optional
        The first day that is not planned under it; by default the one after the last plan.

    Raises
    ------
    NotFoundError
        When no test of this name runs.
    """
    test = running_test(wiring.project)
    if test is None or test.name != name:
        raise NotFoundError(
            f"no test {name!r} runs",
            found=test.name if test else "none",
            next_step="`nba experiment list` names them",
        )
    ended = test.model_copy(update={"stopped": day or _next_day(wiring), "why": reason})
    assert ended.stopped is not None
    seen = look_at(wiring, test, ended.stopped)
    write_text(record_file(wiring.project, name), ended.model_dump_json(indent=1) + "\n")
    _log(wiring, ended, seen)
    return ended


def _log(wiring: Wiring, test: LiveTest, seen: pl.DataFrame) -> None:
    """Log an ended test in MLflow: what it was for, why it ended, what every arm changed."""
    currency = wiring.settings.currency
    lines = analysis_lines(seen, currency) if seen.height else ["no day was planned under it"]
    run = open_run(
        wiring.project.tracking_uri,
        EXPERIMENT,
        name=f"{test.name}: {test.why}"[:250],
        description="\n\n".join([test.reason, *lines]),
    )
    metrics = {
        f"{row['arm']}/{row['outcome']}{end}": row[column]
        for row in seen.iter_rows(named=True)
        for column, end in (("estimate", ""), ("lower", "_lower"), ("upper", "_upper"))
        if row[column] is not None and math.isfinite(row[column])
    }
    changes = {f"{arm}_changes": ", ".join(own.changes) for arm, own in test.own.items()}
    units = {f"{arm}_{test.unit}s": count for arm, count in test.units.items()}
    asked = {"from": str(test.started), "weeks": test.weeks, "unit": str(test.unit)}
    parameters = {**asked, **test.arms, **units, **changes}
    run.finish(parameters=parameters, metrics=metrics)
