"""The customers that a mode model scores, and the customers that it returns."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.models.base import ModelInputs
from nba.schema.words import CONTACT_MODES

MODES: Final = tuple(str(mode) for mode in CONTACT_MODES)
#: The columns of every mode score customers.
SCORE_SCHEMA: Final[dict[str, Any]] = {
    "customer_id": pl.String,
    "mode": pl.String,
    "uplift_amount": pl.Float64,
    "uplift_lower": pl.Float64,
    "uplift_drawn": pl.Float64,
    "risk": pl.Float64,
    "lost_share": pl.Float64,
    "reach": pl.List(pl.Float64),
}
BEHAVIOUR: Final = "customer_behaviour"
CONTACT: Final = "customer_contact"
STATE: Final = "customer_state"


def customer_table(
    inputs: ModelInputs, behaviour: tuple[str, ...], contact: tuple[str, ...]
) -> pl.DataFrame:
    """Return one row per customer, sorted by id, with the columns asked for.

    A customer of `customer_state` without purchases stays, with empty behaviour; a customer
    whom nobody contacted stays, with empty contact columns.

    Parameters
    ----------
    inputs : ModelInputs
        `customer_behaviour` is required; `customer_state` and `customer_contact` may be absent.
    behaviour, contact : tuple of str
        Columns wanted from `customer_behaviour` and `customer_contact`. Behaviour columns must
        be there; a contact column that is absent comes back empty.
    """
    table = inputs.require(BEHAVIOUR, ("customer_id", *behaviour))
    customers = table.select("customer_id", *behaviour)
    if STATE in inputs:
        known = inputs.require(STATE, ("customer_id",)).select("customer_id")
        customers = customers.join(known, on="customer_id", how="full", coalesce=True)
    if CONTACT in inputs:
        contacts = inputs.require(CONTACT, ("customer_id",))
        wanted = [column for column in contact if column in contacts.columns]
        customers = customers.join(
            contacts.select("customer_id", *wanted), on="customer_id", how="left"
        )
    absent = [column for column in contact if column not in customers.columns]
    return customers.with_columns(pl.lit(None, pl.Float64).alias(name) for name in absent).sort(
        "customer_id"
    )


def score_table(
    customer_id: pl.Series,
    *,
    uplift: Floats,
    lower: Floats,
    drawn: Floats,
    risk: Floats,
    lost_share: float,
    reach: pl.Series | None = None,
) -> pl.DataFrame:
    """Return the long score customers: one row per customer and contact mode.

    Parameters
    ----------
    customer_id : Series of n ids
    uplift, lower, drawn, risk : arrays of shape (n, 3)
        Columns in the order of `CONTACT_MODES`; `drawn` is one draw from what is believed of the
        uplift, see `nba.models.mode.effects.draws`.
    lost_share : float
        Share of a customer's margin that goes with the friendship.
    reach : Series of n lists, optional
        The chance that a message is read by the hour of the day when it is sent, 24 numbers.
    """
    hours = pl.repeat(None, len(customer_id), dtype=pl.List(pl.Float64), eager=True)
    count = len(customer_id)
    which = np.tile(np.arange(len(MODES), dtype=np.uint32), count)
    return pl.DataFrame(
        {
            "customer_id": customer_id.gather(np.repeat(np.arange(count), len(MODES))),
            "mode": pl.Series(MODES, dtype=pl.String).gather(which),
            "uplift_amount": uplift.ravel(),
            "uplift_lower": lower.ravel(),
            "uplift_drawn": drawn.ravel(),
            "risk": risk.ravel(),
            "lost_share": np.full(count * len(MODES), lost_share),
            "reach": (hours if reach is None else reach).gather(
                np.repeat(np.arange(count), len(MODES))
            ),
        },
        schema=SCORE_SCHEMA,
    )
