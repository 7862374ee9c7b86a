"""A running test of arms: what each changed, whether to go on, and how long it must run."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats
from nba.evaluation.arm_effects import Effect, adjusted, difference, sample_ratio
from nba.evaluation.impact.arms import units_check
from nba.evaluation.impact.cohort import CONTROL, Cohort
from nba.evaluation.impact.inputs import ImpactInputs
from nba.evaluation.sequential import always_valid, detectable
from nba.schema.words import Arm, DrawUnit, ResponseKind

#: What must not rise; a test of an arm that raises it beyond doubt is to be stopped.
GUARDRAILS: Final = ("blocked", "complained")
#: Below this, arms are not as large as they should be.
RATIO_ALARM: Final = 0.001


def analyse(inputs: ImpactInputs, cohort: Cohort, control: str = CONTROL) -> pl.DataFrame:
    """Return what every arm changed against the control, at a look of any day.

    Parameters
    ----------
    inputs : ImpactInputs
    cohort : Cohort
    control : str
        The arm that the others are held against.

    Returns
    -------
    DataFrame
        A row per arm and outcome (`margin`, `orders`, `blocked`, `complained`): customers, held
        (of the control), estimate, standard_error, lower, upper (always valid), fixed_lower,
        fixed_upper (for a single look at the planned end), on_contacted (the margin changed for
        those who were contacted because of the arm), unit (who drew the two arms), units,
        units_held (how many; null for customers), ratio_p, verdict: `stop_harm`, `stop_broken`,
        `few_units` (no interval), `better`, `worse`, `go_on`.
    """
    table = _with_events(cohort.table, inputs)
    arms = sorted(set(table["arm"].unique().to_list()) - {control})
    return pl.concat([_against(Cohort(table), arm, control, inputs) for arm in arms])


def _with_events(table: pl.DataFrame, inputs: ImpactInputs) -> pl.DataFrame:
    """Add whether a customer was contacted, blocked, or complained, while counted."""
    sent = inputs.interactions.select("interaction_id", sent_to="customer_id")
    answers = inputs.responses.join(sent, on="interaction_id", how="left").select(
        customer_id=pl.coalesce("customer_id", "sent_to"), day=pl.col("ts").dt.date(), kind="kind"
    )
    made = inputs.contacts.select(
        "customer_id", day=pl.col("ts").dt.date(), kind=pl.lit("contacted")
    )
    kinds = ("contacted", str(ResponseKind.BLOCKED), str(ResponseKind.COMPLAINED))
    arms = (
        table.select("customer_id", "start", "end")
        .join(pl.concat([answers, made]), on="customer_id")
        .filter(pl.col("day").is_between(pl.col("start"), pl.col("end")))
        .group_by("customer_id", "start")
        .agg((pl.col("kind") == kind).any().alias(kind) for kind in kinds)
    )
    return table.join(arms, on=["customer_id", "start"], how="left").with_columns(
        pl.col(kinds).fill_null(False).cast(pl.Float64)
    )


def _against(cohort: Cohort, arm: str, control: str, inputs: ImpactInputs) -> pl.DataFrame:
    pair = cohort.pair(arm, control)
    treated = (pair.table["arm"] == arm).to_numpy()
    drawn_by = inputs.by_units.unit if inputs.by_units and pair.by_units else DrawUnit.CUSTOMER
    ratio = _ratio(pair, arm, control, inputs)
    rows: list[dict[str, Any]] = []
    for outcome in ("margin", "orders", *GUARDRAILS):
        fixed = pair.difference(outcome, treated, adjust=outcome in ("margin", "orders"))
        valid = always_valid(fixed, _planned(pair, outcome, fixed))
        rows.append(
            {
                "arm": arm,
                "control": control,
                "outcome": outcome,
                "customers": fixed.treated,
                "held": fixed.control,
                "unit": str(drawn_by),
                **pair.counted_units(arm),
                **valid.columns(),
                "fixed_lower": fixed.lower,
                "fixed_upper": fixed.upper,
                "on_contacted": _on_contacted(pair.table, treated, fixed, outcome),
                "ratio_p": ratio,
            }
        )
    numbers = {"units": pl.Int64, "units_held": pl.Int64, "on_contacted": pl.Float64}
    comparisons = pl.DataFrame(rows, infer_schema_length=None, schema_overrides=numbers)
    return comparisons.with_columns(verdict=pl.lit(_verdict(comparisons)))


def _planned(pair: Cohort, outcome: str, effect: Effect) -> float:
    """Return the standard error that a quarter like the one before would give."""
    if outcome != "margin" or min(effect.treated, effect.control) == 0 or pair.by_units:
        return effect.standard_error
    spread = float(pair.array("margin_quarter_before").std())
    planned = spread * float(np.sqrt(1 / effect.treated + 1 / effect.control))
    return planned if planned > 0 else effect.standard_error


def _on_contacted(pair: pl.DataFrame, treated: Bools, effect: Effect, outcome: str) -> float | None:
    """Return the effect per customer whom the arm made the clerk contact (Wald's ratio)."""
    if outcome != "margin":
        return None
    contacted: Floats = pair["contacted"].to_numpy()
    reached = difference(contacted, treated).estimate
    return effect.estimate / reached if np.isfinite(reached) and reached > 0.01 else None


def _ratio(pair: Cohort, arm: str, control: str, inputs: ImpactInputs) -> float:
    if inputs.by_units is not None and pair.by_units:
        return units_check(pair, inputs.by_units, (arm, control))
    shares = {name: inputs.shares.get(name, 0.0) for name in (arm, control)}
    if inputs.by_units is not None and shares:
        drawn = {*inputs.by_units.shares, str(Arm.ENGINE)} & {arm, control}
        # within the units that drew an arm, it has all customers whom the engine would plan
        whole = sum(inputs.shares.get(name, 0.0) for name in (*inputs.by_units.shares, Arm.ENGINE))
        shares = {name: whole if name in drawn else share for name, share in shares.items()}
    counts = pair.table.unique(["unit", "period", "arm"]).group_by("arm").len()
    return sample_ratio(dict(counts.iter_rows()), shares)


def _verdict(found: pl.DataFrame) -> str:
    if found["ratio_p"][0] < RATIO_ALARM:
        return "stop_broken"
    if found["lower"].is_nan().all():
        return "few_units" if found["units"][0] is not None else "go_on"
    harm = found.filter(pl.col("outcome").is_in(GUARDRAILS) & (pl.col("lower") > 0))
    margin = found.filter(pl.col("outcome") == "margin").row(0, named=True)
    if harm.height:
        return "stop_harm"
    if margin["lower"] > 0:
        return "better"
    return "worse" if margin["upper"] < 0 else "go_on"


def plan_table(cohort: Cohort, *, share: float, weeks: tuple[int, ...]) -> pl.DataFrame:
    """Return what a test could find, by its length, from what customers bought before.

    Parameters
    ----------
    cohort : Cohort
        Customers with their margin of the days counted and of the year before.
    share : float
        Of the customers in the control.
    weeks : tuple of int
        Lengths.

    Returns
    -------
    DataFrame
        weeks, customers, detectable (margin per customer, found with power 80 %), share_of_margin.
    """
    outcome = cohort.array("margin")
    nobody = np.zeros(len(outcome), dtype=bool)
    rest = adjusted(outcome, nobody, cohort.covariates)
    counted = float(cohort.array("days_counted").mean()) / 7
    rows = []
    for length in weeks:
        # Orders are rare: the variance of a sum grows with its length.
        spread = float(rest.std()) * float(np.sqrt(length / counted))
        detectable_amount = detectable(spread, len(rest) * (1 - share), len(rest) * share)
        mean = float(outcome.mean()) * length / counted
        rows.append(
            {
                "weeks": length,
                "customers": len(rest),
                "detectable": detectable_amount,
                "share_of_margin": detectable_amount / mean if mean > 0 else None,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)
