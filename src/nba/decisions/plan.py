"""What a day's decisions come to."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Plan:
    """What `decide` returns.

    Parameters
    ----------
    log : DataFrame
        A row per eligible customer: as_of, customer_id, clerk_id, arm, closed (why no
        action is open, else null), p_shortlist, shortlisted, alternatives (with `none`),
        action_type and mode drawn (null and `none` where left alone), propensity.
    actions : DataFrame
        The columns of `nba actions export`; customers held out with mode `none`.
    clerks : DataFrame
        A row per working clerk: minutes (own and, where colleagues lend, today's),
        minutes planned and expected, actions, value planned and expected, value_bound (the
        linear programme's optimum), price_per_minute, price_before_fatigue (before what contacts
        take from later ones, which is worked out with it), value_pooled (the optimum of the
        whole store if its minutes could move freely).
    preferred_mode : DataFrame
        customer_id, mode: to be passed to the next day's `decide`.
    handovers : DataFrame
        customer_id, from_clerk_id, to_clerk_id, reason: proposals for customers whose
        clerk has left.
    """

    log: pl.DataFrame
    actions: pl.DataFrame
    clerks: pl.DataFrame
    preferred_mode: pl.DataFrame
    handovers: pl.DataFrame
