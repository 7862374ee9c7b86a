"""Timing on any folder of tables: tiny, regular, irregular, seasonal and one-purchase data."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from mlflow import MlflowClient

from nba.errors import UsageError
from nba.evaluation.timing import HAZARD
from nba.jobs.experiment_spec import run_experiment
from nba.jobs.experiments import EXPERIMENTS
from nba.jobs.own_tables import OwnTables, timing_of
from nba.models.timing.boosted import BoostedConfig
from nba.models.timing.hazard import HazardConfig

START = datetime(2024, 1, 1, 12)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONFIG = HazardConfig(
    cutoff_step_days=28, threads=1, boosted=BoostedConfig(trees=20, rows_per_leaf=50)
)


def own(folder: Path) -> OwnTables:
    return OwnTables(folder, None, "Asia/Shanghai", NOW)


def write(folder: Path, days_by_customer: dict[str, list[float]]) -> Path:
    """Write a folder with nothing but transactions."""
    rows = [
        (f"o{name}{i}", name, START + timedelta(days=float(day)), "p1", 1, 9.5)
        for name, days in days_by_customer.items()
        for i, day in enumerate(days)
    ]
    columns = ["order_id", "customer_id", "ts", "product_id", "quantity", "unit_price"]
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, columns, orient="row").write_csv(folder / "transactions.csv")
    return folder


def drawn(kind: str, customers: int, days: int = 700) -> dict[str, list[float]]:
    """Return purchase days of a kind of shop."""
    rng = np.random.default_rng(5)
    found: dict[str, list[float]] = {}
    for i in range(customers):
        day, mine = float(rng.uniform(0, days * 0.7)), []
        while day < days:
            mine.append(day)
            gap = {"regular": rng.gamma(16.0, 1.5), "irregular": rng.exponential(40.0)}.get(kind)
            day += rng.exponential(30.0) if gap is None else gap + 1.0
            if kind == "seasonal" and np.cos(2 * np.pi * day / 365) < rng.uniform(-1, 1):
                day += 20.0
        found[f"c{i:03d}"] = mine[:1] if kind == "once" else mine
    return found


@pytest.mark.parametrize("kind", ["regular", "irregular", "seasonal"])
def test_any_shop_is_judged_beside_all_baselines(kind: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "tables", drawn(kind, 150))
    results = timing_of(own(folder), datetime(2025, 8, 1), config=CONFIG, draws=5)
    (result,) = results.values()
    assert {"bg_nbd", "mbg_cnbd_k", "mean_gap", "cox", "km_by_recency"} < set(result.metrics)
    ours, theirs = result.metrics[HAZARD], result.metrics["bg_nbd"]
    assert ours["integrated_brier"] < theirs["integrated_brier"] + 0.02
    if kind == "regular":
        assert ours["auc_7d"] > theirs["auc_7d"] + 0.1


def test_a_handful_of_customers_is_enough_to_answer(tmp_path: Path) -> None:
    folder = write(tmp_path / "tables", drawn("irregular", 4))
    results = timing_of(own(folder), datetime(2025, 8, 1), config=CONFIG, draws=0)
    assert results["2025-08-01"].customers >= 1


def test_nobody_comes_back(tmp_path: Path) -> None:
    """One purchase each: little will come, and the model says so."""
    folder = write(tmp_path / "tables", drawn("once", 200))
    results = timing_of(own(folder), datetime(2025, 3, 1), config=CONFIG, draws=0)
    ours = results["2025-03-01"].metrics[HAZARD]
    assert abs(ours["bias_30d"]) < 0.1


def test_a_cutoff_outside_the_records_says_what_they_span(tmp_path: Path) -> None:
    folder = write(tmp_path / "tables", drawn("irregular", 4))
    with pytest.raises(UsageError, match="purchases from 2024-") as caught:
        timing_of(own(folder), datetime(2030, 1, 1), draws=0)
    assert "2030-01-01" in str(caught.value)


def test_the_verb_writes_and_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "tables", drawn("irregular", 60))
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    given = {"data": folder, "cutoff": "2025-08-01", "seed": 3}
    text = run_experiment(EXPERIMENTS["timing"], given, tmp_path / "out", tracking_uri=uri)
    assert "concordance" in text
    page = (tmp_path / "out" / "README.md").read_text()
    assert page.rstrip().splitlines()[-1].startswith("**Use `kind: ")
    assert "backtesting them beside the simple rule" in capsys.readouterr().err
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    figure = written["parts"]["2025-08-01"]["metrics"][HAZARD]["concordance"]
    client = MlflowClient(uri)
    run = client.get_run(text.rsplit(" ", 1)[1])
    assert run.data.metrics["parts/2025-08-01/metrics/hazard/concordance"] == figure
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {
        "2025-08-01.png",
        "result.json",
        "result.md",
    }
