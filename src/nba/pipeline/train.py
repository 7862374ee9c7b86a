"""Fit the models that are due: what a fit may see, why it is due, how it is registered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any, Final

import polars as pl

import nba
from nba.data.erasure import PSEUDONYM
from nba.errors import LostModelError, NotFoundError
from nba.evaluation.drift import drift_table
from nba.evaluation.effect_gains import EffectGains
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.exploration import BROUGHT, brought_products
from nba.models.base import Model, ModelInputs, parse_config
from nba.models.contact_value.config import ContactValueConfig
from nba.models.contact_value.training import contact_training
from nba.models.kinds import model_class
from nba.models.mode.assignments.features import anchors_of
from nba.models.mode.assignments.outcomes import assignments_of, followed_contacts
from nba.models.mode.assignments.records import decision_rows
from nba.models.mode.churn.lost_share import FOLLOWED
from nba.models.needs.build import rhythm_of
from nba.models.some_customers import some_customers
from nba.models.spec import ModelSpec
from nba.models.version import ModelVersion, describe_version, read_version
from nba.pipeline.answers import answers_of
from nba.pipeline.context import RunContext
from nba.pipeline.held_back import HELD_DAYS, held_back_gains
from nba.pipeline.inputs import VIEWS, of_service
from nba.pipeline.ports import ModelRegistry
from nba.pipeline.story import FitFacts, fit_metrics, tell
from nba.pipeline.trial import needs_trial, readable, try_out

MODELS: Final = ("timing", "affinity", "mode")
#: Mode models that learn from assignments; the prior needs none.
LEARNED_MODES: Final = ("residual_effects",)
#: Mode models that learn what a contact about a need changes.
NEED_MODES: Final = ("contact_value",)
#: Affinity models that learn how readily what was brought is taken up.
LIST_MODELS: Final = ("two_stage",)
#: Features of an assignment are at most this old.
ANCHOR_DAYS: Final = 7
#: Why a champion that stands does not serve.
UNREADABLE: Final = (
    "the champion cannot be read: its files are damaged or gone, or another version of nba wrote it"
)
#: Why a gate is not passed where no trial could be held.
TOO_FEW: Final = "too few customers were seen in the days held back to prove its gates"


def train_night(context: RunContext) -> dict[str, Any]:
    """Fit what is due, with `workers` in a process of its own: what fits hold goes with it."""
    settings = context.settings
    if settings.workers <= 1 or settings.score_engine != "local":
        return train(context)
    (report,) = context.ports.spread(context, _train, [0])
    return dict(report)


def _train(context: RunContext, _: int) -> dict[str, Any]:
    return train(context)


def train(context: RunContext) -> dict[str, Any]:
    """Fit the models that are due and note which version serves this run."""
    report: dict[str, Any] = {}
    versions: dict[str, dict[str, str]] = {}
    findings: dict[str, str] = {}
    fit_seconds: dict[str, float] = {}
    registry = context.ports.registry
    for number, (name, spec) in enumerate(context.ports.specs.items(), 1):
        champion, lost = standing(registry, name)
        refused = registry.challenger(name)
        why = lost or fit_is_due(spec, champion, context.as_of, refused=refused)
        if not why and readable(context, champion) is None:
            why = UNREADABLE
        report[name] = ""
        if why or champion is None:
            of = f"model {number} of {len(context.ports.specs)}"
            context.progress(f"train: {name} ({spec.kind}), {of}: fits, {why}")
            begun = perf_counter()
            champion, findings[name] = fit_one(context, spec)
            fit_seconds[name] = round(perf_counter() - begun, 2)
            context.progress(f"train: {name}: took {fit_seconds[name]:.0f} s")
            refused = registry.challenger(name)
            if refused is not None and champion.as_of != context.as_of:
                report[name], why = f" stays; v{refused.version} {refused.reason}", ""
            else:
                report[name] = " (fitted)"
        versions[name] = describe_version(champion, why)
        report[name] = f"v{champion.version}{report[name]}"
    return {
        **report,
        "versions": versions,
        "fit_seconds": fit_seconds,
        "findings": {name: text for name, text in findings.items() if text},
    }


def standing(registry: ModelRegistry, name: str) -> tuple[ModelVersion | None, str]:
    """Return the champion, or None and why it is lost where its files are."""
    try:
        return registry.champion(name), ""
    except LostModelError:
        return None, UNREADABLE


def models_stand(context: RunContext) -> bool:
    """Return whether the models that the run noted can be loaded."""
    versions = context.manifest.steps["train"]["versions"]
    registry = context.ports.registry
    return all(registry.has(read_version(name, noted)) for name, noted in versions.items())


def config_digest(spec: ModelSpec) -> str:
    """Return a digest of what decides a fit: kind, parameters and the version of nba.

    The version, because a model is read only by what writes it so.
    """
    content = json.dumps(
        [spec.kind, spec.parameters, spec.window_days, nba.__version__], sort_keys=True
    )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def fit_is_due(
    spec: ModelSpec,
    champion: ModelVersion | None,
    as_of: datetime,
    *,
    refused: ModelVersion | None = None,
) -> str:
    """Return why a fit is due at `as_of`, or an empty text.

    Parameters
    ----------
    spec : ModelSpec
    champion : ModelVersion or None
        One that was fitted after `as_of` has seen its future and never serves it; one that was
        pinned by hand stays.
    as_of : datetime
    refused : ModelVersion or None
        A fit of the same file that was refused is tried again when it is due by its age.
    """
    if champion is None:
        return "no champion yet"
    if champion.as_of > as_of:
        return "the champion has seen later data"
    if champion.pinned:
        return ""
    digest, every = config_digest(spec), timedelta(days=spec.retrain_every_days)
    tried = refused is not None and refused.config_digest == digest and refused.as_of <= as_of
    if tried and refused is not None and as_of - refused.as_of < every:
        return ""
    if champion.config_digest != digest:
        return "its configuration or the version of nba changed"
    age = as_of - champion.as_of
    return f"the champion is {age.days} days old" if age >= every else ""


def new_model(spec: ModelSpec) -> Model:
    """Return an unfitted model as its YAML file describes it."""
    cls = model_class(spec.name, spec.kind)
    return cls(parse_config(cls.Config, spec.parameters, f"models/{spec.name}.yaml"))


def fit_one(context: RunContext, spec: ModelSpec) -> tuple[ModelVersion, str]:
    """Fit a model, try it where that is due, log and register it; return what serves.

    A later champion stays, and the fit serves this run alone. A fit that its trial refuses is
    kept as the challenger, and the champion goes on; without one that can be read, it serves.

    Returns the version that serves the run, and in a sentence what the fit found.
    """
    registry, as_of, seed = context.ports.registry, context.as_of, context.settings.seed
    champion, _ = standing(registry, spec.name)
    later = champion is not None and champion.as_of > as_of
    goes_on = None if later else readable(context, champion)
    training = training_set(context, spec)
    model = new_model(spec)
    model.fit(training, as_of=as_of, seed=seed)
    tried = not later and needs_trial(spec, goes_on)
    trial = try_out(context, spec, goes_on) if tried else None
    doubts = trial.refusals if trial is not None else (TOO_FEW,) if tried and spec.gates else ()
    decision = decide(doubts, tried=trial is not None, stands=goes_on is not None, later=later)
    facts = FitFacts(
        spec,
        model,
        training,
        trial,
        as_of,
        seed,
        context.ports.tables.version,
        decision,
        drift_since(context, spec, champion),
        answers_of(model, training, as_of=as_of, seed=seed),
        _gains(context, spec),
    )
    version = registry.register(
        model,
        as_of=as_of,
        parameters=model.config.model_dump(mode="json"),
        metrics=fit_metrics(facts),
        seed=seed,
        config_digest=config_digest(spec),
        story=tell(facts),
    )
    if later:
        return version, model.finding()
    if doubts and goes_on is not None and champion is not None:
        registry.refuse(version, reason=decision)
        return champion, ""
    return registry.promote(version, reason=decision), model.finding()


def _gains(context: RunContext, spec: ModelSpec) -> EffectGains | None:
    """Return how well the design ranks whom a contact moves, on draws held back."""
    if spec.kind not in NEED_MODES:
        return None

    def fitted(earlier: RunContext) -> Model:
        training = training_set(earlier, spec)
        return new_model(spec).fit(training, as_of=earlier.as_of, seed=earlier.settings.seed)

    tables, log = contact_log(context, spec, HELD_DAYS + context.settings.outcome_days)
    return held_back_gains(context, tables, log, fitted)


def drift_since(
    context: RunContext, spec: ModelSpec, champion: ModelVersion | None
) -> pl.DataFrame:
    """Return how far a model's features have moved since its champion was fitted.

    Empty where there is none, or the snapshots of its day are kept no more.
    """
    if champion is None or champion.as_of >= context.as_of:
        return pl.DataFrame()
    store = context.ports.feature_store
    columns = store.service_columns(spec.feature_service)
    views = [name for name in VIEWS if name in columns]
    try:
        before, now = (
            {name: store.snapshot(name, moment).select(columns[name]) for name in views}
            for moment in (champion.as_of, context.as_of)
        )
    except NotFoundError:
        return pl.DataFrame()
    return drift_table(before, now)


def decide(doubts: Sequence[str], *, tried: bool, stands: bool, later: bool) -> str:
    """Return in words what becomes of a fit.

    Parameters
    ----------
    doubts : sequence of str
        What speaks against it.
    tried : bool
        Whether a trial was held.
    stands : bool
        Whether there is a champion that can go on.
    later : bool
        Whether the champion was fitted for a later day.
    """
    if later:
        return "fitted for a past day: a later champion stays"
    if doubts:
        reasons = "; ".join(doubts)
        return (
            f"refused: {reasons}" if stands else f"promoted for want of another, although {reasons}"
        )
    return "promoted: it passed its trial" if tried else "promoted without a trial"


def training_set(context: RunContext, spec: ModelSpec) -> ModelInputs:
    """Return the tables on which a model is fitted.

    Models of all customers see `train_customers` of them at most; what learns from contacts has
    bounds of its own.
    """
    store = context.ports.feature_store
    most = context.settings.train_customers
    if most and spec.kind not in (*LEARNED_MODES, *NEED_MODES):
        among = store.draw(context.as_of, most, seed=context.settings.seed)
        context = replace(context, among=among)
    inputs = of_service(context.inputs, store, spec.feature_service)
    if spec.kind in LEARNED_MODES:
        return ModelInputs({**inputs, **assignment_tables(context, spec)})
    if spec.kind in NEED_MODES:
        return ModelInputs({**inputs, **contact_tables(context, spec, inputs)})
    if spec.kind in LIST_MODELS:
        return ModelInputs({**inputs, BROUGHT: brought_table(context, spec)})
    return inputs


def brought_table(context: RunContext, spec: ModelSpec) -> pl.DataFrame:
    """Return the products that contacts brought, of as many customers as sources learn from."""
    config = parse_config(TwoStageConfig, spec.parameters, f"models/{spec.name}.yaml")
    tables = some_customers(
        context.tables,
        config.source_customers,
        seed=context.settings.seed,
    )
    return brought_products(tables, context.as_of, window_days=spec.window_days)


def assignment_tables(context: RunContext, spec: ModelSpec) -> dict[str, pl.DataFrame]:
    """Return assignments with their outcomes, their features as they stood then, and lost friends.

    Nothing where no contact is known.
    """
    tables, seed = context.tables, context.settings.seed
    known = assignments_of(
        tables,
        context.as_of,
        log=decision_log(context, spec.window_days),
        window_days=spec.window_days,
        outcome_days=context.settings.outcome_days,
        history=True,
        seed=seed,
    )
    if known.is_empty():
        return {}
    return {
        "assignments": known,
        "assignment_features": assignment_features(context, spec.feature_service, known),
        FOLLOWED: followed_contacts(tables, context.as_of, seed=seed),
    }


def contact_tables(
    context: RunContext, spec: ModelSpec, inputs: ModelInputs
) -> dict[str, pl.DataFrame]:
    """Return contacts by what they brought, with what came of them, and lost friends."""
    tables, log = contact_log(context, spec, spec.window_days)
    return contact_training(
        tables,
        rhythm_of(inputs),
        parse_config(ContactValueConfig, spec.parameters, f"models/{spec.name}.yaml"),
        as_of=context.as_of,
        window_days=spec.window_days,
        outcome_days=context.settings.outcome_days,
        log=log,
        seed=context.settings.seed,
    )


def contact_log(
    context: RunContext, spec: ModelSpec, window_days: int
) -> tuple[Mapping[str, Any], pl.DataFrame | None]:
    """Return the tables and the decision log of the customers that contacts are learned from."""
    config = parse_config(ContactValueConfig, spec.parameters, f"models/{spec.name}.yaml")
    whole = context.tables
    tables = some_customers(whole, config.largest_log, seed=context.settings.seed)
    drawn = None if tables is whole else tables["customers"].select("customer_id").to_polars()
    return tables, decision_log(context, window_days, drawn)


def assignment_features(context: RunContext, service: str, known: pl.DataFrame) -> pl.DataFrame:
    """Return the customer's features as they stood before each assignment.

    They are built at weekly moments, and joined point-in-time by the feature store.
    """
    store = context.ports.feature_store
    entities = known.select("assignment_id", "customer_id").with_columns(
        event_timestamp=anchors_of(known, ANCHOR_DAYS)
    )
    moments = entities["event_timestamp"].unique().sort().to_list()
    store.ensure(moments, views=tuple(store.service_columns(service)))
    joined = store.historical(service, entities)
    return joined.drop("customer_id", "event_timestamp").sort("assignment_id")


def decision_log(
    context: RunContext, window_days: int, only: pl.DataFrame | None = None
) -> pl.DataFrame | None:
    """Return the engine's own assignments of the last `window_days`, `none` included.

    As `nba.models.mode.assignments.records.decision_rows` returns them. Customers for whom nothing
    was open had no choice made for them and are left out, and so are those who were erased: what
    became of them is not known any more. Who was left alone at night and drawn for a free place
    during the day counts by that later decision. `only` names the customers that are read.
    """
    first = (context.as_of - timedelta(days=window_days)).date()
    parts = []
    for day in context.ports.runs.planned_days():
        if first <= day < context.as_of.date():
            folder = context.ports.runs.of(day)
            log = folder.read("plan/log").filter(
                pl.col("closed").is_null(), ~pl.col("customer_id").str.starts_with(PSEUDONYM)
            )
            during = context.ports.plan_store.drawn_during(day)
            if only is not None:
                log, during = (
                    rows.join(only, on="customer_id", how="semi", maintain_order="left")
                    for rows in (log, during)
                )
            left = log.join(during, on="customer_id", how="anti", maintain_order="left")
            parts.append(decision_rows(left, folder.read("plan/actions")))
            parts.append(decision_rows(during, during))
    return pl.concat(parts, how="diagonal") if parts else None
