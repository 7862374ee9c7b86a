"""Policies that need no engine: the yardsticks of the closed loop.

All but the oracle read nothing but `ObservedTables`, what a retailer sees. All keep the same rules
and the same minutes. The lists bring what the customer buys most.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.schema.words import CONTACT_MODES, Mode
from nba.simulation.config import MODE_MINUTES
from nba.simulation.effects import effect_table
from nba.simulation.lookup import positions
from nba.simulation.messages import MAX_PRODUCTS, product_lists
from nba.simulation.observed import ObservedTables, Rules
from nba.simulation.streams import Streams
from nba.simulation.world import World

USUAL_PRODUCTS: Final = 2
_MODES: Final = pl.Series([str(mode) for mode in CONTACT_MODES])


class Policy(Protocol):
    """Something that makes a plan for a day from what a retailer sees."""

    def plan(self, day: dt.date, observed: ObservedTables) -> pl.DataFrame | None:
        """Return the day's actions, with the columns of `nba actions export`, or None."""


#: Makes a policy for one world. Policies other than oracles must not look at the world.
PolicyFactory = Callable[[World, Rules], Policy]


class NoContact:
    """Leaves everybody alone."""

    def plan(self, day: dt.date, observed: ObservedTables) -> pl.DataFrame | None:
        """Return no actions."""
        return None


class _Ranked:
    """Ranks the eligible by a score, each with one mode, and fills the clerks' minutes."""

    name = "ranked"

    def __init__(self, rules: Rules, seed: int) -> None:
        self.rules = rules
        self.streams = Streams(seed)

    def plan(self, day: dt.date, observed: ObservedTables) -> pl.DataFrame | None:
        """Return the day's actions."""
        who = observed.eligible(day, self.rules)
        if not who.height:
            return None
        scored = self.scored(who, day, observed)
        minutes = np.array(MODE_MINUTES)[scored["mode"].to_numpy()]
        chosen = fill(scored.with_columns(pl.Series("minutes", minutes)))
        return actions(
            chosen.join(usual_products(observed), on="customer_id", how="left"), day, self.name
        )

    def scored(self, who: pl.DataFrame, day: dt.date, observed: ObservedTables) -> pl.DataFrame:
        """Add the columns score and mode (a position)."""
        raise NotImplementedError

    def draws(self, stream: str, count: int, day: dt.date) -> Floats:
        """Return uniform draws for a day."""
        return self.streams.uniform(f"policy_{stream}", np.arange(count), day=day.toordinal())


class RandomContacts(_Ranked):
    """Contacts anybody in any mode."""

    name = "random"

    def scored(self, who: pl.DataFrame, day: dt.date, observed: ObservedTables) -> pl.DataFrame:
        """Score at random."""
        mode = (self.draws("mode", who.height, day) * len(CONTACT_MODES)).astype(np.int64)
        return who.with_columns(
            pl.Series("score", self.draws("score", who.height, day)), pl.Series("mode", mode)
        )


class RecencySpend(_Ranked):
    """Ranks by recent purchase and spend, one mode for all."""

    name = "recency_spend"

    def __init__(self, rules: Rules, seed: int, mode: Mode = Mode.SHOPPING_ASSISTANT) -> None:
        super().__init__(rules, seed)
        self.mode = CONTACT_MODES.index(mode)

    def scored(self, who: pl.DataFrame, day: dt.date, observed: ObservedTables) -> pl.DataFrame:
        """Score by the sum of the ranks in recency and in spend of the last year."""
        since = pl.lit(day) - pl.duration(days=365)
        history = observed.purchases().filter((pl.col("date") < day) & (pl.col("date") >= since))
        by = history.group_by("customer_id").agg(
            pl.col("date").max().alias("last"), pl.col("amount").sum()
        )
        joined = who.join(by, on="customer_id", how="left", maintain_order="left")
        recent = pl.col("last").fill_null(dt.date(1970, 1, 1)).rank("average")
        spend = pl.col("amount").fill_null(0.0).rank("average")
        return joined.with_columns((recent + spend).alias("score"), pl.lit(self.mode).alias("mode"))


