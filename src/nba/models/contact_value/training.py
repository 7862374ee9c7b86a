"""What the model is fitted on: contacts by what they brought, and lost friends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from nba.models.contact_value.config import ContactValueConfig
from nba.models.contact_value.rows import TABLE, History, contact_rows, known_assignments
from nba.models.mode.assignments.outcomes import followed_contacts
from nba.models.mode.churn.lost_share import FOLLOWED
from nba.models.needs.rhythm import Rhythm


def contact_training(
    tables: Mapping[str, Any],
    rhythm: Rhythm,
    config: ContactValueConfig,
    *,
    as_of: datetime,
    window_days: int,
    outcome_days: int,
    log: pl.DataFrame | None = None,
    seed: int = 0,
) -> dict[str, pl.DataFrame]:
    """Return contacts by what they brought, with what came of them, and lost friends.

    Parameters
    ----------
    tables : mapping of str to ibis.Table
        The tables of the contract, of the customers that are learned from.
    rhythm : Rhythm
        Typical gaps of the shop, as of `as_of`.
    config : ContactValueConfig
        How many contacts and moments are learned from, at most.
    as_of : datetime
    window_days, outcome_days : int
        How far back contacts are read, and how long after each its orders count.
    log : DataFrame, optional
        The engine's decision log of these customers.
    seed : int

    Returns
    -------
    dict of str to DataFrame
        `contact_rows` and `followed_contacts`; empty where no contact is known.
    """
    known = known_assignments(
        tables,
        as_of,
        log=log,
        window_days=window_days,
        outcome_days=outcome_days,
        seed=seed,
    )
    if known.is_empty():
        return {}
    rows = contact_rows(
        known,
        History.of(tables, as_of),
        rhythm,
        as_of=as_of,
        outcome_days=outcome_days,
        most=(config.largest_contacts, config.largest_moments),
        seed=seed,
    )
    return {TABLE: rows, FOLLOWED: followed_contacts(tables, as_of, seed=seed)}
