"""What a freshly fitted model answers, by segment: tables and pictures of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import polars as pl

from nba.evaluation.pictures import empty_figure
from nba.evaluation.timing import HORIZONS
from nba.models.base import Model, ModelInputs
from nba.models.purchases import PURCHASES
from nba.pipeline.inputs import STATE
from nba.pipeline.trial import LIST_LENGTH, purchase_groups

#: The most customers who are asked about.
SAMPLE: Final = 2000
_CUSTOMER: Final = "customer_id"
_GROUPS: Final = {"1": "1 purchase", "2-4": "2-4 purchases", "5+": "5 or more purchases"}


def answers_of(model: Model, training: ModelInputs, *, as_of: datetime, seed: int) -> pl.DataFrame:
    """Return what a timing or an affinity model says of a sample of its customers.

    Parameters
    ----------
    model : Model
        Fitted.
    training : ModelInputs
    as_of : datetime
    seed : int

    Returns
    -------
    DataFrame
        segment, at, share, customers. Timing: by purchases before, the share that has not bought
        by day `at`. Affinity: by where it comes from, the mean chance of the product at position
        `at`. Empty for models of other names.
    """
    answer = _ANSWERS.get(model.name)
    if answer is None:
        return pl.DataFrame()
    people = training[STATE if STATE in training else PURCHASES][_CUSTOMER].unique().sort()
    if people.is_empty():
        return pl.DataFrame()
    rng = np.random.default_rng(seed)
    chosen = people.gather(rng.permutation(len(people))[:SAMPLE]).sort().to_frame()
    mine = ModelInputs(
        {
            name: table.join(chosen, on=_CUSTOMER, how="semi", maintain_order="left")
            if _CUSTOMER in table.columns
            else table
            for name, table in training.items()
        }
    )
    return answer(model.score(mine, as_of=as_of), mine)


def _survival(scores: pl.DataFrame, training: ModelInputs) -> pl.DataFrame:
    before = training[PURCHASES].group_by(_CUSTOMER).agg(purchases=pl.col("ts").n_unique())
    known = scores.join(before, on=_CUSTOMER, how="inner", maintain_order="left")
    known = known.with_columns(segment=purchase_groups(known).replace(_GROUPS))
    columns = [f"p_purchase_{days}d" for days in HORIZONS]
    means = known.group_by("segment").agg(pl.len().alias("customers"), pl.col(columns).mean())
    long = means.unpivot(columns, index=["segment", "customers"], variable_name="at")
    return long.select(
        "segment",
        at=pl.col("at").str.extract(r"(\d+)").cast(pl.Int64),
        share=1 - pl.col("value"),
        customers=pl.col("customers"),
    ).sort("segment", "at")


def _positions(scores: pl.DataFrame, training: ModelInputs) -> pl.DataFrame:
    del training
    best = scores.filter(pl.col("rank") <= LIST_LENGTH)
    means = best.group_by(segment=pl.col("source"), at=pl.col("rank").cast(pl.Int64)).agg(
        share=pl.col("relevance").mean(), customers=pl.col(_CUSTOMER).n_unique()
    )
    return means.sort("segment", "at")


_ANSWERS: Final[Mapping[str, Callable[[pl.DataFrame, ModelInputs], pl.DataFrame]]] = (
    MappingProxyType({"timing": _survival, "affinity": _positions})
)
#: Name of table and picture, and what its axes are called, by model.
SHOWN: Final = MappingProxyType(
    {
        "timing": ("survival", "days from now", "share that has not bought yet"),
        "affinity": ("positions", "position on the list", "mean chance of a purchase"),
    }
)


def draw_answers(name: str, answers: pl.DataFrame) -> Any | None:
    """Draw the answers of a model, a line per segment; None without matplotlib."""
    figure = empty_figure(6.0, 4.5)
    if figure is None:
        return None
    _, across, up = SHOWN[name]
    axes = figure.subplots()
    for (segment,), rows in answers.group_by("segment", maintain_order=True):
        label = f"{segment} ({int(rows['customers'].to_numpy().max()):,} customers)"
        axes.plot(rows["at"].to_numpy(), rows["share"].to_numpy(), "o-", label=label)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    return figure