class MostOverdue(_Ranked):
    """Ranks by days since the last purchase over the customer's median gap, one mode for all."""

    name = "most_overdue"

    def __init__(self, rules: Rules, seed: int, mode: Mode = Mode.SHOPPING_ASSISTANT) -> None:
        super().__init__(rules, seed)
        self.mode = CONTACT_MODES.index(mode)

    def scored(self, who: pl.DataFrame, day: dt.date, observed: ObservedTables) -> pl.DataFrame:
        """Score by the overdue ratio, up to three gaps; who is longer gone comes after."""
        days = (
            observed.purchases().filter(pl.col("date") < day).select("customer_id", "date").unique()
        )
        gaps = days.sort("customer_id", "date").with_columns(
            pl.col("date").diff().over("customer_id").dt.total_days().alias("gap")
        )
        by = gaps.group_by("customer_id").agg(
            pl.col("gap").median(), pl.col("date").max().alias("last")
        )
        joined = who.join(by, on="customer_id", how="left", maintain_order="left")
        ratio = (pl.lit(day) - pl.col("last")).dt.total_days() / pl.col("gap")
        score = pl.when(ratio > 3).then(1 / ratio).otherwise(ratio).fill_null(0.0)
        return joined.with_columns(score.alias("score"), pl.lit(self.mode).alias("mode"))


#: The expected effects that an observable oracle plans with: for the eligible customers of a
#: day a table customer_id, mode, effect_amount (contact modes that are absent are not chosen).
Expected = Callable[[dt.date, ObservedTables, pl.DataFrame], pl.DataFrame]


class ByEffect:
    """Chooses customers and modes by expected effect, within the same rules and minutes.

    With effects regressed on what a retailer sees (fitted on worlds of other seeds, see
    `effect_sample`), this is the observable oracle.

    Parameters
    ----------
    rules : Rules
    expected : callable
        Gives the expected effect of each mode for the day's eligible customers.
    """

    name = "observable_oracle"

    def __init__(self, rules: Rules, expected: Expected) -> None:
        self.rules = rules
        self.expected = expected

    def plan(self, day: dt.date, observed: ObservedTables) -> pl.DataFrame | None:
        """Return the actions of the highest expected value within the minutes."""
        who = observed.eligible(day, self.rules)
        if not who.height:
            return None
        taken = self.choose(who, self.expected(day, observed, who))
        if not taken.height:
            return None
        chosen = taken.join(favourites(observed), on="customer_id", how="left")
        return actions(chosen, day, self.name)

    def choose(self, who: pl.DataFrame, effects: pl.DataFrame) -> pl.DataFrame:
        """Return the customers chosen, with score, mode (a position) and minutes."""
        value = np.full((who.height, len(CONTACT_MODES)), -np.inf)
        rows = positions(effects["customer_id"], who["customer_id"], "eligible customer")
        value[rows, positions(effects["mode"].cast(pl.String), _MODES, "mode")] = effects[
            "effect_amount"
        ].to_numpy()
        clerk = who["clerk_id"].rank("dense").to_numpy().astype(np.int64) - 1
        budget = np.zeros(clerk.max() + 1)
        budget[clerk] = who["budget"].to_numpy()
        minutes = np.array(MODE_MINUTES)
        choice = allocate(value, minutes, clerk, budget)
        taken = np.flatnonzero(choice >= 0)
        return who[taken.tolist()].with_columns(
            pl.Series("score", value[taken, choice[taken]]),
            pl.Series("mode", choice[taken], dtype=pl.Int64),
            pl.Series("minutes", minutes[choice[taken]]),
        )


