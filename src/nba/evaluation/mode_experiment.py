"""The mode experiment: does choosing an arm per customer beat one arm for all?

Every row is scored by a policy that never saw it (cross-fitting over folds, by whole groups where
rows belong together), every policy is compared with the best single arm **as chosen on the
training folds**, values are averaged over repeats, and differences are paired and doubly robust.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from nba.evaluation.experiment_table import TestTable, prepare, read_table
from nba.evaluation.mode_baselines import BASELINES
from nba.evaluation.off_policy import (
    Difference,
    Floats,
    Ints,
    Log,
    Method,
    mean_interval,
    one_arm,
    policy_value,
    row_scores,
)
from nba.evaluation.overlap import IMBALANCE, covariate_balance
from nba.evaluation.uplift import calibration, multi_arm_uplift
from nba.models.mode.learner import Effects, learn
from nba.models.mode.linear import Basis
from nba.models.mode.nuisance import LearnerConfig, Nuisance, Sample, fit_nuisance, folds_of

OURS: Final = "doubly robust"
SINGLE: Final = "best single arm"
#: Smaller arms than this in a training set cannot feed the comparison's learners.
MIN_BASELINE_ROWS: Final = 50


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


def run_mode_experiment(
    file: Path | pl.DataFrame,
    arm: str,
    control: str,
    outcome: str,
    *,
    cost: Mapping[str, float] | None = None,
    group: str | None = None,
    propensity: str | None = None,
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    also: Sequence[str] = (),
    folds: int = 10,
    repeats: int = 1,
    seed: int = 0,
    compare: Sequence[str] = tuple(BASELINES),
    config: LearnerConfig | None = None,
    threads: int = 1,
    progress: Callable[[str], None] | None = None,
) -> ModeExperiment:
    """Compare a learned choice of arms with the best single arm on a test's table.

    Parameters
    ----------
    file : path or DataFrame
        Parquet or CSV, one row per assignment.
    arm, control, outcome : str
        The arm's column, the control's value in it, and the numeric outcome's column.
    cost : mapping of arm to cost, optional
        Deducted from the outcome per assignment.
    group : str, optional
        A column whose equal values mark rows that belong together.
    propensity : str, optional
        The logged probability of the drawn arm; estimated where not given (constant shares unless
        the arms can be predicted).
    features, exclude : sequences of str, optional
        Columns to learn from (default: all others), and columns never to use.
    also : sequence of str, optional
        Other outcomes to value the same choices on (`result["also"]`): learn on a dense outcome,
        value on money. Without costs.
    folds, repeats, seed : int
        Of the outer cross-fitting.
    compare : sequence of str
        Which of `BASELINES` to run beside, in the first repeat.
    config : LearnerConfig, optional
    threads : int
        Folds learned at the same time.
    progress : callable, optional
        Gets one line per finished fold.

    Raises
    ------
    UsageError
        When a column, the control or a cost does not exist.
    InputRefusedError
        When the file cannot be read or holds too few usable rows.
    """
    table = file if isinstance(file, pl.DataFrame) else read_table(file)
    data = prepare(
        table,
        arm,
        control,
        outcome,
        cost=cost,
        group=group,
        propensity=propensity,
        features=features,
        exclude=[*exclude, *also],
    )
    config = config or LearnerConfig()
    folds = _outer_folds(data.sample, len(data.arms), folds)
    say = progress or (lambda line: None)
    runs = [
        _repeat(
            data, folds, seed + 1000 * r, tuple(compare) if r == 0 else (), config, threads, say
        )
        for r in range(repeats)
    ]
    found = _summary(data, runs, folds=folds, seed=seed, columns=(arm, outcome))
    for name in also:
        other = table[name].cast(pl.Float64).to_numpy()[data.row]
        found.result.setdefault("also", {})[name] = _valued_on(data, runs, other, config, seed)
    return found


def _outer_folds(sample: Sample, arms: int, folds: int) -> int:
    """Use fewer folds where arms are small or groups are few, so that each fold has some."""
    smallest = int(np.bincount(sample.arm, minlength=arms).min())
    units = len(sample.arm) if sample.group is None else len(np.unique(sample.group))
    return int(np.clip(min(max(smallest, len(sample.arm) // 20) // 5, units), 2, folds))


def _repeat(
    data: TestTable,
    folds: int,
    seed: int,
    compare: Sequence[str],
    config: LearnerConfig,
    threads: int,
    say: Callable[[str], None],
) -> Repeat:
    sample, arms = data.sample, len(data.arms)
    fold = folds_of(len(sample.arm), folds, seed, sample.group, sample.arm)
    terms = Basis.fit(sample.x).transform(sample.x)
    judge = fit_nuisance(
        sample, arms, terms, fold, config.model_copy(update={"folds": folds}), seed
    )
    names = (SINGLE, OURS, *compare)
    choice = {name: np.zeros(len(sample.arm), dtype=np.int64) for name in names}
    effect, reference = np.zeros((len(sample.arm), arms)), choice[SINGLE]
    done = dict.fromkeys(compare, 0)

    def one_fold(one: int) -> None:
        rest, rows = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        train, at = sample.take(rest), sample.x[rows]
        learned = learn(train, arms, cost=data.cost, config=config, seed=seed + one)
        reference[rows] = learned.reference
        choice[OURS][rows] = learned.choose(at)
        effect[rows] = learned.effects(at)
        for name, guess in _compared(compare, train, arms, learned, data, seed).items():
            offered = guess(at) - (0.0 if name == "policy tree" else data.cost)
            closed = [k for k in range(arms) if k not in learned.open_arms]
            offered[:, closed] = -np.inf
            choice[name][rows] = offered.argmax(axis=1)
            done[name] += 1
        say(f"fold {one + 1}/{folds}: best single arm {data.arms[learned.reference]}")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one_fold, range(folds)))
    for name in [name for name, count in done.items() if count < folds]:
        del choice[name]  # an extra that is not installed, or arms too small for it
    log = Log(sample.arm, sample.outcome - data.cost[sample.arm], judge.propensity, sample.group)
    return Repeat(fold, log, judge.mean - data.cost, choice, effect, judge, reference)


def _valued_on(
    data: TestTable, runs: list[Repeat], outcome: Floats, config: LearnerConfig, seed: int
) -> list[dict[str, Any]]:
    """Value the choices of `runs` on another outcome, with outcome models of its own."""
    arms = len(data.arms)
    sample = dataclasses.replace(data.sample, outcome=outcome)
    terms = Basis.fit(sample.x).transform(sample.x)
    other = dataclasses.replace(data, sample=sample, cost=np.zeros(arms))
    valued = []
    for run in runs:
        settings = config.model_copy(update={"folds": int(run.fold.max()) + 1})
        judge = fit_nuisance(sample, arms, terms, run.fold, settings, seed)
        log = Log(sample.arm, outcome, judge.propensity, sample.group)
        valued.append(dataclasses.replace(run, log=log, predicted=judge.mean, nuisance=judge))
    return [_policy_row(name, other, valued) for name in runs[0].choice]


def _compared(
    compare: Sequence[str], train: Sample, arms: int, learned: Effects, data: TestTable, seed: int
) -> dict[str, Callable[[Floats], Floats]]:
    if not compare or np.bincount(train.arm, minlength=arms).min() < MIN_BASELINE_ROWS:
        return {}
    assert learned.nuisance is not None
    scores = learned.nuisance.scores(train) - data.cost
    fitted = {}
    for name in compare:
        try:
            fitted[name] = BASELINES[name](train, arms, scores, seed)
        except ImportError:
            continue  # an optional extra that is not installed: the table goes without
    return fitted


def _summary(
    data: TestTable, runs: list[Repeat], *, folds: int, seed: int, columns: tuple[str, str]
) -> ModeExperiment:
    arms, first = len(data.arms), runs[0]
    policies = [_policy_row(name, data, runs) for name in first.choice]
    single = [_arm_row(one, data, runs) for one in range(arms)]
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


def _policy_row(name: str, data: TestTable, runs: list[Repeat]) -> dict[str, Any]:
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
    for method, found in estimates.items():
        contributions = np.mean([one.contributions for one in found], axis=0)
        mean, error, low, high = mean_interval(contributions, group=group)
        row |= {
            str(method): mean,
            f"{method}_error": error,
            f"{method}_lower": low,
            f"{method}_upper": high,
        }
    gap = np.mean([one.contributions for one in estimates[Method.DR]], axis=0)
    difference = _difference(gap - np.mean(anchors, axis=0), group)
    last = estimates[Method.DR]
    return row | {
        "difference": difference.value,
        "difference_error": difference.standard_error,
        "difference_lower": difference.lower,
        "difference_upper": difference.upper,
        "z": difference.z,
        "effective_rows": float(np.mean([one.effective_rows for one in last])),
        "mean_weight": float(np.mean([one.mean_weight for one in last])),
        "clipped_share": float(np.mean([one.clipped_share for one in last])),
        "problems": list(last[0].problems),
    }


def _difference(values: Floats, group: Ints | None) -> Difference:
    value, error, low, high = mean_interval(values, group=group)
    return Difference(value, error, value / error if error > 0 else 0.0, low, high)


def _arm_row(one: int, data: TestTable, runs: list[Repeat]) -> dict[str, Any]:
    run = runs[0]
    policy = one_arm(one, len(data.arms), len(run.fold))
    doubly = policy_value(run.log, policy, predicted=run.predicted)
    weighted = policy_value(run.log, policy, method=Method.IPS)
    return {
        "arm": data.arms[one],
        "rows": int((data.sample.arm == one).sum()),
        "dr": doubly.value,
        "dr_error": doubly.standard_error,
        "ips": weighted.value,
        "chosen_in_folds": float((run.choice[SINGLE] == one).mean()),
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
            found = [
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
                    "slope": float(np.mean([one.slope for one in found])),
                    "t": float(np.mean([one.t for one in found])),
                    "deciles": found[0].deciles.to_dicts(),
                }
            )
    return rows
