"""The timing protocol on drawn customers: no look ahead, sane baselines, readable results."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis

from experiments.common.timing import judge
from nba.errors import UsageError
from nba.evaluation.timing import HAZARD, TimingResult, count_metrics, run_timing_experiment
from nba.evaluation.timing_report import write_results
from nba.models.purchases import day_number, read_log
from nba.models.timing.baselines import Cox, fit_baselines, past_follow_ups
from nba.models.timing.boosted import BoostedConfig
from nba.models.timing.core import CoreConfig, fit_core

START = datetime(2025, 1, 1)
CUTOFF = datetime(2025, 12, 1)
CONFIG = CoreConfig(cutoff_step_days=28, boosted=BoostedConfig(trees=30, rows_per_leaf=100))


def drawn(customers: int = 700, days: int = 425, seed: int = 11) -> pl.DataFrame:
    """Return a log of customers who buy at rates of their own and may leave for good."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(customers):
        day, gap = float(rng.uniform(0, days * 0.8)), rng.gamma(2.0, 15.0) + 5.0
        while day < days:
            rows.append((f"c{i:04d}", START + timedelta(days=day), float(rng.lognormal(3, 0.4))))
            if rng.random() < 0.08:
                break
            day += rng.exponential(gap)
    return pl.DataFrame(rows, ["customer_id", "ts", "amount"], orient="row").with_columns(
        pl.col("ts").cast(pl.Datetime("us"))
    )


@pytest.fixture(scope="module")
def purchases() -> pl.DataFrame:
    return drawn()


@pytest.fixture(scope="module")
def result(purchases: pl.DataFrame) -> TimingResult:
    return run_timing_experiment(
        purchases, cutoff=CUTOFF, config=CONFIG, draws=20, threads=1, seed=3
    )


def test_every_baseline_stands_beside_the_model(result: TimingResult) -> None:
    assert set(result.metrics) == {
        HAZARD,
        "mean_gap",
        "km_by_recency",
        "cox",
        "bg_nbd",
        "mbg_cnbd_k",
    }
    for name, row in result.metrics.items():
        # who buys often has a short gap, gone or not: a gap alone ranks worse than chance
        assert (0.5 if name != "mean_gap" else 0.3) < row["concordance"] < 1.0
        assert 0.0 < row["integrated_brier"] < 0.5
    assert (
        result.metrics[HAZARD]["integrated_brier"] < result.metrics["mean_gap"]["integrated_brier"]
    )


def test_the_model_is_calibrated_where_nothing_changes(result: TimingResult) -> None:
    for horizon in (7, 14, 30, 90):
        assert result.metrics[HAZARD][f"calibration_error_{horizon}d"] < 0.06


def test_intervals_enclose_the_estimates(result: TimingResult) -> None:
    for name, interval in result.intervals[HAZARD].items():
        assert interval.lower <= result.metrics[HAZARD][name] + 0.05, name
        assert interval.upper >= result.metrics[HAZARD][name] - 0.05, name
    assert set(result.differences) == set(result.intervals[HAZARD])


def test_nothing_after_the_cutoff_is_read_in_fitting(purchases: pl.DataFrame) -> None:
    """The same model and curves come out when the future is another one."""
    today = day_number(CUTOFF)
    other = pl.concat(
        [
            purchases.filter(pl.col("ts") < CUTOFF),
            purchases.filter(pl.col("ts") >= CUTOFF).with_columns(
                ts=pl.lit(CUTOFF).cast(pl.Datetime("us"))
            ),
        ]
    )
    curves = []
    for lines in (purchases, other):
        log = read_log(lines, as_of=datetime.max)
        core = fit_core(log, today, CONFIG, seed=1, threads=1)
        snapshot = core.builder.at(log, today)
        curves.append(
            dict(zip(snapshot.known, core.survival(snapshot, 90, threads=1), strict=True))
        )
    names = [read_log(lines, as_of=datetime.max).ids["customer_id"] for lines in (purchases, other)]
    ours = {names[0][int(i)]: curve for i, curve in curves[0].items()}
    theirs = {names[1][int(i)]: curve for i, curve in curves[1].items()}
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_cutoff_outside_the_records_is_refused(purchases: pl.DataFrame) -> None:
    with pytest.raises(UsageError, match="does not split the purchases"):
        run_timing_experiment(purchases, cutoff=datetime(2031, 1, 1), config=CONFIG)


