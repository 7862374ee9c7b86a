"""What one listing changed, by mode, action type and sequence: from the chances of the log.

On one day, a customer with an open action was listed or left alone with known probabilities. Those
left alone, weighted by the chance that they had of being listed over the chance of being left
alone, stand for what the listed would have done.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.evaluation.arm_effects import Effect, difference, relative
from nba.evaluation.effect_gains import MIN_LISTINGS
from nba.evaluation.impact.cohort import CONTROL
from nba.evaluation.impact.inputs import SEQUENCE_DAYS, ImpactInputs
from nba.evaluation.off_policy import MIN_EFFECTIVE_ROWS
from nba.schema.words import Mode

NONE: Final = str(Mode.NONE)
#: Days of purchases before a listing that tell what a customer would do anyway.
LOOK_BACK: Final = (30, 91, 364)
#: What came before a listing, within `SEQUENCE_DAYS`.
SEQUENCES: Final = ("first", "same_mode", "other_mode")
#: What was bought before a listing, in rows of `listing_rows`.
PAST: Final = [f"{name}_{days}" for days in LOOK_BACK for name in ("margin", "orders")]


def listing_rows(inputs: ImpactInputs) -> pl.DataFrame:
    """Return a row per customer and day with an open action and a chance of being left alone.

    Columns: those of the log; orders, amount and margin of the outcome days; the same before
    (`margin_30` …); `since_mode`, the mode of the contact before. Days whose outcome is not
    complete by the end of the period are left out.
    """
    latest = inputs.last - timedelta(days=inputs.outcome_days - 1)
    rows = inputs.log.filter(
        (pl.col("arm") != CONTROL) & (pl.col("p_none") > 0) & (pl.col("day") <= latest)
    ).sort("customer_id", "day")
    running = (
        inputs.days.sort("customer_id", "day")
        .with_columns(pl.col("orders", "amount", "margin").cum_sum().over("customer_id"))
        .sort("day")
    )
    rows = until(rows, running, inputs.outcome_days - 1, "until")
    rows = until(rows, running, -1, "before")
    for days in LOOK_BACK:
        rows = until(rows, running, -1 - days, f"back_{days}")
    names = ("orders", "amount", "margin")
    rows = rows.with_columns(
        *((pl.col(f"{name}_until") - pl.col(f"{name}_before")).alias(name) for name in names),
        *(
            (pl.col(f"{name}_before") - pl.col(f"{name}_back_{days}")).alias(f"{name}_{days}")
            for days in LOOK_BACK
            for name in ("margin", "orders")
        ),
    )
    rows = rows.drop("^.*_(until|before|back_.*)$")
    return _with_contact_before(rows, inputs.interactions).sort("customer_id", "day")


def until(rows: pl.DataFrame, running: pl.DataFrame, shift: int, name: str) -> pl.DataFrame:
    """Add what each customer had bought in all by the end of the day `shift` days later.

    Parameters
    ----------
    rows : DataFrame
        customer_id, day, and what else shall stay.
    running : DataFrame
        customer_id, day, and the running sums of orders, amount and margin; sorted by day.
    shift : int
    name : str
        Ending of the three new columns.
    """
    cut = rows.with_columns(cut=pl.col("day") + pl.duration(days=shift)).sort("cut")
    sums = running.select(
        "customer_id",
        pl.col("day").alias("cut"),
        pl.col("orders", "amount", "margin").cast(pl.Float64).name.suffix(f"_{name}"),
    )
    joined = cut.join_asof(sums, on="cut", by="customer_id", check_sortedness=False).drop("cut")
    return joined.with_columns(pl.col(f"^.*_{name}$").fill_null(0.0))


def _with_contact_before(rows: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Add the mode of the latest contact in the days before."""
    made = (
        interactions.filter(pl.col("mode") != NONE)
        .select("customer_id", "ts", since_mode="mode")
        .sort("ts")
    )
    cut = rows.with_columns(at=pl.col("day").cast(pl.Datetime("us")) - pl.duration(microseconds=1))
    return cut.sort("at").join_asof(
        made.with_columns(at=pl.col("ts").cast(pl.Datetime("us"))).drop("ts"),
        on="at",
        by="customer_id",
        tolerance=timedelta(days=SEQUENCE_DAYS),
        check_sortedness=False,
    ).drop("at")  # fmt: skip


