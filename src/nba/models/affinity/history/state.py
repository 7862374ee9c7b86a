"""What is known at a cut-off about pairs, customers and products, as arrays.

All of it is computed from the rows before the cut-off alone, and vectorised: segments of the
sorted log are reduced at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from nba.arrays import Bools, Ints, Reals
from nba.models.purchases import PurchaseLog

#: How many spans of how many days, at most, say which window of sales foretells best.
_MONTHS, _MONTH = 3, 30
#: Weight of the shares of all time in those of a window, in sales.
_SALES_PRIOR = 50.0


@dataclass(frozen=True)
class Pairs:
    """One entry per customer and product bought, sorted by customer and product.

    Parameters
    ----------
    customer, product : arrays of int
    times, since_last, since_first : arrays of float
        Purchase days, and days from the last and the first of them to the cut-off.
    baskets_since : array of float
        Baskets of the customer after the last one with the product.
    season : array of float
        Purchase days in the coming weeks of a year ago; NaN where the log does not reach back.
    decayed : array of float of shape (half-lives, pairs)
        Purchase days, each weighted by half for every half-life that has passed.
    """

    customer: Ints
    product: Ints
    times: Reals
    since_last: Reals
    since_first: Reals
    baskets_since: Reals
    season: Reals
    decayed: Reals

    @property
    def gap(self) -> Reals:
        """Mean days between purchases of the product; NaN for a single purchase."""
        return self.gap_of(np.arange(len(self.times)))

    def gap_of(self, at: Ints) -> Reals:
        """Return the gaps of the pairs `at`."""
        times = self.times[at]
        span = self.since_first[at] - self.since_last[at]
        return np.where(times > 1, span / np.maximum(times - 1, 1), np.nan)

    def matrix(self, values: Reals, shape: tuple[int, int]) -> sp.csr_matrix:
        """Return customers × products with `values` at the pairs."""
        return sp.csr_matrix((values.astype(np.float32), (self.customer, self.product)), shape)


def pair_state(
    log: PurchaseLog, cutoff: int, half_lives: tuple[float, ...], season: tuple[int, int] = (0, 0)
) -> Pairs:
    """Reduce the log before `cutoff` to one entry per customer and product.

    Parameters
    ----------
    half_lives : tuple of float
    season : (year, horizon)
        Purchases in the `horizon` days that began `year` days before the cut-off are counted
        apart.
    """
    log = log.before(cutoff)
    order = np.lexsort((log.day, log.product, log.customer))
    customer, product, day = log.customer[order], log.product[order], log.day[order]
    starts = starts_of(customer, product)
    ends = _ends(starts, len(customer))
    ago = (cutoff - day).astype(np.float64)
    left = (log.basket_counts()[log.customer] - 1 - log.basket_index())[order]
    year, horizon = season
    in_season = ((ago <= year) & (ago > year - horizon)).astype(np.float64)
    if not len(ago) or ago.max() <= year - horizon // 2:
        in_season[:] = np.nan
    weights = np.exp2(-ago[None, :] / np.asarray(half_lives)[:, None])
    return Pairs(
        customer=customer[starts],
        product=product[starts],
        times=(ends - starts + 1).astype(np.float64),
        since_last=ago[ends],
        since_first=ago[starts],
        baskets_since=left[ends].astype(np.float64),
        season=np.add.reduceat(in_season, starts) if len(starts) else np.zeros(0),
        decayed=np.add.reduceat(weights, starts, axis=1)
        if len(starts)
        else np.zeros((len(half_lives), 0)),
    )


def starts_of(*keys: Ints) -> Ints:
    """Return where each run of equal keys begins; the keys are sorted together."""
    changed = np.ones(len(keys[0]), dtype=bool)
    changed[1:] = np.any([np.diff(key) != 0 for key in keys], axis=0)
    return np.flatnonzero(changed)


def _ends(starts: Ints, n: int) -> Ints:
    """Return the last position of each segment of `n` rows."""
    return np.append(starts[1:], n)[: len(starts)] - 1


CUSTOMER_FEATURES = (
    "customer_baskets",
    "customer_basket_size",
    "customer_last_basket_size",
    "customer_products",
    "customer_repeat_share",
    "customer_days_since_purchase",
    "customer_days_since_first",
    "customer_gap_days",
    "customer_overdue_ratio",
    "customer_log_price",
    "customer_log_price_sd",
)


def customer_state(log: PurchaseLog, cutoff: int, product_log_price: Reals) -> Reals:
    """Return the customer features, shape (customers, features), NaN for no history."""
    log = log.before(cutoff)
    n = log.n_customers
    baskets = log.basket_counts().astype(np.float64)
    rows = np.bincount(log.customer, minlength=n).astype(np.float64)
    index = log.basket_index()
    last_size = np.bincount(log.customer[index == baskets[log.customer] - 1], minlength=n).astype(
        np.float64
    )
    distinct = _distinct_products(log)
    first, last = np.full(n, np.nan), np.full(n, np.nan)
    starts = starts_of(log.customer)
    ends = _ends(starts, len(log))
    if len(log):
        first[log.customer[starts]] = cutoff - log.day[starts]
        last[log.customer[ends]] = cutoff - log.day[ends]
    price, price_sd = mean_sd(product_log_price[log.product], log.customer, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(baskets > 1, (first - last) / (baskets - 1), np.nan)
        columns = [
            baskets,
            rows / baskets,
            last_size,
            distinct,
            1 - distinct / rows,
            last,
            first,
            gap,
            last / gap,
            price,
            price_sd,
        ]
    return np.column_stack(columns)


def _distinct_products(log: PurchaseLog) -> Reals:
    keys = np.unique(log.customer * log.n_products + log.product)
    return np.bincount(keys // log.n_products, minlength=log.n_customers).astype(np.float64)


def mean_sd(values: Reals, group: Ints, n: int) -> tuple[Reals, Reals]:
    """Return mean and standard deviation of the known `values` per group, NaN for none."""
    known = ~np.isnan(values)
    values, group = values[known], group[known]
    count = np.bincount(group, minlength=n).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(group, values, minlength=n) / count
        squares = np.bincount(group, (values - mean[group]) ** 2, minlength=n) / count
    return mean, np.sqrt(squares)


@dataclass(frozen=True)
class Products:
    """What is known about products at a cut-off.

    Parameters
    ----------
    names : tuple of str
    values : array of float of shape (products, features)
    popularity : array of float of shape (products,)
        The share of sales expected now, see `popular_now`.
    is_new : array of bool
        First sold within the window of new arrivals.
    sold : array of bool
        Sold before the cut-off at all.
    """

    names: tuple[str, ...]
    values: Reals
    popularity: Reals
    is_new: Bools
    sold: Bools


def product_log_price(log: PurchaseLog) -> Reals:
    """Return the mean log unit price per product; NaN where none is known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(log.unit_price)
    logs[~np.isfinite(logs)] = np.nan
    return mean_sd(logs, log.product, log.n_products)[0]


