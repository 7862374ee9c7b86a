"""Made-up shops of odd shapes: short logs, few customers, one product, codes that all change.

Customers buy in gaps of gamma law with a mean of their own, and may leave for good after each
purchase. A basket is drawn from the customer's own products (what they come back to) and from
what their kind of customer likes. The log goes on after the cut-off, so that what happened is
known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints

AS_OF: Final = datetime(2026, 9, 1)
AHEAD_DAYS: Final = 90
_YEAR: Final = 365.0
_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True)
class OddShop:
    """What a shop is like.

    Parameters
    ----------
    history_days, customers, products : int
    gap_days, gap_spread : float
        Median of the customers' mean gaps, and the spread of its logarithm.
    regularity : float
        Shape of the gaps; 1 is memoryless.
    leave : float
        Chance that a purchase is the last.
    basket : float
        Mean number of products in a basket.
    repeat_share : float
        Share of a basket that comes from the customer's own products.
    joining : float
        How customers come: 0 evenly, above 0 more of them lately, in e-foldings of the history.
    founders : float
        Share of customers who were there when the records began.
    season : float
        Height of an autumn wave, on the log scale.
    codes_change_days : int
        So many days before the cut-off all products got new codes; 0 never.
    catalogue : bool
        Whether the product table says name and category.
    """

    history_days: int = 365
    customers: int = 800
    products: int = 300
    gap_days: float = 30.0
    gap_spread: float = 0.7
    regularity: float = 1.5
    leave: float = 0.08
    basket: float = 3.0
    repeat_share: float = 0.5
    joining: float = 0.0
    founders: float = 0.3
    season: float = 0.0
    codes_change_days: int = 0
    catalogue: bool = True


PLAIN: Final = OddShop()
SHOPS: Final[Mapping[str, OddShop]] = {
    "plain": PLAIN,
    "three weeks": replace(PLAIN, history_days=21, gap_days=14.0, basket=4.0, founders=0.8),
    "seven weeks": replace(PLAIN, history_days=49, gap_days=18.0, founders=0.7),
    "50 customers": replace(PLAIN, customers=50),
    "300 customers": replace(PLAIN, customers=300, history_days=500),
    "500 customers x 50 days": replace(
        PLAIN, customers=500, history_days=50, gap_days=10.0, basket=6.0, founders=0.9, leave=0.02
    ),
    "one product": replace(PLAIN, products=1, basket=1.0, regularity=4.0, customers=400),
    "one-time buyers": replace(PLAIN, customers=3000, leave=0.93, founders=0.0, basket=1.5),
    "wholesale": replace(
        PLAIN, customers=150, products=1500, basket=40.0, gap_days=21.0, gap_spread=1.1, leave=0.02
    ),
    "groceries": replace(
        PLAIN, customers=500, history_days=150, gap_days=7.0, regularity=2.0, basket=8.0,
        repeat_share=0.7, leave=0.01, founders=0.7,
    ),
    "apparel": replace(
        PLAIN, customers=1500, history_days=730, gap_days=110.0, regularity=1.0, leave=0.2,
        basket=1.6, repeat_share=0.05, products=600,
    ),
    "new codes": replace(PLAIN, codes_change_days=25),
    "season's turn": replace(PLAIN, history_days=1000, season=0.8, gap_days=45.0, leave=0.05),
    "season on one year": replace(PLAIN, history_days=380, season=0.8, gap_days=45.0, leave=0.05),
    "no catalogue": replace(PLAIN, catalogue=False),
    "growing": replace(PLAIN, joining=4.0, founders=0.0),
    "fading": replace(PLAIN, founders=1.0, leave=0.15),
}  # fmt: skip


def make_shop(shop: OddShop, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return purchases (before and after `AS_OF`) and products of a shop."""
    rng = np.random.default_rng(seed)
    customer, day = _visits(shop, rng)
    visit, product = _baskets(shop, customer, day, rng)
    price = np.exp(rng.normal(3.0, 0.6, shop.products))
    code = pl.Series(np.char.add("p", np.char.zfill(product.astype(str), 5)))
    if shop.codes_change_days:
        code = pl.Series(np.where(day[visit] >= -shop.codes_change_days, "new", "")) + code
    quantity = 1.0 + rng.poisson(0.2, len(visit))
    purchases = pl.DataFrame(
        {
            "customer_id": pl.Series(
                np.char.add("c", np.char.zfill(customer[visit].astype(str), 5))
            ),
            "product_id": code,
            "ts": _moments(day[visit]),
            "quantity": quantity,
            "amount": quantity * price[product],
        }
    )
    return purchases.unique(["customer_id", "product_id", "ts"], keep="first").sort(
        "ts", "customer_id", "product_id"
    ), _catalogue(shop, code)


