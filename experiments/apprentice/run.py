"""`python -m experiments apprentice`: what lists would be worth, against the truth, by world."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats
from nba.evaluation.impact.apprentice import follow_rows, followed_lists, once_in_days

START: Final = dt.date(2025, 1, 1)
EPOCH: Final = dt.date(1970, 1, 1)
#: Days of sales and contacts before the engine watches.
HISTORY: Final = 120
OUTCOME_DAYS: Final = 14
CLERK_SIZE: Final = 250
#: Share of a clerk's book that the clerk, and the list, contacts a day.
DAILY: Final = 0.03
#: Days over which a contact that wakes a need brings its order.
WAKES_WITHIN: Final = 7
#: Who is left alone for so many days is open for the list again.
REST_DAYS: Final = 6
#: No effect; a list that earns; an effect that the list uses worse than the clerks do.
KINDS: Final = ("null", "gain", "idle")


def apprentice_worlds(
    *,
    worlds: int = 100,
    customers: int = 6000,
    weeks: int = 13,
    kinds: Sequence[str] = KINDS[:2],
    gain: float = 0.1,
    hidden: float = 0.0,
    seed: int = 1,
) -> dict[str, Any]:
    """Return how often apprentice mode claims a gain, by kind of world.

    Parameters
    ----------
    worlds : int
        Of each kind.
    customers, weeks : int
        Size of each world, and how long the engine watches.
    kinds : sequence of str
        `null`: contacts change nothing; `gain`; `idle`: a contact is worth the same with everybody.
    gain : float
        True gain of the lists in the worlds of the kind `gain`, as a share of margin.
    hidden : float
        By how much a clerk's choice follows what no table knows, in log odds per standard
        deviation of what a customer is about to buy.
    seed : int

    Returns
    -------
    dict
        Per kind: shares that claim a gain, a loss, cannot tell, or see no overlap; how often the
        interval holds the truth; median of weeks to tell where it could not; mean truth as a share
        of margin.
    """
    result: dict[str, Any] = {}
    for kind in kinds:
        rows = []
        for number in range(worlds):
            rng = np.random.default_rng([seed, KINDS.index(kind), number])
            rows.append(_one(play(kind, customers, weeks, rng, gain=gain, hidden=hidden)))
        table = pl.DataFrame(rows)
        verdicts = {v: float((table["verdict"] == v).mean()) for v in _VERDICTS}  # type: ignore[arg-type]
        waiting = table.filter(pl.col("verdict") == "open")["weeks_to_tell"]
        result[kind] = {
            "worlds": worlds,
            **verdicts,
            "covered": float(table["covered"].mean()),  # type: ignore[arg-type]
            "truth_share": float(table["truth_share"].mean()),  # type: ignore[arg-type]
            "estimate_share": float(table["estimate_share"].mean()),  # type: ignore[arg-type]
            "error_share": float(table["error_share"].mean()),  # type: ignore[arg-type]
            "effective_rows": float(table["effective_rows"].mean()),  # type: ignore[arg-type]
            "weeks_to_tell": float(waiting.median()) if len(waiting) else None,  # type: ignore[arg-type]
        }
        print(kind, result[kind], flush=True)
    return result


_VERDICTS: Final = ("gain", "loss", "open", "no_overlap")


@dataclass(frozen=True)
class Played:
    """What was seen of a world, and the truth.

    Parameters
    ----------
    rows : DataFrame
        As `follow_rows` makes them of it.
    truth, base : float
        True gain of the lists per week, and margin per week without contacts.
    """

    rows: pl.DataFrame
    truth: float
    base: float


def play(
    kind: str,
    customers: int,
    weeks: int,
    rng: np.random.Generator,
    *,
    gain: float = 0.1,
    hidden: float = 0.0,
) -> Played:
    """Play a world in which clerks contact by habit and the engine watches.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    customers, weeks : int
    rng : numpy.random.Generator
    gain, hidden : float
        See `apprentice_worlds`.
    """
    days = HISTORY + 7 * weeks + OUTCOME_DAYS
    bought, margin, due = _purchases(customers, days, rng)
    contacted = _habit(bought, hidden, rng)
    listed, wakes = _lists(kind, contacted, due, rng)
    span = slice(HISTORY, HISTORY + 7 * weeks)
    mean = float(margin[bought].mean())
    base = float((bought * margin)[:, span].sum()) / weeks
    is_open = listed[:, span] >= 0
    beyond = (_counted(listed, span) - contacted[:, span]) * wakes[:, span] * is_open
    surplus = float(beyond.sum()) * mean / weeks
    scale = {"null": 0.0, "idle": 0.25, "gain": gain * base / max(surplus, 1e-9)}[kind]
    extra = _woken(contacted, np.clip(scale * wakes, 0, 0.9), rng)
    rows = follow_rows(
        _open_rows(listed, due, span),
        _sales(bought, extra, margin),
        _contacts(contacted),
        last=START + dt.timedelta(days=days - 1),
        outcome_days=OUTCOME_DAYS,
    )
    return Played(rows, scale * surplus, base)


def _one(played: Played) -> dict[str, Any]:
    found = followed_lists(played.rows, seed=0)
    return {
        "verdict": found.verdict,
        "covered": bool(found.lower <= played.truth <= found.upper),
        "truth_share": played.truth / played.base,
        "estimate_share": found.per_week / played.base,
        "error_share": found.standard_error / played.base,
        "effective_rows": found.effective_rows,
        "weeks_to_tell": found.weeks_to_tell,
    }


def _purchases(customers: int, days: int, rng: np.random.Generator) -> tuple[Bools, Floats, Floats]:
    """Return who buys when, the margin of an order, and how due each is each morning (0 to 1)."""
    gap = rng.lognormal(np.log(40.0), 0.6, customers)
    amount = rng.lognormal(3.5, 0.5, customers)
    since = rng.uniform(0, 1, customers) * gap
    bought = np.zeros((customers, days), dtype=bool)
    due = np.zeros((customers, days))
    for day in range(days):
        ratio = since / gap
        due[:, day] = ratio**2 / (1 + ratio**2)
        bought[:, day] = rng.random(customers) < np.clip(1.6 * due[:, day] / gap, 0, 1)
        since = np.where(bought[:, day], 0.0, since + 1)
    return bought, amount[:, None] * rng.lognormal(0, 0.4, (customers, days)), due


def _habit(bought: Bools, hidden: float, rng: np.random.Generator) -> Bools:
    """Return whom clerks contact: frequent and recent buyers, by a taste of each clerk."""
    customers, days = bought.shape
    frequent = np.log1p(bought[:, :HISTORY].sum(1))
    frequent = (frequent - frequent.mean()) / frequent.std()
    clerk = (np.arange(customers) // CLERK_SIZE).astype(int)
    taste = rng.normal(0, 0.3, clerk.max() + 1)[clerk]
    ahead = np.zeros(bought.shape)
    for step in range(1, OUTCOME_DAYS + 1):
        ahead[:, : days - step] += bought[:, step:]
    ahead = (ahead - ahead.mean()) / max(float(ahead.std()), 1e-9)
    recent = np.zeros(customers)
    rest = np.zeros(customers)
    contacted = np.zeros(bought.shape, dtype=bool)
    for day in range(days):
        logit = np.log(DAILY / (1 - DAILY)) + 0.5 * frequent + taste + 0.6 * recent
        logit = logit + hidden * ahead[:, day]
        contacted[:, day] = (rng.random(customers) < 1 / (1 + np.exp(-logit))) & (rest <= 0)
        rest = np.where(contacted[:, day], REST_DAYS, rest - 1)
        recent = np.where(bought[:, day], 1.0, 0.95 * recent)
    return contacted


def _lists(
    kind: str, contacted: Bools, due: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the chance of being listed (-1: closed) and what a contact wakes, (customers, days).

    The list names who is due, with some chance for everybody; an idle one names who comes. Whom it
    has drawn rests for it, as after a contact.
    """
    customers, days = contacted.shape
    chance, rest = np.full(contacted.shape, -1.0), np.zeros(customers)
    for day in range(days):
        is_open = rest <= 0
        first = np.quantile(due[is_open, day], 1 - 2 * DAILY)
        pick = np.where(due[:, day] >= first, 0.45, 0.1 * DAILY)
        chance[:, day] = np.where(is_open, DAILY if kind == "idle" else pick, -1.0)
        drawn = rng.random(customers) < chance[:, day]
        rest = np.where(drawn | contacted[:, day], REST_DAYS, rest - 1)
    return chance, np.ones(contacted.shape) if kind == "idle" else due


