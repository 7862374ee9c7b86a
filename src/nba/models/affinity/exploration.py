"""How much of a list is kept for new things: learned from what was taken up of what was brought.

Contacts bring products that the customer has bought before and products that are new. New ones are
taken up less often, as purchases without any regard to contacts have it too. Where contacts get
more of the new taken up than that, against what they get of the known, more of each list is kept
for it; where less, less. The rate of the new is beta-binomial: before data it is what purchases
lead one to expect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.ranking.lists import rank_within
from nba.models.affinity.ranking.ranker import Examples
from nba.schema.words import CUSTOMER_ID, PRODUCT_ID, Mode

#: The table of products that contacts brought: customer_id, product_id, ts.
BROUGHT: Final = "brought"
#: A product is taken up when it is bought on one of so many days after the contact.
TAKE_UP_DAYS: Final = 14
#: Expected new products taken up that the expectation is worth.
PRIOR_TAKEN: Final = 20.0
#: Known products taken up below which nothing is learned.
FEWEST_TAKEN: Final = 30
#: Places of each kind that say what is usual, and the largest share of a list for new things.
PLACES: Final = 10
LARGEST_SHARE: Final = 0.5
_PAIR: Final = [CUSTOMER_ID, PRODUCT_ID]


@dataclass(frozen=True)
class Exploration:
    """The share of a list that is kept for new things, and what it was learned from.

    Parameters
    ----------
    share : float or None
        None leaves the order to the ranker alone.
    new, new_taken, known, known_taken : int
        Products that contacts brought, new to the customer or bought before, and how many of them
        were bought in the days after it; 0 where nothing was learned.
    """

    share: float | None
    new: int = 0
    new_taken: int = 0
    known: int = 0
    known_taken: int = 0

    def sentence(self) -> str:
        """Return the share and why; empty where it is as the configuration has it."""
        if self.share is None or not self.known:
            return ""
        return (
            f"{self.share:.0%} of each list for new things: of what contacts brought, "
            f"{self.new_taken:,} of {self.new:,} new products were taken up, "
            f"{self.known_taken:,} of {self.known:,} known ones"
        )

    def figures(self) -> dict[str, float]:
        """Return the share and the rates of what was brought, by name."""
        if self.share is None:
            return {}
        found = {"explore_share": self.share}
        for name, taken, brought in (
            ("new", self.new_taken, self.new),
            ("known", self.known_taken, self.known),
        ):
            if brought:
                found[f"taken_up_{name}"] = taken / brought
        return found


def brought_products(
    tables: Mapping[str, Any], as_of: datetime, *, window_days: int
) -> pl.DataFrame:
    """Return `customer_id, product_id, ts` of what contacts of the last `window_days` brought."""
    made = tables["interactions"]
    mine = (made.ts < as_of) & (made.ts >= as_of - timedelta(days=window_days))
    rows: pl.DataFrame = (
        made.filter(mine & (made.mode != str(Mode.NONE)) & (made.product_ids.length() > 0))
        .select(CUSTOMER_ID, "ts", "product_ids")
        .to_polars()
    )
    return (
        rows.explode("product_ids")
        .rename({"product_ids": PRODUCT_ID})
        .select(*_PAIR, "ts")
        .unique()
        .sort(*_PAIR, "ts")
    )


def usual_takes(examples: Sequence[Examples]) -> float:
    """Return how often new products are bought next, as a share of how often known ones are.

    Of the first ten of each by the simple rule, at the newest past cut-off that has passed whole;
    NaN where that is not known.
    """
    asked = next((part for part in examples if part.whole and part.label.any()), None)
    if asked is None:
        return float("nan")
    known = asked.features[:, -1] > 0
    rates = []
    for rows in (~known, known):
        at = np.flatnonzero(rows)
        # of those that were not bought a share was kept, so that fewer places stand for as many
        places = max(1, round(PLACES * asked.share))
        first = at[rank_within(asked.customer[at], asked.plain[at]) < places]
        bought = float(asked.label[first].sum())
        rates.append(bought / max(bought + (len(first) - bought) / asked.share, 1.0))
    return rates[0] / rates[1] if rates[1] else float("nan")


def learn_exploration(
    brought: pl.DataFrame | None,
    purchases: pl.DataFrame,
    usual: float,
    config: TwoStageConfig,
    *,
    as_of: datetime,
) -> Exploration:
    """Return the share of a list for new things by what was taken up; as configured without it.

    Parameters
    ----------
    brought : DataFrame or None
        See `brought_products`; contacts whose days have not passed by `as_of` are left out.
    purchases : DataFrame
        `customer_id`, `product_id`, `ts`, before `as_of`.
    usual : float
        See `usual_takes`.
    config : TwoStageConfig
    as_of : datetime
    """
    start = config.explore_share
    if start is None or brought is None or not usual > 0.0:
        return Exploration(start)
    counts = _taken(brought, purchases, as_of)
    known, known_taken = counts.get(False, (0, 0))
    new, new_taken = counts.get(True, (0, 0))
    if known_taken < FEWEST_TAKEN or not new:
        return Exploration(start)
    expected = new * usual * known_taken / known
    ratio = (new_taken + PRIOR_TAKEN) / (expected + PRIOR_TAKEN)
    share = min(start * float(np.clip(ratio, *config.explore_range)), max(start, LARGEST_SHARE))
    return Exploration(share, new, new_taken, known, known_taken)


def _taken(
    brought: pl.DataFrame, purchases: pl.DataFrame, as_of: datetime
) -> dict[bool, tuple[int, int]]:
    """Return how many products were brought and taken up, by whether they were new.

    What was bought first on the very day of the contact is left out: which came first is not known.
    """
    day = pl.col("ts").dt.truncate("1d").cast(pl.Datetime("us"))
    bought = purchases
    if "quantity" in purchases.columns:
        bought = purchases.filter(pl.col("quantity").fill_null(1) > 0)
    ids = [pl.col(name).cast(pl.String) for name in _PAIR]
    days = bought.select(*ids, bought=day).unique()
    first = days.group_by(_PAIR).agg(first=pl.col("bought").min())
    closed = brought.select(*ids, made=day).filter(
        pl.col("made") + pl.duration(days=TAKE_UP_DAYS) < pl.lit(as_of)
    )
    rows = closed.join(first, on=_PAIR, how="left").filter(
        pl.col("first").is_null() | (pl.col("first") != pl.col("made"))
    )
    later = days.with_columns(next="bought").sort("bought")
    after = (pl.col("made") + pl.duration(days=1)).alias("after")
    found = (
        rows.with_columns(after)
        .sort("after")
        .join_asof(
            later,
            left_on="after",
            right_on="bought",
            by=_PAIR,
            strategy="forward",
            check_sortedness=False,
        )
        .with_columns(
            is_new=pl.col("first").is_null() | (pl.col("first") > pl.col("made")),
            is_taken=pl.col("next").is_not_null()
            & (pl.col("next") <= pl.col("made") + pl.duration(days=TAKE_UP_DAYS)),
        )
    )
    sums = found.group_by("is_new").agg(pl.len(), pl.col("is_taken").sum())
    return {is_new: (brought_, taken) for is_new, brought_, taken in sums.iter_rows()}
