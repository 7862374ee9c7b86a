"""What a mode experiment publishes: values, differences, curves, calibration, balance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.evaluation.experiment_table import TestTable
from nba.evaluation.off_policy import (
    Difference,
    Log,
    Method,
    mean_interval,
    one_arm,
    policy_value,
    row_scores,
)
from nba.evaluation.overlap import IMBALANCE, covariate_balance
from nba.evaluation.uplift import calibration, multi_arm_uplift
from nba.models.mode.doubly_robust.nuisance import Nuisance

OURS: Final = "doubly robust"
SINGLE: Final = "best single arm"


@dataclass
class Repeat:
    """What one repeat of the cross-fitting produced: choices and effects, row by row."""

    fold: Ints
    log: Log
    predicted: Floats
    choice: dict[str, Ints]
    effect: Floats
    nuisance: Nuisance
    reference: Ints


@dataclass(frozen=True)
class ModeExperiment:
    """The result: what is published (`result`) and what each row was given (`assignments`)."""

    result: dict[str, Any]
    assignments: pl.DataFrame = field(repr=False)

    @property
    def table(self) -> pl.DataFrame:
        """The comparison, one row per policy."""
        return pl.DataFrame(self.result["policies"])

    def markdown(self) -> str:
        """The comparison as a table for a page."""
        lines = [
            "| policy | DR | IPS | SNIPS | against best single arm (paired DR, 95 %) | z | ESS |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in self.result["policies"]:
            gap = row["difference"]
            lines.append(
                f"| {row['policy']} | {row['dr']:.5g} ± {row['dr_error']:.2g} | {row['ips']:.5g} | "
                f"{row['snips']:.5g} | {gap:+.3g} [{row['difference_lower']:+.3g}, "
                f"{row['difference_upper']:+.3g}] | {row['z']:+.2f} | {row['effective_rows']:.0f} |"
            )
        return "\n".join(lines)


def summary(
    data: TestTable, runs: list[Repeat], *, folds: int, seed: int, columns: tuple[str, str]
) -> ModeExperiment:
    """Return the result of the repeats.

    Parameters
    ----------
    data : TestTable
    runs : list of Repeat
        At least one; the first one's choices are told.
    folds, seed : int
        What the repeats were made with; kept in the result.
    columns : tuple of two str
        Names of the arm and outcome columns.
    """
    arms, first = len(data.arms), runs[0]
    policies = [policy_row(name, data, runs) for name in first.choice]
    single = [_arm_row(arm, data, runs) for arm in range(arms)]
    scores = [row_scores(run.log, arms, run.predicted) for run in runs]
    curves = [
        multi_arm_uplift(run.effect, score, fold=run.fold, group=data.sample.group)
        for run, score in zip(runs, scores, strict=True)
    ]
    mean = {
        name: float(np.mean([getattr(curve, name) for curve in curves]))
        for name in ("auuc", "auuc_error", "qini", "qini_error")
    }
    counts = {name: np.bincount(choice, minlength=arms) for name, choice in first.choice.items()}
    result: dict[str, Any] = {
        "rows": len(data.sample.arm),
        "arms": list(data.arms),
        "arm_column": columns[0],
        "outcome_column": columns[1],
        "cost": dict(zip(data.arms, data.cost.tolist(), strict=True)),
        "folds": folds,
        "repeats": len(runs),
        "seed": seed,
        "features": list(data.encoder.names),
        "notes": list(data.notes),
        "propensity_model": first.nuisance.propensity_model,
        "overlap": [
            {
                "arm": data.arms[check.arm],
                "rows": check.rows,
                "effective_rows": check.effective_rows,
                "smallest_propensity": check.smallest,
                "trimmed_share": check.trimmed_share,
                "refused": check.refused,
            }
            for check in first.nuisance.overlap
        ],
        "balance": _balance(data, first),
        "single_arms": single,
        "policies": policies,
        "chosen_share": {
            name: dict(zip(data.arms, (n / n.sum()).round(4).tolist(), strict=True))
            for name, n in counts.items()
        },
        "uplift": mean
        | {"normalisation": "per customer of all, treated share from 0 to 1, ranks within folds"},
        "calibration": _calibrations(data, runs, scores),
    }
    assignments = pl.DataFrame(
        {
            "row": data.row,
            "fold": first.fold,
            "arm": np.array(data.arms)[data.sample.arm],
            "best_single_arm": np.array(data.arms)[first.choice[SINGLE]],
            "chosen_arm": np.array(data.arms)[first.choice[OURS]],
            **{
                f"effect_{name}": np.mean([run.effect[:, i] for run in runs], axis=0)
                for i, name in enumerate(data.arms)
                if i
            },
        }
    )
    return ModeExperiment(result, assignments)


def policy_row(name: str, data: TestTable, runs: list[Repeat]) -> dict[str, Any]:
    """Average a policy's contributions over the repeats that ran it, then take intervals."""
    arms, group = len(data.arms), data.sample.group
    ran = [run for run in runs if name in run.choice]
    row: dict[str, Any] = {"policy": name, "repeats": len(ran)}
    estimates: dict[Method, list[Any]] = {method: [] for method in Method}
    anchors = []
    for run in ran:
        policy = one_arm(run.choice[name], arms, len(run.fold))
        for method in Method:
            value = policy_value(run.log, policy, method=method, predicted=run.predicted)
            estimates[method].append(value)
        single = one_arm(run.choice[SINGLE], arms, len(run.fold))
        anchors.append(policy_value(run.log, single, predicted=run.predicted).contributions)
    for method, values in estimates.items():
        contributions = np.mean([estimate.contributions for estimate in values], axis=0)
        mean, error, low, high = mean_interval(contributions, group=group)
        row |= {
            str(method): mean,
            f"{method}_error": error,
            f"{method}_lower": low,
            f"{method}_upper": high,
        }
    gap = np.mean([estimate.contributions for estimate in estimates[Method.DR]], axis=0)
    difference = _difference(gap - np.mean(anchors, axis=0), group)
    last = estimates[Method.DR]
    return row | {
        "difference": difference.value,
        "difference_error": difference.standard_error,
        "difference_lower": difference.lower,
        "difference_upper": difference.upper,
        "z": difference.z,
        "effective_rows": float(np.mean([estimate.effective_rows for estimate in last])),
        "mean_weight": float(np.mean([estimate.mean_weight for estimate in last])),
        "clipped_share": float(np.mean([estimate.clipped_share for estimate in last])),
        "problems": list(last[0].problems),
    }


