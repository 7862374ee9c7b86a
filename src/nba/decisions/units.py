"""Tests whose arms whole clerks, stores or groups draw.

Where what one customer gets changes what others get (a clerk learns another way to work, a store
has other posters), a test by customers is blurred. Here each unit draws its arm by a salted hash,
and all its customers follow; who is held out, or drawn at random, is drawn by customers as ever,
within every unit alike.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from nba.decisions.hashing import draw_arms, uniform
from nba.decisions.inputs import DecisionInputs
from nba.decisions.settings import DecisionSettings, UnitDraw
from nba.schema.words import Arm, DrawUnit


def first_groups(memberships: pl.DataFrame) -> pl.DataFrame:
    """Return the group that each customer joined first: customer_id, group (`group:ID`)."""
    return (
        memberships.sort("customer_id", "joined_at", "group_id")
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", group=pl.concat_str(pl.lit("group:"), "group_id"))
    )


def own_draws(units: pl.Series, settings: DecisionSettings, *, day: date) -> pl.Series:
    """Return the arm that each customer, or each group of them, drew; see `draw_arms`."""
    shares, moved = settings.shares_of_draw
    return draw_arms(
        units,
        salt=settings.salt,
        day=day,
        shares=shares,
        period_days=settings.arm_period_days,
        moved=moved,
    )


def units_of(tables: DecisionInputs, people: pl.DataFrame, unit: DrawUnit) -> pl.Series:
    """Return the unit of each person; null where there is none.

    Parameters
    ----------
    tables : DecisionInputs
        Of stores `clerk` is read, of groups `memberships`.
    people : DataFrame
        customer_id and clerk_id.
    unit : DrawUnit
    """
    if unit is DrawUnit.CLERK:
        return people["clerk_id"].alias("unit")
    if unit is DrawUnit.STORE:
        stores = tables["clerk"].select("clerk_id", unit="store_id")
        return people.join(stores, on="clerk_id", how="left", maintain_order="left")["unit"]
    if unit is DrawUnit.GROUP:
        groups = first_groups(tables["memberships"])
        found = people.join(groups, on="customer_id", how="left", maintain_order="left")
        return found["group"].alias("unit")
    return people["customer_id"].alias("unit")


def arms_of_units(units: pl.Series, draw: UnitDraw) -> pl.Series:
    """Return the arm that each unit drew; the engine where there is no unit.

    Parameters
    ----------
    units : Series of str
    draw : UnitDraw

    Examples
    --------
    >>> draw = UnitDraw(unit="clerk", salt="t", shares={"short": 0.5})
    >>> arms_of_units(pl.Series(["ann", "bob", None]), draw).to_list()
    ['engine', 'short', 'engine']
    """
    order = [*sorted(draw.shares), str(Arm.ENGINE)]
    edges = np.cumsum([draw.shares[arm] for arm in order[:-1]])
    names = np.array(order, dtype=object)
    drawn = names[np.searchsorted(edges, uniform(units, f"unit/{draw.salt}"), side="right")]
    arms = pl.Series("unit_arm", drawn, dtype=pl.String)
    return arms.set(units.is_null(), str(Arm.ENGINE))


def drawn_arms(tables: DecisionInputs, people: pl.DataFrame, draw: UnitDraw) -> pl.Series:
    """Return the arm that the unit of each person drew; see `units_of`."""
    return arms_of_units(units_of(tables, people, draw.unit), draw)


def arms_of_audiences(tables: DecisionInputs, posts: pl.DataFrame, draw: UnitDraw) -> pl.Series:
    """Return the arm that the unit of each post's audience drew.

    Parameters
    ----------
    tables : DecisionInputs
    posts : DataFrame
        audience (`group:ID` or `moments:CLERK`) and clerk_id, whose post it is.
    draw : UnitDraw
    """
    if draw.unit is DrawUnit.GROUP:
        groups = pl.col("audience").str.starts_with("group:")
        units = posts.select(pl.when(groups).then("audience").alias("unit"))["unit"]
        return arms_of_units(units, draw)
    return drawn_arms(tables, posts.with_columns(customer_id="audience"), draw)