class Oracle(ByEffect):
    """Knows the truth one step ahead, fatigue included; the same rules and minutes.

    Parameters
    ----------
    world : World
        The world that is being played.
    rules : Rules
    """

    name = "oracle"

    def __init__(self, world: World, rules: Rules) -> None:
        super().__init__(rules, self._truth)
        self.world = world

    def _truth(self, day: dt.date, observed: ObservedTables, who: pl.DataFrame) -> pl.DataFrame:
        scene = self.world.scene
        place = np.sort(positions(who["customer_id"], scene.customer_ids, "customer"))
        table = effect_table(scene, self.world.state, place)
        wide = table.select("product_0", "product_1", "product_2").to_numpy()
        return table.select(
            pl.Series("customer_id", scene.customer_ids.gather(table["customer"])),
            pl.Series("mode", _MODES.gather(table["mode"])),
            "effect_amount",
            product_lists(scene, wide),
            pl.col("hour").sub(0.25).clip(9.0, 21.5).alias("from_hour"),
        )

    def plan(self, day: dt.date, observed: ObservedTables) -> pl.DataFrame | None:
        """Return the actions of the highest true value, with the best products and hour."""
        who = observed.eligible(day, self.rules)
        if not who.height:
            return None
        truth = self.expected(day, observed, who)
        taken = self.choose(who, truth)
        if not taken.height:
            return None
        named = taken.with_columns(pl.Series("mode_name", _MODES.gather(taken["mode"])))
        found = truth.select("customer_id", "mode", "product_ids", "from_hour")
        chosen = named.join(
            found, left_on=["customer_id", "mode_name"], right_on=["customer_id", "mode"]
        )
        return actions(chosen, day, self.name)


def effect_sample(world: World, observed: ObservedTables, rules: Rules) -> pl.DataFrame:
    """Return the true effects of bringing their favourites to today's eligible customers.

    What an observable oracle is fitted on, in worlds of other seeds: customer_id, mode,
    effect_amount and the parts of it, see `World.true_effect`.
    """
    who = observed.eligible(world.date, rules).select("customer_id")
    both = who.join(favourites(observed), on="customer_id", how="inner", maintain_order="left")
    return pl.concat(
        world.true_effect(world.day, both["customer_id"], str(mode), both["product_ids"])
        for mode in CONTACT_MODES
    )


def allocate(value: Floats, minutes: Floats, clerk: Ints, budget: Floats) -> Ints:
    """Return the mode for each customer, -1 for none, within each clerk's minutes.

    Parameters
    ----------
    value : array of shape (customers, modes)
    minutes : array of shape (modes,)
    clerk : array of shape (customers,)
    budget : array of shape (clerks,)

    Returns
    -------
    array of int
        The multiple-choice knapsack by a price per minute for each clerk, found by
        bisection; what is left of the minutes is filled with the best that still fit.
    """
    low, high = np.zeros(len(budget)), np.full(len(budget), max(float(value.max()), 1.0))
    for _ in range(50):
        price = (low + high) / 2
        choice = _best(value, minutes, price[clerk])
        used = np.bincount(
            clerk, weights=np.where(choice >= 0, minutes[choice], 0.0), minlength=len(budget)
        )
        low, high = np.where(used > budget, price, low), np.where(used > budget, high, price)
    choice = _best(value, minutes, high[clerk])
    used = np.bincount(
        clerk, weights=np.where(choice >= 0, minutes[choice], 0.0), minlength=len(budget)
    )
    rest = np.flatnonzero((choice < 0) & (value.max(axis=1) > 0))
    for row in rest[np.argsort(-value[rest].max(axis=1) / minutes.mean(), kind="stable")]:
        left = budget[clerk[row]] - used[clerk[row]]
        open_ = np.where((minutes <= left) & (value[row] > 0), value[row], -np.inf)
        if np.isfinite(open_.max()):
            choice[row] = int(np.argmax(open_))
            used[clerk[row]] += minutes[choice[row]]
    return choice


def _best(value: Floats, minutes: Floats, price: Floats) -> Ints:
    net = value - price[:, None] * minutes
    best = np.argmax(net, axis=1)
    return np.where(net[np.arange(len(net)), best] > 0, best, -1)