def product_state(
    log: PurchaseLog,
    pairs: Pairs,
    cutoff: int,
    *,
    windows: tuple[int, ...],
    season: tuple[int, int],
    new_days: int,
) -> Products:
    """Return the product features at `cutoff`.

    Parameters
    ----------
    windows : tuple of int
        Days looked back, ascending; the one that foretells sales best says what is popular now.
    season : (year, horizon)
        Sales in the `horizon` days that began `year` days before the cut-off.
    new_days : int
        A product first sold within so many days is a new arrival.
    """
    log = log.before(cutoff)
    n = log.n_products
    ago = cutoff - log.day

    def count(rows: Bools) -> Reals:
        """Sales in shares of all sales, so that a longer log does not look like a better one."""
        return np.bincount(log.product[rows], minlength=n) * (1e4 / max(int(rows.sum()), 1))

    counts = [count(ago <= window) for window in windows]
    total = count(np.ones(len(log), dtype=bool))
    age, idle = np.full(n, np.nan), np.full(n, np.nan)
    np.fmax.at(age, log.product, ago)
    np.fmin.at(idle, log.product, ago)
    year, horizon = season
    seasonal = count((ago <= year) & (ago > year - horizon))
    seen_a_year = bool(len(ago)) and int(ago.max()) > year - horizon // 2
    buyers = np.bincount(pairs.product, minlength=n).astype(np.float64)
    again = np.bincount(pairs.product[pairs.times > 1], minlength=n).astype(np.float64)
    gap_mean = _shrunk_gap(pairs, n)
    basket = log.basket_of_row()
    sizes = np.bincount(basket).astype(np.float64)
    size, _ = mean_sd(sizes[basket], log.product, n)
    names = [f"product_sales_{window}" for window in windows]
    latest = count(ago <= windows[0] // 2)
    popularity = popular_now(log, cutoff, windows)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = [
            *counts,
            latest,
            total,
            _next_share(log),
            np.where(counts[1] > 0, counts[0] / counts[1], np.nan),
            np.where(counts[-1] > 0, counts[1] / counts[-1], np.nan),
            age,
            idle,
            seasonal if seen_a_year else np.full(n, np.nan),
            seasonal / total if seen_a_year else np.full(n, np.nan),
            buyers,
            (again + 1) / (buyers + 10),
            gap_mean,
            size,
            product_log_price(log),
            np.argsort(np.argsort(-popularity, kind="stable")),
        ]
    names += [
        "product_sales_latest",
        "product_sales",
        "product_next_share",
        "product_trend_short",
        "product_trend_long",
        "product_days_since_first",
        "product_days_since_sale",
        "product_season_sales",
        "product_season_ratio",
        "product_buyers",
        "product_rebuy_share",
        "product_gap_days",
        "product_basket_size",
        "product_log_price",
        "product_popular_rank",
    ]
    return Products(
        names=tuple(names),
        values=np.column_stack(columns).astype(np.float32),
        popularity=popularity,
        is_new=age <= new_days,
        sold=total > 0,
    )


def popular_now(log: PurchaseLog, cutoff: int, windows: tuple[int, ...]) -> Reals:
    """Return the share of sales that each product is expected to have now, shape (products,).

    The sales of one of the windows, shrunk to those of all time: the window whose shares gave the
    sales of the last months the highest likelihood. Fashions pass in weeks in one shop, and in
    another a year tells more.

    Parameters
    ----------
    log : PurchaseLog
    cutoff : int
        Day number; what is sold from it on is not read.
    windows : tuple of int
        Days looked back.
    """
    log = log.before(cutoff)
    step = max(1, min(_MONTH, (cutoff - int(log.day.min(initial=cutoff))) // 4))
    worth = np.zeros(len(windows))
    for number in range(1, _MONTHS + 1):
        moment = cutoff - number * step
        is_next = (log.day >= moment) & (log.day < moment + step)
        sold = np.bincount(log.product[is_next], minlength=log.n_products)
        for place, window in enumerate(windows):
            worth[place] += sold @ np.log(_sales_share(log, moment, window))
    return _sales_share(log, cutoff, windows[int(np.argmax(worth))])


def _sales_share(log: PurchaseLog, moment: int, window: int) -> Reals:
    """Return the products' shares of the sales of a window, shrunk to those of all time before."""
    n, before = log.n_products, log.day < moment
    always = np.bincount(log.product[before], minlength=n) + 0.5
    lately = before & (log.day >= moment - window)
    sold = np.bincount(log.product[lately], minlength=n)
    return np.asarray((sold + _SALES_PRIOR * always / always.sum()) / (sold.sum() + _SALES_PRIOR))


def _next_share(log: PurchaseLog, weight: float = 10.0) -> Reals:
    """Return per product how often it is in the next basket too, shrunk towards that of all."""
    order = np.lexsort((log.basket_index(), log.product, log.customer))
    index, product, customer = log.basket_index()[order], log.product[order], log.customer[order]
    again = np.zeros(len(log), dtype=bool)
    again[:-1] = (
        (np.diff(customer) == 0) & (np.diff(product) == 0) & (np.diff(index) == 1)
    )  # fmt: skip
    followed = index < log.basket_counts()[customer] - 1
    hits = np.bincount(product[again], minlength=log.n_products)
    occasions = np.bincount(product[followed], minlength=log.n_products)
    whole = hits.sum() / max(occasions.sum(), 1)
    return np.asarray((hits + weight * whole) / (occasions + weight))


def _shrunk_gap(pairs: Pairs, n: int, weight: float = 5.0) -> Reals:
    """Return the mean days between purchases per product, shrunk towards that of all products.

    Unshrunk, the gap of a rare product is the gap of the one customer who bought it twice, and
    a ranker would learn from a customer's own gap what it cannot know of another's.
    """
    known = ~np.isnan(pairs.gap)
    if not known.any():
        return np.full(n, np.nan)
    sums = np.bincount(pairs.product[known], pairs.gap[known], minlength=n)
    count = np.bincount(pairs.product[known], minlength=n)
    return (sums + weight * float(pairs.gap[known].mean())) / (count + weight)
