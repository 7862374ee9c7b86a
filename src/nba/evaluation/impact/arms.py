"""What contacting earned over leaving alone: by arm and by group of customers, and how."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import polars as pl

from nba.decisions.settings import UnitDraw
from nba.evaluation.arm_effects import Effect, adjusted, difference, relative, sample_ratio
from nba.evaluation.arm_effects import shrunk as pulled
from nba.evaluation.impact.cohort import CONTROL, SEGMENTS, Cohort
from nba.schema.words import SIMPLE_ARMS, Arm

#: A group with fewer customers in either arm is not shown apart.
MIN_CUSTOMERS: Final = 10
#: Of a normal distribution.
Z: Final = 1.959964


def main_arm(cohort: Cohort) -> str:
    """Return the arm that the report is about: the engine's, else the largest but the control."""
    counts: dict[str, int] = dict(cohort.table["arm"].value_counts().iter_rows())
    counts.pop(CONTROL, None)
    if str(Arm.ENGINE) in counts or not counts:
        return str(Arm.ENGINE)
    return max(sorted(counts), key=lambda arm: counts[arm])


def arms_table(cohort: Cohort) -> pl.DataFrame:
    """Return a row per arm: customers, margin per customer, and what it earned over the control.

    Columns: arm, customers, margin_mean, orders_mean, estimate, standard_error, lower, upper (per
    customer, over the control), total, total_lower, total_upper (all customers of the arm).
    """
    rows = []
    for arm in sorted(cohort.table["arm"].unique().to_list()):
        own = cohort.table.filter(pl.col("arm") == arm)
        row = {
            "arm": arm,
            "customers": own.height,
            "margin_mean": own["margin"].mean(),
            "orders_mean": own["orders"].mean(),
        }
        if arm != CONTROL:
            row |= _in_money(cohort.against(arm).effect("margin"), own.height)
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def against_lists(cohort: Cohort) -> tuple[str, Effect] | None:
    """Return the simple list that earned most, and what the engine earned over it per customer.

    None where no list ran beside the engine.
    """
    arms = cohort.table.group_by("arm").agg(pl.col("margin").mean()).sort("arm")
    lists = arms.filter(pl.col("arm").is_in([str(arm) for arm in SIMPLE_ARMS]))
    if lists.is_empty() or str(Arm.ENGINE) not in arms["arm"]:
        return None
    best = str(lists.sort("margin", descending=True, maintain_order=True)["arm"][0])
    return best, _over(cohort, str(Arm.ENGINE), best)


def _over(cohort: Cohort, arm: str, other: str) -> Effect:
    """Return what an arm earned over another per customer."""
    both = cohort.pair(arm, other)
    return both.difference("margin", (both.table["arm"] == arm).to_numpy())


def own_arms_table(cohort: Cohort, arms: Collection[str]) -> pl.DataFrame:
    """Return what each arm with rules of its own earned over the engine.

    Columns: arm, customers, estimate, standard_error, lower, upper, per customer; units, units_held
    (how many clerks, stores or groups drew the arm and the engine; null where customers did); a row
    for each of `arms` that has customers beside the engine's.
    """
    sizes: dict[str, int] = dict(cohort.table["arm"].value_counts().iter_rows())
    there = sorted(set(arms) & set(sizes)) if str(Arm.ENGINE) in sizes else []
    rows = [
        {
            "arm": one,
            "customers": sizes[one],
            **_over(cohort, one, str(Arm.ENGINE)).columns(),
            **cohort.pair(one, str(Arm.ENGINE)).counted_units(one),
        }
        for one in there
    ]
    return pl.DataFrame(rows, schema=None if rows else {"arm": pl.String, "estimate": pl.Float64})


def _in_money(effect: Effect, customers: int) -> dict[str, float]:
    total = effect.times(customers)
    return effect.columns() | {
        "total": total.estimate,
        "total_lower": total.lower,
        "total_upper": total.upper,
    }


def groups_table(cohort: Cohort, arm: str, column: str, *, shrink: bool) -> pl.DataFrame:
    """Return what an arm earned over the control in each group of customers.

    Parameters
    ----------
    cohort : Cohort
    arm : str
    column : str
        `store_id`, `clerk_id` or `segment`: known when the arm was drawn.
    shrink : bool
        Pull the groups towards their mean as far as they differ by noise alone.

    Returns
    -------
    DataFrame
        `column`, customers, held_out, margin_mean, estimate, standard_error, lower, upper (per
        customer), total, total_lower, total_upper; groups of fewer than ten customers in an
        arm have no estimate.
    """
    pair = cohort.against(arm)
    outcome = adjusted(pair.array("margin"), pair.treated, pair.covariates)
    table = pair.table.with_columns(adjusted=pl.Series(outcome))
    rows = []
    for (name,), part in table.group_by(column, maintain_order=True):
        treated = (part["arm"] != CONTROL).to_numpy()
        effect = difference(
            part["adjusted"].to_numpy(), treated, cluster=part["unit"].rank("dense").to_numpy()
        )
        enough = min(effect.treated, effect.control) >= MIN_CUSTOMERS
        own = part.filter(pl.Series(treated))
        rows.append(
            {
                column: name,
                "customers": effect.treated,
                "held_out": effect.control,
                "margin_mean": own["margin"].mean(),
                "estimate": effect.estimate if enough else None,
                "standard_error": effect.standard_error if enough else None,
                "lower": effect.lower if enough else None,
                "upper": effect.upper if enough else None,
            }
        )
    effects = pl.DataFrame(rows, schema=_schema(column))
    if shrink:
        effects = _shrink(effects)
    effects = effects.with_columns(
        total=pl.col("estimate") * pl.col("customers"),
        total_lower=pl.col("lower") * pl.col("customers"),
        total_upper=pl.col("upper") * pl.col("customers"),
    )
    if column == "segment":
        order = {name: place for place, name in enumerate(SEGMENTS)}
        return effects.sort(pl.col(column).replace_strict(order, default=len(order)))
    return effects.sort("total", column, descending=[True, False], nulls_last=True)


