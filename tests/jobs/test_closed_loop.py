"""The engine plays in a small world; its nights are held against the truth afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from nba.decisions.settings import Factors
from nba.jobs.closed_loop import Loop
from nba.jobs.closed_loop_report import LoopResult, loop_metrics, split_regret, write_loop
from nba.simulation import WorldConfig
from nba.stores.runs import log_run

pytestmark = pytest.mark.xdist_group("end_to_end")


def test_a_week_of_the_engine_beside_no_contact(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    config = WorldConfig(customers=400, clerks=3, stores=1, days=120, pilot_days=14)
    played = Loop(config, weeks=1, baselines=False).play(5)
    rows, nights = played.rows, played.regrets
    assert rows["policy"].to_list() == ["no_contact", "engine"]
    assert rows["listed"][1] > 0
    assert len(played.seconds) == 7
    (night,) = nights
    assert night["best"] >= night["predicted"] - 1e-6
    assert night["best"] >= night["drawn"] - 1e-6

    result = LoopResult.of([played])
    assert result.ablation["factor"].to_list()[0] == "all"
    assert result.ablation.height == 1 + len(Factors.model_fields)
    files = write_loop(result, "published", tmp_path / "out")
    assert all(path.stat().st_size for path in files)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = MlflowClient(uri).get_run(
        log_run(uri, "closed_loop", parameters={}, metrics=loop_metrics(result), files=files)
    )
    assert run.data.metrics["incremental_amount_engine"] == rows["incremental_amount"][1]


def test_the_regret_is_split_by_what_lost_it() -> None:
    nights = [
        {"best": 6.0, "predicted": 4.0, "drawn": 3.0},
        {"best": 4.0, "predicted": 4.0, "drawn": 3.0},
    ]
    assert split_regret(nights) == pytest.approx({"prediction": 0.2, "allocation": 0.2})
    assert split_regret([{"best": 0.0, "predicted": 0.0, "drawn": 0.0}])["prediction"] == 0.0
