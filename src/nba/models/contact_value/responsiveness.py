"""Who answers: empirical Bayes rates of answers and reads, overall and by mode.

Orders that a contact brought are too few to say who reacts; answers, clicks and reads are many.
Each customer's count is compared with what is usual for the same contacts, and shrunk towards it
by as much as the spread between customers asks for (a gamma mixture of Poisson counts).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl
from scipy.special import gammaln

from nba.arrays import Floats
from nba.models.mode.scores import MODES

#: What each customer's log ratios are of, in the order of the last axis.
SIGNALS: Final = ("answers", "answers_in_mode", "reads")
#: Counts that are compared, in the order of the columns.
CONTACTS: Final = tuple(f"contacts_{mode}" for mode in MODES)
ANSWERED: Final = tuple(f"answered_{mode}" for mode in MODES)
READ_CONTACTS: Final = "contacts_90d"
READS: Final = "reads_90d"
#: Weights of the usual rate that the marginal likelihood chooses from, in expected answers.
WEIGHTS: Final = tuple(0.5 * 1.6**step for step in range(12))
#: Rates before any contact.
DEFAULT_RATE: Final = 0.2
FEWEST_ANSWERS: Final = 30


@dataclass(frozen=True)
class Responsiveness:
    """Usual rates, and how much a customer's own record counts against them.

    Parameters
    ----------
    rate : tuple of float
        Answers per contact, by mode.
    read_rate : float
        Reads per contact.
    weight, mode_weight, read_weight : float
        Expected answers (reads) that the usual rate is worth.
    """

    rate: tuple[float, ...] = (DEFAULT_RATE,) * len(MODES)
    read_rate: float = 0.5
    weight: float = 4.0
    mode_weight: float = 8.0
    read_weight: float = 8.0

    @classmethod
    def of(cls, counts: pl.DataFrame) -> Self:
        """Return the rates of customers, one row each with `CONTACTS`, `ANSWERED` and reads."""
        made, answered = _matrix(counts, CONTACTS), _matrix(counts, ANSWERED)
        if answered.sum() < FEWEST_ANSWERS:
            return cls()
        pooled = answered.sum() / max(made.sum(), 1.0)
        rate = (answered.sum(axis=0) + 20.0 * pooled) / (made.sum(axis=0) + 20.0)
        expected = made * rate
        weight = _weight(answered.sum(axis=1), expected.sum(axis=1))
        own = (weight + answered.sum(axis=1)) / (weight + expected.sum(axis=1))
        mode_weight = _weight(answered.ravel(), (expected * own[:, None]).ravel())
        sent, read = _matrix(counts, (READ_CONTACTS,))[:, 0], _matrix(counts, (READS,))[:, 0]
        read_rate, read_weight = cls.read_rate, cls.read_weight
        if read.sum() >= FEWEST_ANSWERS:
            read_rate = float(read.sum() / max(sent.sum(), 1.0))
            read_weight = _weight(read, sent * read_rate)
        return cls(tuple(map(float, rate)), read_rate, weight, mode_weight, read_weight)

    def logs(self, counts: pl.DataFrame) -> Floats:
        """Return log ratios to what is usual, shape (customers, modes, signals)."""
        made, answered = _matrix(counts, CONTACTS), _matrix(counts, ANSWERED)
        expected = made * np.array(self.rate)
        own = (self.weight + answered.sum(axis=1)) / (self.weight + expected.sum(axis=1))
        by_mode = expected * own[:, None]
        beside = (self.mode_weight + answered) / (self.mode_weight + by_mode)
        sent, read = _matrix(counts, (READ_CONTACTS,)), _matrix(counts, (READS,))
        reads = (self.read_weight + read) / (self.read_weight + sent * self.read_rate)
        return np.stack(
            [
                np.repeat(np.log(own)[:, None], len(MODES), axis=1),
                np.log(beside),
                np.repeat(np.log(reads), len(MODES), axis=1),
            ],
            axis=2,
        )

    def state(self) -> dict[str, Any]:
        """Return what is kept of it, as JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, state: dict[str, Any]) -> Self:
        """Read what `state` returned."""
        return cls(**{**state, "rate": tuple(state["rate"])})


def counts_of_view(contact: pl.DataFrame) -> pl.DataFrame:
    """Return the counts of the view `customer_contact`; what it lacks counts as none."""
    columns = []
    for mode in MODES:
        made, rate = f"contacts_{mode}_365d", f"response_rate_{mode}"
        if made in contact.columns and rate in contact.columns:
            contacts = pl.col(made).cast(pl.Float64).fill_null(0.0)
            # the view's rate is shrunk to one answer in five contacts
            answered = pl.col(rate).cast(pl.Float64).fill_null(0.2) * (contacts + 5.0) - 1.0
        else:
            contacts, answered = pl.lit(0.0), pl.lit(0.0)
        columns += [
            contacts.alias(f"contacts_{mode}"),
            answered.clip(lower_bound=0.0).alias(f"answered_{mode}"),
        ]
    for name in (READ_CONTACTS, READS):
        known = (
            pl.col(name).cast(pl.Float64).fill_null(0.0) if name in contact.columns else pl.lit(0.0)
        )
        columns.append(known.alias(name))
    return contact.select(columns)


def _matrix(counts: pl.DataFrame, names: tuple[str, ...]) -> Floats:
    found = counts.select(pl.col(name).cast(pl.Float64).fill_null(0.0) for name in names)
    return np.asarray(found.to_numpy(), dtype=np.float64).reshape(counts.height, len(names))


def _weight(seen: Floats, expected: Floats) -> float:
    """Return the weight of the usual rate under which the counts are likeliest."""
    known = expected > 0
    count, mean = seen[known], expected[known]
    if not len(count):
        return 4.0

    def likelihood(weight: float) -> float:
        shape = weight
        terms = gammaln(count + shape) - gammaln(shape) + shape * np.log(shape / (shape + mean))
        return float((terms + count * np.log(mean / (shape + mean))).sum())

    return float(max(WEIGHTS, key=likelihood))
