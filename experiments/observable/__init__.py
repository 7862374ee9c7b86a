"""How much of the true effects can be told from what a retailer sees?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="observable",
    question="How much of the true effects can be told from what a retailer sees?",
    run="experiments.observable.run:bench_observable",
    folder=Path(__file__).parent,
)
