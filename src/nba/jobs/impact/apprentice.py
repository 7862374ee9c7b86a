"""`nba experiment what-if "follow lists"`: what lists would be worth where the engine watches."""

from __future__ import annotations

import math
from datetime import date
from typing import Final

from nba.errors import NotFoundError
from nba.evaluation.impact.apprentice import FollowedLists, watched_lists
from nba.jobs.impact.gather import gather, period
from nba.jobs.impact.texts import text
from nba.schema.languages import Language
from nba.wiring import Wiring

#: The policy's name on the command line.
FOLLOW_LISTS: Final = "follow lists"


def follow_lists(wiring: Wiring, first: date | None, last: date | None) -> FollowedLists:
    """Return what following the lists would be worth, from what clerks did by themselves.

    Parameters
    ----------
    wiring : Wiring
    first, last : date, optional
        Both in it; by default the days of all plans that are kept.

    Raises
    ------
    NotFoundError
        When the engine watched on none of these days.
    """
    inputs = gather(wiring, *period(wiring, first, last))
    found = watched_lists(inputs, seed=wiring.settings.seed)
    if found is None:
        raise NotFoundError(
            "the engine watched on none of these days",
            expected="nights with `arms: {observe: 1.0}`",
            next_step="set `arms: {observe: 1.0}` in nba.yaml and let the nightly job run",
        )
    return found


def follow_sentence(found: FollowedLists, locale: Language, currency: str) -> str:
    """Return the answer in a sentence."""

    def money(value: float) -> str:
        return f"{value:,.0f} {currency}"

    known = math.isfinite(found.weeks_to_tell)
    wait = (
        text("follow_wait", locale, weeks=f"{max(math.ceil(found.weeks_to_tell), 1):,}")
        if known
        else ""
    )
    return text(
        f"follow_{found.verdict}",
        locale,
        worth=money(abs(found.per_week)),
        lower=money(found.lower),
        upper=money(found.upper),
        wait=wait,
        outside=f"{found.outside:.0%}",
    )


def follow_lines(found: FollowedLists, locale: Language, currency: str) -> list[str]:
    """Return the answer and what it stands on, as lines for people."""
    basis = text(
        "follow_basis",
        locale,
        customers=f"{found.customers:,}",
        weeks=f"{found.weeks:.1f}",
        contacts=f"{found.contacts:,}",
        listed=f"{found.listed:,}",
        effective=f"{found.effective_rows:,.0f}",
        outside=f"{found.outside:.0%}",
    )
    return [
        follow_sentence(found, locale, currency),
        f"  {basis}",
        f"  {text('follow_note', locale)}",
    ]
