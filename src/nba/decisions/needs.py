"""What each customer needs that can be served today, and which need each action would serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.decisions.action_types import ActionType, Brings
from nba.decisions.inputs import DecisionInputs
from nba.decisions.modes import MODES
from nba.decisions.policy import ContactPolicy
from nba.models.needs.base import AHEAD_DAYS, NEED_SCORE_SCHEMA
from nba.models.needs.words import BARE_NEEDS, PRODUCT_NEEDS, Need
from nba.schema.words import ONLINE_CHANNELS, Mode

#: A product that came back so many days ago at most is back in stock.
RESTOCKED_DAYS: Final = 7
#: The kinds of need that an action can serve, by what it brings.
SERVES: Final[Mapping[Brings, tuple[Need, ...]]] = MappingProxyType(
    {
        Brings.REPEAT: (Need.DUE,),
        Brings.RESTOCKED: (Need.DUE,),
        Brings.NEW: (Need.NEW,),
        Brings.COMPLEMENT: (Need.COMPANION,),
        Brings.EXPLORE: (Need.NEW, Need.COMPANION, Need.DISCOVERY),
        Brings.ANY_PRODUCT: PRODUCT_NEEDS,
        Brings.CONTENT: (Need.CONTENT,),
        Brings.GROUP: (Need.CONTENT,),
        Brings.NOTHING: (Need.CONTENT,),
        Brings.EVENT: (Need.EVENT,),
        Brings.BENEFIT: (Need.GIFT,),
        Brings.GIFT: (Need.GIFT,),
    }
)


@dataclass(frozen=True)
class CustomerNeeds:
    """The open needs of some customers.

    Parameters
    ----------
    rows : DataFrame
        As in `NEED_SCORE_SCHEMA`, with `is_restocked`; `product_ids` holds what may be brought, and
        `in_store` which of them the store that serves the customer is known to have, and
        `only_elsewhere` which it is known to have none of.
    place : array of int, shape (customers, most needs of one)
        Rows of each customer; the number of rows where there are no more.
    """

    rows: pl.DataFrame
    place: Ints

    def worth(self, column: str) -> Floats:
        """Return a column by mode with a zero behind the last row, shape (needs + 1, modes)."""
        wide = self.rows.select(pl.col(f"{column}_{mode}").fill_null(0.0) for mode in MODES)
        return np.pad(wide.to_numpy(), ((0, 1), (0, 0)))

    def customers(self) -> Ints:
        """Return the position of each need's customer, shape (needs,)."""
        whose = np.zeros(self.rows.height + 1, dtype=np.int64)
        whose[self.place] = np.arange(len(self.place))[:, None]
        return whose[:-1]

    def ahead(self) -> Floats:
        """Return what each need is worth later, relative to today, shape (needs + 1, days)."""
        wide = self.rows.select(pl.col(f"ahead_{days}d").fill_null(1.0) for days in AHEAD_DAYS)
        return np.pad(wide.to_numpy(), ((0, 1), (0, 0)), constant_values=1.0)

    def names(self, column: str) -> np.ndarray:
        """Return a column of texts with an empty one behind the last row."""
        return np.array([*self.rows[column].to_list(), None], dtype=object)

    def served_by(self, brings: Brings, most: int = 1) -> Bools:
        """Return which needs what is brought can serve, shape (needs + 1,); the last is none.

        Parameters
        ----------
        brings : Brings
        most : int
            Needs that one contact may be about.
        """
        kinds = [str(need) for need in SERVES[brings]]
        fits = self.rows["need"].is_in(kinds) & (self.rows["goods"].fill_null(1) <= most)
        if brings is Brings.RESTOCKED:
            fits = fits & self.rows["is_restocked"]
        return np.append(fits.fill_null(False).to_numpy(), False)


