"""What the mode model says of each customer, and the mode that each one prefers.

Customers who refused profiling are described by the averages over those who did not: neither
their own scores nor the mode that they preferred before they refused matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.decisions.inputs import DecisionInputs
from nba.models.needs.words import BARE_NEEDS
from nba.schema.words import CONTACT_MODES

MODES: Final = tuple(CONTACT_MODES)
#: What of the scored needs the averages read.
AVERAGED_OF_NEEDS: Final = (
    "customer_id", "need_id", "need", *(f"uplift_amount_{mode}" for mode in MODES)
)  # fmt: skip
_SCORES: Final = ("uplift_amount", "uplift_lower", "uplift_drawn", "risk", "lost_share")


@dataclass(frozen=True)
class Averages:
    """Averages over the customers who may be profiled, for those who may not.

    Parameters
    ----------
    uplift, risk, lost_share : tuple of float
        By mode.
    customer_value : float
    needs : mapping of str to tuple of float
        The uplift of each bare need by mode.
    """

    uplift: tuple[float, ...]
    risk: tuple[float, ...]
    lost_share: tuple[float, ...]
    customer_value: float
    needs: Mapping[str, tuple[float, ...]]

    def of_mode(self, position: int) -> dict[str, float]:
        """Return the averages of a mode by the column of the scores that they stand for."""
        uplift = dict.fromkeys(_SCORES[:3], self.uplift[position])
        return {**uplift, "risk": self.risk[position], "lost_share": self.lost_share[position]}


def averages_of(kept: Mapping[str, Any]) -> Averages:
    """Return averages that were kept as JSON."""
    lists = {name: tuple(kept[name]) for name in ("uplift", "risk", "lost_share")}
    needs = {name: tuple(values) for name, values in kept["needs"].items()}
    return Averages(**lists, customer_value=kept["customer_value"], needs=needs)


@dataclass(frozen=True)
class ModeScores:
    """What is believed of each mode for each customer.

    Parameters
    ----------
    uplift, lower, drawn, risk, lost_share : array of float, shape (customers, modes)
        The expected uplift in money, its lower bound, the clerk's draw from what is believed of
        it, the probability of losing the friend, and the share of purchases lost with them.
    preferred : array of int, shape (customers,)
        The preferred mode from now on.
    """

    uplift: Floats
    lower: Floats
    drawn: Floats
    risk: Floats
    lost_share: Floats
    preferred: Ints


def mode_averages(inputs: DecisionInputs) -> Averages:
    """Return the average mode scores and customer value of who may be profiled."""
    profiled = inputs["customer_state"].filter(pl.col("consent_profiling")).select("customer_id")
    modes = inputs["mode"].select("customer_id", "mode", "uplift_amount", "risk", "lost_share")
    modes = modes.join(profiled, on="customer_id", how="semi")
    of_mode = [modes.filter(pl.col("mode") == str(mode)).sort("customer_id") for mode in MODES]
    timing = inputs["timing"].select("customer_id", "expected_margin_365d")
    timing = timing.join(profiled, on="customer_id", how="semi").sort("customer_id")
    return Averages(
        uplift=tuple(_mean(rows["uplift_amount"]) for rows in of_mode),
        risk=tuple(_mean(rows["risk"]) for rows in of_mode),
        lost_share=tuple(_mean(rows["lost_share"]) for rows in of_mode),
        customer_value=_mean(timing["expected_margin_365d"]),
        needs=_need_averages(inputs),
    )


def _need_averages(inputs: DecisionInputs) -> dict[str, tuple[float, ...]]:
    """Return the mean uplift of each bare need by mode, over who may be profiled."""
    state = inputs["customer_state"].filter(pl.col("consent_profiling")).select("customer_id")
    known = inputs["needs"].filter(pl.col("need").is_in([str(need) for need in BARE_NEEDS]))
    known = known.select(AVERAGED_OF_NEEDS).join(state, on="customer_id", how="semi")
    averages = {}
    for need in BARE_NEEDS:
        rows = known.filter(pl.col("need") == str(need)).sort("customer_id", "need_id")
        wide = rows.select(pl.col(f"uplift_amount_{mode}").fill_null(0.0) for mode in MODES)
        mean = wide.to_numpy().mean(axis=0) if rows.height else np.zeros(len(MODES))
        averages[str(need)] = tuple(float(one) for one in mean)
    return averages


def _mean(column: pl.Series) -> float:
    """Return the mean in the order of the rows, so that it is the same on every machine."""
    known = column.drop_nulls().to_numpy()
    return float(known.mean()) if known.size else 0.0


def mode_scores(
    inputs: DecisionInputs, customers: pl.DataFrame, averages: Averages, *, hysteresis: bool
) -> ModeScores:
    """Return the mode scores of customers, in their order.

    Parameters
    ----------
    inputs : DecisionInputs
    customers : DataFrame
        customer_id, consent_profiling.
    averages : Averages
        What counts for whom profiling is not consented to.
    hysteresis : bool
        Keep a preferred mode until another is proved better, instead of the day's best.
    """
    per_mode = []
    for position, mode in enumerate(MODES):
        scores = inputs["mode"].filter(pl.col("mode") == str(mode)).unique("customer_id")
        scores = scores.select("customer_id", *_SCORES).with_columns(
            pl.col("uplift_drawn").fill_null(pl.col("uplift_amount"))
        )
        average = averages.of_mode(position)
        per_mode.append(
            customers.join(scores, on="customer_id", how="left", maintain_order="left")
            .select(
                pl.when("consent_profiling").then(pl.col(name).fill_null(0.0)).otherwise(mean)
                for name, mean in average.items()
            )
            .to_numpy()
        )
    uplift, lower, drawn, risk, lost = np.moveaxis(np.stack(per_mode, axis=1), 2, 0)
    before = _preferred_before(inputs, customers)
    return ModeScores(
        uplift=uplift,
        lower=lower,
        drawn=drawn,
        risk=risk,
        lost_share=lost,
        preferred=preferred_now(uplift, lower, before if hysteresis else np.full_like(before, -1)),
    )


def preferred_now(uplift: Floats, lower: Floats, before: Ints) -> Ints:
    """Return each customer's preferred mode: kept until another is proved better.

    Parameters
    ----------
    uplift, lower : array of float, shape (customers, modes)
        The expected uplift and its lower bound.
    before : array of int, shape (customers,)
        The preferred mode so far; -1 where there is none yet.
    """
    rows = np.arange(len(uplift))
    current = np.where(before >= 0, before, uplift.argmax(axis=1))
    challenger = lower.argmax(axis=1)
    overtaken = (before >= 0) & (lower[rows, challenger] > uplift[rows, current])
    preferred: Ints = np.where(overtaken, challenger, current)
    return preferred


def _preferred_before(inputs: DecisionInputs, customers: pl.DataFrame) -> Ints:
    """Return the position of each customer's preferred mode so far; -1: none, or no consent."""
    places = pl.DataFrame({"mode": [str(mode) for mode in MODES], "at": range(len(MODES))})
    known = inputs["preferred_mode"].unique("customer_id").join(places, on="mode")
    joined = customers.join(
        known.select("customer_id", "at"), on="customer_id", how="left", maintain_order="left"
    ).select(pl.when("consent_profiling").then("at").fill_null(-1).cast(pl.Int64).alias("at"))
    return joined["at"].to_numpy()
