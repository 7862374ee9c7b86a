"""The training set of each model: what a fit at `as_of` may see."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from nba.models.base import ModelInputs
from nba.models.mode.assignments.features import anchors_of, assignment_features
from nba.models.mode.assignments.outcomes import assignments_of, followed_contacts
from nba.models.mode.assignments.records import decision_rows
from nba.models.mode.churn.lost_share import FOLLOWED
from nba.models.mode.scores import BEHAVIOUR, CONTACT
from nba.wiring import Wiring

if TYPE_CHECKING:
    from nba.jobs.nightly import Night

#: Mode models that learn from assignments; the prior needs none.
LEARNED_MODES = ("residual_effects",)
#: Features of an assignment are at most this old.
ANCHOR_DAYS = 7


def training_set(night: Night, name: str) -> ModelInputs:
    """Return the tables on which the model `name` is fitted."""
    if name == "mode" and night.wiring.specs[name].kind in LEARNED_MODES:
        return ModelInputs({**night.frames, **assignment_tables(night.wiring, night.as_of)})
    return night.frames


def assignment_tables(wiring: Wiring, as_of: datetime) -> dict[str, pl.DataFrame]:
    """Return assignments with their outcomes, their features as they stood then, and lost friends.

    Nothing where no contact is known. The features come from the feature store, built at weekly
    moments before the assignments.
    """
    spec = wiring.specs["mode"]
    tables = wiring.tables(as_of)
    known = assignments_of(
        tables,
        as_of,
        log=decision_log(wiring, as_of, spec.window_days),
        window_days=spec.window_days,
        outcome_days=wiring.settings.outcome_days,
        history=True,
        seed=wiring.settings.seed,
    )
    if known.is_empty():
        return {}
    store = wiring.feature_store
    anchors = anchors_of(known, ANCHOR_DAYS).unique().sort().to_list()
    store.ensure(anchors, views=(BEHAVIOUR, CONTACT))
    features = assignment_features(known, store.snapshot, every_days=ANCHOR_DAYS)
    return {
        "assignments": known,
        "assignment_features": features,
        FOLLOWED: followed_contacts(tables, as_of, seed=wiring.settings.seed),
    }


def decision_log(wiring: Wiring, as_of: datetime, window_days: int) -> pl.DataFrame | None:
    """Return the engine's own assignments of the last `window_days`, `none` included.

    As `nba.models.mode.assignments.records.decision_rows` returns them. Customers for whom nothing
    was open had no choice made for them and are left out.
    """
    first = (as_of - timedelta(days=window_days)).date().isoformat()
    parts = []
    for path in sorted(wiring.project.data.glob("runs/*/plan/log.parquet")):
        day = path.parent.parent.name
        if not first <= day < as_of.date().isoformat():
            continue
        log = pl.read_parquet(path).filter(pl.col("closed").is_null())
        actions = pl.read_parquet(path.with_name("actions.parquet"))
        parts.append(decision_rows(log, actions))
    return pl.concat(parts) if parts else None
