"""What the timing experiments share: the seed and the bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from nba.arrays import Bools, Floats
from nba.evaluation.survival import auc
from nba.evaluation.timing import HAZARD, SHIPS, TimingResult
from nba.evaluation.timing_report import TimingRun

SEED: Final = 20261121
#: (part, metric, condition, bar); a condition `gain` is over BG/NBD in the same run, `of_truth`
#: relative to the true curve.
Bar = tuple[str, str, str, float]


def timing_run(
    name: str,
    parts: Mapping[str, TimingResult],
    bars: tuple[Bar, ...],
    findings: Mapping[str, Mapping[str, float]] | None = None,
) -> TimingRun:
    """Return what an experiment gave, judged by its bars.

    Parameters
    ----------
    name : str
        The experiment's.
    parts : mapping of str to TimingResult
    bars : tuple of Bar
    findings : mapping, optional
        Further figures, by part.
    """
    return TimingRun(f"python -m experiments {name}", parts, judge(parts, bars), findings or {})


def judge(results: Mapping[str, TimingResult], bars: tuple[Bar, ...]) -> list[dict[str, Any]]:
    """Compare results with their bars; every bar is listed, reached or not.

    Judged is the model as it ships where it was asked too, else the learned curves.
    """
    rows = []
    for part, metric, direction, bar in bars:
        metrics = results[part].metrics
        # counts are those of the learned curves
        ours = metrics[SHIPS] if metric in metrics.get(SHIPS, {}) else metrics[HAZARD]
        value = ours[metric]
        if direction == "gain":
            value -= metrics["bg_nbd"][metric]
        if direction == "of_truth":
            value /= metrics["truth"][metric]
        reached = {
            "at_most": value <= bar,
            "at_least": value >= bar,
            "gain": value >= bar,
            "within": abs(value) <= bar,
            "of_truth": value <= bar,
        }[direction]
        rows.append(
            {
                "part": part,
                "metric": metric,
                "condition": direction,
                "bar": bar,
                "value": value,
                "reached": bool(reached),
            }
        )
    return rows


def calibrated(p: Floats, bought: Bools, days: int) -> dict[str, float]:
    """Return AUC, Brier score, expected and actual buyers.

    Parameters
    ----------
    p, bought : arrays of shape (customers,)
        Probability of buying within `days`, and whether they did.
    days : int
    """
    return {
        f"auc_{days}d": auc(bought, p),
        f"brier_{days}d": float(((p - bought) ** 2).mean()),
        f"expected_{days}d": float(p.sum()),
        f"actual_{days}d": float(bought.sum()),
    }


def counted(guess: Floats, count: Floats) -> dict[str, float]:
    """Return WAPE and bias of expected purchases, both as shares of all that were made.

    Parameters
    ----------
    guess, count : arrays of shape (customers,)
    """
    total = max(float(count.sum()), 1.0)
    return {
        "wape": float(np.abs(guess - count).sum() / total),
        "bias": float((guess - count).sum() / total),
    }
