"""Fit, ask and judge designs of a model on days held back before a run's `as_of`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools
from nba.errors import ModelError
from nba.evaluation.calibration import reliability
from nba.evaluation.trials import (
    BASELINE,
    CHAMPION,
    Answers,
    Trial,
    affinity_answers,
    hold_trial,
    timing_answers,
)
from nba.models.base import Model, ModelInputs
from nba.models.kinds import model_class
from nba.models.purchases import PURCHASES
from nba.models.spec import ModelSpec
from nba.models.version import ModelVersion
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import STATE, VIEWS, of_service, read_inputs

#: Days held back; timing models answer for this horizon.
DAYS: Final = 30
#: Customers are asked about who bought within so many days before the split.
ACTIVE_DAYS: Final = 365
#: The simple design that every other one has to be worth.
SIMPLE: Final = {"timing": "recency_gap", "affinity": "decayed_counts"}
#: A split of fewer customers decides nothing.
MIN_CUSTOMERS: Final = 30
LIST_LENGTH: Final = 10


def needs_trial(spec: ModelSpec, champion: Model | None) -> bool:
    """Return whether a new fit is tried: where gates are set, and where the design changes."""
    if spec.name not in SIMPLE:
        return False
    return bool(spec.gates) or (champion is not None and design_of(champion) != own_design(spec))


def own_design(spec: ModelSpec) -> tuple[str, object]:
    """Return kind and parameters of what a YAML file describes."""
    cls = model_class(spec.name, spec.kind)
    return spec.kind, cls.Config.model_validate(spec.parameters)


def design_of(model: Model) -> tuple[str, object]:
    """Return kind and parameters of a model."""
    return model.kind, model.config


def readable(context: RunContext, version: ModelVersion | None) -> Model | None:
    """Return the champion's model, or None where this version of nba cannot read it."""
    if version is None:
        return None
    try:
        return context.ports.registry.load(version)
    except ModelError:
        return None


def try_out(context: RunContext, spec: ModelSpec, champion: Model | None) -> Trial | None:
    """Judge the design of a YAML file on the days before `as_of`; None where too few were seen.

    Parameters
    ----------
    context : RunContext
    spec : ModelSpec
    champion : Model or None
        Its design is fitted anew before the split, so that it has seen no more than the new one.
    """
    cutoff = context.as_of - timedelta(days=DAYS)
    bought = context.inputs[PURCHASES].filter(
        (pl.col("ts") >= cutoff) & (pl.col("ts") < context.as_of)
    )
    context.ports.feature_store.ensure([cutoff], views=VIEWS)
    inputs = read_inputs(context.ports, context.settings, cutoff)
    asked = _asked(inputs, bought, cutoff, spec.name)
    if asked.height < MIN_CUSTOMERS or not asked["bought"].any():
        return None
    given = of_service(inputs, context.ports.feature_store, spec.feature_service)

    def ask(model: Model) -> Answers:
        return _answers(model, given, asked, bought, cutoff, context.settings.seed)

    new = ask(_unfitted(spec.name, *own_design(spec)))
    others = {
        name: ask(_unfitted(spec.name, *design))
        for name, design in _other_designs(spec, champion).items()
    }
    segments = {"purchases": purchase_groups(asked), "store": asked["store_id"]}
    trial = hold_trial(new, others, segments, spec.gates, days=DAYS, seed=context.settings.seed)
    if not new.is_probability:
        return trial
    return replace(trial, reliability=reliability(new.score, new.happened))


def _other_designs(spec: ModelSpec, champion: Model | None) -> dict[str, tuple[str, object]]:
    """Return the designs to be held against: the champion's and the simple one, if others."""
    others: dict[str, tuple[str, object]] = {}
    if champion is not None and design_of(champion) != own_design(spec):
        others[CHAMPION] = design_of(champion)
    simple = SIMPLE[spec.name]
    if spec.kind != simple:
        others[BASELINE] = (simple, model_class(spec.name, simple).Config())
    return others


def _unfitted(name: str, kind: str, config: object) -> Model:
    return model_class(name, kind)(config)  # type: ignore[arg-type]


def _asked(inputs: ModelInputs, bought: pl.DataFrame, cutoff: datetime, name: str) -> pl.DataFrame:
    """Return who is asked about: customer_id, purchases before, store_id, whether they bought."""
    since = cutoff - timedelta(days=ACTIVE_DAYS)
    before = (
        inputs[PURCHASES]
        .filter((pl.col("ts") >= since) & (pl.col("ts") < cutoff))
        .group_by("customer_id")
        .agg(purchases=pl.col("ts").n_unique())
    )
    buyers = bought.select("customer_id", bought=pl.lit(True)).unique()
    stores = inputs[STATE].select("customer_id", store_id=_store(inputs[STATE]))
    asked = (
        before.join(stores, on="customer_id", how="left")
        .join(buyers, on="customer_id", how="left")
        .with_columns(pl.col("bought").fill_null(False))
        .sort("customer_id")
    )
    return asked.filter(pl.col("bought")) if name == "affinity" else asked


def _store(state: pl.DataFrame) -> pl.Expr:
    return pl.col("store_id") if "store_id" in state.columns else pl.lit(None, dtype=pl.String)


def purchase_groups(asked: pl.DataFrame) -> pl.Series:
    """Return the segment by how often a customer bought in the year before."""
    edges = pl.when(pl.col("purchases") <= 1).then(pl.lit("1"))
    return asked.select(
        edges.when(pl.col("purchases") <= 4).then(pl.lit("2-4")).otherwise(pl.lit("5+"))
    ).to_series()


def _answers(
    model: Model,
    given: ModelInputs,
    asked: pl.DataFrame,
    bought: pl.DataFrame,
    cutoff: datetime,
    seed: int,
) -> Answers:
    """Fit a design before the cut-off and ask it about the days after."""
    began = perf_counter()
    model.fit(given, as_of=cutoff, seed=seed)
    scores = model.score(given, as_of=cutoff)
    seconds = perf_counter() - began
    judge: Mapping[str, Callable[[pl.DataFrame, pl.DataFrame, pl.DataFrame, float], Answers]] = {
        "timing": _timing,
        "affinity": _affinity,
    }
    return judge[model.name](scores, asked, bought, seconds)


def _timing(
    scores: pl.DataFrame, asked: pl.DataFrame, bought: pl.DataFrame, seconds: float
) -> Answers:
    found = asked.join(
        scores.select("customer_id", f"p_purchase_{DAYS}d"),
        on="customer_id",
        how="left",
        maintain_order="left",
    )
    chance = found[f"p_purchase_{DAYS}d"].fill_null(0.0).to_numpy()
    return timing_answers(chance, _flags(asked), seconds)


def _affinity(
    scores: pl.DataFrame, asked: pl.DataFrame, bought: pl.DataFrame, seconds: float
) -> Answers:
    best = scores.filter(pl.col("rank") <= LIST_LENGTH)
    pairs = bought.select("customer_id", "product_id").unique()
    hits = best.join(pairs, on=["customer_id", "product_id"], how="semi")
    hit = asked["customer_id"].is_in(hits["customer_id"].unique().to_list()).to_numpy()
    top = best.group_by("customer_id").agg(pl.col("relevance").max())
    score = asked.join(top, on="customer_id", how="left", maintain_order="left")["relevance"]
    return affinity_answers(hit, np.nan_to_num(score.to_numpy()), seconds)


def _flags(asked: pl.DataFrame) -> Bools:
    flags: Bools = asked["bought"].to_numpy().astype(bool)
    return flags