def open_needs(
    inputs: DecisionInputs,
    customers: pl.DataFrame,
    averages: Mapping[str, tuple[float, ...]],
    *,
    as_of: datetime,
    policy: ContactPolicy,
) -> CustomerNeeds:
    """Return the needs of `customers` that can be served today.

    What was brought to the same customer within the policy's days, is retired, sold out, or
    known not to be in the store that serves a customer who never buys online, is left out; so is
    a need of goods with nothing left to bring.

    Parameters
    ----------
    customers : DataFrame
        customer_id, consent_profiling; the needs of who refused profiling are the averages.
    averages : mapping of str to tuple of float
        The mean uplift of each bare need by mode, see `nba.decisions.modes.Averages`.
    """
    scored = inputs["needs"]
    profiled = customers.filter(pl.col("consent_profiling")).select("customer_id")
    rows = _bringable(inputs, scored.join(profiled, on="customer_id", how="semi"), as_of, policy)
    rows = pl.concat([rows, _average_needs(customers, averages)], how="diagonal_relaxed")
    order = customers.select("customer_id").with_row_index("customer")
    rows = rows.join(order, on="customer_id", how="inner").sort("customer", "need_id")
    customer = rows["customer"].to_numpy().astype(np.int64)
    number = rows.select(pl.int_range(pl.len()).over("customer")).to_series().to_numpy()
    width = int(number.max()) + 1 if len(number) else 1
    place = np.full((customers.height, width), rows.height, dtype=np.int64)
    place[customer, number] = np.arange(rows.height)
    return CustomerNeeds(rows.drop("customer"), place)


def best_needs(
    needs: CustomerNeeds, actions: Sequence[ActionType], drawn: Floats, weight: Floats
) -> Ints:
    """Return the need that each action serves best, shape (customers, actions).

    Parameters
    ----------
    needs : CustomerNeeds
    actions : sequence of ActionType
    drawn : array of shape (needs + 1, modes)
        What a contact about each need is worth.
    weight : array of shape (needs + 1,)
        The marketer's weight of each need's category.

    Returns
    -------
    array of int
        Rows of `needs`; the number of rows where an action has nothing to serve.
    """
    none = needs.rows.height
    best = np.full((len(needs.place), len(actions)), none, dtype=np.int64)
    for kind in {(action.mode, action.brings, action.needs) for action in actions}:
        mode, brings, most = kind
        fits = needs.served_by(brings, most)
        worth = np.where(fits, drawn[:, MODES.index(mode)] * weight, -np.inf)
        by_customer = worth[needs.place]
        at = by_customer.argmax(axis=1)
        rows = np.take_along_axis(needs.place, at[:, None], axis=1)[:, 0]
        found = np.where(np.isfinite(by_customer.max(axis=1)), rows, none)
        for place, action in enumerate(actions):
            if (action.mode, action.brings, action.needs) == kind:
                best[:, place] = none if action.service else found
    return best


def _average_needs(
    customers: pl.DataFrame, averages: Mapping[str, tuple[float, ...]]
) -> pl.DataFrame:
    """Return the bare needs of who refused profiling: all the same."""
    hidden = customers.filter(~pl.col("consent_profiling")).select("customer_id")
    parts = [
        hidden.with_columns(
            pl.lit(need).alias("need"),
            pl.lit(need).alias("need_id"),
            pl.lit([], pl.List(pl.String)).alias("product_ids"),
            *[
                pl.lit(amounts[place]).alias(f"{name}_{mode}")
                for place, mode in enumerate(MODES)
                for name in ("uplift_amount", "uplift_lower", "uplift_drawn")
            ],
        )
        for need, amounts in averages.items()
    ]
    empty = pl.DataFrame(schema={**NEED_SCORE_SCHEMA, "is_restocked": pl.Boolean})
    return pl.concat([empty, *parts], how="diagonal_relaxed").with_columns(
        pl.col("is_restocked").fill_null(False)
    )


