"""Simple lists beside the engine, written from nothing but the tables that a retailer has.

They are yardsticks: the product's own simple policies are written apart from these.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from experiments.common.policies import (
    MostOverdue,
    NoContact,
    Oracle,
    PolicyFactory,
    RandomContacts,
    RecencySpend,
    actions,
    allocate,
)
from nba.arrays import Floats
from nba.schema.words import CONTACT_MODES, CategoryKind
from nba.simulation.config import MODE_MINUTES
from nba.simulation.observed import ObservedTables, Rules

#: A rough fit of category kind (short, group, premium) and mode, as the reports tell it.
FIT: Final = np.array([[1.0, 0.5, 0.4], [0.5, 1.0, 0.6], [0.3, 0.6, 1.2]])
#: Share of contacts that are answered, before any was made.
UNKNOWN_RATE: Final = 0.5
KINDS: Final = tuple(str(kind) for kind in CategoryKind)
#: Standard deviation of the log-normal fall of how due a category is.
DUE_SPREAD: Final = 0.8
#: Orders and gaps of the category that a customer's own are shrunk by.
SHRINK_MARGIN, SHRINK_GAP = 2.0, 1.0
#: Days between orders of a category that nobody has bought twice.
UNKNOWN_GAP: Final = 180.0
#: Contacts of the mode that a customer's own rate of answers is shrunk by.
SHRINK_RATE: Final = 6.0
FATIGUE_HALF_LIFE, FATIGUE_WEIGHT = 10.0, 0.25
_MODE_CODES: Final = range(len(CONTACT_MODES))
_ANSWERS: Final = ("read", "clicked", "replied", "purchased")


def last_products(observed: ObservedTables) -> pl.DataFrame:
    """Return the product that each customer bought last."""
    return (
        observed.purchases()
        .sort("date", "product_id")
        .group_by("customer_id", maintain_order=True)
        .agg(pl.col("product_id").tail(1).alias("product_ids"))
    )


class OverdueWithLast(MostOverdue):
    """The most overdue customers, with the product that each bought last."""

    name = "most_overdue"

    def plan(self, day: dt.date, observed: ObservedTables) -> pl.DataFrame | None:
        """Return the day's actions."""
        return _with_last(super().plan(day, observed), observed)


class RecencySpendWithLast(RecencySpend):
    """Recency and spend, with the product that each bought last."""

    name = "recency_spend"

    def plan(self, day: dt.date, observed: ObservedTables) -> pl.DataFrame | None:
        """Return the day's actions."""
        return _with_last(super().plan(day, observed), observed)


def _with_last(plan: pl.DataFrame | None, observed: ObservedTables) -> pl.DataFrame | None:
    if plan is None:
        return None
    last = last_products(observed)
    columns = plan.columns
    joined = plan.drop("product_ids").join(
        last, on="customer_id", how="left", maintain_order="left"
    )
    return joined.select(columns)


def category_states(day: dt.date, observed: ObservedTables) -> pl.DataFrame:
    """Return a row per customer and category bought: how due, what an order earns, what to bring.

    Columns: customer_id, category, kind, due (1 at one personal gap, log-normal fall), margin
    (of an order, the customer's own shrunk to the category's), product_id (bought last),
    age_days, gap_days (shrunk), orders.
    """
    states = _own_and_typical(day, observed)
    gap = (pl.col("gap_days") + SHRINK_GAP * pl.col("typical_gap")) / (
        pl.col("orders") - 1 + SHRINK_GAP
    )
    margin = (pl.col("margin") + SHRINK_MARGIN * pl.col("typical_margin")) / (
        pl.col("orders") + SHRINK_MARGIN
    )
    age = (pl.lit(day) - pl.col("last")).dt.total_days().clip(0.5)
    away = (age / gap.clip(3.0)).log()
    return states.select(
        "customer_id", "category", "kind", "product_id",
        due=(-((away / DUE_SPREAD) ** 2) / 2).exp(),
        margin=margin, age_days=age, gap_days=gap, orders=pl.col("orders"),
    )  # fmt: skip


