"""Tests whose arms clerks, stores or groups draw: who they are, their draw, what it can find."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

import numpy as np
import polars as pl

from nba.decisions.inputs import DecisionInputs
from nba.decisions.settings import UnitDraw
from nba.decisions.units import arms_of_units, units_of
from nba.errors import NotFoundError, UsageError
from nba.evaluation.arm_effects import adjusted
from nba.evaluation.impact.cohort import Cohort
from nba.evaluation.unit_effects import (
    MIN_UNITS,
    detectable_by_units,
    intra_cluster_correlation,
)
from nba.pipeline.plan import GROUP
from nba.schema.words import Arm, DrawUnit
from nba.wiring import Wiring

#: Salts that are tried until every arm has about its share of the units.
TRIES: Final = 200


def units_now(wiring: Wiring, unit: DrawUnit) -> pl.DataFrame:
    """Return the unit of each customer of the latest plan: customer_id, unit; without any, none.

    Raises
    ------
    NotFoundError
        When no plan is kept.
    """
    planned = wiring.runs.planned_days()
    if not planned:
        raise NotFoundError(
            "no plan is kept, so it is not known whose customers are whose",
            expected="a night before a test of clerks, stores or groups",
            next_step="nba run --as-of DAY",
        )
    log = wiring.runs.of(planned[-1]).read(f"{GROUP}/log").select("customer_id", "clerk_id")
    tables = wiring.tables.at(datetime.combine(planned[-1] + timedelta(days=1), time()))
    read = {
        "clerk": tables["clerks"].select("clerk_id", "store_id"),
        "memberships": tables["memberships"].select("customer_id", "group_id", "joined_at"),
    }
    known = DecisionInputs({name: wiring.tables.collect(table) for name, table in read.items()})
    units = units_of(known, log, unit)
    return log.select("customer_id").with_columns(unit=units).drop_nulls()


@dataclass(frozen=True)
class DrawnUnits:
    """The draw of a test, as it falls on the units of today.

    Parameters
    ----------
    draw : UnitDraw
    counts : dict of str to int
        Units of each arm, the engine's last.
    """

    draw: UnitDraw
    counts: dict[str, int]


def draw_units(
    units: pl.DataFrame, unit: DrawUnit, shares: Mapping[str, float], salt: str
) -> DrawnUnits:
    """Return the draw of a test: the first salt by which every arm has about its share.

    Parameters
    ----------
    units : DataFrame
        As `units_now` gives them.
    unit : DrawUnit
    shares : mapping of str to float
        Of the units, by arm, without the engine's.
    salt : str

    Raises
    ------
    UsageError
        When an arm has too few units for any interval.

    Notes
    -----
    Nothing that came of a draw is looked at, only how many units each arm has, so that no draw is
    preferred for its outcome. Units that come later draw by the same salt.
    """
    names = units["unit"].unique().sort()
    wanted = {**shares, str(Arm.ENGINE): 1.0 - sum(shares.values())}
    found: list[tuple[float, DrawnUnits]] = []
    for number in range(TRIES):
        one = UnitDraw(unit=unit, salt=f"{salt}/{number}", shares=dict(shares))
        arms: dict[str, int] = dict(arms_of_units(names, one).value_counts().iter_rows())
        counts = {arm: arms.get(arm, 0) for arm in wanted}
        off = max(abs(counts[arm] - share * len(names)) for arm, share in wanted.items())
        found.append((off, DrawnUnits(one, counts)))
        if off < 1.0:
            break
    drawn = min(found, key=lambda pair: pair[0])[1]
    refuse_few(unit, drawn.counts)
    return drawn


def refuse_few(unit: DrawUnit, counts: Mapping[str, int]) -> None:
    """Refuse a test in which an arm has too few units for any interval.

    Parameters
    ----------
    unit : DrawUnit
    counts : mapping of str to int
        Units of each arm.
    """
    units, (arm, least) = sum(counts.values()), min(counts.items(), key=lambda pair: pair[1])
    if least < MIN_UNITS:
        raise UsageError(
            f"too few {unit}s for a test of {unit}s: chance alone could explain any difference",
            expected=f"at least {MIN_UNITS} {unit}s in every arm, the engine's included",
            found=f"{units} {unit}s in all, {least} of them in the arm {arm}",
            next_step="larger shares, fewer arms, or --unit customer",
        )


@dataclass(frozen=True)
class UnitPower:
    """What a test of units can find, judged by a quarter before it.

    Parameters
    ----------
    detectable : float
        Difference in margin per customer over that quarter, found four times out of five.
    correlation : float
        Which part of the differences between customers is one between units.
    customers : float
        Of all units, without those who are held out.
    """

    detectable: float
    correlation: float
    customers: float


def power_by_units(
    past: Cohort, units: pl.DataFrame, counts: tuple[int, int], planned: float
) -> UnitPower:
    """Return what a test of units can find.

    Parameters
    ----------
    past : Cohort
        Customers with what they bought in a quarter, and in the year before it.
    units : DataFrame
        customer_id, unit.
    counts : tuple of int
        Units of the two arms.
    planned : float
        Share of the customers whom the arms plan.

    Raises
    ------
    NotFoundError
        When no customer of these units bought.
    """
    table = past.table.join(units, on="customer_id", suffix="_drawn").drop_nulls()
    if table.is_empty():
        raise NotFoundError("nobody of these units bought in the year before")
    own = Cohort(table)
    nobody = np.zeros(table.height, dtype=bool)
    rest = adjusted(own.array("margin"), nobody, own.covariates)
    of_unit = table["unit"].rank("dense").to_numpy()
    correlation = intra_cluster_correlation(rest, of_unit)
    sizes = np.bincount(of_unit)[1:].astype(np.float64) * planned
    found = detectable_by_units(float(rest.std()), sizes, correlation, counts)
    return UnitPower(found, correlation, float(sizes.sum()))


def split(units: int, share: float) -> tuple[int, int]:
    """Return the units of an arm and of a control of this share.

    >>> split(15, 0.4)
    (9, 6)
    """
    control = math.floor(units * share + 0.5)
    return units - control, control
