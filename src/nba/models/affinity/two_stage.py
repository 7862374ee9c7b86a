"""The two-stage affinity model: candidates from many sources, ranked by what was bought next.

Two rankers are learned on past cut-offs, each from what was visible then: one over all
candidates, one over those new to the customer, because a list ranked as a whole is almost all
repeats.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from nba.errors import ModelError
from nba.models.affinity import storage
from nba.models.affinity.candidates import (
    Candidates,
    Fitted,
    History,
    candidate_blocks,
    feature_names,
    fit_sources,
    history,
)
from nba.models.affinity.catalogue import Catalogue
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.frame import (
    SCORE_SCHEMA,
    Source,
    customers,
    empty_scores,
    sellable,
)
from nba.models.affinity.frames import history_from_frames
from nba.models.affinity.lists import dial, diversify, top_lists
from nba.models.affinity.log import Bools, Floats, Ints, PurchaseLog, day_number
from nba.models.affinity.ranker import Examples, fit_ranker, fit_relevance
from nba.models.affinity.rest import Resting, learn_rebought
from nba.models.base import Frames, Model, ModelConfig

PURCHASES = "purchases"
_RANKER, _EXPLORER = "ranker.txt", "explorer.txt"
_SOURCES = pl.Series([str(Source.REPEAT), str(Source.EXPLORE), str(Source.POPULAR)])
_REPEAT, _EXPLORE, _POPULAR = range(3)


@dataclass(frozen=True)
class Ranked:
    """Candidates of a block of customers with the scores of both rankers."""

    candidates: Candidates
    score: Floats
    explore_score: Floats


class TwoStageAffinity(Model):
    """Candidates and a LambdaRank ranker, with a list of its own for what is new."""

    name: ClassVar[str] = "affinity"
    kind: ClassVar[str] = "two_stage"
    Config: ClassVar[type[ModelConfig]] = TwoStageConfig
    config: TwoStageConfig

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__(config)
        self.product_ids = pl.Series("product_id", [], dtype=pl.String)
        self.neighbour_ids = pl.Series("customer_id", [], dtype=pl.String)
        self.catalogue: Catalogue | None = None
        self.fitted: Fitted | None = None
        self.relevance = ((0.0, 0.0), (0.0, 0.0))
        self.rebought: dict[str, bool] = {}
        self._ranker: Any = None
        self._explorer: Any = None

    # -- fit ------------------------------------------------------------------------

    def fit(self, training: Frames, *, as_of: datetime, seed: int) -> Self:
        """Fit on `purchases` (and `product`, where given) before `as_of`."""
        purchases = training.require(PURCHASES, ["customer_id", "product_id", "ts"])
        # `Frames` raises its own error for an absent table, so `get` does not serve.
        products = training["product"] if "product" in training else None  # noqa: SIM401
        ids = purchases["product_id"].cast(pl.String)
        if products is not None:
            ids = pl.concat([ids, products["product_id"].cast(pl.String)])
        visible = purchases.filter(pl.col("ts") < as_of)
        log = PurchaseLog.from_purchases(visible, product_ids=ids)
        if products is None and {"category", "name"} & set(purchases.columns):
            products = visible.sort("ts").unique("product_id", keep="last", maintain_order=True)
        return self.fit_log(
            log, Catalogue.build(log.product_ids, products), day_number(as_of), seed
        )

    def fit_log(self, log: PurchaseLog, catalogue: Catalogue, cutoff: int, seed: int) -> Self:
        """Fit on a purchase log up to the day `cutoff`: rankers on past cut-offs, sources now."""
        log = log.before(cutoff)
        config = self.config
        moments = past_cutoffs(log, cutoff, config)
        found = [self.examples(log, catalogue, moment, seed) for moment in moments]
        examples = [part for part in found if part is not None]
        self.product_ids, self.catalogue = log.product_ids, catalogue
        self.fitted = fit_sources(log, catalogue, cutoff, config, seed)
        self.neighbour_ids = log.customer_ids.gather(self.fitted.neighbours.customers)
        self.rebought = learn_rebought(log, catalogue, config.rebought_share)
        names = feature_names(self.fitted)
        self._ranker = self._explorer = None
        if examples:
            self._ranker = fit_ranker(examples, names, config, seed)
            new = [part.new_only() for part in examples]
            self._explorer = fit_ranker(new, names, config, seed)
            self.relevance = (
                fit_relevance(self._ranker, examples[0]),
                fit_relevance(self._explorer, new[0]),
            )
        return self

    def examples(
        self, log: PurchaseLog, catalogue: Catalogue, cutoff: int, seed: int
    ) -> Examples | None:
        """Return candidates and labels at a past cut-off, None where nobody bought."""
        config = self.config
        target = log.next_baskets(cutoff, config.horizon)
        enough = log.before(cutoff).basket_counts() >= config.min_baskets
        buys = np.bincount(target.customer, minlength=log.n_customers) > 0
        rows = np.flatnonzero(enough & buys)
        if not len(rows):
            return None
        if len(rows) > config.learn_customers:
            generator = np.random.default_rng([seed, abs(cutoff)])
            rows = np.sort(generator.choice(rows, config.learn_customers, replace=False))
        fitted = fit_sources(log, catalogue, cutoff, config, seed)
        past = history(log, cutoff, fitted, config)
        blocks = list(
            candidate_blocks(
                past,
                fitted,
                config,
                rows=rows,
                reference=_reference(fitted, log.n_customers),
                open_products=fitted.products.sold,
            )
        )
        bought = np.unique(target.customer * log.n_products + target.product)
        customer = np.concatenate([block.customer for block in blocks])
        product = np.concatenate([block.product for block in blocks])
        label = np.isin(rows[customer] * log.n_products + product, bought)
        return Examples.keep_informative(
            customer, np.vstack([block.features for block in blocks]), label
        )

    # -- score ----------------------------------------------------------------------

    def score(self, inputs: Frames, *, as_of: datetime) -> pl.DataFrame:
        """Return the score frame for every customer in `inputs`.

        The history of customers comes from `purchases`, else from `customer_product` and
        `customer_behaviour`.
        """
        people = customers(inputs)
        if people.is_empty():
            return empty_scores()
        fitted = self._fitted()
        open_products = self._open(inputs)
        rest = Resting.of(
            inputs,
            customer_ids=people["customer_id"],
            product_ids=self.product_ids,
            catalogue=self._catalogue(),
            learned=self.rebought,
            just_bought_days=self.config.just_bought_days,
            as_of=as_of,
        )
        step = self.config.part_customers
        parts = [people[start : start + step] for start in range(0, len(people), step)]
        log = None
        if PURCHASES in inputs:
            log = PurchaseLog.from_purchases(
                inputs[PURCHASES].filter(pl.col("ts") < as_of),
                customer_ids=people["customer_id"],
                product_ids=self.product_ids,
            )

        def one(number: int) -> pl.DataFrame:
            part = parts[number]
            low = number * step
            if log is None:
                past = history_from_frames(
                    inputs, part["customer_id"], self.product_ids, fitted, self.config
                )
            else:
                past = history(
                    log.slice(low, low + len(part)), day_number(as_of), fitted, self.config
                )
            return self._score_part(part, past, open_products, rest.slice(low, low + len(part)))

        if len(parts) == 1:
            return one(0)
        with ThreadPoolExecutor(self.config.threads) as pool:
            return pl.concat([empty_scores(), *pool.map(one, range(len(parts)))])

    def rank(
        self, past: History, rows: Ints, reference: Ints, open_products: Bools, *, whole: bool
    ) -> Iterator[Ranked]:
        """Yield the candidates of the customers `rows` of `past` with their scores.

        Parameters
        ----------
        whole : bool
            Score new products by the ranker of all candidates too, not only by their own.
        """
        for block in candidate_blocks(
            past,
            self._fitted(),
            self.config,
            rows=rows,
            reference=reference,
            open_products=open_products,
        ):
            yield Ranked(block, *self._predict(block, whole))

    def _predict(self, block: Candidates, whole: bool) -> tuple[Floats, Floats]:
        names = feature_names(self._fitted())
        if self._ranker is None or self._explorer is None:
            # Without a past to learn from: own purchases by decay, then what is popular.
            decayed = np.nan_to_num(block.features[:, names.index("decayed_2")])
            popular = block.features[:, names.index("product_sales")] / 1e4
            plain = np.asarray(decayed + popular, dtype=np.float64)
            return plain, plain
        new = block.features[:, names.index("is_repeat")] == 0
        score = np.zeros(len(new))
        explore_score = np.zeros(len(new))
        asked = np.ones(len(new), dtype=bool) if whole else ~new
        for booster, rows, into in (
            (self._ranker, asked, score),
            (self._explorer, new, explore_score),
        ):
            if rows.any():
                into[rows] = booster.predict(block.features[rows], num_threads=1)
        return score, explore_score

    def _score_part(
        self, people: pl.DataFrame, past: History, open_products: Bools, rest: Resting
    ) -> pl.DataFrame:
        profiled = people["profiled"].to_numpy()
        known = past.customers[:, 0] > 0
        rows = np.flatnonzero(profiled & known)
        reference = self.positions(people["customer_id"])
        whole = self.config.explore_share is None
        frames = [
            self._lists(people, rows, ranked, rest)
            for ranked in self.rank(past, rows, reference, open_products, whole=whole)
        ]
        cold = np.flatnonzero(~(profiled & known))
        frames.append(self._popular(people, cold, open_products))
        return pl.concat(frames).sort("customer_id", "rank").select(*SCORE_SCHEMA)

    def _lists(
        self, people: pl.DataFrame, rows: Ints, ranked: Ranked, rest: Resting
    ) -> pl.DataFrame:
        config, fitted = self.config, self._fitted()
        customer, product = rows[ranked.candidates.customer], ranked.candidates.product
        allowed = ~rest.contains(customer, product)
        customer, product = customer[allowed], product[allowed]
        score, explore = ranked.score[allowed], ranked.explore_score[allowed]
        features = ranked.candidates.features[allowed]
        is_repeat = features[:, -1] > 0
        place = dial(customer, product, is_repeat, score, explore, config.explore_share)
        largest = max(1, round(config.max_category_share * config.top_n))
        place = diversify(customer, product, fitted.category[product], place, largest)
        listed, rank = top_lists(customer, product, place, config.top_n)
        popular = np.isin(product, fitted.popular[: config.top_n])
        repeat = is_repeat[listed]
        by_ranker = repeat | (config.explore_share is None)
        shown = np.where(by_ranker, score[listed], explore[listed])
        curve = np.where(by_ranker[:, None], self.relevance[0], self.relevance[1])
        source = np.where(repeat, _REPEAT, np.where(popular[listed], _POPULAR, _EXPLORE))
        return self._frame(
            people,
            customer[listed],
            product[listed],
            rank,
            score=shown,
            relevance=1 / (1 + np.exp(-(curve[:, 0] * shown + curve[:, 1]))),
            source=source,
            times=np.where(repeat, features[listed, 0], 0),
            since=np.where(repeat, features[listed, 1], np.nan),
            gap=np.where(repeat, features[listed, 8], np.nan),
        )

    def _popular(self, people: pl.DataFrame, rows: Ints, open_products: Bools) -> pl.DataFrame:
        """Return what is popular, for customers without a history or without consent."""
        fitted, top_n = self._fitted(), self.config.top_n
        order = fitted.popular[open_products[fitted.popular]]
        largest = max(1, round(self.config.max_category_share * top_n))
        place = diversify(
            np.zeros(len(order), dtype=np.int64),
            order,
            fitted.category[order],
            np.arange(len(order), dtype=np.float64),
            largest,
        )
        order = order[np.argsort(place, kind="stable")][:top_n]
        share = fitted.products.popularity[order] / max(fitted.products.popularity.max(), 1e-9)
        n, width = len(rows), len(order)
        return self._frame(
            people,
            np.repeat(rows, width),
            np.tile(order, n),
            np.tile(np.arange(width), n),
            score=np.tile(share, n),
            relevance=np.tile(fitted.buyer_share[order], n),
            source=np.full(n * width, _POPULAR),
            times=np.zeros(n * width),
            since=np.full(n * width, np.nan),
            gap=np.full(n * width, np.nan),
        )

    def _frame(
        self,
        people: pl.DataFrame,
        customer: Ints,
        product: Ints,
        rank: Ints,
        *,
        score: Floats,
        relevance: Floats,
        source: Ints,
        times: Floats,
        since: Floats,
        gap: Floats,
    ) -> pl.DataFrame:
        catalogue = self._catalogue()
        return pl.DataFrame(
            {
                "customer_id": people["customer_id"].gather(customer),
                "rank": (rank + 1).astype(np.int32),
                "product_id": self.product_ids.gather(product),
                "category": catalogue.labels.gather(catalogue.place(product)),
                "score": score.astype(np.float64),
                "relevance": relevance.astype(np.float64),
                "source": _SOURCES.gather(source),
                "times_bought": times.astype(np.int32),
                "days_since_purchase": since.astype(np.float64),
                "gap_days": gap.astype(np.float64),
            },
            schema=SCORE_SCHEMA,
        ).with_columns(pl.col("days_since_purchase", "gap_days").fill_nan(None))

    def _open(self, inputs: Frames) -> Bools:
        """Return which products may be brought: known, sellable, in the catalogue of today."""
        if "product" not in inputs:
            return self._fitted().products.sold
        allowed = sellable(inputs.require("product", ["product_id"]))["product_id"]
        return self.product_ids.is_in(allowed.cast(pl.String).implode()).to_numpy()

    def positions(self, customer_ids: pl.Series) -> Ints:
        """Return where each customer stands among the fitted neighbours, -1 for nowhere."""
        known = self.neighbour_ids
        found = customer_ids.replace_strict(
            known, np.arange(len(known)), default=-1, return_dtype=pl.Int64
        )
        return np.asarray(found.to_numpy(), dtype=np.int64)

    def importance(self) -> dict[str, float]:
        """Return the share of the ranker's gain that each feature brought, largest first."""
        if self._ranker is None:
            return {}
        gain = self._ranker.feature_importance("gain")
        share = gain / max(gain.sum(), 1e-9)
        names = feature_names(self._fitted())
        return {names[i]: round(float(share[i]), 4) for i in np.argsort(-share) if share[i] > 0}

    def _fitted(self) -> Fitted:
        if self.fitted is None:
            raise ModelError(
                "the affinity model was asked for scores before it was fitted",
                next_step="fit it, or load a fitted one",
            )
        return self.fitted

    def _catalogue(self) -> Catalogue:
        self._fitted()
        assert self.catalogue is not None
        return self.catalogue

    # -- save and load ---------------------------------------------------------------

    def _write(self, folder: Path) -> None:
        storage.write(
            folder,
            fitted=self._fitted(),
            catalogue=self._catalogue(),
            product_ids=self.product_ids,
            neighbour_ids=self.neighbour_ids,
            state={"relevance": self.relevance, "rebought": self.rebought},
        )
        for booster, name in ((self._ranker, _RANKER), (self._explorer, _EXPLORER)):
            if booster is not None:
                booster.save_model(str(folder / name))

    def _read(self, folder: Path) -> None:
        saved = storage.read(folder)
        self.fitted, self.catalogue = saved.fitted, saved.catalogue
        self.product_ids, self.neighbour_ids = saved.product_ids, saved.neighbour_ids
        ranker, explorer = (tuple(curve) for curve in saved.state["relevance"])
        self.relevance, self.rebought = (ranker, explorer), saved.state["rebought"]
        import lightgbm as lgb

        if (folder / _RANKER).exists():
            self._ranker = lgb.Booster(model_file=str(folder / _RANKER))
        if (folder / _EXPLORER).exists():
            self._explorer = lgb.Booster(model_file=str(folder / _EXPLORER))


def past_cutoffs(log: PurchaseLog, cutoff: int, config: TwoStageConfig) -> list[int]:
    """Return the cut-offs to learn from, the newest first.

    The targets of each lie before `cutoff`. The season of now a year ago teaches what the last
    months cannot: how tastes move at this time of the year.
    """
    latest = cutoff - config.horizon
    recent = [latest - number * config.cutoff_step for number in range(config.cutoffs)]
    reach = int(log.day.min(initial=cutoff)) + config.season_days // 2
    season = [
        cutoff - config.season_days + number * config.cutoff_step
        for number in range(config.year_ago_cutoffs)
    ]
    return recent + [moment for moment in season if reach <= moment < recent[-1]]


def _reference(fitted: Fitted, n_customers: int) -> Ints:
    """Return the position of each customer among the fitted neighbours, -1 for none."""
    position = np.full(n_customers, -1)
    position[fitted.neighbours.customers] = np.arange(len(fitted.neighbours.customers))
    return position