def _bringable(
    inputs: DecisionInputs, rows: pl.DataFrame, as_of: datetime, policy: ContactPolicy
) -> pl.DataFrame:
    """Keep of each need what may be brought today."""
    since = as_of - timedelta(days=policy.same_product_days)
    brought = (
        inputs["interactions"]
        .filter((pl.col("ts") >= since) & (pl.col("mode") != str(Mode.NONE)))
        .select("customer_id", "product_ids")
        .drop_nulls()
        .explode("product_ids", empty_as_null=False)
        .rename({"product_ids": "product_id"})
        .unique()
    )
    product = inputs["product"].select("product_id", "is_retired", "on_hand", "days_since_restock")
    is_bare = pl.col("need").is_in([str(need) for need in BARE_NEEDS])
    goods = (
        rows.filter(~is_bare)
        .select("customer_id", "need_id", "product_ids", "goods")
        .explode("product_ids", empty_as_null=False)
        .rename({"product_ids": "product_id"})
        .join(brought, on=["customer_id", "product_id"], how="anti", maintain_order="left")
        .join(product, on="product_id", how="left", maintain_order="left")
        .filter(pl.col("product_id").is_not_null())
        .filter(pl.col("is_retired").fill_null(False).not_())
        .filter(pl.col("on_hand").fill_null(1.0) > 0)
    )
    # of a pair the first need's product stays first
    last = pl.col("only_elsewhere") & (pl.col("goods").fill_null(1) == 1)
    able = (
        _in_stores(inputs, goods)
        .sort(last, maintain_order=True)
        .group_by("customer_id", "need_id", maintain_order=True)
        .agg(
            pl.col("in_store", "only_elsewhere"),
            able="product_id",
            is_restocked=(pl.col("days_since_restock").first() <= RESTOCKED_DAYS).fill_null(False),
        )
    )
    return (
        rows.join(able, on=["customer_id", "need_id"], how="left", maintain_order="left")
        .filter(is_bare | (pl.col("able").list.len() >= pl.col("goods").fill_null(1)))
        .with_columns(
            pl.coalesce("able", "product_ids").alias("product_ids"),
            pl.col("is_restocked").fill_null(False),
        )
        .drop("able")
    )


def _in_stores(inputs: DecisionInputs, goods: pl.DataFrame) -> pl.DataFrame:
    """Say of goods what is known of them in the store that serves each customer.

    What that store has none of stays for who buys online too, and is `only_elsewhere`; all others
    are not brought it. Where nothing is known of a product in the store, all stores together count.

    Parameters
    ----------
    goods : DataFrame
        customer_id, product_id; days_since_restock, of any store.

    Returns
    -------
    DataFrame
        The same with `in_store` (the store is known to have it) and `only_elsewhere`;
        `days_since_restock` is the store's, where it tells its stock.
    """
    stores = _serving_stores(inputs)
    stock = inputs["store_stock"].join(stores, on="store_id", how="semi")
    stock = stock.rename({"on_hand": "here", "days_since_restock": "restocked_here"})
    telling = stock.select("store_id").unique().with_columns(tells=pl.lit(True))
    return (
        goods.join(stores, on="customer_id", how="left", maintain_order="left")
        .join(telling, on="store_id", how="left", maintain_order="left")
        .join(stock, on=["store_id", "product_id"], how="left", maintain_order="left")
        .with_columns(
            in_store=(pl.col("here") > 0).fill_null(False),
            only_elsewhere=(pl.col("here") <= 0).fill_null(False),
            days_since_restock=pl.when(pl.col("tells").is_null())
            .then("days_since_restock")
            .when(pl.col("here") > 0)
            .then("restocked_here"),
        )
        .filter(~pl.col("only_elsewhere") | pl.col("buys_online").fill_null(False))
    )


def _serving_stores(inputs: DecisionInputs) -> pl.DataFrame:
    """Return customer_id, store_id (the clerk's, else the customer's) and buys_online."""
    clerks = inputs["clerk"].select("clerk_id", clerk_store="store_id")
    shares = [pl.col(f"channel_{channel}_share").fill_null(0.0) for channel in ONLINE_CHANNELS]
    online = inputs["customer_behaviour"].select(
        "customer_id", buys_online=pl.sum_horizontal(shares) > 0
    )
    served = inputs["customer_state"].select("customer_id", "clerk_id", "store_id")
    return (
        served.join(clerks, on="clerk_id", how="left")
        .join(online, on="customer_id", how="left")
        .select("customer_id", "buys_online", store_id=pl.coalesce("clerk_store", "store_id"))
    )
