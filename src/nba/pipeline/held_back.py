"""How well a fit of contact value ranks: fitted before the last weeks, asked about their draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from nba.evaluation.effect_gains import MIN_LISTINGS, EffectGains, effect_gains, row_gains
from nba.models.base import Model
from nba.models.contact_value.model import ContactValueMode
from nba.models.contact_value.rows import BEFORE_DAYS, History, contact_rows
from nba.models.mode.assignments.records import PROPENSITY_COLUMNS, engine_assignments
from nba.models.needs.build import due_worth
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import VIEWS
from nba.schema.words import Mode

#: Days of draws that are held back; their outcome days come on top.
HELD_DAYS: Final = 28
#: Draws that are looked at, at most.
MOST_DRAWS: Final = 40_000
#: Gains are told per so many customer days.
PER_DAYS: Final = 100.0
_NONE: Final = str(Mode.NONE)


def held_back_gains(
    context: RunContext,
    tables: Mapping[str, Any],
    log: pl.DataFrame | None,
    fitted: Callable[[RunContext], Model],
) -> EffectGains | None:
    """Return the gain curve of a fit on the draws of the last weeks whose outcome is known.

    The fit that is judged has seen nothing of them: it is made anew, before they begin. Customers
    are ranked by the best chance that it sees in any category and mode; the baseline ranks by how
    due they are.

    Parameters
    ----------
    context : RunContext
    tables : mapping of str to ibis.Table
        The tables of the contract, of the customers of `log`.
    log : DataFrame or None
        Draws, see `nba.models.mode.assignments.records.decision_rows`.
    fitted : callable
        Fits the same design for the moment of a context.

    Returns
    -------
    EffectGains or None
        None where too little was drawn to say, or the model is of another kind.
    """
    held = timedelta(days=HELD_DAYS + context.settings.outcome_days)
    cutoff = context.as_of - held
    drawn = _drawn(context, tables, log, cutoff)
    if (drawn["mode"] != _NONE).sum() < MIN_LISTINGS:
        return None
    context.ports.feature_store.ensure([cutoff], views=VIEWS)
    model = fitted(replace(context, as_of=cutoff))
    if not isinstance(model, ContactValueMode):
        return None
    rows = _rows(context, tables, model, drawn)
    listed = (rows["mode"] != _NONE).to_numpy()
    past = rows.select(f"before_{days}d" for days in BEFORE_DAYS).to_numpy()
    gain = row_gains(listed, rows["p_none"].to_numpy(), rows["all_orders"].to_numpy(), past)
    if gain is None:
        return None
    first, last = rows["ts"].min(), rows["ts"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    return effect_gains(
        rows["chance"].to_numpy(),
        rows["worth"].to_numpy(),
        PER_DAYS * gain,
        customer=rows["customer_id"].rank("dense").cast(pl.Int64).to_numpy(),
        listed=int(listed.sum()),
        days=(last - first).days + 1,
    )


def _drawn(
    context: RunContext, tables: Mapping[str, Any], log: pl.DataFrame | None, cutoff: datetime
) -> pl.DataFrame:
    """Return the assignments of the days held back that could have gone either way."""
    if log is None or log.is_empty():
        return pl.DataFrame(schema={"mode": pl.String})
    known = engine_assignments(log, _no_contacts(tables)).with_columns(
        p_none=pl.col(PROPENSITY_COLUMNS[_NONE])
    )
    last = context.as_of - timedelta(days=context.settings.outcome_days)
    mine = known.filter(
        pl.col("ts").is_between(cutoff, last, closed="left")
        & pl.col("p_none").is_between(1e-9, 1 - 1e-9)
    ).sort("assignment_id")
    few = mine.height > MOST_DRAWS
    return mine.sample(MOST_DRAWS, seed=context.settings.seed) if few else mine


def _no_contacts(tables: Mapping[str, Any]) -> pl.DataFrame:
    """Return no row of `interactions`: a draw counts sent or not."""
    made = tables["interactions"].select("action_id", "interaction_id")
    nothing: pl.DataFrame = made.limit(0).to_polars()
    return nothing


def _rows(
    context: RunContext, tables: Mapping[str, Any], model: ContactValueMode, drawn: pl.DataFrame
) -> pl.DataFrame:
    """Return a row per draw: what was known before, how it ranks, what came of it.

    Every draw is described as a moment without a contact, so that its rank knows nothing of it.
    """
    moments = drawn.with_columns(mode=pl.lit(_NONE), interaction_id=pl.lit(None, pl.String))
    rows = contact_rows(
        moments.drop("p_none", "category", strict=False),
        History.of(tables, context.as_of),
        model.rhythm,
        as_of=context.as_of,
        outcome_days=context.settings.outcome_days,
        seed=context.settings.seed,
    )
    best = model.chances(rows).max(axis=1)
    states = rows.with_columns(order_margin=pl.lit(1.0))
    ranked = states.with_columns(
        chance=pl.Series(np.asarray(best)), worth=due_worth(states).fill_null(0.0)
    )
    constant = ["customer_id", "ts", "all_orders", *(f"before_{days}d" for days in BEFORE_DAYS)]
    each = ranked.group_by("assignment_id").agg(
        pl.col(constant).first(), pl.col("chance", "worth").max()
    )
    return drawn.select("assignment_id", "mode", "p_none").join(
        each.sort("assignment_id"), on="assignment_id", maintain_order="left"
    )
