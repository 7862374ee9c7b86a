"""The two-stage affinity model: candidates from many sources, ranked by what was bought next.

Two rankers are learned on past cut-offs, each from what was visible then: one over all
candidates, one over those new to the customer, because a list ranked as a whole is almost all
repeats. The end of each list is kept for the best of the new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl

from nba.arrays import Bools, Ints, Reals
from nba.errors import ModelError
from nba.models.affinity.candidates.fitted import Fitted, fit_sources
from nba.models.affinity.candidates.generation import Candidates, candidate_blocks
from nba.models.affinity.candidates.highest import highest
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.exploration import (
    BROUGHT,
    Exploration,
    learn_exploration,
    usual_takes,
)
from nba.models.affinity.history.customers import History, history
from nba.models.affinity.history.views import history_from_views
from nba.models.affinity.ranking.examples import past_examples
from nba.models.affinity.ranking.features import feature_names
from nba.models.affinity.ranking.lists import blend_places, diversify, top_lists
from nba.models.affinity.ranking.ranker import Ranker, ranker_head, read_ranker
from nba.models.affinity.scores import (
    ListSource,
    customers,
    empty_scores,
    homes,
    returned_rest_days,
    score_table,
    sellable,
)
from nba.models.affinity.serving import storage
from nba.models.affinity.serving.cold_start import Segments
from nba.models.affinity.serving.cool_down import CoolDown, learn_rebought
from nba.models.base import Model, ModelConfig, ModelInputs
from nba.models.blas import one_blas_thread
from nba.models.purchases import PURCHASES, PurchaseLog, day_number

_RANKER, _EXPLORER = "ranker", "explorer"
_SOURCES = pl.Series([str(ListSource.REPEAT), str(ListSource.EXPLORE), str(ListSource.POPULAR)])
_REPEAT, _EXPLORE, _POPULAR = range(3)
#: Customers without a history whose lists are made at once.
_COLD_CHUNK = 500
#: Fewer customers than this are not worth a thread of their own.
_SMALLEST_PART = 256


@dataclass(frozen=True)
class Ranked:
    """The candidates of a block that may be listed, with the scores of both rankers."""

    candidates: Candidates
    score: Reals
    explore_score: Reals

    def where(self, rows: Bools) -> Self:
        """Return the candidates `rows`."""
        return type(self)(self.candidates.where(rows), self.score[rows], self.explore_score[rows])


class TwoStageAffinity(Model):
    """Candidates and a LambdaRank ranker, with a ranker of its own for what is new.

    The simple rule of `decayed_counts` stands beside both, and answers where a backtest says so.
    """

    name: ClassVar[str] = "affinity"
    kind: ClassVar[str] = "two_stage"
    Config: ClassVar[type[ModelConfig]] = TwoStageConfig
    config: TwoStageConfig

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__(config)
        self.product_ids = pl.Series("product_id", [], dtype=pl.String)
        self.store_ids = pl.Series("store_id", [], dtype=pl.String)
        self.neighbour_ids = pl.Series("customer_id", [], dtype=pl.String)
        self.catalogue: Catalogue | None = None
        self.fitted: Fitted | None = None
        self.segments = Segments.none()
        self.rebought: dict[str, bool] = {}
        self.returned_days = self.config.returned_days
        self.exploration, self.usual = Exploration(self.config.explore_share), float("nan")
        self.ranker = Ranker(None)
        self.explorer = Ranker(None)

    # -- fit ------------------------------------------------------------------------

    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> Self:
        """Fit on `purchases` (and `product`, where given) before `as_of`."""
        purchases = training.require(PURCHASES, ["customer_id", "product_id", "ts"])
        # `ModelInputs` raises its own error for an absent table, so `get` does not serve.
        products = training["product"] if "product" in training else None  # noqa: SIM401
        ids = purchases["product_id"].cast(pl.String)
        if products is not None:
            ids = pl.concat([ids, products["product_id"].cast(pl.String)])
        visible = purchases.filter(pl.col("ts") < as_of)
        log = PurchaseLog.from_purchases(visible, product_ids=ids)
        log = log.with_homes(homes(training, visible))
        if products is None and {"category", "name"} & set(purchases.columns):
            named = [name for name in ("category", "name") if name in visible.columns]
            products = visible.sort("ts", *named).unique(
                "product_id", keep="last", maintain_order=True
            )
        catalogue = Catalogue.build(log.product_ids, products)
        self.fit_log(log, catalogue, day_number(as_of), seed)
        recent = log.where(log.day >= day_number(as_of) - self.config.windows[-1])
        self.segments = Segments.fit(training, recent, self.config)
        self.returned_days = returned_rest_days(visible, self.config.returned_days)
        # `ModelInputs` raises its own error for an absent table, so `get` does not serve.
        brought = training[BROUGHT] if BROUGHT in training else None  # noqa: SIM401
        self.exploration = learn_exploration(brought, visible, self.usual, self.config, as_of=as_of)
        return self

    def fit_log(self, log: PurchaseLog, catalogue: Catalogue, cutoff: int, seed: int) -> Self:
        """Fit on a purchase log up to the day `cutoff`: rankers on past cut-offs, sources now.

        Parameters
        ----------
        log : PurchaseLog
        catalogue : Catalogue
        cutoff : int
            Day number.
        seed : int
            Draws samples, and seeds ALS and the boosters.
        """
        log = log.before(cutoff)
        config = self.config
        examples = past_examples(log, catalogue, cutoff, config, seed)
        self.product_ids, self.catalogue = log.product_ids, catalogue
        self.store_ids = log.store_ids
        self.fitted = fit_sources(log, catalogue, cutoff, config, seed)
        self.neighbour_ids = log.customer_ids.gather(self.fitted.neighbours.customers)
        self.rebought = learn_rebought(log, catalogue, config.rebought_share)
        self.usual = usual_takes(examples)
        names = feature_names(self.fitted)
        new = [part.new_only() for part in examples]
        self.ranker = Ranker.fit(examples, names, config, seed)
        self.explorer = Ranker.fit(new, names, config, seed, floor=True)
        return self

    # -- score ----------------------------------------------------------------------

    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return the scores of every customer in `inputs`.

        The history of customers comes from `purchases`, else from `customer_product` and
        `customer_behaviour`.
        """
        people = customers(inputs)
        if people.is_empty():
            return empty_scores()
        with one_blas_thread():
            return self._score(inputs, people, as_of)

    def _score(self, inputs: ModelInputs, people: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
        fitted = self._fitted()
        open_products = self._open(inputs)
        cool_down = CoolDown.of(
            inputs,
            customer_ids=people["customer_id"],
            product_ids=self.product_ids,
            catalogue=self._catalogue(),
            learned=self.rebought,
            just_bought_days=self.config.just_bought_days,
            returned_days=self.returned_days,
            as_of=as_of,
        )
        step = self._part(len(people))
        parts = [people[start : start + step] for start in range(0, len(people), step)]
        log = self._log(inputs, people, as_of)

        def scored(number: int) -> pl.DataFrame:
            part = parts[number]
            low = number * step
            mine = log.slice(low, low + len(part))
            if PURCHASES in inputs:
                past = history(mine, day_number(as_of), fitted, self.config)
            else:
                past = history_from_views(inputs, mine, fitted, self.config)
            resting = cool_down.slice(low, low + len(part))
            return self._score_part(part, past, open_products, resting, inputs)

        if len(parts) == 1:
            return scored(0)
        with ThreadPoolExecutor(self.config.workers) as pool:
            return pl.concat([empty_scores(), *pool.map(scored, range(len(parts)))])

    def _part(self, many: int) -> int:
        """Return how many of `many` customers make a part, so that all threads end together."""
        most, threads = self.config.part_customers, self.config.workers
        if many <= min(most, _SMALLEST_PART):
            return most
        return ceil(many / (ceil(many / (most * threads)) * threads))

    def _log(self, inputs: ModelInputs, people: pl.DataFrame, as_of: datetime) -> PurchaseLog:
        """Return what the people bought, in the code space of the fit; empty without a log."""
        none = pl.DataFrame(schema={"customer_id": pl.String, "product_id": pl.String, "day": int})
        bought = inputs[PURCHASES].filter(pl.col("ts") < as_of) if PURCHASES in inputs else none
        log = PurchaseLog.from_purchases(
            bought, customer_ids=people["customer_id"], product_ids=self.product_ids
        )
        return log.with_homes(homes(inputs, bought), self.store_ids)

    def rank(
        self,
        past: History,
        rows: Ints,
        reference: Ints,
        open_products: Bools,
        *,
        cool_down: CoolDown | None = None,
    ) -> Iterator[Ranked]:
        """Yield what may be listed for the customers `rows` of `past`, with its scores.

        Parameters
        ----------
        past : History
        rows : array of int
        reference : array of int
            Where each customer stands among the fitted neighbours, -1 for nowhere.
        open_products : array of bool
            Which products may be brought.
        cool_down : CoolDown, optional
            Pairs that are left out.
        """
        for block in candidate_blocks(
            past,
            self._fitted(),
            self.config,
            rows=rows,
            reference=reference,
            open_products=open_products,
        ):
            if cool_down is not None:
                block = block.where(~cool_down.contains(rows[block.customer], block.product))
            yield self._predict(block)

    def _predict(self, block: Candidates) -> Ranked:
        new = block.features[:, -1] == 0
        score = np.full(len(new), -np.inf)
        explore_score = np.full(len(new), -np.inf)
        for ranker, at, into in (
            (self.ranker, np.arange(len(new)), score),
            (self.explorer, np.flatnonzero(new), explore_score),
        ):
            if len(at):
                best, best_score = ranker.best(
                    block.customer[at],
                    block.features.take(at, axis=0),
                    block.plain[at],
                    tie=self._fitted().tie[block.product[at]],
                    trees=self.config.first_trees,
                    keep=max(self.config.first_kept, 2 * self.config.top_n),
                )
                into[at[best]] = best_score
        alive = (score > -np.inf) | (explore_score > -np.inf)
        return Ranked(block, score, explore_score).where(alive)

    def _score_part(
        self,
        people: pl.DataFrame,
        past: History,
        open_products: Bools,
        cool_down: CoolDown,
        inputs: ModelInputs,
    ) -> pl.DataFrame:
        profiled = people["profiled"].to_numpy()
        known = past.own_products > 0
        rows = np.flatnonzero(profiled & known)
        reference = self.positions(people["customer_id"])
        lists = [
            self._lists(people, rows, ranked)
            for ranked in self.rank(past, rows, reference, open_products, cool_down=cool_down)
        ]
        cold = np.flatnonzero(~(profiled & known))
        lists += [
            self._cold_lists(
                people, cold[start : start + _COLD_CHUNK], open_products, cool_down, inputs
            )
            for start in range(0, len(cold), _COLD_CHUNK)
        ]
        return pl.concat([empty_scores(), *lists]).sort("customer_id", "rank")

    def _lists(self, people: pl.DataFrame, rows: Ints, ranked: Ranked) -> pl.DataFrame:
        config, fitted = self.config, self._fitted()
        product, features = ranked.candidates.product, ranked.candidates.features
        customer, tie = rows[ranked.candidates.customer], fitted.tie[product]
        is_repeat = features[:, -1] > 0
        place, explored = blend_places(
            customer,
            tie,
            is_repeat,
            score=ranked.score,
            explore_score=ranked.explore_score,
            share=self.exploration.share,
            top_n=config.top_n,
        )
        place = diversify(customer, tie, fitted.category[product], place, self._largest)
        listed, rank = top_lists(customer, tie, place, config.top_n)
        popular = np.isin(product[listed], fitted.popular[: config.top_n])
        repeat = is_repeat[listed]
        by_explorer = explored[listed] | ~np.isfinite(ranked.score[listed])
        shown = np.where(by_explorer, ranked.explore_score[listed], ranked.score[listed])
        relevance = np.zeros(len(shown))
        for ranker, at in ((self.ranker, ~by_explorer), (self.explorer, by_explorer)):
            relevance[at] = ranker.relevance(shown[at])
        return score_table(
            people["customer_id"].gather(customer[listed]),
            self.product_ids.gather(product[listed]),
            self._categories(product[listed]),
            rank=rank,
            score=shown,
            relevance=relevance,
            source=_SOURCES.gather(
                np.where(repeat, _REPEAT, np.where(popular, _POPULAR, _EXPLORE))
            ),
            times=np.where(repeat, features[listed, 0], 0),
            since=np.where(repeat, features[listed, 1], np.nan),
            gap=np.where(repeat, features[listed, 8], np.nan),
        )

    def _cold_lists(
        self,
        people: pl.DataFrame,
        rows: Ints,
        open_products: Bools,
        cool_down: CoolDown,
        inputs: ModelInputs,
    ) -> pl.DataFrame:
        """Return lists without a purchase history: what their like buys, else what is popular.

        Who refused profiling gets what is popular, whatever is known of them.
        """
        fitted, top_n = self._fitted(), self.config.top_n
        share = fitted.products.popularity / max(fitted.products.popularity.max(), 1e-9)
        scores = np.tile(np.where(open_products, share, -1.0), (len(rows), 1))
        told = people["profiled"].gather(rows).to_numpy()
        like = self.segments.scores(inputs, people["customer_id"].gather(rows[told]))
        if like is not None:
            scores[told] = np.where(open_products, 1e-3 * share + like, -1.0)
        line, product, place = highest(scores, 4 * top_n)
        resting = cool_down.contains(rows[line], product) & told[line]
        line, product, place = line[~resting], product[~resting], place[~resting]
        wanted = diversify(
            line, product, fitted.category[product], place.astype(float), self._largest
        )
        listed, rank = top_lists(line, product, wanted, top_n)
        line, product = line[listed], product[listed]
        none = np.full(len(line), np.nan)
        return score_table(
            people["customer_id"].gather(rows[line]),
            self.product_ids.gather(product),
            self._categories(product),
            rank=rank,
            score=scores[line, product],
            relevance=fitted.buyer_share[product],
            source=_SOURCES.gather(np.full(len(line), _POPULAR)),
            times=np.zeros(len(line)),
            since=none,
            gap=none,
        )

    @property
    def _largest(self) -> int:
        """How many products of one category a list may hold."""
        return max(1, round(self.config.max_category_share * self.config.top_n))

    def _categories(self, product: Ints) -> pl.Series:
        catalogue = self._catalogue()
        return catalogue.labels.gather(catalogue.place(product))

    def _open(self, inputs: ModelInputs) -> Bools:
        """Return which products may be brought: known, sellable, in the catalogue of today."""
        if "product" not in inputs:
            return self._fitted().products.sold
        allowed = sellable(inputs.require("product", ["product_id"]))["product_id"]
        return self.product_ids.is_in(allowed.cast(pl.String).implode()).to_numpy()

    def positions(self, customer_ids: pl.Series) -> Ints:
        """Return where each customer stands among the fitted neighbours, -1 for nowhere."""
        known = self.neighbour_ids
        position = customer_ids.replace_strict(
            known, np.arange(len(known)), default=-1, return_dtype=pl.Int64
        )
        return np.asarray(position.to_numpy(), dtype=np.int64)

    def importance(self) -> dict[str, float]:
        """Return the share of the ranker's gain that each feature brought, largest first."""
        if self.ranker.booster is None:
            return {}
        gain = self.ranker.booster.feature_importance("gain")
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

    def finding(self) -> str:
        """Return which order answers, for all products and for new ones, and why."""
        self._fitted()
        whole, new = self.ranker.backtest, self.explorer.backtest
        said = f"{whole.sentence()}; new things: {new.sentence()}"
        learned = self.exploration.sentence()
        return f"{said}; {learned}" if learned else said

    def figures(self) -> dict[str, float]:
        """Return what the backtests measured; those of new things begin with `new_`."""
        new = {f"new_{name}": value for name, value in self.explorer.backtest.figures().items()}
        return self.ranker.backtest.figures() | new | self.exploration.figures()

    # -- save and load ---------------------------------------------------------------

    def _write(self, folder: Path) -> None:
        rankers = {_RANKER: self.ranker, _EXPLORER: self.explorer}
        storage.write(
            folder,
            fitted=self._fitted(),
            catalogue=self._catalogue(),
            segments=self.segments,
            state={
                "product_ids": self.product_ids.to_list(),
                "store_ids": self.store_ids.to_list(),
                "neighbour_ids": self.neighbour_ids.to_list(),
                "rebought": self.rebought,
                "returned_days": self.returned_days,
                "exploration": asdict(self.exploration),
                "rankers": {name: ranker_head(ranker) for name, ranker in rankers.items()},
            },
        )
        for name, ranker in rankers.items():
            if ranker.booster is None:
                (folder / f"{name}.txt").unlink(missing_ok=True)
                continue
            ranker.booster.save_model(str(folder / f"{name}.txt"))

    @classmethod
    def erase(cls, folder: Path, customer_ids: Collection[str]) -> list[str]:
        """Take customers' ids from those whose purchases the neighbours are; the baskets stay."""
        return storage.rename(folder, "neighbour_ids", customer_ids)

    def _read(self, folder: Path) -> None:
        saved = storage.read(folder)
        state = saved.state
        self.fitted, self.catalogue, self.segments = saved.fitted, saved.catalogue, saved.segments
        for name in ("product_ids", "store_ids", "neighbour_ids"):
            setattr(self, name, pl.Series(name[:-1], state[name], dtype=pl.String))
        self.neighbour_ids = self.neighbour_ids.alias("customer_id")
        self.rebought = state["rebought"]
        self.returned_days = state["returned_days"]
        # models of before this hold none
        kept = state.get("exploration", {"share": self.config.explore_share})
        self.exploration = Exploration(**kept)
        self.ranker, self.explorer = (
            read_ranker(folder / f"{name}.txt", state["rankers"][name])
            for name in (_RANKER, _EXPLORER)
        )