def test_records_that_end_early_censor(purchases: pl.DataFrame) -> None:
    short = purchases.filter(pl.col("ts") < CUTOFF + timedelta(days=40))
    result = run_timing_experiment(
        short, cutoff=CUTOFF, config=CONFIG, draws=0, threads=1, baselines=False
    )
    assert "auc_90d" not in result.metrics[HAZARD]
    assert "auc_30d" in result.metrics[HAZARD]
    assert result.notes == ("the records end 40 days after the cut-off",)


def test_cox_is_that_of_scikit_survival() -> None:
    """Same coefficients as `CoxPHSurvivalAnalysis(ties="breslow")` on the same rows."""
    cutoff = START + timedelta(days=700)
    log = read_log(drawn(400, 700), as_of=cutoff)
    today = day_number(cutoff)
    builder = fit_core(log, today, CONFIG, seed=1, threads=1).builder
    past = past_follow_ups(builder, log, today, days=60, active_days=365, step=60, most=3)
    ours = Cox.fit(past, 60, ridge=1e-9)
    names = (
        "days_since_purchase",
        "purchase_days",
        "gap_days_shrunk",
        "overdue_shrunk",
        "purchase_days_90d",
        "purchase_days_365d",
        "amount_mean",
        "age_days",
    )
    raw = np.column_stack([np.log1p(past.column(name)) for name in names])
    z = (raw - ours.mean) / ours.spread
    structured = np.array(
        list(zip(past.event, past.time.astype(float), strict=True)),
        dtype=[("event", bool), ("time", float)],
    )
    theirs = CoxPHSurvivalAnalysis(ties="breslow", n_iter=200, tol=1e-12).fit(z, structured)
    assert ours.beta == pytest.approx(theirs.coef_, abs=1e-4)
    reference = theirs.cum_baseline_hazard_
    assert ours.baseline[reference.x.astype(int)] == pytest.approx(reference.y, rel=1e-3)


def test_baselines_never_rise(purchases: pl.DataFrame) -> None:
    log = read_log(purchases, as_of=CUTOFF)
    today = day_number(CUTOFF)
    builder = fit_core(log, today, CONFIG, seed=1, threads=1).builder
    snapshot = builder.at(log, today)
    for name, baseline in fit_baselines(builder, log, today, days=60, active_days=365).items():
        curve = baseline.survival(snapshot, 120)
        assert curve.shape == (len(snapshot.known), 121), name
        assert (np.diff(curve, axis=1) <= 1e-12).all(), name
        assert curve[:, 0] == pytest.approx(1.0), name


def test_count_errors_by_hand() -> None:
    found = count_metrics(np.array([1.0, 2.0, 0.0]), np.array([1.0, 0.0, 1.0]))
    assert found["count_mae"] == pytest.approx(1.0)
    assert found["count_rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert found["count_wape"] == pytest.approx(3 / 2)
    assert found["count_bias"] == pytest.approx(1 / 2)


def test_results_are_written(result: TimingResult, tmp_path: Path) -> None:
    bars = judge({"part": result}, (("part", "concordance", "at_least", 0.99),))
    path = write_results(tmp_path, {"part": result}, command="a command", bars=bars)
    content = json.loads(path.read_text())
    assert content["parts"]["part"]["customers"] == result.customers
    assert content["bars"][0]["reached"] is False
    assert "**no**" in (tmp_path / "result.md").read_text()
    assert (tmp_path / "part.png").stat().st_size > 10_000
