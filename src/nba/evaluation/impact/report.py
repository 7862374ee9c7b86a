"""The whole report: a headline and its tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from nba.decisions.ordering import is_priced
from nba.evaluation.arm_effects import Effect
from nba.evaluation.impact.apprentice import FollowedLists, follow_table, watched_lists
from nba.evaluation.impact.arms import (
    against_lists,
    arms_table,
    groups_table,
    levers_table,
    main_arm,
    own_arms_table,
    ratio_check,
    weeks_to_tell,
)
from nba.evaluation.impact.cohort import CONTROL, Cohort, build_cohort
from nba.evaluation.impact.contacts import (
    contacts_with_answers,
    content_table,
    funnel_table,
    modes_in_order,
    raw_yardsticks,
    relations_table,
)
from nba.evaluation.impact.gains import Gains, list_gains
from nba.evaluation.impact.inputs import ImpactInputs
from nba.evaluation.impact.listings import listing_rows, listings_table, sequences_table
from nba.evaluation.impact.restraint import (
    minutes_beyond,
    minutes_table,
    nothing_table,
    restraint_table,
)
from nba.schema.words import Arm


@dataclass(frozen=True)
class Headline:
    """What a reader should take away.

    Parameters
    ----------
    arm : str
        The arm that the report is about.
    effect : Effect
        Margin per customer over the control.
    total, lower, upper : float
        Of all customers of the arm; NaN where nobody was held out.
    weeks : float
        Length of the period.
    weeks_to_tell : float
        More weeks until the effect is told from zero, as it looks; 0 where it is.
    ratio_p : float
        Chance of arm sizes at least this far from their shares.
    known_from : date or None
        When the first outcome is known, where none is yet.
    hours : float
        Clerk hours that the arm's customers took beyond those of as many held out; NaN where that
        cannot be told from none.
    """

    arm: str
    effect: Effect
    total: float
    lower: float
    upper: float
    weeks: float
    weeks_to_tell: float
    ratio_p: float
    known_from: date | None = None
    hours: float = math.nan

    @property
    def per_hour(self) -> float:
        """What the arm earned per clerk hour that only its customers took; NaN where unknown."""
        return self.total / self.hours

    @property
    def verdict(self) -> str:
        """`earned`, `cost`, `open` (cannot tell yet), `early` (no outcome yet) or `no_control`."""
        if self.effect.control == 0:
            return "no_control"
        if self.known_from is not None:
            return "early"
        if self.lower > 0:
            return "earned"
        return "cost" if self.upper < 0 else "open"


@dataclass(frozen=True)
class ImpactReport:
    """A headline and tables by name; each table says what it holds where it is made."""

    headline: Headline
    tables: dict[str, pl.DataFrame] = field(repr=False)
    followed: FollowedLists | None = None
    gains: Gains | None = None

    @property
    def watched_only(self) -> bool:
        """Whether the engine did nothing but watch."""
        return self.followed is not None and self.headline.arm == str(Arm.OBSERVE)

    def _ranking(self) -> dict[str, float]:
        found = self.gains
        if found is None or found.curve.is_empty():
            return {}
        return {"qini": found.qini, "qini_lower": found.lower, "qini_upper": found.upper}

    def metrics(self) -> dict[str, float]:
        """Return the figures that a run in MLflow is compared by."""
        head = self.headline
        values = {
            "earned_total": head.total,
            "earned_lower": head.lower,
            "earned_upper": head.upper,
            "earned_per_customer": head.effect.estimate,
            "earned_per_hour": head.per_hour,
            "customers": float(head.effect.treated),
            "held_out": float(head.effect.control),
            "sample_ratio_p": head.ratio_p,
            **self._ranking(),
        }
        if self.followed is not None:
            values["followed_per_week"] = self.followed.per_week
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def figures(self) -> dict[str, Any]:
        """Return everything as plain values."""
        head = self.headline
        return {
            "headline": {
                "verdict": head.verdict,
                "arm": head.arm,
                "total": head.total,
                "lower": head.lower,
                "upper": head.upper,
                "per_customer": head.effect.columns(),
                "customers": head.effect.treated,
                "held_out": head.effect.control,
                "weeks": head.weeks,
                "weeks_to_tell": head.weeks_to_tell,
                "sample_ratio_p": head.ratio_p,
                **self._ranking(),
                "hours": head.hours,
                "per_hour": head.per_hour,
                "known_from": None if head.known_from is None else str(head.known_from),
            },
            **{name: table.to_dicts() for name, table in self.tables.items()},
        }


def _against_lists(cohort: Cohort) -> pl.DataFrame:
    """Return the best simple list and what the engine earned over it; empty where none ran.

    Columns: arm, estimate, standard_error, lower, upper, per customer of the engine; units,
    units_held (clerks, stores or groups that drew the engine and the list; null where customers
    did).
    """
    comparison = against_lists(cohort)
    if comparison is None:
        return pl.DataFrame(schema={"arm": pl.String, "estimate": pl.Float64})
    best, effect = comparison
    units = cohort.pair(str(Arm.ENGINE), best).counted_units(str(Arm.ENGINE))
    return pl.DataFrame([{"arm": best, **effect.columns(), **units}])


def build_report(inputs: ImpactInputs, *, seed: int) -> ImpactReport:
    """Return what contacting brought in a period.

    Parameters
    ----------
    inputs : ImpactInputs
    seed : int
        Of bootstrap bands.
    """
    cohort = build_cohort(inputs)
    arm = main_arm(cohort)
    contacts = contacts_with_answers(inputs)
    pair = cohort.against(arm)
    effect = pair.effect("margin")
    total = effect.times(effect.treated)
    minutes = minutes_beyond(pair, contacts)
    headline = Headline(
        arm=arm,
        effect=effect,
        total=total.estimate,
        lower=total.lower,
        upper=total.upper,
        weeks=inputs.weeks,
        weeks_to_tell=weeks_to_tell(effect, inputs.weeks),
        ratio_p=ratio_check(cohort, inputs.shares, inputs.by_units),
        known_from=inputs.known_from,
        hours=minutes.times(minutes.treated / 60).estimate if minutes.lower > 0 else math.nan,
    )
    rows = listing_rows(inputs)
    has_control = bool((cohort.table["arm"] == CONTROL).any())
    tables = {
        "arms": arms_table(cohort),
        "against_lists": _against_lists(cohort),
        "own_arms": own_arms_table(cohort, inputs.changes if inputs.shares else ()),
        "levers": levers_table(cohort, arm) if has_control else pl.DataFrame(),
        "stores": groups_table(cohort, arm, "store_id", shrink=True),
        "clerks": groups_table(cohort, arm, "clerk_id", shrink=True),
        "segments": groups_table(cohort, arm, "segment", shrink=False),
        "modes": modes_in_order(listings_table(rows, inputs.chances, "mode")),
        "action_types": listings_table(rows, inputs.chances, "action_type"),
        "sequences": sequences_table(rows, inputs.chances),
        "funnel": modes_in_order(funnel_table(inputs, contacts)),
        "relations": relations_table(inputs),
        "yardsticks_raw": modes_in_order(raw_yardsticks(inputs, contacts)),
        "content": content_table(inputs, contacts),
        "minutes": minutes_table(inputs, contacts, seed=seed),
        "nothing": nothing_table(inputs),
        "restraint": restraint_table(inputs, contacts, cohort),
    }
    followed = watched_lists(inputs, seed=seed)
    gains = list_gains(rows.filter(is_priced()))
    tables["gains"] = gains.curve
    tables["follow"] = follow_table(followed)
    return ImpactReport(headline, tables, followed, gains)
