"""Who reacts to a contact, and when: what effects grow or shrink with.

Two things are known to move the effect of a message, and each only roughly by how much: customers
who answer react more, and a contact works less the more went before. Each enters as a power whose
size the evidence weighs; where the data cannot tell, the average over the powers stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.models.mode.prior import filled

RESPONSE_RATE: Final = "response_rate"
FATIGUE: Final = "fatigue"
#: The columns behind the powers, in their order.
COLUMNS: Final = (RESPONSE_RATE, FATIGUE)
#: Fatigue counts up to so much above or below the mean.
FATIGUE_RANGE: Final = 4.0
#: Rates of answers count between these, relative to the mean.
RESPONSE_RANGE: Final = (0.2, 5.0)

Powers = tuple[float, float]


@dataclass(frozen=True)
class ModifierMeans:
    """The customer to whom others are compared.

    Parameters
    ----------
    response : float
        Mean rate of answers of the contacts that were learned from.
    fatigue : float
        Their mean fatigue.
    """

    response: float = 1.0
    fatigue: float = 0.0

    @classmethod
    def of(cls, contacts: pl.DataFrame) -> ModifierMeans:
        """Return the means over contacts; where a column is unknown, it moves nothing."""
        response = filled(contacts[RESPONSE_RATE], float("nan"))
        fatigue = filled(contacts[FATIGUE], float("nan"))
        return cls(max(_mean(response, 1.0), 1e-6), _mean(fatigue, 0.0))

    def logs(self, customers: pl.DataFrame) -> Floats:
        """Return the log of each factor at a power of one, shape (rows, 2); 0 where unknown."""
        response = filled(customers[RESPONSE_RATE], self.response) / self.response
        fatigue = filled(customers[FATIGUE], self.fatigue)
        rested = np.clip(self.fatigue - fatigue, -FATIGUE_RANGE, FATIGUE_RANGE)
        return np.column_stack([np.log(np.clip(response, *RESPONSE_RANGE)), rested])


def _mean(values: Floats, default: float) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else default
