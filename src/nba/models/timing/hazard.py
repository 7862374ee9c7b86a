"""The timing model: a discrete-time hazard over the coming days, and what follows from it.

Learned at many past cut-offs from the purchase log alone, it gives every customer a
survival curve, and every customer × category with enough history a short form of it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Final

import numpy as np
import polars as pl
from pydantic import Field

from nba.arrays import Floats, Ints
from nba.cores import cores
from nba.errors import ModelError
from nba.models.base import ModelConfig, ModelInputs, TimingModel
from nba.models.blas import one_blas_thread
from nba.models.purchases import (
    CUSTOMER,
    CUSTOMER_CATEGORY,
    PurchaseDays,
    day_number,
    purchases_of,
    read_log,
)
from nba.models.timing.curves import (
    CURVE_DAYS,
    HORIZONS,
    MoneyConfig,
    expected_dates,
    lengthened,
    probabilities,
    with_curves,
)
from nba.models.timing.features import FEATURES
from nba.models.timing.holidays import HOLIDAYS
from nba.models.timing.mixture import Mixture, MixtureConfig, fit_mixture
from nba.models.timing.panel import Snapshot

COUNT: Final = list(FEATURES).index("purchase_days")
OVERDUE: Final = list(FEATURES).index("overdue_shrunk")
EVERYBODY: Final = ""
YEAR: Final = 365


class HazardConfig(MixtureConfig, MoneyConfig):
    """Parameters of the timing model `hazard`."""

    segment: Annotated[
        str, Field(description="column of `customer_state` that newcomers are told apart by")
    ] = "store_id"
    segment_prior: Annotated[
        float, Field(gt=0, description="weight of the average newcomer, in customers")
    ] = 30.0
    largest_log: Annotated[
        int,
        Field(ge=1_000, description="customers, and pairs with a category, learned from at most"),
    ] = 150_000
    chunk: Annotated[int, Field(ge=1, description="customers scored at once")] = 50_000
    threads: Annotated[int, Field(ge=0, description="threads of LightGBM; 0 is all cores")] = 0
    category_step_days: Annotated[
        int, Field(ge=1, description="days between the cut-offs that category rhythms learn from")
    ] = 28
    largest_category_panel: Annotated[
        int, Field(ge=1000, description="person-periods that category rhythms learn from at most")
    ] = 150_000
    categories: Annotated[
        bool, Field(description="fit the customer × category hazard where categories are given")
    ] = True


class Newcomers:
    """Curves and counts of customers who have bought once, by segment, for those who never did.

    Parameters
    ----------
    names : list of str
        Segments; the first is everybody.
    survival : array, shape (segments, CURVE_DAYS + 1)
    counts : array, shape (segments, 2)
        Expected purchases in 90 and 365 days.
    margin, amount : float
        Mean of a purchase.
    """

    def __init__(
        self, names: list[str], survival: Floats, counts: Floats, margin: float, amount: float
    ) -> None:
        self.names, self.survival, self.counts = names, survival, counts
        self.margin, self.amount = margin, amount

    def rows(self, segments: list[str | None]) -> Ints:
        """Return the row of each segment; 0 where it is not known."""
        at = {name: i for i, name in enumerate(self.names)}
        return np.array([at.get(name or EVERYBODY, 0) for name in segments], dtype=np.int64)


class Hazard(TimingModel):
    """Discrete-time hazard with BG/NBD and MBG/CNBD-k as features and as a third opinion.

    The rule of `recency_gap` is fitted beside it, and answers in its place, or in part, where a
    backtest of the last weeks says so.

    Reads `purchases` (`customer_id`, `ts`, `amount`; `quantity`, `margin` and
    `category` where there) in `fit` and in `score`, and in `fit` the `holidays` of the shop's
    country (`day`, `holiday`) where there. Where `customer_state` or
    `customer_behaviour` is given too, its customers are those that are scored, and who
    never bought gets the curve of the newcomers of the segment.
    """

    name = "timing"
    kind = "hazard"
    Config: ClassVar[type[ModelConfig]] = HazardConfig
    config: HazardConfig
    _customer: Mixture
    _category: Mixture | None
    _newcomers: Newcomers

    # -- fitting --------------------------------------------------------------------

    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> Hazard:
        """Fit on `purchases` before `as_of`."""
        # sums of more than one BLAS thread differ in their last bits, and grow other trees
        with one_blas_thread():
            return self._fit(training, as_of, seed)

    def _fit(self, training: ModelInputs, as_of: datetime, seed: int) -> Hazard:
        config, today = self.config, day_number(as_of)
        training = _drawn_customers(training, config.largest_log)
        log = self._log(training, as_of)
        # `ModelInputs` raises its own error for an absent table, so `get` does not serve.
        holidays = training[HOLIDAYS] if HOLIDAYS in training else None  # noqa: SIM401
        fit = partial(
            fit_mixture, today=today, seed=seed, threads=config.threads, holidays=holidays
        )
        self._customer, self._category = fit(log, config=config), None
        if config.categories and "category" in training["purchases"].columns:
            pairs = _drawn(self._log(training, as_of, CUSTOMER_CATEGORY), config.largest_log)
            fewer = config.model_copy(
                update={
                    "counts": False,
                    "cutoff_step_days": config.category_step_days,
                    "largest_panel": min(config.largest_panel, config.largest_category_panel),
                }
            )
            self._category = fit(pairs, config=fewer)
        self._newcomers = self._fit_newcomers(log, training, as_of)
        return self

    def _log(
        self, tables: ModelInputs, as_of: datetime, keys: tuple[str, ...] = CUSTOMER
    ) -> PurchaseDays:
        rate = self.config.margin_rate
        return read_log(purchases_of(tables, keys), as_of=as_of, keys=keys, margin_rate=rate)

    def _fit_newcomers(
        self, log: PurchaseDays, training: ModelInputs, as_of: datetime
    ) -> Newcomers:
        """Average the curves of those who bought once, lately, by segment."""
        builder = self._customer.core.builder
        snapshot = builder.at(log, day_number(as_of)).active(YEAR)
        once = snapshot.take(snapshot.static[:, COUNT] == 1)
        purchases = max(1, len(log.day))
        margin, amount = float(log.margin.sum()) / purchases, float(log.amount.sum()) / purchases
        if not len(once.known):
            flat = np.exp(-np.arange(CURVE_DAYS + 1) / (4.0 * builder.typical_gap))
            counts = np.array([[CURVE_DAYS, YEAR]]) / (4.0 * builder.typical_gap)
            return Newcomers([EVERYBODY], flat[None, :], counts, margin, amount)
        said = self._customer.forecast(log, once, CURVE_DAYS, threads=self.config.threads)
        survival, counts = said.survival, np.column_stack([said.purchases_90d, said.purchases_365d])
        values = np.column_stack([survival, counts])
        segments = self._segments(training, log.ids["customer_id"].gather(once.known))
        names = sorted({name for name in segments if name})
        prior, average = self.config.segment_prior, values.mean(axis=0)
        rows = [average]
        for name in names:
            mine = values[np.array([segment == name for segment in segments])]
            rows.append((mine.sum(axis=0) + prior * average) / (len(mine) + prior))
        table = np.array(rows)
        width = CURVE_DAYS + 1
        return Newcomers([EVERYBODY, *names], table[:, :width], table[:, width:], margin, amount)

    def _segments(self, tables: ModelInputs, customers: pl.Series) -> list[str | None]:
        column = self.config.segment
        if "customer_state" not in tables or column not in tables["customer_state"].columns:
            return [None] * len(customers)
        state = tables["customer_state"]
        wanted = state.select("customer_id", pl.col(column).cast(pl.String)).unique("customer_id")
        named = customers.to_frame("customer_id")
        return named.join(wanted, on="customer_id", how="left", maintain_order="left")[
            column
        ].to_list()

    # -- scoring --------------------------------------------------------------------

    def score(
        self, inputs: ModelInputs, *, as_of: datetime, horizon_days: int = CURVE_DAYS
    ) -> pl.DataFrame:
        """Return one row per customer, sorted by `customer_id`.

        Parameters
        ----------
        horizon_days : int
            Length of the curve; beyond the fitted periods the last rate goes on and declines.
        """
        chunks = list(self.score_chunks(inputs, as_of=as_of, horizon_days=horizon_days))
        return chunks[0] if len(chunks) == 1 else pl.concat(chunks).sort("customer_id")

    def score_chunks(
        self, inputs: ModelInputs, *, as_of: datetime, horizon_days: int = CURVE_DAYS
    ) -> Iterator[pl.DataFrame]:
        """Yield score tables of at most `chunk` customers, for more than fit into memory.

        As many chunks as there are threads are worked on at once, each by one thread.
        """
        self._check()
        with one_blas_thread():
            yield from self._chunks(inputs, as_of, horizon_days)

    def _chunks(
        self, inputs: ModelInputs, as_of: datetime, horizon_days: int
    ) -> Iterator[pl.DataFrame]:
        log, strangers = self._whom(inputs, as_of)
        size, today = self.config.chunk, day_number(as_of)
        firsts = range(0, max(1, log.entities), size)
        workers = min(self.config.threads or cores(), cores(), len(firsts))
        alone = len(firsts) == 1

        def scored(first: int) -> pl.DataFrame:
            part = log.part(first, min(first + size, log.entities))
            return self._score_part(part, today, horizon_days, self.config.threads if alone else 1)

        if alone:
            yield scored(0)
        else:
            yield from _in_order(scored, firsts, workers)
        for first in range(0, len(strangers), size):
            yield self._score_newcomers(strangers[first : first + size], inputs, horizon_days)

    def _whom(self, inputs: ModelInputs, as_of: datetime) -> tuple[PurchaseDays, pl.Series]:
        """Return the log of those to score who have bought, and the ids of those who have not."""
        log = self._log(inputs, as_of)
        for name in ("customer_state", "customer_behaviour"):
            if name in inputs:
                wanted = inputs.require(name, ["customer_id"])["customer_id"].unique().sort()
                have = log.ids["customer_id"]
                known = np.flatnonzero(have.is_in(wanted.implode()).to_numpy())
                return log.only(known), wanted.filter(~wanted.is_in(have.implode()))
        return log, pl.Series("customer_id", [], dtype=pl.String)

    def _score_part(
        self, log: PurchaseDays, today: int, horizon_days: int, threads: int
    ) -> pl.DataFrame:
        snapshot = self._customer.core.builder.at(log, today)
        said = self._customer.forecast(log, snapshot, max(horizon_days, *HORIZONS), threads=threads)
        survival = said.survival
        median = self._customer.backtest.medians(said.purchases_90d)
        margin, amount = self._values(log, snapshot)
        columns = {
            **self._of_curve(survival, horizon_days),
            "overdue_ratio": snapshot.static[:, OVERDUE],
            "p_alive": said.p_alive,
            **_money(said.purchases_90d, median, said.purchases_365d, margin, amount),
        }
        return with_curves(_known(log, snapshot), columns, survival[:, : horizon_days + 1])

    def _of_curve(self, survival: Floats, horizon_days: int) -> dict[str, Floats]:
        horizons = sorted({*HORIZONS, horizon_days})
        return probabilities(survival, horizons) | expected_dates(survival)

    def _values(self, log: PurchaseDays, snapshot: Snapshot) -> tuple[Floats, Floats]:
        """Return margin and amount of a purchase, each shrunk to the population's."""
        prior, new, count = self.config.value_prior, self._newcomers, snapshot.static[:, COUNT]
        sums = [
            np.bincount(log.entity, weights=values, minlength=log.entities)[snapshot.known]
            for values in (log.margin, log.amount)
        ]
        margin = (sums[0] + prior * new.margin) / (count + prior)
        return margin, (sums[1] + prior * new.amount) / (count + prior)

    def _score_newcomers(
        self, customers: pl.Series, inputs: ModelInputs, horizon_days: int
    ) -> pl.DataFrame:
        new = self._newcomers
        row = new.rows(self._segments(inputs, customers))
        survival = lengthened(new.survival, max(horizon_days, *HORIZONS))[row]
        n = len(customers)
        soon, year = new.counts[row, 0], new.counts[row, 1]
        median = self._customer.backtest.medians(soon)
        columns = {
            **self._of_curve(survival, horizon_days),
            "overdue_ratio": np.zeros(n),
            "p_alive": np.ones(n),
            **_money(soon, median, year, np.full(n, new.margin), np.full(n, new.amount)),
        }
        return with_curves(customers.to_frame(), columns, survival[:, : horizon_days + 1])

    def score_categories(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return one row per customer and category bought in, sorted by both."""
        self._check()
        category, threads = self._category, self.config.threads
        if category is None:
            raise ModelError(
                "the timing model has no category curves",
                expected="a model fitted on purchases with a category column",
                found="none",
                next_step="fit it on purchases that name the category",
            )
        log = self._log(inputs, as_of, CUSTOMER_CATEGORY)
        parts = []
        for first in range(0, max(1, log.entities), self.config.chunk):
            part = log.part(first, min(first + self.config.chunk, log.entities))
            snapshot = category.core.builder.at(part, day_number(as_of))
            survival = category.survival(part, snapshot, CURVE_DAYS, threads=threads)
            columns = {
                **probabilities(survival, (14, 30)),
                "expected_days": expected_dates(survival)["expected_days"],
                "overdue_ratio": snapshot.static[:, OVERDUE],
            }
            parts.append(with_curves(_known(part, snapshot), columns))
        return pl.concat(parts)

    def _check(self) -> None:
        if not hasattr(self, "_customer"):
            raise ModelError(
                "the timing model is not fitted", expected="a fitted model", next_step="fit it"
            )

    def finding(self) -> str:
        """Return which part answers, and why."""
        self._check()
        return self._customer.backtest.sentence()

    def figures(self) -> dict[str, float]:
        """Return what the backtest measured."""
        self._check()
        return self._customer.backtest.figures()

    # -- keeping --------------------------------------------------------------------

    def _write(self, folder: Path) -> None:
        self._check()
        self._customer.write(folder / "customer")
        if self._category is not None:
            self._category.write(folder / "category")
        new = self._newcomers
        (folder / "newcomers.json").write_text(
            json.dumps({"names": new.names, "margin": new.margin, "amount": new.amount})
        )
        np.savez(folder / "newcomers.npz", survival=new.survival, counts=new.counts)

    def _read(self, folder: Path) -> None:
        self._customer = Mixture.read(folder / "customer", self.config)
        category = folder / "category"
        self._category = Mixture.read(category, self.config) if category.is_dir() else None
        head = json.loads((folder / "newcomers.json").read_text())
        with np.load(folder / "newcomers.npz", allow_pickle=False) as arrays:
            self._newcomers = Newcomers(
                head["names"], arrays["survival"], arrays["counts"], head["margin"], head["amount"]
            )


def _drawn_customers(training: ModelInputs, most: int) -> ModelInputs:
    """Return the purchases of every n-th customer where there are more than `most`.

    More change no estimate by as much as its noise from one week to the next.
    """
    purchases = training.require("purchases", ["customer_id"])
    customers = purchases["customer_id"].unique().sort()
    every = -(-len(customers) // most)
    if every <= 1:
        return training
    drawn = customers.gather_every(every).to_frame()
    fewer = purchases.join(drawn, on="customer_id", how="semi", maintain_order="left")
    return ModelInputs({**training, "purchases": fewer})


def _drawn(log: PurchaseDays, most: int) -> PurchaseDays:
    """Return every n-th entity where there are more than `most`."""
    every = -(-log.entities // most)
    return log if every <= 1 else log.only(np.arange(0, log.entities, every))


def _known(log: PurchaseDays, snapshot: Snapshot) -> pl.DataFrame:
    return log.ids if len(snapshot.known) == log.entities else log.ids[snapshot.known]


def _in_order(
    work: Callable[[int], pl.DataFrame], items: Iterable[int], workers: int
) -> Iterator[pl.DataFrame]:
    """Yield `work` of each item in order, `workers` at a time and no further ahead."""
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[pl.DataFrame]] = deque()
        for item in items:
            if len(running) == workers:
                yield running.popleft().result()
            running.append(pool.submit(work, item))
        while running:
            yield running.popleft().result()


def _money(
    soon: Floats, median: Floats, year: Floats, margin: Floats, amount: Floats
) -> dict[str, Floats]:
    return {
        "expected_purchases_90d": soon,
        "median_purchases_90d": median,
        "expected_purchases_365d": year,
        "expected_spend_90d": soon * amount,
        "expected_spend_365d": year * amount,
        "expected_margin_90d": soon * margin,
        "expected_margin_365d": year * margin,
    }