def _own_and_typical(day: dt.date, observed: ObservedTables) -> pl.DataFrame:
    """Return each customer's orders per category, with what is typical of the category."""
    lines = _margins(day, observed)
    orders = lines.group_by("customer_id", "category", "date").agg(pl.col("margin").sum())
    own = (
        orders.group_by("customer_id", "category")
        .agg(
            pl.len().alias("orders"),
            pl.col("margin").sum(),
            pl.col("date").min().alias("first"),
            pl.col("date").max().alias("last"),
        )
        .with_columns(gap_days=(pl.col("last") - pl.col("first")).dt.total_days().cast(pl.Float64))
    )
    typical = own.group_by("category").agg(
        typical_gap=(pl.col("gap_days") / (pl.col("orders") - 1))
        .filter(pl.col("orders") > 1)
        .median(),
        typical_margin=pl.col("margin").sum() / pl.col("orders").sum(),
    )
    product = (
        lines.filter(pl.col("retired_at").is_null())
        .sort("date", "product_id")
        .group_by("customer_id", "category", maintain_order=True)
        .agg(pl.col("product_id").last())
    )
    return (
        own.join(typical, on="category")
        .join(observed.table("categories").select("category", "kind"), on="category", how="left")
        .join(product, on=["customer_id", "category"])
        .with_columns(pl.col("typical_gap").fill_null(UNKNOWN_GAP))
    )


def _margins(day: dt.date, observed: ObservedTables) -> pl.DataFrame:
    """Return what was bought before a day with its margin, a row per customer, product and day."""
    goods = observed.table("products").unique("product_id", keep="last").select(
        "product_id", "category", "retired_at",
        cost=pl.col("cost").cast(pl.Float64) / pl.col("price").cast(pl.Float64),
    )  # fmt: skip
    return (
        observed.purchases()
        .filter(pl.col("date") < day)
        .join(goods, on="product_id")
        .with_columns(margin=pl.col("amount") * (1 - pl.col("cost")))
    )


def answer_rates(day: dt.date, observed: ObservedTables) -> pl.DataFrame:
    """Return each customer's rate of answers per mode, shrunk to the mode's, and fatigue.

    A read, a click or reply, and an order count one each. Columns: customer_id, rate_0 to
    rate_2, fatigue.
    """
    made = observed.table("interactions").filter(
        (pl.col("mode") != "none") & (pl.col("channel") != "moments") & (pl.col("ts") < day)
    )
    answers = (
        observed.table("responses")
        .filter(pl.col("kind").is_in(_ANSWERS) & (pl.col("ts") < day))
        .group_by("interaction_id")
        .agg(answers=pl.col("kind").replace("replied", "clicked").n_unique())
    )
    joined = made.join(answers, on="interaction_id", how="left").with_columns(
        pl.col("answers").fill_null(0),
        pl.col("mode").replace_strict({str(m): i for i, m in enumerate(CONTACT_MODES)}).alias("m"),
    )
    age = (pl.lit(day) - pl.col("ts").dt.date()).dt.total_days()
    fatigue = made.group_by("customer_id").agg(fatigue=(0.5 ** (age / FATIGUE_HALF_LIFE)).sum())
    overall = joined.group_by("m").agg(pl.col("answers").mean().alias("mean"))
    means = dict(overall.iter_rows())
    mine = joined.group_by("customer_id", "m").agg(pl.col("answers").sum(), pl.len())
    wide = fatigue
    for mode in _MODE_CODES:
        mean = float(means.get(mode, 0.5))
        rate = (pl.col("answers") + SHRINK_RATE * mean) / (pl.col("len") + SHRINK_RATE)
        own = mine.filter(pl.col("m") == mode).select("customer_id", rate.alias(f"rate_{mode}"))
        wide = wide.join(own, on="customer_id", how="left").with_columns(
            pl.col(f"rate_{mode}").fill_null(mean)
        )
    return wide


class DueWorth:
    """What an order is worth, how due it is, how well mode and kind fit, and who answers.

    Nothing in it is a learned effect. A price per minute just spends each clerk's minutes.

    Parameters
    ----------
    rules : Rules
    """

    name = "due_worth"

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def plan(self, day: dt.date, observed: ObservedTables) -> pl.DataFrame | None:
        """Return the day's actions."""
        who = observed.eligible(day, self.rules)
        if not who.height:
            return None
        states = needs(day, observed, who)
        chosen = _allocated(who, _best_of(states, self.worth(day, observed, states)))
        return actions(chosen, day, self.name) if chosen.height else None

    def worth(self, day: dt.date, observed: ObservedTables, states: pl.DataFrame) -> Floats:
        """Return the worth of each row's category in each mode (rows × modes)."""
        return due_worth(states)


