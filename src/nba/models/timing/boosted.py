"""The boosted parts of the hazard: LightGBM on person-period rows, kept as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import Field

from nba.arrays import Bools, Floats, Singles
from nba.models.base import ModelConfig
from nba.models.timing.panel import COLUMNS, NAMES, Panel

if TYPE_CHECKING:
    import lightgbm as lgb


#: Values of a column are looked at in so many rows to set its bins.
_BINNED_ROWS: Final = 50_000
_BINNING: Final = {
    "max_bin": 127,
    "bin_construct_sample_cnt": _BINNED_ROWS,
    "feature_pre_filter": False,
    "verbose": -1,
}
#: Trees without a gain after which growing ends.
_PATIENCE: Final = 15
#: Trees where there is too little for a backtest.
TREES_WITHOUT_BACKTEST: Final = 80


class BoostedConfig(ModelConfig):
    """Parameters of the boosted hazards."""

    trees: Annotated[int, Field(ge=1, description="most trees of each booster")] = 400
    bags: Annotated[
        int, Field(ge=1, description="boosters of each kind, each with a seed of its own")
    ] = 1
    correct: Annotated[
        bool, Field(description="beside the booster that starts afresh, one that corrects BG/NBD")
    ] = True
    leaves: Annotated[int, Field(ge=2, description="leaves of each tree")] = 15
    learning_rate: Annotated[float, Field(gt=0, description="step of each tree")] = 0.1
    rows_per_leaf: Annotated[int, Field(ge=1, description="fewest rows in a leaf")] = 500
    ridge: Annotated[float, Field(ge=0, description="L2 penalty on leaf values")] = 10.0
    column_share: Annotated[
        float, Field(gt=0, le=1, description="share of columns that a tree may use")
    ] = 0.3
    row_share: Annotated[
        float, Field(gt=0, le=1, description="share of rows that a tree is grown on")
    ] = 0.8


@dataclass(frozen=True)
class Booster:
    """One booster; `corrects` says whether it starts from BG/NBD or from nothing."""

    corrects: bool
    trees: lgb.Booster

    def logits(self, rows: Singles, offset: Floats, *, threads: int) -> Floats:
        """Return the logit of the hazard of person-period rows (BG/NBD's is `offset`)."""
        raw = self.trees.predict(rows, raw_score=True, num_threads=threads)
        logits = np.asarray(raw, dtype=np.float64)
        return logits + offset if self.corrects else logits


@dataclass(frozen=True)
class Binned:
    """Person-period rows, and the same in bins, which are found once for all parts of a panel."""

    panel: Panel
    data: lgb.Dataset

    def take(self, rows: Bools) -> Binned:
        """Return those of `rows` in the same bins."""
        return Binned(
            self.panel.take(rows), self.data.subset(np.flatnonzero(rows).tolist()).construct()
        )


def binned_rows(panel: Panel) -> Binned:
    """Return the rows of a panel in bins."""
    return Binned(panel, _dataset(panel.rows, panel.bought, panel.season))


def fit_boosters(
    binned: Binned,
    config: BoostedConfig,
    *,
    seed: int,
    threads: int,
    trees: Sequence[int] = (),
    later: Binned | None = None,
) -> tuple[Booster, ...]:
    """Fit `bags` boosters of each kind: one that starts from BG/NBD, one that starts afresh.

    Both have the season as an offset: what they learn is free of it.

    Parameters
    ----------
    binned : Binned
    config : BoostedConfig
    seed : int
    threads : int
    trees : sequence of int
        Trees of each booster, as a backtest found them.
    later : Binned, optional
        Rows from after `binned`: trees are grown until these gain nothing more.
    """
    signs = [COLUMNS[name] for name in NAMES]
    kinds = (True, False) if config.correct else (False,)
    boosters = []
    for i, corrects in enumerate(kind for kind in kinds for _ in range(config.bags)):
        for one in (binned, later):
            if one is not None:
                one.data.set_init_score(one.panel.season + one.panel.bg * corrects)
        grown = _train(
            config,
            binned.data,
            objective="binary",
            signs=signs,
            seed=seed + i,
            threads=threads,
            trees=trees[i] if trees else min(config.trees, TREES_WITHOUT_BACKTEST),
            watched=None if later is None else later.data,
        )
        boosters.append(Booster(corrects, grown))
    return tuple(boosters)


def fit_counts(
    rows: Singles,
    count: Floats,
    offset: Floats,
    config: BoostedConfig,
    *,
    seed: int,
    threads: int,
) -> lgb.Booster:
    """Fit a Poisson booster that corrects an expected number of purchases.

    Parameters
    ----------
    rows : Singles
        Shape (rows, features).
    count : array of float
        Shape (rows,): purchase days that followed.
    offset : array of float
        Shape (rows,): logarithm of their expected number.
    config : BoostedConfig
    seed : int
    threads : int
    """
    data, trees = _dataset(rows, count, offset), min(config.trees, TREES_WITHOUT_BACKTEST)
    return _train(
        config, data, objective="poisson", signs=None, seed=seed, threads=threads, trees=trees
    )


def _dataset(rows: Singles, label: Floats, start: Floats) -> lgb.Dataset:
    import lightgbm as lgb

    return lgb.Dataset(rows, label, init_score=start, params=_BINNING).construct()


def _train(
    config: BoostedConfig,
    data: lgb.Dataset,
    *,
    objective: str,
    signs: list[int] | None,
    seed: int,
    threads: int,
    trees: int,
    watched: lgb.Dataset | None = None,
) -> lgb.Booster:
    import lightgbm as lgb

    parameters: dict[str, object] = {
        "objective": objective,
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.rows_per_leaf,
        "lambda_l2": config.ridge,
        "feature_fraction": config.column_share,
        "bagging_fraction": config.row_share,
        "bagging_freq": 1,
        **_BINNING,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
    }
    if signs is not None:
        parameters["monotone_constraints"] = signs
    if watched is None:
        return lgb.train(parameters, data, trees)
    stop = lgb.early_stopping(_PATIENCE, verbose=False)
    booster = lgb.train(parameters, data, config.trees, valid_sets=[watched], callbacks=[stop])
    return lgb.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))


def average_logits(
    boosters: Sequence[Booster], rows: Singles, offset: Floats, *, threads: int
) -> Floats:
    """Return the boosters' average logit.

    Parameters
    ----------
    boosters : sequence of Booster
    rows : Singles
        Shape (rows, features).
    offset : array of float
        Shape (rows,): logit that the correcting boosters start from.
    threads : int
    """
    each = [booster.logits(rows, offset, threads=threads) for booster in boosters]
    return np.asarray(np.mean(each, axis=0))


def save_trees(trees: lgb.Booster, path: Path) -> None:
    """Write trees as LightGBM text."""
    path.write_text(trees.model_to_string())


def load_trees(path: Path) -> lgb.Booster:
    """Read trees that `save_trees` wrote."""
    import lightgbm as lgb

    return lgb.Booster(model_str=path.read_text())
