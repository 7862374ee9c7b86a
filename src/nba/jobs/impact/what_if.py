"""`nba experiment what-if`: a changed file, or another model, on the days that were planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl

from nba.decisions.rules import DecisionRules
from nba.errors import ModelError, UsageError
from nba.evaluation.impact.inputs import day_of_log
from nba.evaluation.impact.listings import listing_rows
from nba.evaluation.impact.what_if import WhatIf, replanned
from nba.jobs.impact.gather import gather, period
from nba.models.version import ModelVersion
from nba.pipeline.replan import replan
from nba.pipeline.train import MODELS
from nba.schema.words import Arm
from nba.wiring import Wiring

ENGINE = str(Arm.ENGINE)


def what_if_changed(
    wiring: Wiring,
    first: date | None,
    last: date | None,
    *,
    files: Mapping[str, Path],
    models: Mapping[str, str],
) -> WhatIf:
    """Return what changed files or other models would have earned with the engine's customers.

    Every day whose outcome is known is planned anew, with the facts of that morning.

    Parameters
    ----------
    wiring : Wiring
    first, last : date, optional
        Both in it; by default the days of all plans that are kept.
    files : mapping of str to Path
        In place of a file of `serving/`: `actions`, `contact_policy` or `levers`.
    models : mapping of str to str
        Versions in place of those that scored the days, by model.

    Raises
    ------
    ModelError
        When the log cannot say.
    InputRefusedError
        With every problem of a file.
    NotFoundError
        When there is no plan, or no such version.
    """
    rules = {name: _rules(wiring, name, path) for name, path in files.items()}
    versions = {name: _version(wiring, name, number) for name, number in models.items()}
    inputs = gather(wiring, *period(wiring, first, last))
    rows = listing_rows(inputs).filter(pl.col("arm") == ENGINE)
    days = _days(rows, versions)
    moments = {day: datetime.combine(day, time()) for day in days}
    logs = [day_of_log(replan(wiring.run(at), rules, versions)) for at in moments.values()]
    of_engine = inputs.log.filter((pl.col("arm") == ENGINE) & pl.col("day").is_in(days)).select(
        "day", "customer_id"
    )
    wanted = pl.concat(chances for _, chances in logs)
    name = " and ".join(
        [*(str(path) for path in files.values()), *(f"{m} {n}" for m, n in models.items())]
    )
    return replanned(
        rows.filter(pl.col("day").is_in(days)),
        inputs.chances.join(of_engine, on=["day", "customer_id"], how="semi"),
        wanted.join(of_engine, on=["day", "customer_id"], how="semi"),
        name=name,
    )


def _rules(wiring: Wiring, name: str, path: Path) -> DecisionRules:
    """Return the rules with a file in place of the project's."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read", found=str(error)) from error
    return wiring.decision_rules("", changes={name: content})


def _version(wiring: Wiring, name: str, number: str) -> ModelVersion:
    if name not in MODELS:
        raise UsageError(f"there is no model {name!r}", expected=", ".join(MODELS), found=name)
    return wiring.registry.version(name, number)


def _days(rows: pl.DataFrame, versions: Mapping[str, ModelVersion]) -> list[date]:
    """Return the days with a known outcome that no given version has learned from."""
    days: list[date] = sorted(rows["day"].unique().to_list())
    if not days:
        raise ModelError(
            "the log cannot say: no outcome of these days is known yet",
            expected="days whose outcome days are over, with actions that were drawn",
            next_step="ask again when they are, or name earlier days",
        )
    fitted = max((one.as_of.date() for one in versions.values()), default=days[0])
    unseen = [day for day in days if day >= fitted]
    if not unseen:
        raise ModelError(
            "the log cannot say: the version has learned from these days",
            expected=f"days from {fitted} on, the day of its fit, whose outcome is known",
            found=f"{days[0]} … {days[-1]}",
            next_step="ask again later, or let a test tell: `nba experiment start`",
        )
    return unseen


def what_if_figures(found: WhatIf) -> dict[str, Any]:
    """Return an estimate as plain values."""
    return {
        "policy": found.policy,
        "rows": found.rows,
        "days": found.days,
        "effective_rows": found.estimate.effective_rows,
        "clipped_share": found.estimate.clipped_share,
        "unseen_share": found.unseen_share,
        **asdict(found.difference),
    }


def what_if_lines(found: WhatIf, currency: str) -> list[str]:
    """Return an estimate as lines for people."""
    gap, estimate, week = found.difference, found.estimate, found.a_week
    sign = "proven" if gap.lower > 0 or gap.upper < 0 else "cannot be told from nothing"
    unseen = (
        f"; {found.unseen_share:.1%} of its contacts were never open and count as none"
        if found.unseen_share
        else ""
    )
    return [
        f"{found.policy}: {gap.value * week:+,.0f} {currency} of margin a week against what was "
        f"done, between {gap.lower * week:+,.0f} and {gap.upper * week:+,.0f} (95 %): {sign}",
        f"  {gap.value:+,.3f} {currency} per customer and day with an open action "
        f"[{gap.lower:+,.3f}, {gap.upper:+,.3f}]",
        f"  from {found.rows:,} decisions of {found.days} days, worth "
        f"{estimate.effective_rows:,.0f} of the policy's own; {estimate.clipped_share:.1%} of the "
        f"weights were cut{unseen}",
    ]
