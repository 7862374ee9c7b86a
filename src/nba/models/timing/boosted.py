"""The boosted parts of the hazard: LightGBM on person-period rows, kept as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nba.models.base import ModelConfig
from nba.models.timing.panel import COLUMNS, NAMES, SEASON, YEAR_TELLING, Panel, expit, logit

if TYPE_CHECKING:
    import lightgbm as lgb

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


class BoostedConfig(ModelConfig):
    """Parameters of the boosted hazards."""

    trees: Annotated[int, Field(ge=1, description="trees of each booster")] = 80
    bags: Annotated[
        int, Field(ge=1, description="boosters of each kind, each with a seed of its own")
    ] = 1
    leaves: Annotated[int, Field(ge=2, description="leaves of each tree")] = 15
    learning_rate: Annotated[float, Field(gt=0, description="step of each tree")] = 0.05
    rows_per_leaf: Annotated[int, Field(ge=1, description="fewest rows in a leaf")] = 500
    ridge: Annotated[float, Field(ge=0, description="L2 penalty on leaf values")] = 10.0
    column_share: Annotated[
        float, Field(gt=0, le=1, description="share of columns that a tree may use")
    ] = 0.7
    row_share: Annotated[
        float, Field(gt=0, le=1, description="share of rows that a tree is grown on")
    ] = 0.8


@dataclass(frozen=True)
class Booster:
    """One booster, with or without the day of the year, alone or correcting BG/NBD."""

    season: bool
    corrects: bool
    trees: lgb.Booster

    @property
    def columns(self) -> list[int]:
        """Columns of a person-period row that it reads."""
        return columns_of(self.season)

    def logits(self, rows: Singles, offset: Floats, *, threads: int) -> Floats:
        """Return the logit of the hazard of person-period rows (BG/NBD's is `offset`)."""
        raw = self.trees.predict(rows[:, self.columns], raw_score=True, num_threads=threads)
        logits = np.asarray(raw, dtype=np.float64)
        return logits + offset if self.corrects else logits


def columns_of(season: bool) -> list[int]:
    """Return the columns that are read: the season's, or those that tell the year, not both."""
    left_out = YEAR_TELLING if season else SEASON
    return [i for i, name in enumerate(NAMES) if name not in left_out]


def fit_booster(
    panel: Panel, config: BoostedConfig, *, season: bool, corrects: bool, seed: int, threads: int
) -> Booster:
    """Fit one booster on person-period rows."""
    columns = columns_of(season)
    data = _dataset(panel.rows[:, columns], panel.bought, panel.offset if corrects else None)
    signs = [COLUMNS[NAMES[i]] for i in columns]
    trees = _train(config, data, objective="binary", signs=signs, seed=seed, threads=threads)
    return Booster(season, corrects, trees)


def fit_counts(
    rows: Singles,
    count: Floats,
    offset: Floats,
    config: BoostedConfig,
    *,
    seed: int,
    threads: int,
) -> lgb.Booster:
    """Fit a Poisson booster that corrects an expected number of purchases (log `offset`)."""
    data = _dataset(rows, count, offset)
    return _train(config, data, objective="poisson", signs=None, seed=seed, threads=threads)


def _dataset(rows: Singles, label: Floats, start: Floats | None) -> lgb.Dataset:
    import lightgbm as lgb

    return lgb.Dataset(rows, label, init_score=start, params={"max_bin": 127, "verbose": -1})


def _train(
    config: BoostedConfig,
    data: lgb.Dataset,
    *,
    objective: str,
    signs: list[int] | None,
    seed: int,
    threads: int,
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
        "max_bin": 127,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    if signs is not None:
        parameters["monotone_constraints"] = signs
    return lgb.train(parameters, data, config.trees)


def average_logits(
    boosters: Sequence[Booster], rows: Singles, offset: Floats, *, threads: int
) -> Floats:
    """Return the logit of the boosters' average probability."""
    each = [expit(booster.logits(rows, offset, threads=threads)) for booster in boosters]
    return logit(np.mean(each, axis=0))


def save_trees(trees: lgb.Booster, path: Path) -> None:
    """Write trees as LightGBM text."""
    path.write_text(trees.model_to_string())


def load_trees(path: Path) -> lgb.Booster:
    """Read trees that `save_trees` wrote."""
    import lightgbm as lgb

    return lgb.Booster(model_str=path.read_text())