def listings_table(rows: pl.DataFrame, chances: pl.DataFrame, by: str) -> pl.DataFrame:
    """Return what a listing of each kind changed in the outcome days, per listing and in sum.

    Parameters
    ----------
    rows : DataFrame
        Of `listing_rows`.
    chances : DataFrame
        day, customer_id, mode, action_type, probability.
    by : str
        `mode` or `action_type`.

    Returns
    -------
    DataFrame
        `by`, listings, effective (rows left alone that stand against them), estimate,
        standard_error, lower, upper (margin per listing; null where the log cannot say), total,
        and the relative changes `active`, `frequency`, `order_value` with `_lower` and `_upper`.
    """
    found = []
    for kind in sorted(chances[by].unique().to_list()):
        pair = _pair(rows, chances.filter(pl.col(by) == kind), by, kind)
        found.append({by: kind, **_measured(pair)})
    return _table(found, by)


def sequences_table(rows: pl.DataFrame, chances: pl.DataFrame) -> pl.DataFrame:
    """Return what a listing changed, by what came in the days before it; columns as above."""
    pairs: dict[str, list[pl.DataFrame]] = {name: [] for name in SEQUENCES}
    for mode in sorted(chances["mode"].unique().to_list()):
        pair = _pair(rows, chances.filter(pl.col("mode") == mode), "mode", mode)
        before = pl.col("since_mode")
        pairs["first"].append(pair.filter(before.is_null()))
        pairs["same_mode"].append(pair.filter(before == mode))
        pairs["other_mode"].append(pair.filter(before != mode))
    found = [
        {"sequence": name, **_measured(pl.concat(parts))} for name, parts in pairs.items() if parts
    ]
    return _table(found, "sequence")


def _pair(rows: pl.DataFrame, chances: pl.DataFrame, by: str, kind: str) -> pl.DataFrame:
    """Return the rows that drew a kind and those left alone that could have drawn it, weighted."""
    chance = chances.group_by("day", "customer_id").agg(p_kind=pl.col("probability").sum())
    drawn = pl.col(by) == kind if by == "mode" else pl.col("action_type") == kind
    alone = pl.col("mode") == NONE
    return (
        rows.filter(drawn | alone)
        .join(chance.filter(pl.col("p_kind") > 0), on=["day", "customer_id"])
        .with_columns(
            listed=drawn,
            weight=pl.when(alone).then(pl.col("p_kind") / pl.col("p_none")).otherwise(1.0),
        )
    )


def _measured(pair: pl.DataFrame) -> dict[str, float | int | None]:
    listed = pair["listed"].to_numpy().astype(bool)
    weight = pair["weight"].to_numpy()
    alone = np.where(listed, 0.0, weight)
    squares = float(np.square(alone).sum())
    effective = float(alone.sum()) ** 2 / squares if squares else 0.0
    count = int(listed.sum())
    row: dict[str, float | int | None] = {"listings": count, "effective": effective}
    if count < MIN_LISTINGS or effective < MIN_EFFECTIVE_ROWS:
        return row
    cluster = pair["customer_id"].rank("dense").to_numpy()
    covariates = np.column_stack([pair[name].to_numpy() for name in PAST])
    effect = difference(
        pair["margin"].to_numpy(), listed, covariates=covariates, cluster=cluster, weight=weight
    )
    total = effect.times(count)
    row |= effect.columns() | {
        "total": total.estimate,
        "total_lower": total.lower,
        "total_upper": total.upper,
    }
    orders, amount = pair["orders"].to_numpy(), pair["amount"].to_numpy()
    buyers = (orders > 0).astype(np.float64)
    weights = np.where(listed, 1.0, 0.0), alone

    def change(top: Floats, bottom: Floats) -> Effect:
        return relative(top, bottom, *weights, cluster=cluster)

    changes = {
        "active": change(buyers, np.ones(len(buyers))),
        "frequency": change(orders, buyers),
        "order_value": change(amount, orders),
    }
    for name, one in changes.items():
        row |= {name: one.estimate, f"{name}_lower": one.lower, f"{name}_upper": one.upper}
    return row


def _table(rows: list[dict[str, float | int | str | None]], by: str) -> pl.DataFrame:
    effects = (
        "estimate",
        "standard_error",
        "lower",
        "upper",
        "total",
        "total_lower",
        "total_upper",
    )
    levers = [
        f"{name}{end}"
        for name in ("active", "frequency", "order_value")
        for end in ("", "_lower", "_upper")
    ]
    schema = {by: pl.String, "listings": pl.Int64, "effective": pl.Float64}
    numbers = dict.fromkeys([*effects, *levers], pl.Float64)
    table = pl.DataFrame(rows, schema={**schema, **numbers})
    return table.with_columns(pl.col(list(numbers)).fill_nan(None))
