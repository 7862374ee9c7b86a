"""Do the life-cycle tags tell sensible shares of a real shop's customers?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="features_online_retail",
    question="Do the life-cycle tags tell sensible shares of a real shop's customers?",
    run="experiments.features_online_retail.run:life_cycle",
    write="experiments.features_online_retail.run:write",
    folder=Path(__file__).parent,
)
