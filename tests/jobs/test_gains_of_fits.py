"""The run of a contact-value fit says how well it ranks whom a contact moves."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from experiments.report_world.play import make_project, play_quarter
from nba.pipeline.features import build_features
from nba.pipeline.train import fit_one
from nba.settings import ArmShares
from nba.simulation.config import WorldConfig

SHARES = ArmShares(holdout=0.2)


@pytest.mark.parametrize("days", [46, 10])
def test_a_fit_shows_its_gains_where_enough_was_drawn(tmp_path: Path, days: int) -> None:
    from mlflow import MlflowClient

    config = WorldConfig(customers=250, clerks=3, seed=6, start=dt.date(2025, 6, 1))
    quarter = play_quarter(config, SHARES, history=50, days=days)
    wiring = make_project(quarter, tmp_path / "shop", SHARES)
    after = quarter.last + dt.timedelta(days=1)
    context = wiring.run(dt.datetime.combine(after, dt.time()))
    build_features(context)
    version, _ = fit_one(context, wiring.specs["mode"])
    client = MlflowClient(wiring.project.tracking_uri)
    run = client.get_run(version.run_id)
    said = {item.path for item in client.list_artifacts(version.run_id)}
    if days == 10:  # no outcome of a draw was known before
        assert "qini" not in run.data.metrics
        assert not any("gains" in path for path in said)
        return
    metrics = run.data.metrics
    for name in ("qini", "baseline/qini", "qini-baseline"):
        assert metrics[f"{name}_lower"] <= metrics[name] <= metrics[f"{name}_upper"]
    assert any("gains" in path for path in said)
    assert "Qini" in run.info.run_name