def _difference(values: Floats, group: Ints | None) -> Difference:
    value, error, low, high = mean_interval(values, group=group)
    return Difference(value, error, value / error if error > 0 else 0.0, low, high)


def _arm_row(arm: int, data: TestTable, runs: list[Repeat]) -> dict[str, Any]:
    run = runs[0]
    policy = one_arm(arm, len(data.arms), len(run.fold))
    doubly = policy_value(run.log, policy, predicted=run.predicted)
    weighted = policy_value(run.log, policy, method=Method.IPS)
    return {
        "arm": data.arms[arm],
        "rows": int((data.sample.arm == arm).sum()),
        "dr": doubly.value,
        "dr_error": doubly.standard_error,
        "ips": weighted.value,
        "chosen_in_folds": float((run.choice[SINGLE] == arm).mean()),
    }


def _balance(data: TestTable, run: Repeat) -> dict[str, Any]:
    table = covariate_balance(
        data.sample.x,
        data.encoder.names,
        data.sample.arm,
        run.nuisance.propensity,
        arms=len(data.arms),
    )
    if not table.height:
        return {"worst_before": 0.0, "worst_after": 0.0, "columns_off_after": []}
    off = table.filter(pl.col("after").abs() > IMBALANCE)["column"].unique().sort().to_list()
    return {
        "worst_before": float(table["before"].abs().max() or 0.0),  # type: ignore[arg-type]
        "worst_after": float(table["after"].abs().max() or 0.0),  # type: ignore[arg-type]
        "columns_off_after": off,
    }


def _calibrations(
    data: TestTable, runs: list[Repeat], scores: list[Floats]
) -> list[dict[str, Any]]:
    """Calibrate every pair of arms, averaged over repeats."""
    rows = []
    for low in range(len(data.arms)):
        for high in range(low + 1, len(data.arms)):
            fits = [
                calibration(
                    run.effect[:, high] - run.effect[:, low],
                    score[:, high] - score[:, low],
                    fold=run.fold,
                )
                for run, score in zip(runs, scores, strict=True)
            ]
            rows.append(
                {
                    "arm": data.arms[high],
                    "against": data.arms[low],
                    "slope": float(np.mean([fit.slope for fit in fits])),
                    "t": float(np.mean([fit.t for fit in fits])),
                    "deciles": fits[0].deciles.to_dicts(),
                }
            )
    return rows
