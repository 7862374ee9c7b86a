"""Does one definition give one value on DuckDB and on Spark?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="features_engines",
    question="Does one definition give one value on DuckDB and on Spark?",
    run="experiments.features_engines.run:bench_engines",
    folder=Path(__file__).parent,
)
