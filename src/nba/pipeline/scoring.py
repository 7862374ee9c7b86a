"""Fit and score: from feature frames to the score tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

import nba
from nba.models.base import Model, ModelInputs, TimingModel
from nba.models.spec import ModelSpec
from nba.pipeline.ports import FeatureStore, ModelRegistry, ModelVersion

MODELS = ("timing", "affinity", "mode")
#: Views with a row per customer reach the models through the feature store's
#: point-in-time join; the long ones and the dimensions are read as built.
JOINED_VIEWS = ("customer_state", "customer_behaviour", "customer_contact")
SNAPSHOT_VIEWS = (
    "customer_category",
    "customer_product",
    "customer_tags",
    "product",
    "clerk",
    "store",
)


@dataclass(frozen=True)
class Scores:
    """The score tables of one `as_of`, as described in `docs/architecture.md`."""

    timing: pl.DataFrame
    timing_category: pl.DataFrame
    affinity: pl.DataFrame
    mode: pl.DataFrame
    contributions: pl.DataFrame

    def items(self) -> Mapping[str, pl.DataFrame]:
        """Return the tables by name."""
        return dict(vars(self))


def feature_frames(store: FeatureStore, as_of: datetime) -> ModelInputs:
    """Return every feature table that models and decisions read at `as_of`."""
    state = store.snapshot("customer_state", as_of)
    entities = state.select("customer_id").with_columns(event_timestamp=pl.lit(as_of))
    frames = {"customer_state": state}
    for view in JOINED_VIEWS[1:]:
        frames[view] = store.historical(view, entities)
    for view in SNAPSHOT_VIEWS:
        frames[view] = store.snapshot(view, as_of)
    return ModelInputs(frames)


def config_digest(spec: ModelSpec) -> str:
    """Return a digest of what decides a fit: kind, parameters and the version of nba.

    The version, because a model is read only by what writes it so.
    """
    content = json.dumps(
        [spec.kind, spec.parameters, spec.window_days, nba.__version__], sort_keys=True
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def fit_is_due(spec: ModelSpec, champion: ModelVersion | None, as_of: datetime) -> str:
    """Return why a fit is due at `as_of`, or an empty text.

    A champion that was fitted after `as_of` has seen its future and never serves it.
    """
    if champion is None:
        return "no champion yet"
    if champion.config_digest != config_digest(spec):
        return "its configuration or the version of nba changed"
    if champion.as_of > as_of:
        return "the champion has seen later data"
    age = as_of - champion.as_of
    if age >= timedelta(days=spec.retrain_every_days):
        return f"the champion is {age.days} days old"
    return ""


def fit_one(
    spec: ModelSpec,
    model: Model,
    training: ModelInputs,
    registry: ModelRegistry,
    *,
    as_of: datetime,
    seed: int,
) -> ModelVersion:
    """Fit `model`, log and register it, and promote it unless a later champion stands."""
    champion = registry.champion(spec.name)
    model.fit(training, as_of=as_of, seed=seed)
    version = registry.register(
        model,
        as_of=as_of,
        parameters=model.config.model_dump(mode="json"),
        metrics={f"rows_{name}": float(table.height) for name, table in training.items()},
        seed=seed,
        config_digest=config_digest(spec),
    )
    if champion is None or champion.as_of <= as_of:
        registry.promote(version)
    return version


def score_all(models: Mapping[str, Model], frames: ModelInputs, *, as_of: datetime) -> Scores:
    """Score every customer of `frames` with the three models."""
    clock = models["timing"]
    if not isinstance(clock, TimingModel):
        raise TypeError(f"the timing model is a {type(clock).__name__}")
    timing = clock.score(frames, as_of=as_of)
    with_timing = ModelInputs({**frames, "timing": timing})
    categories = clock.score_categories(with_timing, as_of=as_of)
    with_timing = ModelInputs({**with_timing, "timing_category": categories})
    return Scores(
        timing=timing,
        timing_category=categories,
        affinity=models["affinity"].score(with_timing, as_of=as_of),
        mode=models["mode"].score(with_timing, as_of=as_of),
        contributions=models["mode"].contributions(with_timing, as_of=as_of),
    )