def fill(scored: pl.DataFrame) -> pl.DataFrame:
    """Return each clerk's best by score as far as the minutes go."""
    ordered = scored.sort("clerk_id", "score", "customer_id", descending=[False, True, False])
    used = pl.col("minutes").cum_sum().over("clerk_id")
    return ordered.filter(used <= pl.col("budget"))


def usual_products(observed: ObservedTables) -> pl.DataFrame:
    """Return the products that each customer bought most often, the latest first among equals."""
    return (
        observed.purchases()
        .group_by("customer_id", "product_id")
        .agg(pl.col("date").n_unique().alias("times"), pl.col("date").max().alias("last"))
        .sort("customer_id", "times", "last", "product_id", descending=[False, True, True, False])
        .group_by("customer_id", maintain_order=True)
        .agg(pl.col("product_id").head(USUAL_PRODUCTS).alias("product_ids"))
    )


def favourites(observed: ObservedTables) -> pl.DataFrame:
    """Return the favourite of each of a customer's categories, up to three, by margin earned.

    The best that is known to be brought from what a retailer sees; the observable oracle
    brings these.
    """
    goods = observed.table("products").unique("product_id", keep="last").select(
        "product_id", "category",
        unit_margin=pl.col("price").cast(pl.Float64) - pl.col("cost").cast(pl.Float64),
    )  # fmt: skip
    return (
        observed.purchases()
        .join(goods, on="product_id")
        .group_by("customer_id", "category", "product_id")
        .agg(
            pl.col("date").n_unique().alias("times"),
            pl.col("date").max().alias("last"),
            pl.col("unit_margin").sum().alias("earned"),
        )
        .with_columns(pl.col("earned").sum().over("customer_id", "category"))
        .sort("customer_id", "times", "last", "product_id", descending=[False, True, True, False])
        .unique(["customer_id", "category"], keep="first", maintain_order=True)
        .sort("customer_id", "earned", "product_id", descending=[False, True, False])
        .group_by("customer_id", maintain_order=True)
        .agg(pl.col("product_id").head(MAX_PRODUCTS).alias("product_ids"))
    )


def actions(chosen: pl.DataFrame, day: dt.date, name: str) -> pl.DataFrame:
    """Return chosen customers as rows of a plan."""
    midnight = dt.datetime.combine(day, dt.time())
    if "from_hour" in chosen.columns:
        start = (pl.col("from_hour") * 60).cast(pl.Int64)
        end = start + 30
    else:
        start = pl.col("shift_start").str.slice(0, 2).cast(pl.Int64) * 60
        end = pl.col("shift_end").str.slice(0, 2).cast(pl.Int64) * 60
    return (
        chosen.sort("clerk_id", "score", descending=[False, True])
        .with_columns(pl.int_range(1, pl.len() + 1).over("clerk_id").alias("rank"))
        .select(
            (pl.lit(f"{name}-{day}-") + pl.col("customer_id")).alias("action_id"),
            pl.lit(day).alias("as_of"),
            "clerk_id",
            "rank",
            "customer_id",
            pl.lit(_MODES).gather(pl.col("mode")).alias("mode"),
            pl.lit("advice").alias("action_type"),
            pl.lit("chat").alias("channel"),
            "product_ids",
            (pl.lit(midnight) + pl.duration(minutes=start)).alias("contact_from"),
            (pl.lit(midnight) + pl.duration(minutes=end)).alias("contact_to"),
            "minutes",
        )
    )


#: The policies that need no engine, by name.
BASELINES: Final[Mapping[str, PolicyFactory]] = MappingProxyType(
    {
        "no_contact": lambda world, rules: NoContact(),
        "random": lambda world, rules: RandomContacts(rules, world.config.seed),
        "recency_spend": lambda world, rules: RecencySpend(rules, world.config.seed),
        "most_overdue": lambda world, rules: MostOverdue(rules, world.config.seed),
        "oracle": Oracle,
    }
)
