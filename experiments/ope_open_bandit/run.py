"""Open Bandit: the value of one logging policy, estimated from the log of the other.

Both policies ran in the same week, so that the other log's own click rate says what the estimate
should be. The sample has few clicks: a test of the estimators, not a ranking of policies.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from experiments.common.data import read_public
from nba.arrays import Floats, Ints
from nba.evaluation.off_policy import Log, Method, mean_interval, policy_value
from nba.models.mode.doubly_robust.nuisance import folds_of

CAMPAIGNS: Final = ("men", "women")
#: Weights are cut here; the sample's smallest propensity is 1e-6.
MAX_WEIGHT: Final = 100.0
#: Rows that the overall click rate is worth in an item's rate.
PRIOR_ROWS: Final = 200.0
FOLDS: Final = 10


def ope_open_bandit(*, seed: int = 0, max_weight: float = MAX_WEIGHT) -> dict[str, Any]:
    """Estimate the random policy from the Bernoulli TS log, and the reverse, per campaign.

    Parameters
    ----------
    seed : int
        Of the folds.
    max_weight : float
        Weights are cut here.
    """
    rows = []
    for campaign in CAMPAIGNS:
        logs = {policy: _read(policy, campaign) for policy in ("random", "bts")}
        for logged, other in (("bts", "random"), ("random", "bts")):
            rows += _estimates(campaign, logged, other, logs, seed=seed, max_weight=max_weight)
    return {
        "question": "Do the estimators find another policy's click rate from a log?",
        "protocol": f"propensities as logged, weights cut at {max_weight:g}, outcome model: click "
        f"rate per item, shrunk, {FOLDS} folds; the uniform policy is known exactly, the Bernoulli "
        "TS policy is taken as its shares of items per position in its own log",
        "seed": seed,
        "max_weight": max_weight,
        "estimates": rows,
    }


def _read(policy: str, campaign: str) -> pl.DataFrame:
    columns = ["item_id", "position", "click", "propensity_score"]
    return read_public("open_bandit", f"{policy}_{campaign}.parquet", columns)


def _policy(other: str, source: pl.DataFrame, position: Ints, items: int) -> Floats:
    """Return the other policy's probability of every item, shape (rows, items)."""
    if other == "random":
        return np.full((len(position), items), 1.0 / items)
    places, where = np.unique(source["position"].to_numpy(), return_inverse=True)
    counts = np.zeros((len(places), items))
    np.add.at(counts, (where, source["item_id"].to_numpy()), 1.0)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return np.asarray(shares[np.searchsorted(places, position)])


def _item_rates(item: Ints, click: Floats, items: int, seed: int) -> Floats:
    """Return cross-fitted click rates of every item for every row, shape (rows, items)."""
    fold = folds_of(len(item), FOLDS, seed, None, item)
    predicted = np.empty((len(item), items))
    for one in range(FOLDS):
        rest = fold != one
        shown = np.bincount(item[rest], minlength=items)
        clicked = np.bincount(item[rest], weights=click[rest], minlength=items)
        predicted[~rest] = (clicked + PRIOR_ROWS * click[rest].mean()) / (shown + PRIOR_ROWS)
    return predicted


def _estimates(
    campaign: str,
    logged: str,
    other: str,
    logs: dict[str, pl.DataFrame],
    *,
    seed: int,
    max_weight: float,
) -> list[dict[str, Any]]:
    table, target = logs[logged], logs[other]
    items = int(max(log["item_id"].max() for log in logs.values())) + 1  # type: ignore[arg-type,type-var]
    item = table["item_id"].to_numpy().astype(np.int64)
    click = table["click"].to_numpy().astype(np.float64)
    log = Log(item, click, table["propensity_score"].to_numpy(), max_weight=max_weight)
    policy = _policy(other, target, table["position"].to_numpy().astype(np.int64), items)
    predicted = _item_rates(item, click, items, seed)
    own, own_error, low, high = mean_interval(target["click"].to_numpy().astype(np.float64))
    rows = []
    for method in Method:
        estimate = policy_value(log, policy, method=method, predicted=predicted)
        rows.append(
            {
                "campaign": campaign,
                "logged_by": logged,
                "policy": other,
                "method": str(method),
                "value": estimate.value,
                "standard_error": estimate.standard_error,
                "lower": estimate.lower,
                "upper": estimate.upper,
                "effective_rows": estimate.effective_rows,
                "mean_weight": estimate.mean_weight,
                "clipped_share": estimate.clipped_share,
                "problems": list(estimate.problems),
                "on_policy": own,
                "on_policy_lower": low,
                "on_policy_upper": high,
                "z_to_on_policy": (estimate.value - own)
                / float(np.hypot(estimate.standard_error, own_error)),
            }
        )
    return rows
