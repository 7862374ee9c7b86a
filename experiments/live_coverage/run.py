"""`python -m experiments live_coverage`: coverage of the intervals on planted effects."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nba.arrays import Bools, Floats, Ints
from nba.evaluation.arm_effects import difference, sample_ratio
from nba.evaluation.sequential import always_valid
from nba.evaluation.unit_effects import unit_difference

CUSTOMERS: Final = 600
SHARE: Final = 0.8
LOOKS: Final = 20
EFFECT: Final = 8.0
#: Clerks of a test that they draw, and how many of them are treated.
CLERKS: Final = 12
CLERKS_TREATED: Final = 4
FEW: Final = ("few_units", "few_units_usual", "few_units_every_look")
#: Customers that come in by each look of a test whose sizes are checked, and the check's level.
PER_LOOK: Final = 1000
SIZES_LEVEL: Final = 0.001


def coverage(*, runs: int = 2000, seed: int = 1) -> dict[str, Any]:
    """Return how often intervals hold the planted effect, and how often a null test is stopped.

    Parameters
    ----------
    runs : int
        Made-up tests of 600 customers, four fifths of them treated, margins log-normal.
    seed : int

    Returns
    -------
    dict
        `difference, cuped, clusters`: share of 95 % intervals that hold the effect;
        `few_units`: the same where 4 of 12 clerks with books of 10 to 120 customers are treated,
        `few_units_usual` by the usual cluster-robust interval, `few_units_every_look` by the
        always-valid one at all looks;
        `every_look`: share of tests whose always-valid interval holds it at all 20 looks;
        `stopped_null`: share of tests without an effect that it stops, and `stopped_peeking` the
        share that the fixed interval would stop; `mismatch_found`: share of planted mismatches
        (a tenth of the control lost) that the daily size check finds at 0.001, `mismatch_days` the
        median look, and `mismatch_null` the share found where nothing was lost; `harm_days`: median
        look at which a planted rise of blocks from 4 to 24 % is stopped.
    """
    rng = np.random.default_rng(seed)
    hits = dict.fromkeys(("difference", "cuped", "clusters", "every_look", *FEW), 0)
    stopped = {"stopped_null": 0, "stopped_peeking": 0}
    mismatch, none_lost, harm = [], [], []
    for _ in range(runs):
        before, treated = _people(rng)
        y = _outcome(rng, before) + EFFECT * treated
        hits["difference"] += _holds(difference(y, treated))
        hits["cuped"] += _holds(difference(y, treated, covariates=before[:, None]))
        hits["clusters"] += _clustered(rng)
        hits["every_look"] += _all_looks(rng, before, treated)
        for name, holds in zip(FEW, _few_units(rng), strict=True):
            hits[name] += holds
        null = _peeked(rng, before, treated)
        stopped["stopped_null"] += null[0]
        stopped["stopped_peeking"] += null[1]
        mismatch.append(_mismatch(rng, lost=0.1))
        none_lost.append(_mismatch(rng, lost=0.0))
        harm.append(_harmed(rng, treated))
    shares = {name: count / runs for name, count in {**hits, **stopped}.items()}
    return {
        "runs": runs,
        **shares,
        "mismatch_found": float(np.mean(np.array(mismatch) <= LOOKS)),
        "mismatch_days": float(np.median(mismatch)),
        "mismatch_null": float(np.mean(np.array(none_lost) <= LOOKS)),
        "harm_days": float(np.median(harm)),
    }


def _people(rng: np.random.Generator) -> tuple[Floats, Bools]:
    return rng.lognormal(3.0, 0.8, CUSTOMERS), rng.random(CUSTOMERS) < SHARE


def _outcome(rng: np.random.Generator, before: Floats) -> Floats:
    result: Floats = before * rng.lognormal(0.0, 0.5, CUSTOMERS)
    return result


def _holds(effect: Any) -> bool:
    return bool(effect.lower <= EFFECT <= effect.upper)


def _clustered(rng: np.random.Generator) -> bool:
    """Customers of a group share their arm and a part of their outcome."""
    group: Ints = rng.integers(0, 150, CUSTOMERS)
    arm = (rng.random(150) < SHARE)[group]
    y = rng.lognormal(3.0, 0.8, CUSTOMERS) + rng.normal(0, 15, 150)[group] + EFFECT * arm
    return _holds(difference(y, arm, cluster=group))


def _few_units(rng: np.random.Generator) -> tuple[bool, bool, bool]:
    """Whether intervals hold where few clerks drew: ours, the usual one, ours at all looks.

    A clerk's customers have in common what the clerk changes, the more of it the longer it goes on.
    """
    clerk: Ints = np.repeat(np.arange(CLERKS), rng.integers(10, 120, CLERKS))
    arm = np.isin(clerk, rng.permutation(CLERKS)[:CLERKS_TREATED])
    before = rng.lognormal(3.0, 0.8, len(clerk))
    own = np.cumsum(rng.normal(0, 15 / np.sqrt(LOOKS), (LOOKS, CLERKS)), axis=0)[:, clerk]
    days = np.cumsum(rng.gamma(0.5, 2.0, (LOOKS, len(clerk))) * before / LOOKS, axis=0)
    total = own + days
    known = before[:, None]
    last = total[-1] + EFFECT * arm
    ours = unit_difference(last, arm, clerk, covariates=known)
    usual = difference(last, arm, covariates=known, cluster=clerk)
    every = all(
        _holds(always_valid(at, ours.standard_error))
        for look in range(2, LOOKS)
        for at in [
            unit_difference(
                total[look] * LOOKS / (look + 1) + EFFECT * arm, arm, clerk, covariates=known
            )
        ]
    )
    return _holds(ours), _holds(usual), every


def _looks(rng: np.random.Generator, before: Floats) -> Floats:
    """What each customer has brought by each look: a taste of their own, and days."""
    rate = before * rng.lognormal(0.0, 0.3, CUSTOMERS) / LOOKS
    days = rng.gamma(0.5, 2.0, (LOOKS, CUSTOMERS)) * rate
    result: Floats = np.cumsum(days, axis=0)
    return result


def _all_looks(rng: np.random.Generator, before: Floats, treated: Bools) -> bool:
    total = _looks(rng, before)
    spread = before.std() * np.sqrt(1 / treated.sum() + 1 / (~treated).sum())
    for look in range(2, LOOKS):
        share = (look + 1) / LOOKS
        y = total[look] / share + EFFECT * treated
        effect = difference(y, treated, covariates=before[:, None])
        if not _holds(always_valid(effect, float(spread))):
            return False
    return True


def _peeked(rng: np.random.Generator, before: Floats, treated: Bools) -> tuple[bool, bool]:
    """Whether a test without an effect is stopped: by the always-valid, by the fixed interval."""
    total = _looks(rng, before)
    spread = before.std() * np.sqrt(1 / treated.sum() + 1 / (~treated).sum())
    valid = fixed = False
    for look in range(2, LOOKS):
        y = total[look] * LOOKS / (look + 1)
        effect = difference(y, treated, covariates=before[:, None])
        fixed |= effect.proven
        valid |= always_valid(effect, float(spread)).proven
    return valid, fixed


def _mismatch(rng: np.random.Generator, *, lost: float) -> int:
    """Return the look at which a share of the control lost on the way to the log is found.

    A thousand customers come in by each look; one look more: never found.
    """
    shares = {"engine": SHARE, "holdout": 1 - SHARE}
    treated = np.cumsum(rng.binomial(PER_LOOK, SHARE, LOOKS))
    kept = np.cumsum(rng.binomial(PER_LOOK - np.diff(treated, prepend=0), 1 - lost))
    for look in range(LOOKS):
        counts = {"engine": int(treated[look]), "holdout": int(kept[look])}
        if sample_ratio(counts, shares) < SIZES_LEVEL:
            return look + 1
    return LOOKS + 1


def _harmed(rng: np.random.Generator, treated: Bools) -> int:
    """Return the look at which a planted rise of blocks is stopped; one more: never."""
    chance = np.where(treated, 0.24, 0.04)
    when = rng.integers(0, LOOKS, CUSTOMERS)
    blocks = rng.random(CUSTOMERS) < chance
    for look in range(LOOKS):
        y = (blocks & (when <= look)).astype(np.float64)
        effect = difference(y, treated)
        if always_valid(effect, effect.standard_error).lower > 0:
            return look + 1
    return LOOKS + 1
