"""The mode experiment: does choosing an arm per customer beat one arm for all?

Every row is scored by a policy that never saw it (cross-fitting over folds, by whole groups where
rows belong together), every policy is compared with the best single arm **as chosen on the
training folds**, values are averaged over repeats, and differences are paired and doubly robust.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.evaluation.experiment_table import TestTable, prepare, read_table
from nba.evaluation.mode_baselines import BASELINES
from nba.evaluation.mode_summary import OURS, SINGLE, ModeExperiment, Repeat, policy_row, summary
from nba.evaluation.off_policy import Log
from nba.models.mode.doubly_robust.learner import Effects, learn
from nba.models.mode.doubly_robust.nuisance import LearnerConfig, Sample, fit_nuisance, folds_of
from nba.models.mode.estimators.linear import Basis

#: Smaller arms than this in a training set cannot feed the comparison's learners.
MIN_BASELINE_ROWS: Final = 50


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
    progress = progress or (lambda line: None)
    runs = [
        _repeat(
            data,
            folds,
            seed + 1000 * r,
            compare=tuple(compare) if r == 0 else (),
            config=config,
            threads=threads,
            progress=progress,
        )
        for r in range(repeats)
    ]
    experiment = summary(data, runs, folds=folds, seed=seed, columns=(arm, outcome))
    for name in also:
        other = table[name].cast(pl.Float64).to_numpy()[data.row]
        experiment.result.setdefault("also", {})[name] = _valued_on(data, runs, other, config, seed)
    return experiment


def _outer_folds(sample: Sample, arms: int, folds: int) -> int:
    """Use fewer folds where arms are small or groups are few, so that each fold has some."""
    smallest = int(np.bincount(sample.arm, minlength=arms).min())
    units = len(sample.arm) if sample.group is None else len(np.unique(sample.group))
    return int(np.clip(min(max(smallest, len(sample.arm) // 20) // 5, units), 2, folds))


def _repeat(
    data: TestTable,
    folds: int,
    seed: int,
    *,
    compare: Sequence[str],
    config: LearnerConfig,
    threads: int,
    progress: Callable[[str], None],
) -> Repeat:
    sample, arms = data.sample, len(data.arms)
    fold = folds_of(len(sample.arm), folds, seed, sample.group, sample.arm)
    terms = Basis.fit(sample.x).transform(sample.x)
    judge = fit_nuisance(
        sample, arms, terms, fold, config=config.model_copy(update={"folds": folds}), seed=seed
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
        progress(f"fold {one + 1}/{folds}: best single arm {data.arms[learned.reference]}")

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
        judge = fit_nuisance(sample, arms, terms, run.fold, config=settings, seed=seed)
        log = Log(sample.arm, outcome, judge.propensity, sample.group)
        valued.append(dataclasses.replace(run, log=log, predicted=judge.mean, nuisance=judge))
    return [policy_row(name, other, valued) for name in runs[0].choice]


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
