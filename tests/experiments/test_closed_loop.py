"""The engine plays in a small world; its nights are held against the truth afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.closed_loop.report import LoopResult, split_regret, write
from experiments.closed_loop.run import Loop
from nba.decisions.settings import Factors
from nba.jobs.experiment_spec import figures_of
from nba.simulation import WorldConfig


@pytest.mark.proof
def test_a_week_of_the_engine_beside_no_contact(tmp_path: Path) -> None:
    config = WorldConfig(customers=400, clerks=3, stores=1, days=120, pilot_days=14)
    played = Loop(config, weeks=1, baselines=False).play(5)
    rows, nights = played.rows, played.regrets
    assert rows["policy"].to_list() == ["no_contact", "engine"]
    assert rows["listed"][1] > 0
    assert len(played.seconds) == 7
    (night,) = nights
    assert night["best"] >= night["predicted"] - 1e-6
    assert night["best"] >= night["drawn"] - 1e-6

    result = LoopResult.of("published", [played])
    assert result.ablation["factor"].to_list()[0] == "all"
    assert result.ablation.height == 1 + len(Factors.model_fields)
    page = write(result, tmp_path)
    assert "| engine |" in page
    assert all((tmp_path / f"published.{kind}").stat().st_size for kind in ("json", "md", "png"))
    figures = dict(figures_of(json.loads((tmp_path / "published.json").read_text())))
    assert figures["summary/engine/incremental_amount"] == rows["incremental_amount"][1]


def test_the_regret_is_split_by_what_lost_it() -> None:
    nights = [
        {"best": 6.0, "predicted": 4.0, "drawn": 3.0},
        {"best": 4.0, "predicted": 4.0, "drawn": 3.0},
    ]
    assert split_regret(nights) == pytest.approx({"prediction": 0.2, "allocation": 0.2})
    assert split_regret([{"best": 0.0, "predicted": 0.0, "drawn": 0.0}])["prediction"] == 0.0
