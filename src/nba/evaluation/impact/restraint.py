"""Minutes and what one more would earn; who got nothing, and why; contacts not made."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from nba.evaluation.arm_effects import Effect, difference
from nba.evaluation.impact.cohort import CONTROL, Cohort
from nba.evaluation.impact.inputs import ImpactInputs
from nba.evaluation.intervals import bootstrap
from nba.schema.words import OWN_HABIT_ARMS, Arm, Mode, ResponseKind

NONE: Final = str(Mode.NONE)
DRAWS: Final = 400
#: Why an open customer got nothing on a day.
NOT_WORTH_IT: Final = "not_worth_it"
OTHERS_FIRST: Final = "others_first"
NOT_DRAWN: Final = "not_drawn"
#: Arms that get no list, on purpose.
_NO_LIST: Final = (CONTROL, *map(str, OWN_HABIT_ARMS))


def minutes_table(inputs: ImpactInputs, contacts: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """Return the minutes of each store and what one more hour would earn.

    Parameters
    ----------
    inputs : ImpactInputs
    contacts : DataFrame
    seed : int
        Of the bootstrap over days.

    Returns
    -------
    DataFrame
        store_id (null: all), minutes (of the clerks, on days with a plan), planned, used (of the
        contacts made), hour_value, hour_lower, hour_upper: the price of a minute in the plans
        times sixty, weighted by the clerks' minutes, with a 95 % band over days.
    """
    ledger = inputs.ledger.filter(pl.col("minutes") > 0)
    used = contacts.join(inputs.clerks.select("clerk_id", "store_id"), on="clerk_id", how="left")
    spent = used.group_by("store_id").agg(used=pl.col("minutes").fill_null(0).sum())
    rows = []
    for (store,), part in [((None,), ledger), *ledger.group_by("store_id", maintain_order=True)]:
        if part.is_empty():
            continue
        rows.append(
            {
                "store_id": store,
                "minutes": part["minutes"].sum(),
                "planned": part["minutes_planned"].sum(),
                **_hour(part, seed),
            }
        )
    columns = ("minutes", "planned", "hour_value", "hour_lower", "hour_upper")
    table = pl.DataFrame(rows, schema={"store_id": pl.String, **dict.fromkeys(columns, pl.Float64)})
    everywhere = float(spent["used"].sum()) if spent.height else 0.0
    return table.join(spent.drop_nulls("store_id"), on="store_id", how="left").with_columns(
        used=pl.when(pl.col("store_id").is_null())
        .then(pl.lit(everywhere))
        .otherwise(pl.col("used").fill_null(0.0))
    )


def _hour(ledger: pl.DataFrame, seed: int) -> dict[str, float]:
    """Return the value of one more hour with its band, resampled by day."""
    priced = ledger.filter(pl.col("price_per_minute").is_finite())
    if priced.is_empty():
        return {}
    price = 60.0 * priced["price_per_minute"].to_numpy()
    minutes = priced["minutes"].to_numpy()
    day = priced["day"].rank("dense").to_numpy()
    found = bootstrap(
        lambda rows: {"hour": float(np.average(price[rows], weights=minutes[rows]))},
        len(price),
        draws=DRAWS,
        seed=seed,
        groups=day,
    )["hour"]
    return {"hour_value": found.estimate, "hour_lower": found.lower, "hour_upper": found.upper}


def minutes_beyond(pair: Cohort, contacts: pl.DataFrame) -> Effect:
    """Return the clerk minutes per customer of an arm beyond those of the control.

    What clerks do anyway (habits, answers to cases) goes to both alike and cancels, as it does in
    what the arm earned.

    Parameters
    ----------
    pair : Cohort
        The customers of the arm and those of the control, see `Cohort.against`.
    contacts : DataFrame
        customer_id, day, minutes of every contact of the period.
    """
    keys = ["customer_id", "start"]
    spent = (
        pair.table.select(*keys, "end")
        .join(contacts.select("customer_id", "day", "minutes"), on="customer_id")
        .filter(pl.col("day").is_between(pl.col("start"), pl.col("end")))
        .group_by(keys)
        .agg(pl.col("minutes").sum())
    )
    table = pair.table.join(spent, on=keys, how="left", maintain_order="left")
    return Cohort(table.with_columns(pl.col("minutes").fill_null(0.0))).effect("minutes")


def nothing_table(inputs: ImpactInputs) -> pl.DataFrame:
    """Return the customers who were never listed in the period, by the reason that held mostly.

    Returns
    -------
    DataFrame
        reason, customers, share of all who could be listed; `not_worth_it`: no action was worth
        more than leaving them alone; `others_first`: others were worth more of the clerk's
        minutes; `not_drawn`: of the random arm, whose contacts are drawn whatever they are worth;
        else the rule of the contact policy that closed every action.
    """
    log = inputs.log.filter(~pl.col("arm").is_in(_NO_LIST))
    everyone = log["customer_id"].n_unique()
    listed = log.filter(pl.col("mode") != NONE).select("customer_id").unique()
    mostly = (
        log.join(listed, on="customer_id", how="anti")
        .with_columns(reason=_reason())
        .group_by("customer_id", "reason")
        .len()
        .sort("len", "reason", descending=[True, False])
        .unique("customer_id", keep="first", maintain_order=True)
    )
    return (
        mostly.group_by("reason")
        .agg(customers=pl.len().cast(pl.Int64))
        .with_columns(share=pl.col("customers") / max(everyone, 1))
        .sort("customers", "reason", descending=[True, False])
    )


def _reason() -> pl.Expr:
    return (
        pl.when((pl.col("arm") == str(Arm.RANDOM)) & pl.col("best_value").is_not_null())
        .then(pl.lit(NOT_DRAWN))
        .when(pl.col("best_value") > 0)
        .then(pl.lit(OTHERS_FIRST))
        .when(pl.col("closed").is_not_null())
        .then(pl.col("closed"))
        .otherwise(pl.lit(NOT_WORTH_IT))
    )


def restraint_table(inputs: ImpactInputs, contacts: pl.DataFrame, cohort: Cohort) -> pl.DataFrame:
    """Return how often a customer was left alone on purpose, and what contacts cost in friends.

    Returns
    -------
    DataFrame
        what, value: `contacts`; `left_alone_not_worth_it` and `left_alone_by_policy`, customer
        days on which an action was refused; `blocks` and `complaints`, and both per thousand
        contacts; `blocks_avoided`: the contacts refused times the blocks per contact beyond
        those of the held out.
    """
    log = inputs.log.filter(~pl.col("arm").is_in(_NO_LIST))
    alone = log.filter(pl.col("mode") == NONE)
    by_draw = pl.col("arm") == str(Arm.RANDOM)
    not_worth = alone.filter((pl.col("best_value") <= 0) & ~by_draw).height
    policy = alone.filter(pl.col("best_value").is_null() & (pl.col("closed") != "clerk_off")).height
    lost = _negatives(inputs)
    counts = {kind: lost.filter(pl.col("kind") == kind).height for kind in _KINDS}
    made = contacts.height
    rate = {kind: count / made if made else 0.0 for kind, count in counts.items()}
    caused = _caused_blocks(inputs, cohort)
    held_out = caused.control_mean * caused.treated if np.isfinite(caused.control_mean) else 0.0
    beyond = max(counts[_BLOCKED] - held_out, 0.0) / made if made else 0.0
    values = {
        "contacts": float(made),
        "left_alone_not_worth_it": float(not_worth),
        "left_alone_by_policy": float(policy),
        "blocks": float(counts[_BLOCKED]),
        "complaints": float(counts[_COMPLAINED]),
        "blocks_per_1000": 1000 * rate[_BLOCKED],
        "complaints_per_1000": 1000 * rate[_COMPLAINED],
        "blocks_avoided": beyond * (not_worth + policy),
    }
    return pl.DataFrame({"what": list(values), "value": list(values.values())})


_BLOCKED: Final = str(ResponseKind.BLOCKED)
_COMPLAINED: Final = str(ResponseKind.COMPLAINED)
_KINDS: Final = (_BLOCKED, _COMPLAINED)


def _negatives(inputs: ImpactInputs) -> pl.DataFrame:
    """Return the blocks and complaints of the period: customer_id, day, kind."""
    sender = inputs.interactions.select("interaction_id", sent_to="customer_id")
    return (
        inputs.responses.filter(pl.col("kind").is_in(_KINDS))
        .join(sender, on="interaction_id", how="left")
        .select(
            customer_id=pl.coalesce("customer_id", "sent_to"),
            day=pl.col("ts").dt.date(),
            kind="kind",
        )
        .filter(pl.col("day").is_between(inputs.first, inputs.last))
        .unique(["customer_id", "day", "kind"])
    )


def _caused_blocks(inputs: ImpactInputs, cohort: Cohort) -> Effect:
    """Return the difference in the share of customers who blocked, planned for against held out."""
    blocked = _negatives(inputs).filter(pl.col("kind") == _BLOCKED)["customer_id"].unique()
    flag = cohort.table["customer_id"].is_in(blocked.to_list()).cast(pl.Float64).to_numpy()
    return difference(flag, cohort.treated, cluster=cohort.unit)