def needs(day: dt.date, observed: ObservedTables, who: pl.DataFrame) -> pl.DataFrame:
    """Return `category_states` of some customers, with their `answer_rates`."""
    rates = answer_rates(day, observed)
    states = category_states(day, observed)
    joined = who.select("customer_id").join(states, on="customer_id", how="inner")
    names = [f"rate_{mode}" for mode in _MODE_CODES]
    usual = rates.select(pl.col(names).mean().fill_null(UNKNOWN_RATE)).row(0, named=True)
    fill = [pl.col(name).fill_null(usual[name]) for name in names]
    return (
        joined.join(rates, on="customer_id", how="left")
        .with_columns(*fill, pl.col("fatigue").fill_null(0.0))
        .sort("customer_id", "category")
    )


def due_worth(states: pl.DataFrame) -> Floats:
    """Return the worth of each row's category in each mode (rows × modes)."""
    kind = states["kind"].fill_null(KINDS[0]).replace_strict(
        {name: code for code, name in enumerate(KINDS)}, return_dtype=pl.Int64
    )  # fmt: skip
    rates = states.select(
        pl.col(f"rate_{m}").fill_null(UNKNOWN_RATE) for m in _MODE_CODES
    ).to_numpy()
    tired = np.exp(-FATIGUE_WEIGHT * states["fatigue"].to_numpy())
    base = (states["margin"] * states["due"]).clip(0.0).to_numpy() * tired
    result: Floats = base[:, None] * FIT[kind.to_numpy()] * rates
    return result


def _best_of(states: pl.DataFrame, worth: Floats) -> pl.DataFrame:
    """Return each customer's best category in each mode: value_m and product_m."""
    rows = states.select("customer_id", "product_id").with_columns(
        pl.Series(f"value_{mode}", worth[:, mode]) for mode in range(worth.shape[1])
    )
    parts = [
        rows.sort("customer_id", f"value_{mode}", "product_id", descending=[False, True, False])
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", f"value_{mode}", pl.col("product_id").alias(f"product_{mode}"))
        for mode in range(worth.shape[1])
    ]
    best = parts[0]
    for part in parts[1:]:
        best = best.join(part, on="customer_id", maintain_order="left")
    return best


def _allocated(who: pl.DataFrame, best: pl.DataFrame) -> pl.DataFrame:
    """Return who is contacted in which mode with what, within the clerks' minutes."""
    open_ = who.join(best, on="customer_id", how="inner", maintain_order="left")
    if not open_.height:
        return open_
    modes = _MODE_CODES
    value = open_.select(f"value_{mode}" for mode in modes).to_numpy()
    clerk = open_["clerk_id"].rank("dense").to_numpy().astype(np.int64) - 1
    budget = np.zeros(clerk.max() + 1)
    budget[clerk] = open_["budget"].to_numpy()
    minutes = np.array(MODE_MINUTES)
    choice = allocate(value, minutes, clerk, budget)
    taken = np.flatnonzero(choice >= 0)
    products = open_.select(f"product_{mode}" for mode in modes).to_numpy()
    return open_[taken.tolist()].with_columns(
        pl.Series("score", value[taken, choice[taken]]),
        pl.Series("mode", choice[taken], dtype=pl.Int64),
        pl.Series("minutes", minutes[choice[taken]]),
        pl.Series("product_ids", [[str(name)] for name in products[taken, choice[taken]]]),
    )


#: Lists that need no engine, by name; the oracle knows the truth one step ahead.
LISTS: Final[Mapping[str, PolicyFactory]] = MappingProxyType(
    {
        "no_contact": lambda world, rules: NoContact(),
        "random": lambda world, rules: RandomContacts(rules, world.config.seed),
        "recency_spend": lambda world, rules: RecencySpendWithLast(rules, world.config.seed),
        "most_overdue": lambda world, rules: OverdueWithLast(rules, world.config.seed),
        "due_worth": lambda world, rules: DueWorth(rules),
        "oracle": Oracle,
    }
)
#: Those of them that a retailer could run.
SIMPLE: Final = ("recency_spend", "most_overdue", "due_worth", "top_propensity")
