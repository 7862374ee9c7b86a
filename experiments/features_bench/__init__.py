"""What does it cost to write every feature once, in Ibis, against SQL written by hand?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="features_bench",
    question="What does it cost to write every feature once, in Ibis, against SQL written by hand?",
    run="experiments.features_bench.run:bench_features",
    folder=Path(__file__).parent,
)