def _counted(listed: Floats, span: slice) -> Floats:
    """Return the chances as they are counted, a customer at most once a week."""
    rows = _open_rows(listed, np.zeros(listed.shape), span)
    table = once_in_days(rows)
    counted = np.zeros(listed.shape)
    day = table["day"].cast(pl.Int32).to_numpy() - (START - EPOCH).days
    who = table["customer_id"].str.slice(1).cast(pl.Int64).to_numpy()
    counted[who, day] = table["p_listed"].to_numpy()
    return counted[:, span]


def _open_rows(listed: Floats, due: Floats, span: slice) -> pl.DataFrame:
    who, day = np.nonzero(listed[:, span] >= 0)
    day = day + span.start
    return pl.DataFrame(
        {
            "day": _dates(day),
            "customer_id": _names(who),
            "clerk_id": pl.Series(who // CLERK_SIZE).cast(pl.String),
            "p_listed": listed[who, day],
            "best_value": due[who, day],
        }
    )


def _woken(contacted: Bools, chance: Floats, rng: np.random.Generator) -> Bools:
    """Return the orders that contacts bring, some days after each."""
    customers, days = contacted.shape
    who, day = np.nonzero(contacted & (rng.random(contacted.shape) < chance))
    at = np.minimum(day + rng.integers(1, WAKES_WITHIN + 1, len(day)), days - 1)
    extra = np.zeros((customers, days), dtype=bool)
    extra[who, at] = True
    return extra


def _sales(bought: Bools, extra: Bools, margin: Floats) -> pl.DataFrame:
    orders = bought.astype(np.int64) + extra
    who, day = np.nonzero(orders)
    money = orders[who, day] * margin[who, day]
    return pl.DataFrame(
        {
            "customer_id": _names(who),
            "day": _dates(day),
            "orders": orders[who, day],
            "amount": 2 * money,
            "margin": money,
        }
    )


def _contacts(contacted: Bools) -> pl.DataFrame:
    who, day = np.nonzero(contacted)
    return pl.DataFrame({"customer_id": _names(who), "ts": _dates(day).cast(pl.Datetime("us"))})


def _names(who: Any) -> pl.Series:
    return pl.Series("c" + pl.Series(who).cast(pl.String).str.zfill(6))


def _dates(day: Any) -> pl.Series:
    return pl.Series(day + (START - EPOCH).days).cast(pl.Int32).cast(pl.Date)