def _moments(days: Floats) -> pl.Series:
    """Return noon of each day, counted from `AS_OF`."""
    noon = np.datetime64(AS_OF, "us").astype(np.int64) + _DAY_US // 2
    return pl.Series(np.floor(days).astype(np.int64) * _DAY_US + noon).cast(pl.Datetime("us"))


def _visits(shop: OddShop, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Return customer and day (0 is `AS_OF`) of every visit, sorted by both."""
    n, span = shop.customers, float(shop.history_days + AHEAD_DAYS)
    gap = shop.gap_days * np.exp(rng.normal(0.0, shop.gap_spread, n))
    founder = rng.random(n) < shop.founders
    share = rng.random(n)
    if shop.joining:
        share = np.log1p(share * np.expm1(shop.joining)) / shop.joining
    joined = np.where(founder, -gap * rng.random(n), share * span)
    most = int(min(400, 4 * span / shop.gap_days + 40))
    steps = rng.gamma(shop.regularity, 1.0 / shop.regularity, (n, most)) * gap[:, None]
    steps[:, 0] = 0.0
    days = joined[:, None] + np.where(founder, gap * rng.random(n), 0.0)[:, None]
    days = days + np.cumsum(steps, axis=1)
    stays = np.cumprod(rng.random((n, most)) >= shop.leave, axis=1).astype(bool)
    alive = np.concatenate([np.ones((n, 1), dtype=bool), stays[:, :-1]], axis=1)
    there = alive & (days >= 0.0) & (days < span)
    there &= rng.random((n, most)) < _wave(shop, days - shop.history_days)
    customer, at = np.nonzero(there)
    return customer, days[customer, at] - shop.history_days


def _wave(shop: OddShop, day: Floats) -> Floats:
    """Return the share of visits that take place: an autumn wave, highest in mid-November."""
    phase = 2.0 * np.pi * (day - 75.0) / _YEAR
    return np.asarray(np.exp(shop.season * (np.cos(phase) - 1.0)))


def _baskets(
    shop: OddShop, customer: Ints, day: Floats, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return the visit and the product of every line."""
    products, kinds = shop.products, max(1, min(8, shop.products // 20))
    kind = rng.integers(0, kinds, products)
    popular = 1.0 / np.arange(1, products + 1) ** 0.8
    taste = rng.integers(0, kinds, shop.customers)
    own = max(2, round(2 * shop.basket))
    size = 1 + rng.poisson(max(shop.basket - 1.0, 0.0), len(customer))
    visit = np.repeat(np.arange(len(customer)), size)
    liked = np.zeros(len(visit), dtype=np.int64)
    favourites = np.zeros((shop.customers, own), dtype=np.int64)
    for one in range(kinds):
        weight = popular * np.where(kind == one, 6.0, 1.0)
        weight /= weight.sum()
        mine = taste == one
        favourites[mine] = rng.choice(products, (int(mine.sum()), own), p=weight)
        lines: Bools = mine[customer[visit]]
        liked[lines] = rng.choice(products, int(lines.sum()), p=weight)
    again = rng.random(len(visit)) < shop.repeat_share
    favourite = favourites[customer[visit], rng.integers(0, own, len(visit))]
    return visit, np.where(again, favourite, liked)


def _catalogue(shop: OddShop, code: pl.Series) -> pl.DataFrame:
    ids = pl.DataFrame({"product_id": code.unique().sort()})
    if not shop.catalogue:
        return ids
    kinds = max(1, min(8, shop.products // 20))
    number = pl.col("product_id").str.extract(r"p(\d+)$").cast(pl.Int64)
    return ids.with_columns(
        name=pl.concat_str(pl.lit("thing "), number.cast(pl.String)),
        category=pl.concat_str(pl.lit("kind "), (number % kinds).cast(pl.String)),
    )
