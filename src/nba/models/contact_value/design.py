"""The factors of a contact's effect, as columns of a log-additive design.

chance of an extra order = scale x exp(design @ theta): mode x kind of category, kind of need, how
due, what would be bought anyway, known or not, relevance, who answers, fatigue, birthday. Every
parameter has a prior mean and width; without data the prior is a rule of thumb that earns more
than most lists (a category is worth most at one personal gap, in the mode of its kind, brought
with what was bought last, to who answers and is rested).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from pydantic import Field

from nba.arrays import Floats, Ints
from nba.models.base import ModelConfig
from nba.models.contact_value.responsiveness import SIGNALS
from nba.models.mode.prior import KINDS
from nba.models.mode.scores import MODES
from nba.models.needs.words import NEEDS, Need

#: Log of the elapsed share of a gap counts between these; beyond, nothing changes any more.
SOONEST: Final = -1.6
LATEST: Final = 2.2
#: Fatigue counts up to this.
MOST_FATIGUE: Final = 5.0
#: Where the chance without a contact changes nothing.
USUAL_CHANCE: Final = 0.3
#: Relevance of goods never bought, and share of a category that one product has, as is usual.
USUAL_RELEVANCE: Final = 0.1
USUAL_SHARE: Final = 0.5
RELEVANCE_RANGE: Final = 1.5

Row = tuple[float, float, float]


class Belief(ModelConfig):
    """What is believed of one factor before any data: the log of it, and its width."""

    mean: float = Field(description="Log of the factor.")
    error: float = Field(gt=0, description="Standard deviation.")


def _b(mean: float, error: float) -> Belief:
    return Belief(mean=mean, error=error)


class Beliefs(ModelConfig):
    """The priors of all factors.

    Mode x kind follows what brands reported (an assistant fits short decision chains, an expert
    goods with strong groups, a partner what is dear), but only so far that a shop in which other
    modes fit loses little until its own contacts tell; the curve of how due a category is,
    and what is brought, follow what lists without any learning earned.

    The widths are narrow beside that of the scale: a year of a clerk's contacts tells how much
    contacts add, but not where. With widths three times as large the same contacts moved every
    factor a little upwards where it was high already, and the top of a list was told three times
    what it was worth. What a large shop sees still moves them. How far the reports hold at all is
    one number in wide doubt: every contact speaks of it.
    """

    fit: tuple[Row, Row, Row] = Field(
        default=((0.0, -0.42, -0.54), (-0.36, 0.0, -0.3), (-0.6, -0.36, 0.12)),
        description="Log fit of kind (short, group, premium) and mode.",
    )
    mode_error: float = Field(default=0.12, gt=0, description="Of what all kinds share in a mode.")
    fit_error: float = Field(default=0.2, gt=0, description="Of a mode in one kind.")
    strength_error: float = Field(
        default=1.3, ge=0, description="Of the strength of `fit` as a whole, relative to it."
    )
    companion: Belief = Field(default=_b(-1.2, 0.2), description="Against a due category.")
    new: Belief = Field(default=_b(-0.9, 0.18), description="Against a due category.")
    discovery: Belief = Field(default=_b(-1.8, 0.25), description="Against a due category.")
    content: Belief = Field(default=_b(-2.0, 0.25), description="Against a due category.")
    event: Belief = Field(default=_b(-1.5, 0.25), description="Against a due category.")
    gift: Belief = Field(default=_b(-1.2, 0.25), description="Against a due category.")
    soon: Belief = Field(default=_b(-0.8, 0.18), description="Square of log due below one gap.")
    late: Belief = Field(default=_b(-0.3, 0.1), description="Square of log due beyond it.")
    slope: Belief = Field(default=_b(0.0, 0.1), description="Log due, on both sides.")
    once: Belief = Field(default=_b(-0.4, 0.12), description="Bought once so far.")
    lapsed: Belief = Field(
        default=_b(-0.25, 0.05),
        description="Square of log days since any purchase over the overall gap, beyond it.",
    )
    without: Belief = Field(default=_b(0.2, 0.05), description="Log chance without a contact.")
    unknown: Belief = Field(default=_b(-0.5, 0.12), description="A product never bought before.")
    relevance: Belief = Field(default=_b(0.1, 0.06), description="Log relevance, centred.")
    several: Belief = Field(default=_b(-0.4, 0.12), description="Log of the categories brought.")
    answers: Belief = Field(default=_b(1.1, 0.12), description="Log ratio of answers.")
    answers_in_mode: Belief = Field(default=_b(0.7, 0.12), description="Of answers in the mode.")
    reads: Belief = Field(default=_b(0.5, 0.12), description="Log ratio of reads.")
    fatigue: Belief = Field(default=_b(-0.1, 0.03), description="Per unit of fatigue.")
    birthday: Belief = Field(default=_b(0.3, 0.15), description="Within a week of the birthday.")
    season: Belief = Field(
        default=_b(0.0, 0.1), description="Ahead of or within days of high demand, see `season`."
    )


_SINGLE: Final = (
    "companion", "new", "discovery", "content", "event", "gift", "soon", "late", "slope", "once",
    "lapsed", "without", "unknown", "relevance", "several", *SIGNALS, "fatigue", "birthday",
    "season",
)  # fmt: skip
#: Names of the parameters, in the order of the columns.
NAMES: Final = (
    *(f"mode:{mode}" for mode in MODES),
    *(f"fit:{kind}:{mode}" for kind in KINDS for mode in MODES),
    *_SINGLE,
)


#: Columns of the factors that do not depend on the mode, by what they are about.
GROUPS: Final = {
    group: tuple(NAMES.index(name) for name in names)
    for group, names in {
        "need": ("companion", "new", "discovery", "content", "event", "gift"),
        "due": ("soon", "late", "slope", "once", "lapsed", "without"),
        "goods": ("unknown", "relevance", "several"),
        "customer": (*SIGNALS, "fatigue"),
        "moment": ("birthday", "season"),
    }.items()
}


def prior_of(beliefs: Beliefs) -> tuple[Floats, Floats]:
    """Return mean and covariance of the parameters of `NAMES`.

    All factors are independent but those of mode and kind: their strength as a whole is in doubt,
    so that contacts of one kind tell how far the reports hold in the others.

    Returns
    -------
    tuple of arrays of shape (parameters,) and (parameters, parameters)
    """
    single = [getattr(beliefs, name) for name in _SINGLE]
    mean = [0.0] * len(MODES) + list(np.ravel(beliefs.fit)) + [one.mean for one in single]
    error = (
        [beliefs.mode_error] * len(MODES)
        + [beliefs.fit_error] * (len(KINDS) * len(MODES))
        + [one.error for one in single]
    )
    covariance = np.diag(np.square(error))
    fit = slice(len(MODES), len(MODES) * (1 + len(KINDS)))
    whole = beliefs.strength_error * np.ravel(beliefs.fit)
    covariance[fit, fit] += np.outer(whole, whole)
    return np.array(mean), covariance


def strength_of(beliefs: Beliefs) -> Floats:
    """Return the weights, shape (parameters,), that sum factors to the strength of `fit`.

    1 where mode and kind act as believed, 0 where reports say nothing.
    """
    believed = np.ravel(np.array(beliefs.fit, dtype=np.float64))
    size = max(float(believed @ believed), 1e-12)
    weights = np.zeros(len(NAMES))
    weights[len(MODES) : len(MODES) + len(believed)] = believed / size
    return weights


@dataclass(frozen=True)
class Situation:
    """What the design is made of, arrays of shape (rows,) unless said otherwise.

    Parameters
    ----------
    need, kind : int arrays
        Positions in `NEEDS` and `KINDS`.
    due : array
        Days since over the personal gap, NaN where never bought.
    gap : array
        The personal gap in days.
    overall : array
        Days since anything was bought over the overall gap, NaN where nothing ever was.
    times, p_without, relevance : arrays
        `relevance` is the log ratio to what is usual for the need, 0 where unknown.
    is_known : array
    several : array
        Categories brought.
    signals : array of shape (rows, modes, signals)
    fatigue, birthday, season : arrays
    """

    need: Ints
    kind: Ints
    due: Floats
    gap: Floats
    overall: Floats
    times: Floats
    p_without: Floats
    relevance: Floats
    is_known: Floats
    several: Floats
    signals: Floats
    fatigue: Floats
    birthday: Floats
    season: Floats

    @classmethod
    def plain(cls, due: Floats, p_without: Floats) -> Situation:
        """Return average customers, to whom a category is so due."""
        rows = len(due)
        zero, one = np.zeros(rows), np.ones(rows)
        nowhere = np.zeros(rows, dtype=np.int64)
        signals = np.zeros((rows, len(MODES), len(SIGNALS)))
        return cls(
            nowhere,
            nowhere,
            due,
            one,
            one,
            2.0 * one,
            p_without,
            zero,
            one,
            one,
            signals,
            zero,
            zero,
            zero,
        )

    def take(self, rows: Ints) -> Situation:
        """Return the situation of `rows`."""
        return Situation(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def design(self, mode: Ints) -> Floats:
        """Return the columns for one mode per row, shape (rows, parameters)."""
        rows = len(self.need)
        columns = np.zeros((rows, len(NAMES)))
        at = np.arange(rows)
        columns[at, mode] = 1.0
        columns[at, len(MODES) + self.kind * len(MODES) + mode] = 1.0
        single = columns[:, len(MODES) * (1 + len(KINDS)) :]
        for place, name in enumerate(("companion", "new", "discovery", "content", "event", "gift")):
            single[:, place] = self.need == NEEDS.index(name)
        place = 6
        never = ~np.isfinite(self.due)
        lapsed = due_terms(self.overall)[1]
        for value in (*due_terms(self.due), np.where(never, 0.0, self.times <= 1), lapsed):
            single[:, place] = value
            place += 1
        chance = np.log(np.clip(self.p_without, 0.02, 0.9) / USUAL_CHANCE)
        for value in (
            np.where(never, 0.0, chance),
            1.0 - self.is_known,
            self.relevance,
            np.log(np.maximum(self.several, 1.0)),
            *(self.signals[at, mode, signal] for signal in range(len(SIGNALS))),
            np.clip(self.fatigue, 0.0, MOST_FATIGUE),
            self.birthday,
            self.season,
        ):
            single[:, place] = value
            place += 1
        return columns


def due_terms(due: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the squares of log due below and beyond one gap, and log due; 0 where never bought."""
    known = np.where(np.isfinite(due), due, 1.0)
    log = np.clip(np.log(np.maximum(known, 1e-3)), SOONEST, LATEST)
    return np.square(np.minimum(log, 0.0)), np.square(np.maximum(log, 0.0)), log


def codes(values: pl.Series, words: tuple[str, ...]) -> Ints:
    """Return the place of each value in `words`, 0 where it is none of them."""
    places = {word: place for place, word in enumerate(words)}
    found = values.cast(pl.String).replace_strict(places, default=0, return_dtype=pl.Int64)
    return np.asarray(found.fill_null(0).to_numpy(), dtype=np.int64)


def log_relevance(needs: pl.DataFrame) -> Floats:
    """Return log relevance against what is usual for the kind of need; 0 where unknown.

    Of a due category it is the chance that an order in it is of the product that is brought.
    """
    due = pl.col("need") == str(Need.DUE)
    usual = pl.when(due).then(pl.col("p_without") * USUAL_SHARE).otherwise(USUAL_RELEVANCE)
    log = pl.col("relevance").clip(lower_bound=1e-4).log() - usual.log()
    found = needs.select(log.clip(-RELEVANCE_RANGE, RELEVANCE_RANGE).fill_null(0.0).fill_nan(0.0))
    return np.asarray(found.to_series().to_numpy(), dtype=np.float64)