def _schema(column: str) -> Mapping[str, pl.DataType | type[pl.DataType]]:
    numbers = ("margin_mean", "estimate", "standard_error", "lower", "upper")
    return {
        column: pl.String,
        "customers": pl.Int64,
        "held_out": pl.Int64,
        **dict.fromkeys(numbers, pl.Float64),
    }


def _shrink(found: pl.DataFrame) -> pl.DataFrame:
    estimate, error = pulled(
        found["estimate"].fill_null(np.nan).to_numpy(),
        found["standard_error"].fill_null(np.nan).to_numpy(),
        found["customers"].cast(pl.Float64).to_numpy(),
    )
    return found.with_columns(
        estimate=pl.Series(estimate).fill_nan(None),
        standard_error=pl.Series(error).fill_nan(None),
    ).with_columns(
        lower=pl.col("estimate") - Z * pl.col("standard_error"),
        upper=pl.col("estimate") + Z * pl.col("standard_error"),
    )


def levers_table(cohort: Cohort, arm: str) -> pl.DataFrame:
    """Return how sales grew: more active friends, more orders of each, larger orders.

    Returns
    -------
    DataFrame
        lever, treated_mean, control_mean, and the relative change with its interval; `amount`
        splits the difference in sales per customer over the three (log-mean, no remainder).
    """
    pair = cohort.against(arm)
    treated = pair.treated
    weights = treated / max(treated.sum(), 1), ~treated / max((~treated).sum(), 1)
    orders, amount = pair.array("orders"), pair.array("amount")
    active, ones = (orders > 0).astype(np.float64), np.ones(len(orders))
    ratios = {
        "active": (active, ones),
        "frequency": (orders, active),
        "order_value": (amount, orders),
        "all": (amount, ones),
    }
    changes = {
        name: relative(*pair_, *weights, cluster=pair.unit) for name, pair_ in ratios.items()
    }
    whole = changes["all"]
    scale = np.log1p(whole.estimate)
    mean = (whole.treated_mean - whole.control_mean) / scale if scale else whole.control_mean
    return pl.DataFrame(
        {
            "lever": name,
            "treated_mean": change.treated_mean,
            "control_mean": change.control_mean,
            **change.columns(),
            "amount": float(mean * np.log1p(change.estimate)),
        }
        for name, change in changes.items()
    )


def ratio_check(
    cohort: Cohort, shares: Mapping[str, float], by_units: UnitDraw | None = None
) -> float:
    """Return the chance of arms at least as far from their shares as these.

    Parameters
    ----------
    cohort : Cohort
    shares : mapping of str to float
        Of the customers, by arm.
    by_units : UnitDraw, optional
        Where clerks, stores or groups drew arms: their numbers are checked too, and the customers
        of these arms are counted as one.
    """
    if by_units is None or not shares:
        return sample_ratio(_counts(cohort.table), dict(shares))
    of_units = [*by_units.shares, str(Arm.ENGINE)]
    engine = pl.when(pl.col("arm").is_in(of_units)).then(pl.lit(str(Arm.ENGINE))).otherwise("arm")
    told = {arm: share for arm, share in shares.items() if arm not in of_units}
    told[str(Arm.ENGINE)] = sum(shares[arm] for arm in of_units)
    customers = sample_ratio(_counts(cohort.table.with_columns(arm=engine)), told)
    return min(1.0, 2.0 * min(customers, units_check(cohort, by_units)))


def _counts(table: pl.DataFrame) -> dict[str, int]:
    return dict(table.unique(["unit", "period", "arm"]).group_by("arm").len().iter_rows())


def units_check(cohort: Cohort, draw: UnitDraw, arms: Collection[str] = ()) -> float:
    """Return the chance of numbers of units at least as far from their shares as these.

    Parameters
    ----------
    cohort : Cohort
    draw : UnitDraw
    arms : collection of str
        Compared with each other; by default all that units drew.
    """
    shares = {**draw.shares, str(Arm.ENGINE): max(1.0 - sum(draw.shares.values()), 0.0)}
    units = cohort.table.drop_nulls("drawn_by").filter(pl.col("arm") == pl.col("unit_arm"))
    counts = dict(units.unique(["drawn_by", "arm"]).group_by("arm").len().iter_rows())
    return sample_ratio(counts, {a: share for a, share in shares.items() if not arms or a in arms})


def weeks_to_tell(effect: Effect, weeks: float) -> float:
    """Return how many weeks more would tell the effect from zero, if it stays as it looks.

    The standard error of a rate falls with the square root of time; at least a week.
    """
    if not np.isfinite(effect.estimate) or effect.estimate == 0:
        return float("nan")
    needed = weeks * (Z * effect.standard_error / abs(effect.estimate)) ** 2
    return float(max(needed - weeks, 0.0))
